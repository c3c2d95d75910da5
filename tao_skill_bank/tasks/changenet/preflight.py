"""Pre-flight: every check that can be made before anything is changed, in order, and the summary a person approves."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.data.changenet.backbone import weights_fault
from tao_skill_bank.data.changenet.guardrail import TABLE, is_told
from tao_skill_bank.data.changenet.images import FolderIndex
from tao_skill_bank.data.changenet.releases import meant_elsewhere
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, POOL, TRAINING, VALIDATION
from tao_skill_bank.data.changenet.spec import spec_faults
from tao_skill_bank.data.changenet.tables import PASS, PairTable
from tao_skill_bank.data.changenet.validate import DatasetReport, Kind, check_dataset, check_leakage, label_warnings
from tao_skill_bank.loop.checks import Check, Checks, folder_check, platform_checks, refuse_faults, workspace_check
from tao_skill_bank.loop.request import OwnWord, PreFlight, ResolvedPlan, Split
from tao_skill_bank.loop.sizes import size_check
from tao_skill_bank.platforms import platform_named, tao_runs
from tao_skill_bank.platforms.releases import release_that_runs
from tao_skill_bank.tasks import label_checks as checks
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.looks import picture_checks
from tao_skill_bank.tasks.changenet.measures import seen_checks
from tao_skill_bank.tasks.changenet.metric import ACCURACY, FAR, GRAMMAR, RECALL
from tao_skill_bank.tasks.changenet.routing import normal
from tao_skill_bank.tasks.changenet.sets import applied, corrected
from tao_skill_bank.tasks.changenet.taken import KEY_OF
from tao_skill_bank.tasks.changenet.trained import COMMAND

_SETS = {"train": TRAINING, "validation": VALIDATION, "kpi": KPI, "acceptance": ACCEPTANCE, "pool": POOL}
CREDENTIALS = ("NGC_KEY", "HF_TOKEN")
_FREE_BYTES_NEEDED = 1 << 30
_MOST_FAULTS = 50
_NAMED = checks.Named(files="the CSVs", file="the CSV", look="picture", shown="Before and after stand in the report. ")


def pre_flight(plan: ResolvedPlan) -> PreFlight:
    """Run every check of a plan. Reads only.

    Raises:
        InputErrors: Something is missing that cannot be made; one line a fault.
    """
    checks = Checks(summed=True)
    config, faults, check = plan.config, checks.faults, checks.make
    reports: dict[str, DatasetReport] = {}
    words: list[OwnWord] = []
    check(lambda: workspace_check(config.workspace))
    check(lambda: _spec(plan, faults))
    if not faults:
        check(lambda: _corrections(config, words))
    if not faults:
        checks.done += _datasets(plan, reports, faults)
        checks.done.append(_labels(reports))
        checks.done.append(_sizes(plan, reports))
        checks.done.append(_leakage(reports, faults))
        checks.done += picture_checks(config, reports, faults)
        check(lambda: _generator(plan))
        check(lambda: _routable(plan, reports))
        check(lambda: _encoder(plan))
    check(lambda: _backbone(plan))
    check(lambda: _credentials(plan))
    check(lambda: platform_checks(config))
    check(lambda: _disk(plan))
    refuse_faults(faults, config.workspace, _MOST_FAULTS)
    splits = [Split(name=n, csv=str(r.path), rows=r.rows, labels=dict(r.labels)) for n, r in reports.items()]
    return PreFlight.of(plan, checks.done, splits, facts=_facts(config), words=words)


def _facts(config: RunConfig) -> list[tuple[str, str]]:
    """What the task's own settings come to, for the summary."""
    synthetic, mining = config.anomalygen, config.mining
    return [
        ("spec", config.specs_file),
        ("epochs / batch", f"{config.num_epochs or 'spec'} / {config.batch_size or 'spec'}"),
        ("synthetic", f"{synthetic.mode}, at most {synthetic.num_SDG} pairs an iteration"),
        ("mining", f"{mining.strategy}, at most {mining.budget or 'default'} rows an iteration"),
    ]


