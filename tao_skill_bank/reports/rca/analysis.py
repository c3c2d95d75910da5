"""Root-cause analysis of a ChangeNet evaluation: gap analysis, the weakest samples, doubtful labels, a report.

`make_rca` makes a folder `<experiment>/rca_results/<YYYY-MM-DD_HHMMSS>`; `set_verdict` enters what somebody saw in a
picture. The report is rendered from the folder's files; `rca_check` holds it against them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
from tao_skill_bank.actions.gap_analysis.vcn_aoi import GAPS, VcnAoiResult, analyze_vcn_aoi
from tao_skill_bank.actions.gap_analysis.vcn_read import (
    CSV_NAME,
    Inference,
    read_goldens,
    read_image_names,
    read_inference,
)
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, UnreachableError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.settings import validated
from tao_skill_bank.reports.rca import label_noise
from tao_skill_bank.reports.rca.data import (
    CONTEXT,
    REPORT,
    SPOT_CHECK,
    SUSPECTS,
    Context,
    Spot,
    find_spot,
    find_weak,
    load_rca,
    read_weak,
    verdict_named,
    write_spots,
)
from tao_skill_bank.reports.rca.shots import take_shots, take_spots
from tao_skill_bank.reports.rca.text import action_list, heading, render_report, rows_shown, spot_section

if TYPE_CHECKING:
    from tao_skill_bank.actions.mining.encoders import Encoder

SPEC = "vcn_aoi_spec.yaml"
TIME_FORMAT = "%Y-%m-%d_%H%M%S"


@dataclass(frozen=True)
class Rca:
    """A finished analysis.

    Attributes:
        analysis: The numbers; None where the recall target was out of reach.
        suspects: Labels that look wrong, most suspicious first.
        notes: What a reader should know, a line each.
    """

    folder: Path
    report: Path
    analysis: VcnAoiResult | None
    suspects: Sequence[label_noise.Suspect]
    notes: Sequence[str]

    def lines(self) -> list[str]:
        """The summary of the numbers, and the notes."""
        return [*(self.analysis.summary if self.analysis else ()), *self.notes]


def make_rca(
    experiment: Path,
    *,
    now: datetime,
    inference_dir: Path | None = None,
    train_config: Path | None = None,
    output: Path | None = None,
    encoder: str = "auto",
    check_labels: bool = True,
    **asked: Any,
) -> Rca:
    """Analyse an evaluation and write the report package.

    Args:
        experiment: The experiment's folder.
        now: Local time, for the folder's name.
        inference_dir: Folder of `inference.csv`; found below the experiment where there is exactly one, or `latest`.
        train_config: The train YAML; found in the experiment where there is exactly one.
        output: The results folder, instead of a new one below the experiment.
        encoder: Which embedding ranks the labels, as for mining.
        check_labels: Rank labels by their look-alikes (reads the images of the test set).
        asked: Further fields of `VcnAoiConfig`.

    Raises:
        InputError: Input that cannot be used; nothing is written.
    """
    if not guard.is_folder(experiment):
        raise InputError("no such folder", where=experiment, fix="name the experiment's folder")
    inference_dir = inference_dir or _find_inference(experiment)
    train_config = train_config or _find_train_config(experiment)
    names = read_image_names(train_config)
    inference = read_inference(inference_dir)
    folder = output or experiment / "rca_results" / now.strftime(TIME_FORMAT)
    if guard.exists(folder / REPORT):
        raise InputError("holds a report already", where=folder, fix="wait a second, or name another --output")
    found = {"inference_results_dir": inference_dir, "train_config": train_config, "results_dir": folder}
    config = validated(VcnAoiConfig, {**asked, **found}, "arguments")
    context = Context(
        created=now.isoformat(timespec="seconds"),
        experiment=os.path.abspath(experiment),
        lightings=len(names.suffixes),
        top_k=config.top_k_per_label,
        media="" if config.kpi_media_path is None else str(config.kpi_media_path),
        suffixes=list(names.suffixes),
    )
    try:
        analysis = analyze_vcn_aoi(config)
    except UnreachableError:
        _write_spec(config)
        _write_context(folder, context)
        return Rca(folder, _write_report(folder), None, (), ())
    _write_spec(config)
    weak = read_weak(folder / GAPS, context.lightings, analysis.metrics.threshold)
    goldens = _goldens(inference, names.suffixes[0], config)
    spots = take_spots(folder, weak, goldens)
    write_spots(folder, spots)
    missing = sum(not s.image for s in spots)
    notes = [f"{missing} of {len(spots)} spot-check images were not found or could not be read"] if missing else []
    suspects: list[label_noise.Suspect] = []
    used = ""
    if check_labels:
        suspects, used, note = _suspects(inference, names.suffixes[0], config, analysis.metrics.threshold, encoder)
        notes += note
        label_noise.write_suspects(folder / SUSPECTS, suspects)
        take_shots(folder, suspects, goldens)
    _write_context(folder, context.model_copy(update={"encoder": used, "notes": notes}))
    return Rca(folder, _write_report(folder), analysis, suspects, notes)


def set_verdict(folder: Path, image: str, verdict: str, note: str = "", who: str = "", set_name: str = "") -> Spot:
    """Enter what was seen in a picture: among the corrections, and in the spot check where it is one of its ten.

    Only section 5 of the report and the list of actions are written anew, so that words somebody added elsewhere stay.

    Args:
        folder: The RCA folder.
        image: A picture of `rca_images/`, or any sample that was scored, by the name that pages print.
        verdict: mislabeled, edge case, data quality or systematic.
        note: What was seen.
        who: Who looked; the user of this machine, where nobody is named.
        set_name: The sample's set, where several of the workspace have it.

    Raises:
        InputError: No such sample or verdict, a report without its headings, or corrections cannot be kept.
    """
    from tao_skill_bank.core.system import user_name
    from tao_skill_bank.data.corrections import Word
    from tao_skill_bank.reports.rca.page import write_page
    from tao_skill_bank.reports.rca.words import as_they_stand, enter

    data = load_rca(folder)
    value = verdict_named(verdict)
    spot = find_spot(data, image)
    weak = spot or find_weak(data, image)
    report = folder / REPORT
    text = guard.read_text(report) if guard.is_file(report) else render_report(data)
    start, end = text.find(f"{heading(5)}\n"), text.find(f"{heading(6)}\n")
    if not 0 <= start < end:
        raise InputError("sections 5 and 6 cannot be found", where=report, fix="restore the report's headings")
    named = weak.filepath if weak is not None else image
    score = None if weak is None else weak.siamese_score
    said = Word(named, value, who or user_name(), note=note, score=score, run=folder.name, set=set_name or None)
    made = enter(data, said)
    changed = {"verdict": value, "note": made.note, "word": made.id}
    if spot is None:
        own = {"image": "", "filepath": made.sample.name, "label": made.before, "siamese_score": score or 0.0}
        return Spot.model_validate({**own, "weakness": 0.0, **changed})
    done = spot.model_copy(update=changed)
    spots = as_they_stand(replace(data, spots=[done if s is spot else s for s in data.spots]))
    write_spots(folder, spots)
    text = text[:start] + spot_section(spots, data, rows_shown(text)) + "\n" + text[end:]
    # The list of actions too, unless somebody has changed it.
    write_text(report, text.replace(action_list(data), action_list(replace(data, spots=spots))))
    write_page(load_rca(folder))
    return done


def latest_rca(experiment: Path) -> Path:
    """The newest analysis of an experiment, or the folder itself where it is one.

    Raises:
        InputError: There is none.
    """
    if guard.is_file(experiment / CONTEXT):
        return experiment
    earlier = experiment / "rca_results"
    made = guard.children(earlier) if guard.is_folder(earlier) else []
    found = [folder for folder in made if guard.is_file(folder / CONTEXT)]
    if not found:
        raise InputError("holds no analysis", where=experiment, fix="run `tao-skills rca vcn` first")
    return found[-1]


def _find_inference(experiment: Path) -> Path:
    found = sorted(p.parent for p in experiment.rglob(CSV_NAME) if "rca_results" not in p.parts)
    latest = [p for p in found if p.name == "latest"]
    if len(found) == 1 or len(latest) == 1:
        return (latest or found)[0]
    what = "holds no inference.csv" if not found else f"holds {len(found)} inference.csv files"
    fix = "name one with --inference-dir" + (f", such as {found[0]}" if found else "")
    raise InputError(what, where=experiment, fix=fix)


def _find_train_config(experiment: Path) -> Path:
    usual = [p for p in (experiment / "train.yaml", experiment / "train" / "experiment.yaml") if guard.is_file(p)]
    found = usual or sorted([*guard.matching(experiment, "*.yaml"), *guard.matching(experiment, "*.yml")])
    if usual or len(found) == 1:
        return found[0]
    what = "holds no train YAML" if not found else f"holds {len(found)} YAML files"
    raise InputError(what, where=experiment, fix="name it with --train-config")


def _write_spec(config: VcnAoiConfig) -> None:
    """The configuration that was run, as a spec file that runs it again."""
    values = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(config).items()}
    values["kpi_media_path"] = values["kpi_media_path"] or ""
    write_text(config.results_dir / SPEC, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _write_context(folder: Path, context: Context) -> None:
    write_text(folder / CONTEXT, context.model_dump_json(indent=2) + "\n")


def _write_report(folder: Path) -> Path:
    from tao_skill_bank.reports.rca.page import write_page

    data = load_rca(folder)
    write_text(folder / REPORT, render_report(data))
    write_page(data)
    return folder / REPORT


def _goldens(inference: Inference, suffix: str, config: VcnAoiConfig) -> dict[str, str]:
    """Image of the first lighting → its golden; empty where the CSV names none."""
    table = read_goldens(inference)
    if table is None:
        return {}
    return dict(zip(_images(inference, suffix, config), _images(table, suffix, config), strict=True))


def _images(table: Inference, suffix: str, config: VcnAoiConfig) -> list[str]:
    """The images of all rows in one lighting."""
    import numpy as np

    from tao_skill_bank.actions.gap_analysis import vcn_select
    from tao_skill_bank.actions.gap_analysis.vcn_read import ImageNames

    media = "" if config.kpi_media_path is None else str(config.kpi_media_path)
    rows = np.arange(len(table))
    batches = vcn_select.image_rows(table, rows, np.zeros(len(table)), ImageNames((suffix,)), media)
    return [path for batch in batches for path in batch.column(0).to_pylist()]


def _suspects(
    inference: Inference, suffix: str, config: VcnAoiConfig, threshold: float, encoder_name: str
) -> tuple[list[label_noise.Suspect], str, list[str]]:
    """The ranking, the encoder behind it ("" where the model ranks alone), and notes on what could not be read."""
    from tao_skill_bank.actions.gap_analysis import vcn_select
    from tao_skill_bank.actions.mining.encoders import get_encoder
    from tao_skill_bank.data.pictures.decode import ImageError

    distance = vcn_select.weakness(inference.scores, inference.is_pass, threshold)
    files = _images(inference, suffix, config)
    labels = [inference.label_texts[code] for code in inference.label_codes]
    wrong = vcn_select.misclassified(inference.scores, inference.is_pass, threshold)
    votes = label_noise.model_votes(inference.scores, inference.is_pass)
    judged = label_noise.rows_to_judge(votes, inference.label_codes)

    def alone(note: str) -> tuple[list[label_noise.Suspect], str, list[str]]:
        ranked = label_noise.rank_suspects(None, files, labels, judged, inference.scores, distance, wrong, model=votes)
        return ranked, "", [f"{note}; the model ranks them alone"]

    rows = [int(i) for i in label_noise.reference_rows(len(files), judged) if os.path.isfile(files[i])]
    if len(rows) < 2:
        return alone("the test images were not found, so labels could not be compared with their look-alikes")
    encoder = get_encoder(encoder_name)
    golden_table = read_goldens(inference)
    golden_files = [] if golden_table is None else _images(golden_table, suffix, config)
    goldens = [golden_files[i] for i in rows] if golden_files else []
    try:
        vectors = encoder.encode([Path(files[i]) for i in rows])
        if goldens and all(os.path.isfile(g) for g in goldens):
            vectors = label_noise.with_differences(vectors, _embed_once(goldens, encoder))
    except ImageError as error:
        return alone(f"labels were not compared with their look-alikes: {error.line()}")
    place = {row: at for at, row in enumerate(rows)}
    suspects = label_noise.rank_suspects(
        vectors,
        [files[i] for i in rows],
        [labels[i] for i in rows],
        [place[i] for i in judged if i in place],
        inference.scores[rows],
        distance[rows],
        wrong[rows],
        model=votes[rows],
    )
    absent = len(files) - len(rows) if len(files) <= label_noise.MOST_IMAGES else 0
    notes = [f"{absent} test images were not found and took no part in the comparison of labels"] if absent else []
    return suspects, f"{encoder.name} {encoder.version}", notes


def _embed_once(files: Sequence[str], encoder: Encoder) -> Any:
    """Vectors of files of which many may be the same, each read once."""
    import numpy as np

    distinct = sorted(set(files))
    place = {name: at for at, name in enumerate(distinct)}
    return encoder.encode([Path(name) for name in distinct])[np.array([place[name] for name in files])]


__all__ = ["SPOT_CHECK", "Rca", "latest_rca", "make_rca", "set_verdict"]
