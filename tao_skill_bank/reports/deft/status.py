"""The verdict of a run in a few words: the same in the report, the tools and the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tao_skill_bank.core.text import clean, limit, percent, plural, ranged, rate_digits
from tao_skill_bank.loop.state import Interval
from tao_skill_bank.reports.deft.view import RunView

Tone = Literal["met", "near", "running", "stopped"]


@dataclass(frozen=True)
class Status:
    """`wording` is exactly `MET`, `2.3pp from target`, `IN PROGRESS` or `STOPPED: <gate>`; `why` is a sentence."""

    wording: str
    tone: Tone
    why: str


def status_of(view: RunView) -> Status:
    """The status of a run. The acceptance set decides where there is one, else the KPI set."""
    state = view.state
    if state.status in ("stopped", "failed"):
        return _stopped(view)
    if state.status in ("planned", "running"):
        return Status("IN PROGRESS", "running", _progress(view))
    best, target = view.best, view.target
    if best is None or best.record.far_pct is None or target is None:
        return Status("STOPPED: no evaluation", "stopped", "The run ended without a measured model.")
    accepted = view.accepted("best")
    if accepted is not None:
        far, recall, where = accepted.far.value_pct, accepted.recall.value_pct, "acceptance set"
        far_shown, recall_shown = rate(accepted.far), rate(accepted.recall)
        met = bool((view.acceptance or {}).get("met"))
    else:
        far, where = best.record.far_pct, "KPI set"
        recall = best.recall.value_pct if best.recall else 100.0 * target.recall
        far_shown, recall_shown = rate(best.far, far), rate(best.recall, recall)
        met = target.met(far)
    if met:
        return Status("MET", "met", f"On the {where} the best model has FAR {far_shown} at recall {recall_shown}.")
    over, short = far - target.far_pct, 100.0 * target.recall - recall
    # Text in tests and tools relies on one decimal; only distances that it would show as nothing get more.
    if short > over:
        return Status(
            f"{_distance(short)}pp from target",
            "near",
            f"On the {where} the frozen threshold finds {recall_shown} of the defects; "
            f"the target asks for {limit(100.0 * target.recall)}.",
        )
    return Status(
        f"{_distance(over)}pp from target",
        "near",
        f"On the {where} FAR is {far_shown}; the target allows {target.op} {limit(target.far_pct)}.",
    )


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
    return shown[:1].upper() + shown[1:] + ("" if shown.endswith((".", "…", ")", "?", "!")) else ".")


def _progress(view: RunView) -> str:
    best = view.best
    state = view.state
    where = "the baseline" if state.current_iteration == 0 else f"iteration {state.current_iteration}"
    at = f"Working on {where} of at most {plural(state.max_iterations, 'iteration')}."
    if state.status == "planned":
        at = f"Planned: a baseline and at most {plural(state.max_iterations, 'iteration')}."
    return at if best is None else f"{at} Best FAR so far: {rate(best.far, best.record.far_pct)}."


def rate(found: Interval | None, value: float | None = None) -> str:
    """A rate and its interval as text; where there is no interval, `value` alone."""
    return percent(value) if found is None else ranged(found.value_pct, found.low_pct, found.high_pct)


def _distance(value: float) -> str:
    return f"{value:.1f}" if value >= 0.05 else rate_digits(max(value, 0.0)) if value > 0 else "0.0"