def _corrections(config: RunConfig, words: list[OwnWord]) -> list[Check]:
    """The checks of a plan's corrections; `words` gets the one that those of the measured sets need."""
    sets = [name for name, key in KEY_OF.items() if getattr(config, key) is not None]
    found, asked = checks.label_checks(config, _NAMED, lambda: {n: applied(config, n)[1].changes for n in sets})
    words.extend(asked)
    return [*found, *seen_checks(config)]


def _spec(plan: ResolvedPlan, faults: list[str]) -> list[Check]:
    """The spec as the train line will get it, in the release that runs it."""
    config = plan.config
    spec = specs.train_spec(config, Path(config.training_csv), Path(), Path(config.validation_csv), Path())
    runs = release_that_runs(config)
    found = spec_faults(spec, "train", runs.release)
    faults.extend(f"{config.specs_file}: {fault}" for fault in found)
    release = Check(name="release", status="ok" if runs.sure else "warn", text=runs.text)
    if found:
        return [release]
    checked = specs.checked_spec(config)
    lights = ", ".join(checked.lights) or "none named"
    text = f"{checked.backbone}, lightings: {lights}, {checked.num_epochs} epochs"
    made = [release, Check(name="spec", status="ok", text=text)]
    if not checked.lights and tao_runs(config, "gap_analysis"):
        # Its table of weak samples has a row a lighting: without one it stays empty, and with null it stops.
        faults.append(
            f"{config.specs_file}: dataset.classify.input_map: names no lighting, and TAO's own gap_analysis then "
            "finds no weak sample (name the files NAME_LIGHT and list LIGHT, or --platform local)"
        )
    elsewhere = meant_elsewhere(spec, "train", runs.release)
    if elsewhere:
        made.append(Check(name="other releases", status="ok", text="; ".join(elsewhere)))
    return made


def _datasets(plan: ResolvedPlan, reports: dict[str, DatasetReport], faults: list[str]) -> list[Check]:
    config = plan.config
    naming = specs.naming_of(config)
    batch = specs.checked_spec(config).batch_size
    index = FolderIndex()
    sets: list[tuple[str, Kind, str | None]] = [
        ("training", "train", config.training_csv),
        ("validation", "validation", config.validation_csv),
        ("KPI", "kpi", config.kpi_test_csv),
        ("acceptance", "acceptance", config.acceptance_csv),
        ("mining pool", "pool", config.mining_pool_csv),
    ]
    checks: list[Check] = []
    for name, kind, csv in sets:
        if csv is None:
            checks.append(Check(name=f"{name} set", status="skip", text="not in the workspace"))
            continue
        report = check_dataset(
            Path(csv),
            naming,
            kind=kind,
            images_dir=Path(config.images_dir),
            workspace=Path(config.workspace),
            batch_size=batch,
            index=index,
            table=_corrected(config, _SETS[kind]),
        )
        reports[name] = report
        faults.extend(f"{csv}: {fault}" for fault in report.faults)
        text = f"{report.rows} rows, every image of every lighting there"
        checks.append(Check(name=f"{name} set", status="ok", text=text))
    return checks


def _corrected(config: RunConfig, name: str) -> PairTable | None:
    """The rows with their corrections; None where the file cannot be read: its own check says why."""
    try:
        return corrected(config, name)
    except InputError:
        return None


def _labels(reports: dict[str, DatasetReport]) -> Check:
    """What the sets call their defects, taken together: two spellings of one are two defects to routing and report."""
    names = {label for report in reports.values() for label in report.labels} - {PASS}
    doubtful = label_warnings(reports.values())
    if doubtful:
        shown = "; ".join(doubtful[:3]) + (f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else "")
        text = f"one defect under two names? {shown}: routing and reports count them apart (write one throughout)"
        return Check(name="labels", status="warn", text=text)
    sets = len(reports)
    return Check(name="labels", status="ok", text=f"{len(names)} defect names in {sets} sets, no two alike")


def _sizes(plan: ResolvedPlan, reports: dict[str, DatasetReport]) -> Check:
    sets: dict[str, dict[str, int]] = {}
    for name in ("KPI", "acceptance"):
        if name in reports:
            rows, good = reports[name].rows, reports[name].labels.get(PASS, 0)
            sets[name] = {FAR.of: good, RECALL.of: rows - good, ACCURACY.of: rows}
    return size_check(GRAMMAR.parse(plan.kpi_target), sets)


