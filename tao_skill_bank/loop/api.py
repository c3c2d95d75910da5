"""What the doors call: plan, run, step, start, status, stop. Each is one function with plain arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.process import process_identity
from tao_skill_bank.loop import engine
from tao_skill_bank.loop.approval import stands
from tao_skill_bank.loop.finish import close_run
from tao_skill_bank.loop.log import LogLine, log_path, read_tail
from tao_skill_bank.loop.machine import is_complete, next_stage
from tao_skill_bank.loop.opening import (
    WORKER,
    Holder,
    busy,
    folder_lock,
    holder,
    idle,
    init_state,
    open_run,
    plan_of,
    plan_run,
    taken_up,
    write_holder,
)
from tao_skill_bank.loop.plan import Request
from tao_skill_bank.loop.run import Observer, Run, clear_stop, request_stop
from tao_skill_bank.loop.state import DeftState, load_own_state, load_state, state_path
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import JobRecord, jobs_dir, read_exit, read_records
from tao_skill_bank.tasks.changenet.measures import verdict_of

_REPORT = "DEFT_Loop_Report.html"
_START_LOCK = ".start.lock"
_workers: list[subprocess.Popen[bytes]] = []


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
    verdict: Verdict
    approval: str | None
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


def run_loop(results_dir: Path, observer: Observer | None = None, *, once: bool = False, by: str = "command") -> Run:
    """Work on a run until it ends (or for one stage).

    Raises:
        BusyError: Another process works on it.
        GateError, StageFailedError, StopRequestedError: As the engine.
    """
    with folder_lock(results_dir, by):
        state = load_own_state(results_dir)
        run = Run.of(state, platform_named(state.config), observer)
        run.sweep_root()
        run.sweep_jobs()
        if not once:
            engine.run_to_end(run)
        elif not engine.step(run):
            close_run(run)
        return run


def approval_holds(request: Request, digest: str) -> bool:
    """Whether the run that the request takes up was approved with exactly this plan."""
    folder = taken_up(request)
    if folder is None:
        return False
    return stands(load_state(folder), digest)


def step_detached(results_dir: Path) -> str:
    """Start a worker that runs the next stage of an approved run; returns the approved plan's digest.

    Raises:
        NeedsApprovalError: Nobody approved the run as it is now.
        BusyError: Somebody works on it.
    """
    request = Request(results_dir=results_dir)
    load_own_state(results_dir)
    digest = plan_of(request)[0].digest
    open_run(request, approve=None, how="flag")
    start_detached(results_dir, once=True)
    return digest


def start_detached(results_dir: Path, *, once: bool = False) -> int:
    """Start a worker process that runs the loop (or one stage) and outlives the caller; returns its process id.

    From here on the worker counts as working on the run: it can be stopped, and a second one is refused.
    """
    guard.make_folder(jobs_dir(results_dir))
    # Looking who works and saying that somebody does is one step: of calls at once, one starts a worker.
    with guard.locked(jobs_dir(results_dir) / _START_LOCK), idle(results_dir):
        if holder(results_dir) is not None:
            raise busy(results_dir)
        clear_stop(results_dir)
        with guard.open_write(jobs_dir(results_dir) / "engine.log", "ab") as log:
            worker = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "tao_skill_bank.loop.worker",
                    str(results_dir),
                    *(["--once"] if once else []),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **roots.environment()},
                start_new_session=True,
            )
        write_holder(results_dir, worker.pid, process_identity(worker.pid), WORKER)
    # Kept until they have ended: a process that serves for long leaves no zombies, and nothing warns of a lost child.
    _workers[:] = [*(w for w in _workers if w.poll() is None), worker]
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
    lines = read_tail(log_path(results_dir), after, limit)
    following = next_stage(state)
    shown = state.status
    shown_status = "interrupted" if shown == "running" and working is None else shown
    if working is not None and shown in ("planned", "stopped", "failed"):
        shown_status = "running"
    report = results_dir / _REPORT
    records = state.records()
    best = state.best()
    found = verdict_of(state)
    spent = sum(r.duration_sec for r in records)
    return StatusView(
        results_dir=str(results_dir),
        status=shown_status,
        stop_reason=state.stop_reason,
        kpi_target=state.kpi_target,
        max_iterations=state.max_iterations,
        stage=None if following is None else following.stage,
        iteration=state.current_label,
        best_iteration=best[0] if best else None,
        best_far_pct=best[1].far_pct if best else None,
        verdict=found,
        approval=None if state.approval is None else approved(state.approval.how),
        phases=[_phase(label, state) for label in state.iterations],
        working=working,
        job=_running_job(results_dir) if working else None,
        elapsed_sec=spent,
        remaining_sec=remaining_seconds(state) if following is not None else 0,
        report=str(report) if guard.exists(report) else None,
        next_step=_next_step(results_dir, shown_status, guard.exists(report), found),
        ask_again_sec=ask_again_seconds([r.duration_sec for r in records]) if shown_status == "running" else None,
        cursor=max((line.seq for line in lines), default=after),
        log=lines,
    )


def stop(results_dir: Path, by: str = "command") -> bool:
    """Ask whoever works on the run to stop; what runs is ended, also a job whose engine is gone.

    False if nobody works on it and nothing runs.
    """
    state = load_state(results_dir)
    orphans = [] if holder(results_dir) is not None else _living_jobs(results_dir, state)
    if holder(results_dir) is None and not orphans:
        return False
    request_stop(results_dir, by)
    for record in orphans:
        platform_named(state.config).cancel(record)
    return True


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


def ask_again_seconds(stages: Sequence[int]) -> int:
    """When a look is worth its price: after a tenth of the longest stage so far, 10 s at least, 5 min at most."""
    return min(300, max(10, max(stages, default=0) // 10))


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


def _living_jobs(results_dir: Path, state: DeftState) -> list[JobRecord]:
    platform = platform_named(state.config)
    return [r for r in read_records(results_dir) if read_exit(r) is None and platform.status(r) == "running"]


def _running_job(results_dir: Path) -> str | None:
    """The newest job without an exit record; a look at the disk alone."""
    open_jobs = [r for r in read_records(results_dir) if read_exit(r) is None]
    return open_jobs[-1].key if open_jobs else None


def _next_step(results_dir: Path, shown: str, reported: bool, found: Verdict) -> str:
    again = f"tao-skills deft run --results-dir {results_dir}"
    if shown == "complete" and reported:
        return _after_the_end(found)
    return {
        "running": "ask again",
        "complete": f"finish it: {again}",
        "planned": f"start it: {again}",
        "interrupted": f"take it up: {again}",
    }.get(shown, f"mend the cause, or just go on: {again}")


def _after_the_end(found: Verdict) -> str:
    if found.may_ship:
        return "read the report; deploy with best_model_inference_spec.yaml"
    if found.rehearsal:
        return "read the report; it was a rehearsal: run the same plan with TAO's own network before any decision"
    return "read the report: it says what stands between this model and shipping"


def latest_run(workspace: Path) -> Path | None:
    """The newest run folder of a workspace that holds a state."""
    found = guard.children(workspace / "results") if guard.is_folder(workspace / "results") else []
    runs = [run for run in found if guard.is_file(state_path(run))]
    return max(runs, key=lambda p: load_state(p).started_at) if runs else None


__all__ = [
    "Holder",
    "PhaseView",
    "StatusView",
    "approval_holds",
    "holder",
    "init_state",
    "is_complete",
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
