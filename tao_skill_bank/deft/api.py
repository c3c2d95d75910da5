"""What the doors call: plan, run, step, start, status, stop. Each is one function with plain arguments."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel

from tao_skill_bank.clock import SystemClock, log_time
from tao_skill_bank.deft import engine
from tao_skill_bank.deft.config import apply_settings, run_config
from tao_skill_bank.deft.finish import close_run
from tao_skill_bank.deft.log import LogLine, log_path, read_log, sync_log
from tao_skill_bank.deft.machine import next_stage
from tao_skill_bank.deft.plan import Request, ResolvedPlan, existing_folder, inside_workspace, resolve, resolve_again
from tao_skill_bank.deft.preflight import PreFlight, pre_flight
from tao_skill_bank.deft.run import Observer, Run, clear_stop, request_stop
from tao_skill_bank.deft.state import Approval, DeftState, load_state, save_state, state_path
from tao_skill_bank.errors import BusyError, InputError, NeedsApprovalError
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import jobs_dir, read_records
from tao_skill_bank.platforms.process import is_alive, own_identity
from tao_skill_bank.platforms.worker import write_whole

How = Literal["flag", "elicitation", "tty"]
_LOCK = ".deft.lock"
_ENGINE = ".engine.json"


class Holder(BaseModel):
    """Who works on a run: its process, since when, and through which door."""

    pid: int
    identity: str
    since: str
    by: str


class PhaseView(BaseModel):
    """One phase of a run as `status` shows it."""

    phase: str
    status: str
    far_pct: float | None
    threshold: float | None
    training_rows: int | None
    mined: int | None
    synthetic: int | None


class StatusView(BaseModel):
    """A run at a glance. `log` holds the lines behind the cursor that was given; ask again with `cursor`."""

    results_dir: str
    status: str
    stop_reason: str | None
    kpi_target: str
    max_iterations: int
    stage: str | None
    iteration: str
    best_iteration: str | None
    best_far_pct: float | None
    phases: list[PhaseView]
    working: Holder | None
    job: str | None
    elapsed_sec: int
    remaining_sec: int | None
    report: str | None
    next_step: str
    ask_again_sec: int | None
    cursor: int
    log: list[LogLine]


def plan_run(request: Request) -> PreFlight:
    """Resolve a request and run every pre-flight check. Writes nothing.

    Raises:
        InputErrors: Checks failed; each fault is a line.
    """
    return pre_flight(_plan_of(request))


def open_run(request: Request, *, approve: str | None, how: How) -> Path:
    """Make the run folder, or take one up, with its plan approved; returns the folder.

    Args:
        request: What is asked for. With a `results_dir` that holds a run, only what is given changes.
        approve: The digest of the approved plan; None relies on an approval that is there and still holds.
        how: How the approval arrived.

    Raises:
        NeedsApprovalError: No approval, or one of another plan; its `digest` is the one to approve.
        InputError: As `plan_run`.
    """
    plan = _plan_of(request)
    existing = _existing_state(request)
    if existing is not None and existing.approval is not None and existing.approval.digest == plan.digest:
        _accept(Path(existing.results_dir), existing, plan, existing.approval)
        return Path(existing.results_dir)
    checked = pre_flight(plan)
    if approve != plan.digest:
        given = "the plan has changed since it was approved" if approve or existing else "the plan is not approved yet"
        raise NeedsApprovalError(given, digest=plan.digest, fix=f"read the plan, then add --approve {plan.digest}")
    now = SystemClock().now()
    approval = Approval(digest=checked.digest, approved_at=log_time(now), how=how)
    results_dir = existing_results(request) or _fresh_folder(Path(plan.config.workspace), request.results_dir)
    with _folder_lock(results_dir, "approval"):
        state = existing or _new_state(results_dir, plan)
        _accept(results_dir, state, plan, approval)
    return results_dir


def run_loop(results_dir: Path, observer: Observer | None = None, *, once: bool = False, by: str = "command") -> Run:
    """Work on a run until it ends (or for one stage).

    Raises:
        BusyError: Another process works on it.
        GateError, StageFailedError, StopRequestedError: As the engine.
    """
    with _folder_lock(results_dir, by):
        state = load_state(results_dir)
        run = Run.of(state, platform_named(state.config), observer)
        clear_stop(results_dir)
        run.sweep_root()
        if once:
            if not engine.step(run):
                close_run(run)
        else:
            engine.run_to_end(run)
        return run


def approval_holds(request: Request, digest: str) -> bool:
    """Whether the run that the request takes up was approved with exactly this plan."""
    state = _existing_state(request)
    return state is not None and state.approval is not None and state.approval.digest == digest


def step_detached(results_dir: Path) -> str:
    """Start a worker that runs the next stage of an approved run; returns the approved plan's digest.

    Raises:
        NeedsApprovalError: Nobody approved the run as it is now.
        BusyError: Somebody works on it.
    """
    request = Request(workspace=Path(), kpi_target="", results_dir=results_dir)
    load_state(results_dir)
    digest = _plan_of(request).digest
    open_run(request, approve=None, how="flag")
    start_detached(results_dir, once=True)
    return digest


def start_detached(results_dir: Path, *, once: bool = False) -> int:
    """Start a worker process that runs the loop (or one stage) and outlives the caller; returns its process id."""
    busy = holder(results_dir)
    if busy is not None:
        raise _busy(results_dir, busy)
    jobs_dir(results_dir).mkdir(parents=True, exist_ok=True)
    with (jobs_dir(results_dir) / "engine.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "tao_skill_bank.deft.worker", str(results_dir), *(["--once"] if once else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return worker.pid


def status(results_dir: Path, after: int = 0, limit: int = 20) -> StatusView:
    """A run at a glance; never waits for whoever works on it.

    Args:
        results_dir: The run folder.
        after: Show log lines with a greater `seq`.
        limit: Show at most this many of the newest.
    """
    state = load_state(results_dir)
    working = holder(results_dir)
    lines = [line for line in read_log(log_path(results_dir)) if line.seq > after][-limit:]
    following = next_stage(state)
    shown = state.status
    shown_status = "interrupted" if shown == "running" and working is None else shown
    report = results_dir / "DEFT_Loop_Report.html"
    records = state.records()
    best = [(it.far_pct, label) for label, it in state.iterations.items() if it.far_pct is not None]
    spent = sum(r.duration_sec for r in records)
    return StatusView(
        results_dir=str(results_dir),
        status=shown_status,
        stop_reason=state.stop_reason,
        kpi_target=state.kpi_target,
        max_iterations=state.max_iterations,
        stage=None if following is None else following.stage,
        iteration=state.current_label,
        best_iteration=min(best)[1] if best else None,
        best_far_pct=min(best)[0] if best else None,
        phases=[_phase(label, state) for label in state.iterations],
        working=working,
        job=_running_job(results_dir) if working else None,
        elapsed_sec=spent,
        remaining_sec=remaining_seconds(state) if following is not None else 0,
        report=str(report) if report.exists() else None,
        next_step=_next_step(results_dir, shown_status),
        ask_again_sec=10 if shown_status == "running" else None,
        cursor=max((line.seq for line in lines), default=after),
        log=lines,
    )


def stop(results_dir: Path, by: str = "command") -> bool:
    """Ask whoever works on the run to stop; what runs is ended. False if nobody works on it."""
    load_state(results_dir)
    if holder(results_dir) is None:
        return False
    request_stop(results_dir, by)
    return True


def holder(results_dir: Path) -> Holder | None:
    """Who works on the run now, or None."""
    try:
        found = Holder.model_validate_json((jobs_dir(results_dir) / _ENGINE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if is_alive(found.pid, found.identity) else None


def remaining_seconds(state: DeftState) -> int | None:
    """What is left, by the run's own times so far; None before anything was measured."""
    took: dict[str, int] = {}
    for record in state.records():
        if record.status == "ok":
            took[record.stage] = record.duration_sec
    if "evaluate" not in took:
        return None
    per_iteration = sum(took.get(s, 0) for s in ("routing", "anomalygen", "data_mining", "data_merge", "rca"))
    per_iteration += took.get("train", 0) + took["evaluate"]
    left = state.max_iterations - state.current_iteration
    return per_iteration * max(0, left)


