"""Run folders: made or resumed with an approved plan, locked while somebody works on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tao_skill_bank.core import guard, lifecycle
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.consent import How
from tao_skill_bank.core.errors import BankError, BusyError, InputError, NeedsApprovalError
from tao_skill_bank.core.lifecycle import Desk, Holder
from tao_skill_bank.data.corrections.record import person_named
from tao_skill_bank.loop.approval import approver, is_approved, require_key, sealed, unapproved
from tao_skill_bank.loop.fence import clear_claims
from tao_skill_bank.loop.log import sync_log
from tao_skill_bank.loop.machine import is_complete
from tao_skill_bank.loop.plan import digest_now, inside_workspace, resolve
from tao_skill_bank.loop.request import PreFlight, Request, ResolvedPlan
from tao_skill_bank.loop.run import clear_stop
from tao_skill_bank.loop.state import AnyState, Approval, keep_earlier, load_own_state, save_state, state_path
from tao_skill_bank.loop.task import AnyTask
from tao_skill_bank.platforms.base import jobs_dir

_LOCK = ".deft.lock"
_ENGINE = ".engine.json"
_NO_WORK = ("approval", "init", "adoption")
"""Who announces itself so puts a run in order and runs no stage of it."""


def plan_run(
    task: AnyTask, request: Request, look: Callable[[ResolvedPlan], None] = lambda plan: None
) -> tuple[PreFlight, bool]:
    """Resolve a request once and run every pre-flight check. Writes nothing.

    `look` sees the resolved plan before anything of it is checked, and may refuse it.

    Returns:
        The summary, and whether the run that is resumed was approved with exactly this plan.

    Raises:
        InputErrors: Checks failed; each fault is a line.
    """
    plan, state = plan_of(task, request)
    look(plan)
    return task.pre_flight(plan), state is not None and is_approved(state, plan.digest)


def open_run(
    task: AnyTask,
    request: Request,
    *,
    approve: str | None,
    how: How,
    name: str | None = None,
    checked: PreFlight | None = None,
    words: Sequence[str] = (),
) -> Path:
    """Make the run folder, or take one up, with its plan approved; returns the folder.

    Args:
        task: What the loop improves.
        request: What is asked for. With a `results_dir` that holds a run, only what is given changes.
        approve: The digest of the approved plan; None relies on an approval that is there and still holds.
        how: How the approval arrived.
        name: Who approves, where somebody says so; the user and the machine are recorded either way.
        checked: The pre-flight of this very plan, if it was just made: it is not made again.
        words: What a person said beside the approval, of what the plan asks a word of its own for.

    Raises:
        NeedsApprovalError: No approval, or one of another plan; its `digest` is the one to approve.
        BusyError: Somebody works on the run, or changed it meanwhile.
        InputError: As `plan_run`.
    """
    plan, existing = plan_of(task, request)
    if approve not in (None, plan.digest):
        raise NeedsApprovalError(
            "the digest that was approved is not this plan's", digest=plan.digest, fix=_approve_text(plan)
        )
    if existing is not None:
        folder = Path(existing.results_dir)
        unchanged = is_approved(existing, plan.digest)
        if unchanged or (is_complete(existing) and plan.digest == digest_now(task, existing)):
            if lifecycle.holder(desk(folder)) is None:
                clear_stop(folder)
            return folder
    if checked is None or checked.digest != plan.digest:
        checked = task.pre_flight(plan)
    if approve is None:
        changed = existing is not None and existing.approval is not None
        given = (
            unapproved(existing, plan.digest) if existing is not None and changed else "the plan is not approved yet"
        )
        raise NeedsApprovalError(given, digest=plan.digest, fix=_approve_text(plan), checked=checked)
    by = approver() if name is None else f"{person_named(name)} ({approver()})"
    require_words(checked, words)
    require_key(Path(plan.config.workspace))
    with (
        _folder_of(existing, Path(plan.config.workspace), request.results_dir) as results_dir,
        folder_lock(results_dir, "approval"),
    ):
        state = existing or _new_state(task, results_dir, plan)
        if existing is not None and load_own_state(results_dir, task) != existing:
            raise BusyError("the run changed while its plan was approved", where=results_dir, fix="plan it again")
        if existing is not None:
            keep_earlier(results_dir, existing)
        accept(state, plan, checked, how, by)
    return results_dir


def init_state(task: AnyTask, request: Request, *, force: bool = False) -> Path:
    """Write a fresh `deft_state.json` for a plan that nobody has approved yet.

    With `force` a run that is there is replaced: what it left moves to `replaced/<n>/` in its folder.

    Raises:
        InputError: There is a run already, or the folder holds other files or lies outside the workspace.
        BusyError: Somebody works on the run that would be replaced.
    """
    plan = resolve(task, Request(**{**vars(request), "results_dir": None}))
    if request.results_dir is None:
        raise InputError("the run folder is not named", where="--results-dir", fix="name a folder in the workspace")
    workspace = Path(plan.config.workspace)
    folder = inside_workspace(workspace, request.results_dir.absolute(), "--results-dir")
    there = guard.exists(state_path(folder))
    if there and not force:
        raise InputError("there is a state already", where=state_path(folder), fix="use --force to replace it")
    with contextlib.nullcontext() if there else _new_folder(workspace, folder), folder_lock(folder, "init"):
        _move_aside(folder)
        save_state(_new_state(task, folder, plan))
    return state_path(folder)


def plan_of(task: AnyTask, request: Request) -> tuple[ResolvedPlan, AnyState | None]:
    """The resolved plan of a request, and the state of the run it resumes, if it resumes one."""
    folder = taken_up(request)
    if folder is not None:
        state = load_own_state(folder, task)
        return resolve(task, request, state), state
    plan = resolve(task, request)
    if request.results_dir is not None:
        _free_folder(Path(plan.config.workspace), request.results_dir)
    return plan, None


def taken_up(request: Request) -> Path | None:
    """The run folder that is resumed, if the request names one that holds a run."""
    if request.results_dir is None or not guard.exists(state_path(request.results_dir.absolute())):
        return None
    return request.results_dir.resolve()


def desk(results_dir: Path) -> Desk:
    """Where those who work on the run tell each other."""
    return Desk(
        results_dir,
        results_dir / _LOCK,
        jobs_dir(results_dir) / _ENGINE,
        "running",
        "wait, watch it with deft status, or deft stop",
    )


@contextlib.contextmanager
def folder_lock(results_dir: Path, by: str, died: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Be the only one who works on the run.

    Raises:
        BusyError: Somebody else is, or a worker for the run has just been started.
    """
    with lifecycle.at_work(desk(results_dir), by, died):
        clear_claims(results_dir)
        yield


