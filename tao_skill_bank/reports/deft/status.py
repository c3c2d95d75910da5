"""The verdict of a run in a few words: the same in the report, the tools and the console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tao_skill_bank.core.text import capital, clean, percent, plural, ranged
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import AnyState
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.reports.deft.view import RunView

Tone = Literal["met", "near", "running", "stopped"]


@dataclass(frozen=True)
class Status:
    """`wording` is `IN PROGRESS`, `STOPPED: <gate>`, or the head of the verdict; `why` is a sentence."""

    wording: str
    tone: Tone
    why: str


def status_of(view: RunView) -> Status:
    """The status of a run: where it is, and at its end its verdict."""
    state, best = view.state, view.best
    known = None if best is None else rate(best.interval(state.measure), state.value(best.record))
    return _status(state, view.verdict, [line.stage for line in view.lines if line.status == "error"], known)


def status_of_state(state: AnyState, verdict: Verdict) -> Status:
    """The same of a run of any task, from its state alone."""
    best = state.best()
    known = None if best is None else rate(best[1].interval(state.measure), state.value(best[1]))
    return _status(state, verdict, [r.stage for r in state.records() if r.status == "error"], known)


def _status(state: AnyState, verdict: Verdict, failed: Sequence[str], best: str | None) -> Status:
    if state.status in ("stopped", "failed"):
        return _stopped(state, failed)
    if state.status in ("planned", "running"):
        return Status("IN PROGRESS", "running", _progress(state, best))
    return Status(verdict.head, "met" if verdict.may_ship else "near", verdict.text)


def _stopped(state: AnyState, failed: Sequence[str]) -> Status:
    reason = state.stop_reason or "no reason recorded"
    gate, colon, rest = reason.partition(": ")
    if state.status == "stopped" and reason.startswith("stopped on request"):
        return Status("STOPPED: on request", "stopped", "Somebody asked the run to stop. Running it again goes on.")
    if state.status == "stopped" and colon and len(gate) <= 40:
        return Status(f"STOPPED: {clean(gate)}", "stopped", _sentence(rest))
    stages = [stage for stage in failed if stage != "loop_stop"]
    return Status(f"STOPPED: {stages[-1] if stages else 'run'}", "stopped", _sentence(reason))


def _sentence(text: str) -> str:
    shown = clean(text).strip()
    return capital(shown) + ("" if shown.endswith((".", "…", ")", "?", "!")) else ".")


def _progress(state: AnyState, best: str | None) -> str:
    where = "the baseline" if state.current_iteration == 0 else f"iteration {state.current_iteration}"
    at = f"Working on {where} of at most {plural(state.max_iterations, 'iteration')}."
    if state.status == "planned":
        at = f"Planned: a baseline and at most {plural(state.max_iterations, 'iteration')}."
    return at if best is None else f"{at} Best {state.measure} so far: {best}."


def rate(measured: Interval | None, value: float | None = None) -> str:
    """A rate and its interval as text; where there is no interval, `value` alone."""
    return percent(value) if measured is None else ranged(measured.value_pct, measured.low_pct, measured.high_pct)
