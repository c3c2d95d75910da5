"""`tao-skills rca`: the root-cause analysis of an evaluation, as a folder with a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
from tao_skill_bank.commands.options import PATH, request_options
from tao_skill_bank.commands.out import echo


@click.group()
def cli() -> None:
    """Root-cause analysis of an evaluation, as a report."""


@cli.command()
@click.argument("experiment", type=PATH)
@click.option("--inference-dir", type=PATH, help="Folder of inference.csv.  [default: the one below EXPERIMENT]")
@click.option("--train-config", type=PATH, help="Train YAML.  [default: the one in EXPERIMENT]")
@request_options(VcnAoiConfig, without=("inference_results_dir", "train_config", "results_dir", "top_k_per_label"))
@click.option("--top-k-per-label", default="50", show_default=True, help="Weakest samples of each label, or null.")
@click.option("--output", type=PATH, help="Results folder.  [default: EXPERIMENT/rca_results/<time>]")
@click.option("--encoder", default="auto", show_default=True, help="Embedding that ranks labels, as for mining.")
@click.option("--check-labels/--no-check-labels", default=True, help="Rank labels by their look-alikes.")
@click.option("--transcript", type=PATH, help="Agent transcript to package.  [default: the newest of this folder]")
@click.option("--no-transcript", is_flag=True, help="Package no transcript.")
def vcn(
    experiment: Path,
    top_k_per_label: str,
    check_labels: bool,
    transcript: Path | None,
    no_transcript: bool,
    **given: Any,
) -> None:
    """Analyse the evaluation of EXPERIMENT; write, check and package the report. The last line is its path."""
    from datetime import datetime

    from tao_skill_bank.reports.rca.analysis import make_rca
    from tao_skill_bank.reports.rca.package import find_transcript, package_rca

    now, most = datetime.now().astimezone(), _count(top_k_per_label)
    rca = make_rca(experiment, now=now, top_k_per_label=most, check_labels=check_labels, **given)
    if rca.analysis is not None:
        doubts = f"labels to check first: {sum(s.doubtful for s in rca.suspects)}"
        echo("\n".join([*rca.analysis.summary, doubts if check_labels else "labels: not checked"]))
    else:
        echo("the recall target cannot be reached; see unreachable_kpi.txt")
    for note in rca.notes:
        echo(f"note: {note}", err=True)
    found = None if no_transcript else transcript or find_transcript(Path.cwd())
    package_rca(rca.folder, transcript=found)
    echo(str(rca.report))
    if rca.analysis is None:
        raise SystemExit(3)


@cli.command()
@click.argument("evaluation", type=PATH)
def vlm(evaluation: Path) -> None:
    """What causes the wrong yes/no answers of EVALUATION, a folder that `evaluate vlm` wrote. The last line is a page.

    Tables by question, kind, length, brightness and motion, labels in doubt, and the worst failures with frames.
    """
    from datetime import UTC, datetime

    from tao_skill_bank.core.clock import folder_time
    from tao_skill_bank.data.bcq import causes
    from tao_skill_bank.reports.vlm.page import render_rca
    from tao_skill_bank.tasks.vlm_bcq.single import explain

    folder, found = explain(evaluation.absolute(), folder_time(datetime.now(UTC)))
    said = causes.counted(found)
    echo(said)
    for cause in found["causes"]:
        echo(f"{cause['table']}: {cause['cell']} ({cause['wrong']} of {cause['n']}): {cause['recommends']}")
    echo(str(render_rca(folder, said)))


@cli.command()
@click.argument("sample")
@click.argument("verdict")
@click.option("--note", default="", help="What was seen.")
@click.option("--who", default="", help="Who looked at it.  [default: the user of this machine]")
@click.option("--set", "set_name", default="", help="The sample's set, where several of the workspace have it.")
@click.option("--in", "folder", type=PATH, default=Path(), help="RCA folder or experiment.  [default: here]")
def verdict(sample: str, verdict: str, note: str, who: str, set_name: str, folder: Path) -> None:
    """Say what SAMPLE shows: mislabeled, edge-case, data-quality or systematic. The next plan reads it.

    SAMPLE is a picture of the spot check, or any sample that was scored, as the report names it. A right label is given
    with `tao-skills labels set`.
    """
    from tao_skill_bank.reports.rca.analysis import latest_rca, set_verdict

    spot = set_verdict(latest_rca(folder), sample, verdict, note, who, set_name)
    echo(f"{spot.image or spot.filepath}: {spot.verdict}")


@cli.command()
@click.argument("folder", type=PATH, default=Path())
def check(folder: Path) -> None:
    """Hold the report in FOLDER against its data; status 2 with every fault, or while verdicts are open."""
    from tao_skill_bank.reports.rca.analysis import latest_rca
    from tao_skill_bank.reports.rca.check import require_finished

    where = latest_rca(folder)
    require_finished(where)
    echo(f"ok: {where}")


@cli.command()
@click.argument("folder", type=PATH, default=Path())
@click.option("--config", "configs", type=PATH, multiple=True, help="Another file to keep in rca_config/.")
@click.option("--transcript", type=PATH, help="Agent transcript.  [default: the newest of this folder]")
@click.option("--no-transcript", is_flag=True)
def package(folder: Path, configs: tuple[Path, ...], transcript: Path | None, no_transcript: bool) -> None:
    """Check the report in FOLDER and put rca_config/ and the transcript beside it, credentials taken out."""
    from tao_skill_bank.reports.rca.analysis import latest_rca
    from tao_skill_bank.reports.rca.check import open_verdicts
    from tao_skill_bank.reports.rca.package import find_transcript, package_rca

    found = None if no_transcript else transcript or find_transcript(Path.cwd())
    where = latest_rca(folder)
    for path in package_rca(where, configs=configs, transcript=found):
        echo(str(path))
    waiting = open_verdicts(where)
    if waiting:
        echo(f"note: {len(waiting)} spot-check verdicts are open", err=True)


def _count(text: str) -> int | None:
    if text.strip().lower() in ("null", "none"):
        return None
    try:
        return int(text)
    except ValueError:
        raise click.UsageError(f"--top-k-per-label takes a number or null, not {text!r}") from None
