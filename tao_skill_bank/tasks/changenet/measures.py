"""What a ChangeNet target asks, and where a run's state holds the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Claim, Verdict, claim, nothing_measured, verdict
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL
from tao_skill_bank.tasks.changenet.seen import was_seen
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.trained import known

ACCEPTANCE, KPI = "acceptance set", "KPI set"


def verdict_of(state: DeftState, label: str | None = None) -> Verdict:
    """The verdict on a run's best model, or on that of `label`; the acceptance set decides where the run has one."""
    final = state.status == "complete"
    try:
        target = state.target
    except InputError as error:
        return nothing_measured(state.kpi_target, f"the target cannot be read: {error.what}", final=final)
    best = state.best() if label is None else (label, state.iteration(label))
    if best is None or state.value(best[1]) is None:
        return nothing_measured(target.text(), "no model was measured", final=final)
    name, iteration = best
    common: dict[str, Any] = {"trained": known(state, iteration), "model": name, "threshold": iteration.threshold}
    accepted = measured_on_acceptance(state, name)
    if accepted is not None:
        fresh = not was_seen(state)
        return verdict(
            target.text(),
            claims_of(target, accepted, independent=fresh),
            set_name=ACCEPTANCE,
            independent=fresh,
            seen="somebody had looked at this set before the run",
            final=final,
            **common,
        )
    pending = "" if state.config.acceptance_csv is None else _pending(state, name)
    return verdict(
        target.text(),
        claims_of(target, _on_kpi(target, iteration), state.value(iteration), independent=False),
        set_name=KPI,
        independent=False,
        final=final,
        pending=pending,
        **common,
    )


def claims_of(
    target: Target, measured: Mapping[str, Interval], value_pct: float | None = None, *, independent: bool
) -> list[Claim]:
    """What was measured on one set against everything a target asks.

    Args:
        target: The target.
        measured: The figures by name.
        value_pct: What the target's goal limits, where its counts are not known.
        independent: Whether the loop never saw the set.
    """
    return [
        claim(limit, measured.get(limit.name), value_pct if limit is target.goal else None, independent=independent)
        for limit in target.limits
    ]


def _on_kpi(target: Target, iteration: Iteration) -> dict[str, Interval]:
    evaluation = iteration.evaluation
    if evaluation is None:
        return {}
    figures = {limit.name: evaluation.measured(limit.name) for limit in target.limits}
    return {name: found for name, found in figures.items() if found is not None}


def measured_on_acceptance(state: DeftState, label: str) -> dict[str, Interval] | None:
    """The figures of an iteration's model on the acceptance set at its frozen threshold, None if not measured."""
    found = state.acceptance or {}
    best, baseline = found.get("best"), found.get("baseline")
    of = best if isinstance(best, dict) and best.get("iteration", label) == label else None
    of = of or (baseline if label == BASELINE else None)
    if not isinstance(of, dict):
        return None
    figures = {FAR.name: of.get("far"), RECALL.name: of.get("recall"), **(of.get("others") or {})}
    try:
        return {name: Interval.model_validate(value) for name, value in figures.items()}
    except ValidationError:
        return None


def _pending(state: DeftState, label: str) -> str:
    if state.status == "complete":
        return f"the acceptance set decides, and {label} was not measured on it"
    return "the acceptance set decides, and it is measured when the loop ends"
