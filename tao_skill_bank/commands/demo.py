"""`tao-skills demo`: draw a workspace, run the whole loop on it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from tao_skill_bank.commands.out import echo
from tao_skill_bank.commands.progress import observer_for
from tao_skill_bank.core.roots import config_folder

TARGET = "FAR < 5% at recall=95%"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
@click.option("--seed", default=7, show_default=True, help="Decides every pixel and every choice.")
@click.option("--kpi-target", default=TARGET, show_default=True)
@click.option("--max-iterations", "-n", default=3, show_default=True)
@click.option("--workspace-only", is_flag=True, help="Draw the workspace, run nothing.")
def cli(folder: Path, seed: int, kpi_target: str, max_iterations: int, workspace_only: bool) -> None:
    """Draw a small board-inspection workspace in FOLDER and run the DEFT loop on it.

    The last line is the report's path. Calling the command is the approval of its plan.
    """
    from tao_skill_bank import runs
    from tao_skill_bank.demo import make_demo_workspace
    from tao_skill_bank.loop.request import Request

    workspace = folder.absolute()
    if not (workspace / "specs" / "baseline_spec.yaml").exists():
        echo(f"drawing a workspace in {workspace}")
        make_demo_workspace(workspace, seed)
    if workspace_only:
        echo(str(workspace))
        return
    request = Request(
        workspace=workspace, kpi_target=kpi_target, max_iterations=max_iterations, settings=(f"seed={seed}",)
    )
    _keep_key_somewhere()
    summary = runs.plan_run(request)
    echo("\n".join(summary.lines()) + "\n")
    results = runs.open_run(request, approve=summary.digest, how="flag", checked=summary)
    with observer_for(results, quiet=False) as observer:
        runs.run_loop(results, observer, by="demo")
    echo(f"verdict: {runs.status(results).verdict.line}")
    echo(str(results / "DEFT_Loop_Report.html"))


def _keep_key_somewhere() -> None:
    """Where the home cannot be written to, this one run's approval key goes to a folder of the machine."""
    folder = config_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable and not (folder / "approval.key").exists():
        os.environ["XDG_CONFIG_HOME"] = own = tempfile.mkdtemp(prefix="tao-skills-demo-")
        echo(f"{folder} cannot be written to; the demo's approval key lies in {own}", err=True)