def _plan_of(request: Request) -> ResolvedPlan:
    state = _existing_state(request)
    if state is None:
        return resolve(request)
    workspace = str(existing_folder(request.workspace)) if str(request.workspace) != "." else state.config.workspace
    if workspace != state.config.workspace:
        raise InputError(
            f"this run belongs to the workspace {state.config.workspace}",
            where=request.results_dir,
            fix="leave --workspace away, or name that one",
        )
    values = apply_settings(state.config.model_dump(mode="json"), request.settings)
    changed = state.model_copy(
        update={
            "config": run_config(values, str(request.results_dir)),
            "kpi_target": request.kpi_target or state.kpi_target,
            "max_iterations": request.max_iterations or state.max_iterations,
        }
    )
    return resolve_again(changed)


def _existing_state(request: Request) -> DeftState | None:
    folder = existing_results(request)
    return None if folder is None else load_state(folder)


def existing_results(request: Request) -> Path | None:
    """The run folder that is taken up, if the request names one that holds a run."""
    if request.results_dir is None or not state_path(request.results_dir.absolute()).exists():
        return None
    return request.results_dir.resolve()


def _fresh_folder(workspace: Path, wanted: Path | None) -> Path:
    if wanted is not None:
        folder = inside_workspace(workspace, wanted.absolute(), "--results-dir")
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    base = workspace / "results"
    base.mkdir(exist_ok=True)
    stamp = SystemClock().now().strftime("%Y%m%d_%H%M%S")
    number = 1
    while True:
        folder = base / (f"run_{stamp}" if number == 1 else f"run_{stamp}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
        number += 1


def _new_state(results_dir: Path, plan: ResolvedPlan) -> DeftState:
    return DeftState(
        started_at=log_time(SystemClock().now()),
        kpi_target=plan.kpi_target,
        results_dir=str(results_dir),
        max_iterations=plan.max_iterations,
        config=plan.config,
    )


def _accept(results_dir: Path, state: DeftState, plan: ResolvedPlan, approval: Approval) -> None:
    """Put an approved plan into the state. A changed plan gives up what an interrupted stage had begun."""
    if state.approval is not None and state.approval.digest == approval.digest and not state.plan_digests:
        return
    if state.approval is None or state.approval.digest != approval.digest:
        for iteration in state.iterations.values():
            iteration.attempt = None
    elif state.plan_digests == plan.contents:
        return
    state.config = plan.config
    state.kpi_target = plan.kpi_target
    state.max_iterations = plan.max_iterations
    state.plan_digests = plan.contents
    state.approval = approval
    state.results_dir = str(results_dir)
    save_state(state)
    sync_log(results_dir, state)


@contextlib.contextmanager
def _folder_lock(results_dir: Path, by: str) -> Iterator[None]:
    """Be the only one who works on the run. The kernel frees the lock when its holder dies, however it dies."""
    lock = FileLock(results_dir / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _busy(results_dir, holder(results_dir)) from None
    try:
        jobs_dir(results_dir).mkdir(parents=True, exist_ok=True)
        pid, identity = own_identity()
        who = {"pid": pid, "identity": identity, "since": log_time(SystemClock().now()), "by": by}
        write_whole(jobs_dir(results_dir) / _ENGINE, who)
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            (jobs_dir(results_dir) / _ENGINE).unlink()
        lock.release()


def _busy(results_dir: Path, who: Holder | None) -> BusyError:
    detail = f"since {who.since} by {who.by} (process {who.pid})" if who else "by another process"
    return BusyError(f"running {detail}", where=results_dir, fix="wait, watch it with deft status, or deft stop")


def _phase(label: str, state: DeftState) -> PhaseView:
    it = state.iterations[label]
    return PhaseView(
        phase=label,
        status=it.status,
        far_pct=it.far_pct,
        threshold=it.threshold,
        training_rows=it.training_rows,
        mined=it.mining_mined_count,
        synthetic=it.anomalygen_count,
    )


def _running_job(results_dir: Path) -> str | None:
    records = read_records(results_dir)
    return records[-1].key if records else None


def _next_step(results_dir: Path, shown: str) -> str:
    if shown == "running":
        return "ask again"
    if shown == "complete":
        return "read the report; deploy with best_model_inference_spec.yaml if the gate is met"
    return f"mend the cause, then: tao-skills deft run --results-dir {results_dir}"


def init_state(plan: ResolvedPlan, results_dir: Path, *, force: bool = False) -> Path:
    """Write a fresh `deft_state.json` for a plan that nobody has approved yet.

    Raises:
        InputError: There is one already and `force` is not given.
    """
    path = state_path(results_dir)
    if path.exists() and not force:
        raise InputError("there is a state already", where=path, fix="use --force to replace it")
    results_dir.mkdir(parents=True, exist_ok=True)
    save_state(_new_state(results_dir, plan))
    return path


def latest_run(workspace: Path) -> Path | None:
    """The newest run folder of a workspace that holds a state."""
    runs = sorted(p.parent for p in (workspace / "results").glob("run_*/deft_state.json"))
    return runs[-1] if runs else None


__all__ = [
    "Holder",
    "PhaseView",
    "StatusView",
    "approval_holds",
    "init_state",
    "latest_run",
    "open_run",
    "plan_run",
    "remaining_seconds",
    "run_loop",
    "start_detached",
    "status",
    "step_detached",
    "stop",
]
