"""Which tasks there are, and which one a run folder or a request is about.

A task of another package is found by its entry point in the group `tao_skill_bank.tasks`: the name of the task, and
the `Task` object it leads to.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.points import loaded, points
from tao_skill_bank.loop import state as loop_state
from tao_skill_bank.loop.opening import taken_up
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.task import AnyTask, Task

GROUP = "tao_skill_bank.tasks"
FIRST = "changenet"
"""The task of requests that name none, and of states of version 3."""
_OWN = {FIRST: "tao_skill_bank.tasks.changenet.task:TASK", "vlm_bcq": "tao_skill_bank.tasks.vlm_bcq.task:TASK"}


def names() -> tuple[str, ...]:
    """Every task that can be named."""
    return (*_OWN, *sorted(point.name for point in points(GROUP) if point.name not in _OWN))


@cache
def task_named(name: str) -> AnyTask:
    """The task of this name.

    Raises:
        InputError: There is none (the nearest names are shown), or it cannot be loaded.
    """
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        own: AnyTask = getattr(import_module(module), attribute)
        return own
    point = next((point for point in points(GROUP) if point.name == name), None)
    if point is None:
        raise InputError(f"unknown task {name!r}", where="--task", fix=did_you_mean(name, names()))
    found: AnyTask = loaded(point, f"task {name!r}", lambda one: isinstance(one, Task) and one.name == name)
    return found


def task_of(results_dir: Path) -> AnyTask:
    """The task of a run folder.

    Raises:
        InputError: There is no readable state, or its task is not known here.
    """
    return task_named(loop_state.read_header(results_dir).task or FIRST)


def task_for(request: Request) -> AnyTask:
    """The task of a request: that of the run it resumes, else the one it names.

    Raises:
        InputError: As `task_of`, `task_named`; or the run is of another task than the request.
    """
    folder = taken_up(request)
    if folder is None:
        return task_named(request.task or FIRST)
    found = task_of(folder)
    if request.task not in (None, found.name):
        raise InputError(f"this run is of task {found.name}", where=folder, fix="leave --task away, or name that one")
    return found


def load_state(results_dir: Path) -> Any:
    """The state of a run, as its task reads it; as `loop.state.load_state`."""
    return loop_state.load_state(results_dir, task_of(results_dir))


def load_own_state(results_dir: Path) -> Any:
    """The state of a run that is to be worked on; as `loop.state.load_own_state`."""
    return loop_state.load_own_state(results_dir, task_of(results_dir))


def stage_names(results_dir: Path | None = None) -> tuple[str, ...]:
    """The names that a line of the log may have: of the run in a folder, of the first task where there is none."""
    if results_dir is None or not guard.exists(loop_state.state_path(results_dir)):
        return task_named(FIRST).stage_names
    return task_of(results_dir).stage_names
