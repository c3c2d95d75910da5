"""What a target asks and where a run's state holds the answer, for the verdict."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Claim, Verdict, claim, nothing_measured, verdict
from tao_skill_bank.tasks.vlm_bcq.state import State

ACCEPTANCE, KPI = "acceptance set", "KPI set"


def verdict_of(state: State) -> Verdict:
    """The verdict on a run's best model; the acceptance set decides where the run has one."""
    final = state.status == "complete"
    try:
        target = state.target
    except InputError as error:
        return nothing_measured(state.kpi_target, f"the target cannot be read: {error.what}", final=final)
    best = state.best()
    if best is None or best[1].evaluation is None:
        return nothing_measured(target.text(), "no model was measured", final=final)
    name, iteration = best
    evaluation = best[1].evaluation
    common: dict[str, Any] = {"trained": iteration.trained, "model": name, "threshold": evaluation.threshold}
    accepted = measured_on_acceptance(state, name)
    if accepted is not None:
        claims = claims_of(target, accepted, independent=True)
        return verdict(target.text(), claims, set_name=ACCEPTANCE, independent=True, final=final, **common)
    claims = claims_of(target, evaluation.measures, independent=False)
    pending = "" if state.config.acceptance is None else _pending(state, name)
    return verdict(target.text(), claims, set_name=KPI, independent=False, final=final, pending=pending, **common)


def claims_of(target: Target, measures: dict[str, Interval], *, independent: bool) -> list[Claim]:
    """Every figure that is asked against its limit."""
    return [claim(limit, measures.get(limit.name), independent=independent) for limit in target.limits]


def measured_on_acceptance(state: State, label: str) -> dict[str, Interval] | None:
    """The measures of an iteration's model on the acceptance set, None if it was not measured there."""
    found = state.acceptance or {}
    best, baseline = found.get("best"), found.get("baseline")
    of = best if isinstance(best, dict) and best.get("iteration") == label else None
    of = of or (baseline if label == BASELINE else None)
    if not isinstance(of, dict):
        return None
    try:
        return {name: Interval.model_validate(value) for name, value in of["measures"].items()}
    except (ValidationError, KeyError, AttributeError):
        return None


def _pending(state: State, label: str) -> str:
    if state.status == "complete":
        return f"the acceptance set decides, and {label} was not measured on it"
    return "the acceptance set decides, and it is measured when the loop ends"
