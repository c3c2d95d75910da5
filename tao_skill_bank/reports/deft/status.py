"""The verdict of a run in a few words: the same in the report, the tools and the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tao_skill_bank.core.text import capital, clean, percent, plural, ranged
from tao_skill_bank.loop.evidence import Interval
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
    state = view.state
    if state.status in ("stopped", "failed"):
        return _stopped(view)
    if state.status in ("planned", "running"):
        return Status("IN PROGRESS", "running", _progress(view))
    found = view.verdict
    return Status(found.head, "met" if found.may_ship else "near", found.text)


def _stopped(view: RunView) -> Status:
    reason = view.state.stop_reason or "no reason recorded"
    gate, colon, rest = reason.partition(": ")
    if view.state.status == "stopped" and reason.startswith("stopped on request"):
        return Status("STOPPED: on request", "stopped", "Somebody asked the run to stop. Running it again goes on.")
    if view.state.status == "stopped" and colon and len(gate) <= 40:
        return Status(f"STOPPED: {clean(gate)}", "stopped", _sentence(rest))
    errors = [line for line in view.lines if line.status == "error" and line.stage != "loop_stop"]
    stage = errors[-1].stage if errors else "run"
    return Status(f"STOPPED: {stage}", "stopped", _sentence(reason))


def _sentence(text: str) -> str:
    shown = clean(text).strip()
    return capital(shown) + ("" if shown.endswith((".", "…", ")", "?", "!")) else ".")


def _progress(view: RunView) -> str:
    best = view.best
    state = view.state
    where = "the baseline" if state.current_iteration == 0 else f"iteration {state.current_iteration}"
    at = f"Working on {where} of at most {plural(state.max_iterations, 'iteration')}."
    if state.status == "planned":
        at = f"Planned: a baseline and at most {plural(state.max_iterations, 'iteration')}."
    if best is None:
        return at
    measure = state.measure
    return f"{at} Best {measure} so far: {rate(best.interval(measure), state.value(best.record))}."


def rate(measured: Interval | None, value: float | None = None) -> str:
    """A rate and its interval as text; where there is no interval, `value` alone."""
    return percent(value) if measured is None else ranged(measured.value_pct, measured.low_pct, measured.high_pct)