def _leakage(reports: dict[str, DatasetReport], faults: list[str]) -> Check:
    training = [reports[n] for n in ("training",) if n in reports]
    measured = [n for n in ("validation", "KPI", "acceptance") if n in reports]
    evaluation = [reports[n] for n in measured]
    faults.extend(check_leakage(training, evaluation))
    pool = [reports[n] for n in ("mining pool",) if n in reports]
    leaked = check_leakage(pool, evaluation)
    said = []
    if leaked:
        said.append(f"{len(leaked)} pool images stand in an evaluation set; choosing one of them stops the run")
    for name, other in combinations(measured, 2):
        if twice := check_leakage([reports[other]], [reports[name]]):
            said.append(f"{len(twice)} {other} images are files of the {name} set too, first {twice[0]}")
    if said:
        fix = ": what one set has measured, the other proves nothing more of" if len(said) > bool(leaked) else ""
        return Check(name="leakage", status="warn", text="; ".join(said) + fix)
    rows, others = (sum(report.rows for report in side) for side in ([*training, *pool], evaluation))
    text = (
        f"no test image of {rows:,} training and pool rows is a file of the evaluation's {others:,}, and none of those "
        "stands in two evaluation sets"
    )
    return Check(name="leakage", status="ok", text=text)


def _generator(plan: ResolvedPlan) -> Check:
    from tao_skill_bank.tasks.changenet.synthetic import verify_pairs

    config = plan.config
    mode = config.anomalygen.mode
    if mode == "pregen_ingest":
        if config.pregen_dir is None:
            return Check(name="synthetic", status="warn", text="pregen_ingest, but the workspace has no pairs")
        found = verify_pairs(Path(config.pregen_dir))
        labels = ", ".join(sorted({pair.label.upper() for pair in found.pairs})) or "no defect"
        text = f"{len(found.pairs)} pairs of {labels}"
        if not found.left_out:
            told = is_told(Path(config.pregen_dir) / TABLE)
            blocked = (
                "or blocked by the guardrail"
                if told
                else f"(what a guardrail blocked is not known: no {TABLE} tells it)"
            )
            return Check(name="synthetic", status="ok", text=f"{text}; none black {blocked}")
        stem, why = next(iter(found.left_out.items()))
        text += f"; {len(found.left_out)} more are left out, first {stem}: {why}"
        return Check(name="synthetic", status="warn", text=text)
    if mode == "local_standin":
        return Check(name="synthetic", status="ok", text="local stand-in: defects cut from the run's own NG samples")
    if mode == "inline":
        return _inline(plan)
    return Check(name="synthetic", status="skip", text="switched off")


def _inline(plan: ResolvedPlan) -> Check:
    """The generator's own inputs, and what of them is still to be downloaded once the plan is approved."""
    from tao_skill_bank.tasks.changenet import generator

    config = plan.config
    platform = platform_named(config)
    if not all(platform.can_run(command) for command in (generator.AMP, generator.SDG)):
        raise BankError(
            "the generator's container does not run on this platform",
            where=f"--platform {config.platform}",
            fix="--set anomalygen.mode=pregen_ingest or local_standin",
        )
    assets = generator.find_assets(config)
    made = {d.label for d in assets.defects}
    absent = sorted({normal(x) for x in config.anomalygen.labels} - made - {PASS})
    notes = [f"{len(made)} defect types, step {assets.step}"]
    if absent:
        notes.append(f"the generator was not fine-tuned on {', '.join(absent)}: set anomalygen.labels")
    if not assets.base_is_there:
        if config.offline:
            what = "the generator would download its base models, and the run is offline"
            raise BankError(what, where=assets.base, fix="put them there, or leave --offline away")
        if not os.environ.get("HF_TOKEN"):
            what = "the generator's base models are gated and not here, and HF_TOKEN is not set"
            raise BankError(what, where=assets.base, fix="set HF_TOKEN in the environment, or put them there")
        notes.append(
            f"base models are not in {assets.base}: after approval the first job downloads them "
            "(about 22 GB, with HF_TOKEN from the environment)"
        )
    return Check(name="synthetic", status="warn" if len(notes) > 1 else "ok", text="; ".join(notes))


