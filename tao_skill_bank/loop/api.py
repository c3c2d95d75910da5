"""What the doors call: plan, run, step, start, status, stop. Each is one function with plain arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tao_skill_bank.core import guard, lifecycle, roots
from tao_skill_bank.core.clock import SystemClock, log_moment, log_time
from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.errors import BankError, InputError, system_error
from tao_skill_bank.core.lifecycle import Holder, announced
from tao_skill_bank.core.text import lines_of
from tao_skill_bank.loop import engine
from tao_skill_bank.loop.engine import close_run
from tao_skill_bank.loop.log import LogLine, log_path, read_tail
from tao_skill_bank.loop.machine import next_stage
from tao_skill_bank.loop.opening import (
    desk,
    died,
    folder_lock,
    holder,
    open_run,
    plan_of,
)
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.run import AnyRun, Observer, Run, clear_stop, request_stop
from tao_skill_bank.loop.state import (
    AnyState,
    iteration_label,
    load_own_state,
    load_state,
    not_own,
    read_header,
    state_path,
)
from tao_skill_bank.loop.task import AnyTask
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import jobs_dir, read_exit, read_records, tail_of
from tao_skill_bank.platforms.jobs import may_run

REPORT = "DEFT_Loop_Report.html"
_START_LOCK = ".start.lock"
WORKER_LOG = "engine.log"
_LAST_LINES = 3
_BEGINS = "-- a worker is started"
"""The line of its log between the words of one worker and those of the next."""


Figure = float | int | str | None


class _Figures(BaseModel):
    """A view with the figures that the run's task names, beside what every view has."""

    model_config = ConfigDict(extra="allow")

    @property
    def figures(self) -> dict[str, Figure]:
        """Name to figure."""
        return dict(self.model_extra or {})


class PhaseView(_Figures):
    """One phase of a run as `status` shows it: the value of the measure, in percent, and the task's own figures."""

    phase: str
    status: str
    value: float | None


class StatusView(_Figures):
    """A run at a glance. `log` holds the lines behind the cursor that was given; ask again with `cursor`."""

    results_dir: str
    task: str
    status: str
    stop_reason: str | None
    kpi_target: str
    measure: str
    max_iterations: int
    stage: str | None
    iteration: str
    best_iteration: str | None
    best_value: float | None
    verdict: Verdict
    approval: str | None
    phases: list[PhaseView]
    working: Holder | None
    job: str | None
    live: str | None
    elapsed_sec: int
    remaining_sec: int | None
    report: str | None
    next_step: str
    ask_again_sec: int | None
    cursor: int
    log: list[LogLine]


def run_loop(
    task: AnyTask,
    results_dir: Path,
    observer: Observer | None = None,
    *,
    once: bool = False,
    by: str = "command",
    render: Callable[[Path], None] | None = None,
) -> AnyRun:
    """Work on a run until it ends (or for one stage).

    Raises:
        BusyError: Another process works on it.
        GateError, StageFailedError, StopRequestedError: As the engine.
        BankError: The system refused something, for want of room say.
    """
    try:
        # Nobody stands by a worker: where it ends before its first commit, its name is what tells that it has died.
        with folder_lock(results_dir, by, lambda: by == lifecycle.WORKER and _is_untouched(results_dir)):
            state = load_own_state(results_dir, task)
            run = Run.of(state, platform_named(state.config), observer, render)
            with guard.fenced(run.fence.check):
                _work(task, run, once=once)
            return run
    except BrokenPipeError:
        # Whoever read the lines of this process went away: nothing is wrong with the run.
        raise
    except OSError as error:
        # Outside of a stage: at the announcement, at a log line, at the report.
        raise system_error(error) from error


def _is_untouched(results_dir: Path) -> bool:
    """Whether no stage of the run was ever begun."""
    try:
        return read_header(results_dir).status == "planned"
    except BankError:
        return True


def _work(task: AnyTask, run: AnyRun, *, once: bool) -> None:
    try:
        run.sweep_root()
        run.sweep_jobs()
        if not once:
            engine.run_to_end(task, run)
        elif not engine.step(task, run):
            close_run(task, run)
    except OSError:
        # Whoever has taken the run over sweeps away what this worker had half written.
        run.fence.check()
        raise


def step_detached(task: AnyTask, results_dir: Path, worker: str) -> str:
    """Start a worker that runs the next stage of an approved run; returns the approved plan's digest.

    Raises:
        NeedsApprovalError: Nobody approved the run as it is now.
        BusyError: Somebody works on it.
    """
    request = Request(results_dir=results_dir)
    load_own_state(results_dir, task)
    digest = plan_of(task, request)[0].digest
    open_run(task, request, approve=None, how="flag")
    start_detached(results_dir, worker, once=True)
    return digest