def holder(results_dir: Path) -> Holder | None:
    """Who works on the run now, or None."""
    return lifecycle.holder(desk(results_dir))


def died(results_dir: Path) -> Holder | None:
    """A worker of the run that has ended without a last word, and has not been replaced."""
    found = lifecycle.died(desk(results_dir))
    return None if found is None or found.by in _NO_WORK else found


def require_words(checked: PreFlight, said: Sequence[str]) -> None:
    """Raise a `NeedsApprovalError` where the plan asks for a word of its own that was not said."""
    lacking = [word for word in checked.words if word.name not in said]
    if lacking:
        names = " ".join(f"--accept {word.name}" for word in lacking)
        raise NeedsApprovalError(
            f"needs a word of its own: {lacking[0].question}",
            digest=checked.digest,
            fix=f"read the plan, then add {names} to --approve {checked.digest}",
        )


def _approve_text(plan: ResolvedPlan) -> str:
    return f"read the plan, then add --approve {plan.digest}"


def _free_folder(workspace: Path, wanted: Path) -> Path:
    """A folder inside the workspace that is absent or empty."""
    folder = inside_workspace(workspace, wanted.absolute(), "--results-dir")
    if guard.exists(folder) and (not guard.is_folder(folder) or any(guard.children(folder))):
        raise InputError(
            "the run folder holds files, and no run", where=folder, fix="name a new folder, or leave --results-dir away"
        )
    return folder


