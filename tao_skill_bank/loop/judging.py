"""The verdict on a run's model: what the run measured of it against everything that its target asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.state import BASELINE, AnyState
from tao_skill_bank.loop.verdict import SEEN_BY_LOOP, Claim, Verdict, claim, nothing_measured, verdict

ACCEPTANCE, KPI = "acceptance set", "KPI set"


@dataclass(frozen=True)
class Measured:
    """What a run knows of one model.

    Attributes:
        kpi: Its figures on the KPI set.
        acceptance: Those on the acceptance set; None where it was not measured on it.
        seen: Why the acceptance set is not independent; empty where nobody saw it.
    """

    trained: Trained
    threshold: float | None
    kpi: Mapping[str, Interval]
    acceptance: Mapping[str, Interval] | None
    has_acceptance: bool
    seen: str = ""


def judged(state: AnyState, measured: Callable[[str, Any], Measured], label: str | None = None) -> Verdict:
    """The verdict on a run's best model, or on that of `label`; the acceptance set decides where the run has one."""
    final = state.status == "complete"
    try:
        target = state.target
    except InputError as error:
        return nothing_measured(state.kpi_target, f"the target cannot be read: {error.what}", final=final)
    best = state.best() if label is None else (label, state.iteration(label))
    value_pct = None if best is None else state.value(best[1])
    if best is None or value_pct is None:
        return nothing_measured(target.text(), "no model was measured", final=final)
    name, iteration = best
    found = measured(name, iteration)
    accepted = found.acceptance is not None
    fresh = accepted and not found.seen
    if found.acceptance is not None:
        claims = claims_of(target, found.acceptance, independent=fresh)
    else:
        claims = claims_of(target, found.kpi, value_pct, independent=False)
    return verdict(
        target.text(),
        claims,
        found.trained,
        model=name,
        threshold=found.threshold,
        set_name=ACCEPTANCE if accepted else KPI,
        independent=fresh,
        seen=found.seen if accepted else SEEN_BY_LOOP,
        final=final,
        pending=_pending(name, final=final) if found.has_acceptance and not accepted else "",
    )


def claims_of(
    target: Target, measured: Mapping[str, Interval], value_pct: float | None = None, *, independent: bool
) -> list[Claim]:
    """What was measured on one set against everything a target asks.

    `value_pct` is the goal's figure where its counts are not known; `independent`: the loop never saw the set.
    """
    return [
        claim(limit, measured.get(limit.name), value_pct if limit is target.goal else None, independent=independent)
        for limit in target.limits
    ]


def on_acceptance(
    acceptance: Mapping[str, Any] | None, label: str, figures: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, Interval] | None:
    """The figures of an iteration's model on the acceptance set at its frozen threshold, None if not measured.

    Args:
        acceptance: What the set says: `baseline`, and `best` with its `iteration`.
        label: The iteration.
        figures: Where one model's figures stand, by name.
    """
    found = acceptance or {}
    best, baseline = found.get("best"), found.get("baseline")
    of = best if isinstance(best, dict) and best.get("iteration", label) == label else None
    of = of or (baseline if label == BASELINE else None)
    if not isinstance(of, dict):
        return None
    try:
        return {name: Interval.model_validate(value) for name, value in figures(of).items()}
    except (ValidationError, KeyError, AttributeError):
        return None


def _pending(label: str, *, final: bool) -> str:
    if final:
        return f"the acceptance set decides, and {label} was not measured on it"
    return "the acceptance set decides, and it is measured when the loop ends"