def start_detached(results_dir: Path, worker: str, *, once: bool = False) -> int:
    """Start a worker process that runs the loop (or one stage) and outlives the caller; returns its process id.

    From here on the worker counts as working on the run: it can be stopped, and a second one is refused. `worker`: the
    module to run, which finds the run's task and works on it.
    """
    guard.make_folder(jobs_dir(results_dir))
    with lifecycle.starting(desk(results_dir), jobs_dir(results_dir) / _START_LOCK):
        clear_stop(results_dir)
        log, env = jobs_dir(results_dir) / WORKER_LOG, {**os.environ, **roots.environment()}
        with guard.open_write(log, "ab") as handle:
            handle.write(f"{_BEGINS}, {log_time(SystemClock().now())}\n".encode())
        arguments = [str(results_dir), *(["--once"] if once else [])]
        return lifecycle.start(desk(results_dir), worker, *arguments, log=log, env=env)


def status(task: AnyTask, results_dir: Path, after: int = 0, limit: int = 20) -> StatusView:
    """A run at a glance; never waits for whoever works on it.

    `log` has the newest `limit` lines with a `seq` greater than `after`.
    """
    state, said, elsewhere = _at_one_moment(task, results_dir)
    # One elsewhere that has fallen silent may live or not: neither "running" nor "interrupted" is known of it.
    working = lifecycle.living(said)
    lines = read_tail(log_path(results_dir), after, limit)
    following = next_stage(state)
    shown = state.status
    unknown = said or (elsewhere and not not_own(state, results_dir))
    shown_status = ("held" if unknown else "interrupted") if shown == "running" and working is None else shown
    gone = None if said or elsewhere or shown not in ("planned", "running") else died(results_dir)
    if gone is not None:
        shown_status = "interrupted"
    if working is not None and shown in ("planned", "stopped", "failed"):
        shown_status = "running"
    report = results_dir / REPORT
    records = state.records()
    best = state.best()
    found = task.verdict(state)
    spent = sum(r.duration_sec for r in records)
    return StatusView(
        results_dir=str(results_dir),
        task=state.task,
        status=shown_status,
        stop_reason=state.stop_reason if gone is None else _last_words(results_dir, gone, state),
        kpi_target=state.kpi_target,
        measure=state.measure,
        max_iterations=state.max_iterations,
        stage=None if following is None else following.stage,
        iteration=state.current_label,
        best_iteration=best[0] if best else None,
        best_value=state.value(best[1]) if best else None,
        verdict=found,
        approval=None if state.approval is None else approved(state.approval.how),
        phases=[
            PhaseView(phase=label, status=it.status, value=state.value(it), **it.figures())
            for label, it in state.iterations.items()
        ],
        working=said,
        job=_running_job(results_dir) if working else None,
        live=task.live(state, following.stage) if working and following is not None else None,
        elapsed_sec=spent,
        remaining_sec=remaining_seconds(state) if following is not None else 0,
        report=str(report) if guard.exists(report) else None,
        next_step=elsewhere.line()
        if elsewhere and shown_status != "complete"
        else _next_step(results_dir, shown_status, guard.exists(report), found),
        ask_again_sec=ask_again_seconds([r.duration_sec for r in records]) if shown_status == "running" else None,
        cursor=max((line.seq for line in lines), default=after),
        log=lines,
        **task.headline(state),
    )


def _at_one_moment(task: AnyTask, results_dir: Path) -> tuple[AnyState, Holder | None, InputError | None]:
    """The state, who says that it works on it, and why nothing is known of that: it is a copy, or leads elsewhere.

    A worker commits its last word before it takes its announcement away: a state that was read before the announcement
    was gone may not be its last, and is read again.
    """
    state = load_state(results_dir, task)
    while True:
        # A copy of a run holds the announcement of whoever works on the run itself.
        elsewhere = not_own(state, results_dir)
        try:
            said = None if elsewhere else announced(desk(results_dir))
        except InputError as error:
            # A link or a pipe, which is not followed: the run itself can be told all the same.
            return state, None, error
        if said is not None:
            return state, said, None
        read, state = state, load_state(results_dir, task)
        if state.generation == read.generation:
            return state, None, elsewhere


