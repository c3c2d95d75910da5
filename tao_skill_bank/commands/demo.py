"""`tao-skills demo`: draw a workspace, run the whole loop of a task on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH
from tao_skill_bank.commands.out import echo
from tao_skill_bank.core.roots import config_folder


@dataclass(frozen=True)
class Demo:
    """What a task shows of itself.

    Attributes:
        drawn: A file that is there once the workspace is drawn.
    """

    target: str
    iterations: int
    settings: tuple[str, ...]
    drawn: str
    draw: Callable[[Path, int], object]


def _boards(folder: Path, seed: int) -> None:
    from tao_skill_bank.demo import make_demo_workspace

    make_demo_workspace(folder, seed)


def _traffic(folder: Path, seed: int) -> None:
    from tao_skill_bank.demo_vlm import make_vlm_workspace

    make_vlm_workspace(folder, seed)


DEMOS = {
    "changenet": Demo("FAR < 5% at recall=95%", 3, (), "specs/baseline_spec.yaml", _boards),
    "vlm_bcq": Demo("balanced accuracy >= 97%", 2, ("mining.budget=90",), "pool/annotations.json", _traffic),
}


@click.command()
@click.argument("folder", type=PATH, default=Path("demo"))
@click.option("--task", type=click.Choice(sorted(DEMOS)), default="changenet", show_default=True, help="Whose loop.")
@click.option("--seed", default=7, show_default=True, help="Decides every pixel and every choice.")
@click.option("--kpi-target", help="Default: what the task's drawings can show.")
@click.option("--max-iterations", "-n", type=int, help="Default: 3; of vlm_bcq 2.")
@click.option("--workspace-only", is_flag=True, help="Draw the workspace, run nothing.")
def cli(
    folder: Path, task: str, seed: int, kpi_target: str | None, max_iterations: int | None, workspace_only: bool
) -> None:
    """Draw a small workspace in FOLDER (circuit boards, or traffic videos) and run the loop of a task on it.

    The last line is the report's path. Calling the command is the approval of its plan.
    """
    from tao_skill_bank import runs
    from tao_skill_bank.commands.attended import work_on
    from tao_skill_bank.loop.request import Request

    demo = DEMOS[task]
    workspace = folder.absolute()
    if not (workspace / demo.drawn).exists():
        echo(f"drawing a workspace in {workspace}")
        demo.draw(workspace, seed)
    if workspace_only:
        echo(str(workspace))
        return
    request = Request(
        task=task,
        workspace=workspace,
        kpi_target=kpi_target or demo.target,
        max_iterations=max_iterations or demo.iterations,
        settings=(f"seed={seed}", *demo.settings),
    )
    _keep_key_somewhere()
    summary = runs.plan_run(request)
    echo("\n".join(summary.lines()) + "\n")
    results = runs.open_run(request, approve=summary.digest, how="flag", checked=summary)
    status = work_on(results, quiet=False, by="demo")
    echo(f"verdict: {runs.status(results).verdict.line}")
    echo(str(results / "DEFT_Loop_Report.html"))
    raise SystemExit(status)


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