def _routable(plan: ResolvedPlan, reports: dict[str, DatasetReport]) -> Check:
    """Every label of the KPI set will be weak somewhere: who can give more of it?"""
    from tao_skill_bank.tasks.changenet.synthetic import generator_labels

    pool = reports.get("mining pool")
    kpi = reports.get("KPI")
    taken = {normal(x) for x in (*(pool.labels if pool else ()), *generator_labels(plan.config))}
    accepted = {normal(x) for x in plan.config.routing.accept_dropped}
    lost = sorted({normal(x) for x in (kpi.labels if kpi else ())} - taken - accepted)
    if lost:
        setting = f"--set routing.accept_dropped=[{','.join(lost).lower()}]"
        text = (
            f"neither pool nor generator has {', '.join(lost)}: the loop will stop at routing unless you add {setting}"
        )
        return Check(name="weak labels", status="warn", text=text)
    labels = {normal(x) for x in (kpi.labels if kpi else ())}
    text = f"pool and generator cover {len(labels & taken)} of {len(labels)} labels of the KPI set"
    left = ", ".join(sorted(labels - taken))
    text += f"; {left} gets nothing new, as routing.accept_dropped allows" if left else ""
    return Check(name="weak labels", status="ok", text=text)


def _encoder(plan: ResolvedPlan) -> Check:
    from tao_skill_bank.actions.mining.encoders import get_encoder

    config = plan.config
    path = config.mining.encoder_path
    if path is not None and not guard.is_folder(Path(path)):
        raise BankError("the encoder's weights are not there", where=path, fix="name their folder: mining.encoder_path")
    tao = tao_runs(config, "embedding") or False  # where it is not known, the check of the platform says why
    spec = specs.encoder_spec(config, tao=tao)
    if tao and config.offline and path is None:
        raise BankError(
            f"TAO's embedding would download {spec['model_path']}, and the run is offline",
            where="mining.encoder",
            fix="put its weights into the workspace and --set mining.encoder_path=FOLDER",
        )
    if tao:
        fetched = "" if path else ", fetched from the Hugging Face hub where its image has it not"
        return Check(name="encoder", status="ok", text=f"TAO's {spec['model']} {spec['model_path']}{fetched}")
    if not platform_named(config).detached:
        return Check(name="encoder", status="skip", text=config.mining.encoder)
    encoder = get_encoder(spec["model"], model_path=path or "")
    return Check(name="encoder", status="ok", text=f"{encoder.name} (version {encoder.version})")


def _backbone(plan: ResolvedPlan) -> Check:
    config = plan.config
    tao = tao_runs(config, COMMAND)
    if not tao:
        why = "the platform says why" if tao is None else "a rehearsal: the network is not TAO's own"
        return Check(name="backbone", status="skip", text=why)
    spec = specs.checked_spec(config)
    named, model = spec.pretrained_backbone_path, spec.pretrained_model_path
    _weights("the backbone's weights", named, "stage_backbone.py")
    _weights("the model that the training goes on from", model, "a checkpoint of an earlier training")
    text = named or (f"within {model}" if model else "none: training starts from nothing")
    return Check(name="backbone", status="ok" if named or model else "warn", text=text)


def _weights(what: str, path: str | None, source: str) -> None:
    """Look into a file of weights that a training will read, if one is named."""
    if path is None:
        return
    fault = weights_fault(Path(path)) if guard.is_file(Path(path)) else "is not there"
    if fault is not None:
        raise BankError(f"the file of {what} {fault}", where=path, fix=f"put it there: {source}")


def _credentials(plan: ResolvedPlan) -> Check:
    """Presence only, by name."""
    present = [name for name in CREDENTIALS if os.environ.get(name)]
    if tao_runs(plan.config, COMMAND) is False and plan.config.anomalygen.mode != "inline":
        return Check(name="credentials", status="skip", text="none needed: nothing of NVIDIA's runs")
    absent = [name for name in CREDENTIALS if name not in present]
    text = f"set: {', '.join(present) or 'none'}; not set: {', '.join(absent) or 'none'}"
    return Check(name="credentials", status="warn" if absent else "ok", text=text)


def _disk(plan: ResolvedPlan) -> Check:
    workspace = Path(plan.config.workspace)
    results = workspace / "results"
    return folder_check("disk", results if guard.is_folder(results) else workspace, _FREE_BYTES_NEEDED)