def stop(task: AnyTask, results_dir: Path, by: str = "command") -> bool:
    """Ask whoever works on the run to stop; what runs is ended, also a job whose engine is gone, or what it has left.

    False if nobody works on it and nothing runs.

    Raises:
        InputError: It is a copy of a run: whoever works on that does not look here.
    """
    state = load_own_state(results_dir, task)
    if holder(results_dir) is not None:
        request_stop(results_dir, by)
        return True
    platform = platform_named(state.config)
    unended = [(record, platform.status(record)) for record in read_records(results_dir) if read_exit(record) is None]
    orphans = [record for record, job in unended if job in ("running", "pending")]
    if orphans:
        request_stop(results_dir, by)
    for record in orphans:
        platform.cancel(record)
    left = [platform.end_left(record) for record, job in unended if job == "lost"]
    return bool(orphans) or any(left)


def remaining_seconds(state: AnyState) -> int | None:
    """What is left at most, by the run's own times and stages; None before anything was measured.

    A stage takes as long as it last did; one that the run has not come to yet, as long as its stages took on average.
    Of the stage at work, what it has worked already is taken off.
    """
    took = {record.stage: record.duration_sec for record in state.records() if record.status == "ok"}
    if not took:
        return None
    position = next_stage(state)
    if position is None:
        return 0
    average = sum(took.values()) / len(took)
    order, last = state.order, max(state.max_iterations, position.number)
    due: list[str] = []
    for number in range(position.number, last + 1):
        iteration = state.iterations.get(iteration_label(number))
        done = set() if iteration is None else iteration.done()
        stages = order.of(number) if number < last else order.of(number)[: -len(order.between) or None]
        due += [stage for stage in stages if stage not in done]
    seconds = sum(took.get(stage, average) for stage in (*due, order.ending))
    attempt = state.iteration(position.label).attempt
    if attempt is not None:
        began = log_moment(attempt.taken_up_at or attempt.started_at).timestamp()
        worked = attempt.worked_sec + max(0.0, SystemClock().now().timestamp() - began)
        seconds -= min(worked, took.get(attempt.stage, average))
    return round(max(0.0, seconds))


def ask_again_seconds(stages: Sequence[int]) -> int:
    """When a look is worth its price: after a tenth of the longest stage so far, 10 s at least, 5 min at most."""
    return min(300, max(10, max(stages, default=0) // 10))


def _last_words(results_dir: Path, gone: Holder, state: AnyState) -> str:
    """What is known of a worker that ended without a word in the state: who, and what its log says since it began."""
    attempts = [it.attempt.stage for it in state.iterations.values() if it.attempt is not None]
    when = "before its first stage" if state.status == "planned" else "between two stages"
    when = f"before the end of the stage {attempts[0]}" if attempts else when
    said = ""
    if gone.by == lifecycle.WORKER:
        try:
            tail = lines_of(tail_of(jobs_dir(results_dir) / WORKER_LOG, _LAST_LINES))
        except InputError as error:
            # A link or a pipe: what it would say is left out, the run is told all the same.
            tail = [f"its log is not read: {error.line()}"]
        begun = max((n for n, line in enumerate(tail, start=1) if line.startswith(_BEGINS)), default=0)
        said = " | ".join(line.strip() for line in tail[begun:] if line.strip())
    return f"{gone.by} (process {gone.pid}, of {gone.since}) died {when}: {said or 'it left no word'}"


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
        "interrupted": f"take it up{_with_jobs(results_dir, shown)}: {again}",
        "held": f"look there whether it still works; take it over: {again}",
    }.get(shown, f"fix the cause, or just go on: {again}")


def _with_jobs(results_dir: Path, shown: str) -> str:
    """What outlived a worker that is gone: resumed it is waited for, `deft stop` ends it."""
    left = may_run(results_dir) if shown == "interrupted" else []
    return f", with what still runs ({', '.join(left)}; deft stop ends it)" if left else ""


def _after_the_end(found: Verdict) -> str:
    if found.may_ship:
        return "read the report; deploy with best_model_inference_spec.yaml"
    if found.rehearsal:
        return "read the report; it was a rehearsal: run the same plan with TAO's own network before any decision"
    return "read the report: it says what stands between this model and shipping"


def latest_run(workspace: Path) -> Path | None:
    """The newest run folder of a workspace that holds a state; of a run and its copy, the run."""
    found = guard.children(workspace / "results") if guard.is_folder(workspace / "results") else []
    runs = [(read_header(run), run) for run in found if guard.is_file(state_path(run))]
    return max(runs, key=lambda r: (r[0].started_at, not_own(*r) is None))[1] if runs else None