@contextlib.contextmanager
def _folder_of(existing: AnyState | None, workspace: Path, wanted: Path | None) -> Iterator[Path]:
    """The folder of a run that is there, or a new one."""
    if existing is not None:
        yield Path(existing.results_dir)
        return
    with _new_folder(workspace, wanted) as folder:
        yield folder


@contextlib.contextmanager
def _new_folder(workspace: Path, wanted: Path | None) -> Iterator[Path]:
    """A folder for a new run; it goes again, with what was made on the way to it, where no state came into it."""
    there = {path for path in (workspace / "results", wanted) if path is not None and guard.exists(path)}
    folder: Path | None = None
    try:
        folder = _fresh_folder(workspace, wanted)
        yield folder
    except BaseException:
        if folder is not None:
            with contextlib.suppress(BankError, OSError):
                _take_away(folder)
        made = [*(() if folder is None else (jobs_dir(folder), folder)), workspace / "results"]
        for path in made:
            if path not in there:
                with contextlib.suppress(OSError):
                    guard.remove_folder(path)
        raise


def _take_away(folder: Path) -> None:
    """What making a run puts into its folder before its state; nothing where there is one, or somebody makes one."""
    with lifecycle.idle(desk(folder)):
        if not guard.exists(state_path(folder)) and lifecycle.announced(desk(folder)) is None:
            clear_claims(folder)
            for path in (folder / f".{state_path(folder).name}.lock", folder / _LOCK):
                guard.remove(path)


def _fresh_folder(workspace: Path, wanted: Path | None) -> Path:
    if wanted is not None:
        folder = _free_folder(workspace, wanted)
        guard.make_folder(folder)
        return folder
    base = workspace / "results"
    guard.make_folder(base)
    stamp = SystemClock().now().strftime("%Y%m%d_%H%M%S")
    number = 1
    while True:
        folder = base / (f"run_{stamp}" if number == 1 else f"run_{stamp}_{number}")
        with contextlib.suppress(FileExistsError):
            guard.make_folder(folder, fresh=True)
            return folder
        number += 1


def _move_aside(folder: Path) -> None:
    """Everything a run left, but its lock, into `replaced/<n>/`: nothing that was written is lost."""
    left = [p for p in guard.children(folder) if p.name not in (_LOCK, "replaced", "jobs")]
    left += [p for p in guard.children(jobs_dir(folder)) if p.name != _ENGINE]
    if not left:
        return
    number = 1
    while guard.exists(target := folder / "replaced" / str(number)):
        number += 1
    for path in left:
        guard.rename(path, target / path.relative_to(folder))


def _new_state(task: AnyTask, results_dir: Path, plan: ResolvedPlan) -> AnyState:
    return task.State(
        task=task.name,
        started_at=log_time(SystemClock().now()),
        kpi_target=plan.kpi_target,
        results_dir=str(results_dir),
        max_iterations=plan.max_iterations,
        order=plan.order,
        config=plan.config,
    )


def accept(state: AnyState, plan: ResolvedPlan, checked: PreFlight, how: How, by: str) -> None:
    """Put a plan into the state with its sealed approval; an earlier request to stop is forgotten.

    What an interrupted stage had begun under another plan is given up.
    """
    folder, words = Path(state.results_dir), [word.name for word in checked.words]
    approval = Approval(digest=plan.digest, approved_at=log_time(SystemClock().now()), how=how, by=by, words=words)
    for iteration in state.iterations.values():
        iteration.attempt = None
    state.config = plan.config
    state.kpi_target = plan.kpi_target
    state.max_iterations = plan.max_iterations
    state.plan_digests = plan.contents
    state.checked = checked.checks
    state.approval = sealed(approval, folder, Path(plan.config.workspace))
    save_state(state)
    sync_log(folder, state)
    clear_stop(folder)
