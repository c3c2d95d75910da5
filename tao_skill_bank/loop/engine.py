"""The loop: run the next stage, verify what it promised, commit, until there is no next stage.

The commit point of a stage is the atomic replacement of `deft_state.json`; the log is brought up to it afterwards.
Killed at any instant and started again, the engine waits for jobs that still run, takes over those that ended well,
moves everything else of the uncommitted attempt aside, and goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tao_skill_bank.bank.transcripts import project_dir, transcripts_in
from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import folder_time, log_moment, log_time
from tao_skill_bank.core.errors import BankError, GateError, LostRunError, NeedsApprovalError, system_error
from tao_skill_bank.loop.approval import is_approved, unapproved
from tao_skill_bank.loop.log import log_path, next_seq, sync_log
from tao_skill_bank.loop.machine import Position, next_stage
from tao_skill_bank.loop.plan import digest_now
from tao_skill_bank.loop.run import AnyRun, StopRequestedError
from tao_skill_bank.loop.stage import AnyStage, Outcome
from tao_skill_bank.loop.state import Attempt, Ending, RunStatus, StageRecord
from tao_skill_bank.loop.task import AnyTask
from tao_skill_bank.loop.tokens import align_tokens
from tao_skill_bank.platforms.base import ENDED


def run_to_end(task: AnyTask, run: AnyRun) -> None:
    """Run stages until the loop has stopped, then close the run (hand-off, report).

    Raises:
        GateError, StageFailedError, InputError: A stage was stopped; the error is in the state and the log.
        StopRequestedError: Somebody asked the run to stop.
        LostRunError: Somebody else has taken the run over; nothing was written since.
    """
    while step(task, run):
        pass
    close_run(task, run)


def as_bank_error(error: Exception) -> BankError:
    """Any error as one line for state and log."""
    if isinstance(error, BankError):
        return error
    if isinstance(error, OSError):
        return system_error(error)
    return BankError(
        f"unexpected {type(error).__name__}: {error}", fix="this is a defect: report it with the traceback"
    )


def step(task: AnyTask, run: AnyRun) -> bool:
    """Run one stage; false if there is none left.

    Raises:
        As `run_to_end`.
    """
    position = next_stage(run.state)
    if position is None:
        return False
    _require_approval(task, run)
    run.take()
    sync_log(run.root, run.state)
    stage = task.stage(position.stage)
    began = run.clock.monotonic()
    try:
        _open_attempt(run, position, stage)
        run.observer.stage_started(run.state, position.label, position.stage)
        run.check_stop()
        run.check_room()
        stage.check_needs(run, position.label)
        outcome = stage.work(run, position.label)
        stage.check_promises(position.label, outcome)
    except StopRequestedError as asked:
        _end(task, run, position, "stopped", asked.what, None, _seconds(run, position, began))
        raise
    except LostRunError:
        # Whoever has the run now goes on with it; nothing is written here any more.
        raise
    except Exception as raised:
        # Whatever goes wrong in a stage is logged, stops the run and is resumed at that stage; a defect of this
        # package keeps its own type and traceback.
        error = as_bank_error(raised)
        failed = (position.stage, error.line(), _seconds(run, position, began))
        status: RunStatus = "stopped" if isinstance(error, GateError) else "failed"
        reason = f"{error.gate}: {error.what}" if isinstance(error, GateError) else error.line()
        _end(task, run, position, status, reason, failed)
        if isinstance(raised, OSError):
            raise error from raised
        raise
    _commit(run, position, outcome, _seconds(run, position, began))
    run.observer.stage_ended(run.state, position.label, status_line(run, position))
    if position.stage == run.state.order.ending:
        close_run(task, run)
    elif position.stage in run.state.order.between:
        _quietly(run, lambda: run.render(run.root))
    return True


def status_line(run: AnyRun, position: Position) -> str:
    """`[iter 2/3 · train] FAR 6.34% → 3.11% (target <0.5%) · 11m · next: evaluate`."""
    state = run.state
    where = "baseline" if position.number == 0 else f"iter {position.number}/{state.max_iterations}"
    record = state.iterations[position.label].stages[-1]
    following = next_stage(state)
    after = "done" if following is None else following.stage
    return (
        f"[{where} · {position.stage}] {state.progress(position.number)} · "
        f"{duration_text(record.duration_sec)} · next: {after}"
    )


def duration_text(seconds: float) -> str:
    """`42s`, `11m`, `2h05m`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s" if whole < 600 else f"{whole // 60}m"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _require_approval(task: AnyTask, run: AnyRun) -> None:
    """The plan that is worked on, with today's contents of spec and CSVs, is the one that was approved."""
    digest = digest_now(task, run.state)
    if not is_approved(run.state, digest):
        raise NeedsApprovalError(
            unapproved(run.state, digest),
            digest=digest,
            fix=f"tao-skills deft run --results-dir {run.root} --approve {digest}",
        )


def _open_attempt(run: AnyRun, position: Position, stage: AnyStage) -> None:
    """Fix the attempt in the state before anything else happens; clean up what an earlier one left."""
    iteration = run.state.iteration(position.label)
    resumed = iteration.attempt is not None and iteration.attempt.stage == position.stage
    taken_up_at = run.clock.now()
    if iteration.attempt is not None and resumed:
        worked = iteration.attempt.worked_sec + _worked(run, position, stage, iteration.attempt)
        iteration.attempt.worked_sec, iteration.attempt.taken_up_at = round(worked, 3), log_time(taken_up_at)
    run.wait_for_orphans(position.label, position.stage)
    run.abandon(position.label, position.stage, stage.folders(run, position.label), keep_jobs=resumed)
    if not resumed:
        earlier = sum(1 for r in iteration.stages if r.stage == position.stage)
        now = run.clock.now()
        iteration.attempt = Attempt(
            stage=position.stage, n=earlier + 1, timestamp=folder_time(now), started_at=log_time(now)
        )
    iteration.status = "in_progress"
    run.state.status = "running"
    run.state.stop_reason = None
    run.state.current_iteration = position.number
    run.save()


def _worked(run: AnyRun, position: Position, stage: AnyStage, attempt: Attempt) -> float:
    """Seconds that the process which had this attempt before worked on it: until its last trace on disk.

    A job that outlived it and still runs has worked until now.
    """
    began = log_moment(attempt.taken_up_at or attempt.started_at).timestamp()
    now = run.clock.now().timestamp()
    last = run.last_change(position.label, position.stage, stage.folders(run, position.label))
    if any(run.platform.status(r) not in ENDED for r in run.stage_records(position.label, position.stage)):
        last = now
    return max(0.0, min(now, last) - began)


def _seconds(run: AnyRun, position: Position, began: float) -> int:
    """Whole seconds of the stage: of the process that works on it, and of those that were killed before it."""
    attempt = run.state.iteration(position.label).attempt
    before = attempt.worked_sec if attempt is not None and attempt.stage == position.stage else 0.0
    return int(before + run.clock.monotonic() - began)


def _commit(run: AnyRun, position: Position, outcome: Outcome, duration: int) -> None:
    """Put the stage's record and updates into the state: from here on the stage is done."""
    state = run.state
    iteration = state.iteration(position.label)
    order = state.order
    with next_seq(run.root, state) as seq:
        iteration.stages.append(_record(run, seq, position.stage, "ok", outcome.summary, duration))
        iteration.results[position.stage] = outcome.result
        iteration.attempt = None
        iteration.warnings = list(dict.fromkeys([*iteration.warnings, *outcome.warnings]))
        iteration.status = "complete" if position.stage in (order.ending, *order.between[-1:]) else "in_progress"
        if position.stage != order.ending:
            iteration.stage_completed = position.stage
        if isinstance(outcome.result, Ending):
            state.status = "complete"
            state.stop_reason = outcome.result.stop_reason
            state.best_iteration = outcome.result.best_iteration
        run.save()
    for warning in outcome.warnings:
        run.observer.note(warning)


def _end(
    task: AnyTask,
    run: AnyRun,
    position: Position,
    status: RunStatus,
    reason: str,
    failed: tuple[str, str, int] | None,
    given_up: int = 0,
) -> None:
    """The loop ends before its time: say so in state and log at once, then leave report and hand-off of what is there.

    `failed`: (stage, summary, seconds) of a stage that ended in an error; `given_up`: seconds of one that was stopped,
    which begins anew: they stand in the line of the stop.
    """
    state = run.state
    iteration = state.iteration(position.label)
    state.status = status
    state.stop_reason = one_line(reason)
    iteration.attempt = None
    if failed is not None:
        iteration.status = "failed"
    with next_seq(run.root, state) as seq:
        if failed is not None:
            iteration.stages.append(_record(run, seq, failed[0], "error", failed[1], failed[2]))
            seq += 1
        iteration.stages.append(_record(run, seq, state.order.ending, "error", f"{status}: {reason}", given_up))
        run.save()
    _quietly(run, lambda: close_run(task, run))


def _quietly(run: AnyRun, work: Callable[[], None]) -> None:
    """Report and hand-off must not hide what happened: what goes wrong in them is a remark."""
    try:
        work()
    except LostRunError:
        raise
    except Exception as error:
        run.observer.note(f"not written: {as_bank_error(error).line()}")


def _record(
    run: AnyRun, seq: int, stage: str, status: Literal["ok", "error"], summary: str, duration: int
) -> StageRecord:
    return StageRecord(
        seq=seq,
        ts=log_time(run.clock.now()),
        stage=stage,
        status=status,
        summary=one_line(summary),
        duration_sec=max(0, duration),
    )


def one_line(text: str) -> str:
    """Text as one line of at most 500 characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 500 else flat[:499] + "…"


def close_run(task: AnyTask, run: AnyRun) -> None:
    """The loop's end: bring the log up to the state, align tokens, render the report, write the hand-off."""
    sync_log(run.root, run.state)
    _align(run)
    task.close(run)
    run.render(run.root)


def _align(run: AnyRun) -> None:
    """Give the stages the tokens of agents started here or in the workspace; no transcripts, no figures."""
    folders = {project_dir(Path.cwd()), project_dir(run.workspace)}
    # A server's worker may not look there.
    with contextlib.suppress(BankError, OSError):
        files = [path for folder in sorted(folders) if guard.is_folder(folder) for path in transcripts_in(folder)]
        if files:
            align_tokens(log_path(run.root), files)
