"""Runs of any task: what every door calls. It finds the task, and hands task, worker and renderer to the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.lifecycle import Holder
from tao_skill_bank.loop import adopt as adoption
from tao_skill_bank.loop import api, opening
from tao_skill_bank.loop.api import PhaseView, StatusView, ask_again_seconds, latest_run, remaining_seconds
from tao_skill_bank.loop.opening import holder
from tao_skill_bank.loop.request import PreFlight, Request, ResolvedPlan
from tao_skill_bank.loop.run import AnyRun, Observer
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.reports.renderers import render
from tao_skill_bank.tasks.registry import FIRST, load_own_state, load_state, task_for, task_of

if TYPE_CHECKING:
    from tao_skill_bank.tasks.changenet.imported import Imported

WORKER = "tao_skill_bank.commands.worker"


def plan_run(request: Request) -> PreFlight:
    """As `loop.opening.plan_run`: resolve a request and run every check. Writes nothing."""
    return opening.plan_run(task_for(request), request)[0]


def plan_within(request: Request, look: Callable[[dict[str, Path]], None]) -> tuple[PreFlight, bool]:
    """The same; `look` sees by key what it reads and may quote, and where results would go, and may refuse it.

    Returns:
        The summary, and whether the run that is resumed was approved with exactly this plan.
    """
    task = task_for(request)

    def files(plan: ResolvedPlan) -> None:
        results = Path(plan.config.workspace) / "results"
        look({**task.contents(plan.config), "the workspace's results": results})

    return opening.plan_run(task, request, files)


def plan_of(request: Request) -> tuple[ResolvedPlan, Any]:
    """As `loop.opening.plan_of`: the resolved plan, and the state of the run it takes up."""
    return opening.plan_of(task_for(request), request)


def open_run(
    request: Request,
    *,
    approve: str | None,
    how: How,
    name: str | None = None,
    checked: PreFlight | None = None,
    words: Sequence[str] = (),
) -> Path:
    """As `loop.opening.open_run`: make the run folder, or take one up, with its plan approved."""
    task = task_for(request)
    return opening.open_run(task, request, approve=approve, how=how, name=name, checked=checked, words=words)


def plan_adoption(folder: Path, workspace: Path | None = None) -> PreFlight:
    """As `loop.adopt.plan_adoption`: verify a run that was moved, and plan it where it lies now. Writes nothing."""
    return adoption.plan_adoption(task_of(folder), folder, workspace)


def adopt(
    folder: Path, workspace: Path | None = None, *, approve: str | None, how: How, words: Sequence[str] = ()
) -> Path:
    """As `loop.adopt.adopt`: let a run that was moved go on where it lies now."""
    return adoption.adopt(task_of(folder), folder, workspace, approve=approve, how=how, words=words)


def import_run(source: Path, folder: Path) -> Imported:
    """As `tasks.changenet.imported.import_run`, and its report."""
    from tao_skill_bank.tasks.changenet import imported

    done = imported.import_run(source, folder, FIRST)
    render(done.folder)
    return done


def init_state(request: Request, *, force: bool = False) -> Path:
    """As `loop.opening.init_state`: write a fresh state for a plan that nobody has approved yet."""
    unmade = Request(**{**vars(request), "results_dir": None})
    return opening.init_state(task_for(unmade), request, force=force)


def hand_off(results_dir: Path) -> list[Path]:
    """Write what a run hands on; returns its files.

    Raises:
        InputError: No run there, or nothing to hand on yet.
    """
    state = load_state(results_dir)
    written = task_of(results_dir).close(AnyRun.of(state, platform_named(state.config)))
    if not written:
        raise InputError("no complete iteration with a model", where=results_dir, fix="let the run go on first")
    return list(written)


def run_loop(results_dir: Path, observer: Observer | None = None, *, once: bool = False, by: str = "command") -> AnyRun:
    """As `loop.api.run_loop`: work on a run until it ends (or for one stage); what it scored is kept for the page."""
    done = api.run_loop(task_of(results_dir), results_dir, observer, once=once, by=by, render=render)
    if not once:
        from tao_skill_bank.studio.ahead import read_ahead

        read_ahead(results_dir)
    return done


def step_detached(results_dir: Path) -> str:
    """As `loop.api.step_detached`: start a worker that runs the next stage; returns the plan's digest."""
    return api.step_detached(task_of(results_dir), results_dir, WORKER)


def start_detached(results_dir: Path, *, once: bool = False) -> int:
    """As `loop.api.start_detached`: start a worker that outlives the caller; returns its process id."""
    return api.start_detached(results_dir, WORKER, once=once)


def status(results_dir: Path, after: int = 0, limit: int = 20) -> StatusView:
    """As `loop.api.status`: a run at a glance."""
    return api.status(task_of(results_dir), results_dir, after, limit)


def stop(results_dir: Path, by: str = "command") -> bool:
    """As `loop.api.stop`: ask whoever works on the run to stop."""
    return api.stop(task_of(results_dir), results_dir, by)


__all__ = [
    "Holder",
    "PhaseView",
    "PreFlight",
    "Request",
    "StatusView",
    "adopt",
    "ask_again_seconds",
    "holder",
    "import_run",
    "init_state",
    "latest_run",
    "load_own_state",
    "load_state",
    "open_run",
    "plan_adoption",
    "plan_of",
    "plan_run",
    "plan_within",
    "remaining_seconds",
    "run_loop",
    "start_detached",
    "status",
    "step_detached",
    "stop",
]
