"""What a ChangeNet target asks, and where a run's state holds the answer: FAR and recall, for the verdict."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.kpi_target import KpiTarget
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.loop.verdict import Ask, Claim, Verdict, claim, nothing_measured, verdict
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.trained import known

ACCEPTANCE, KPI = "acceptance set", "KPI set"


def asks(target: KpiTarget) -> tuple[Ask, Ask]:
    """FAR (good samples flagged) at most, recall (defects found) at least."""
    return (
        Ask("FAR", "PASS sample", target.far_pct, at_most=True, strict=target.op == "<", group="board"),
        Ask("recall", "defect", 100.0 * target.recall, at_most=False, group="board"),
    )


def verdict_of(state: DeftState, label: str | None = None) -> Verdict:
    """The verdict on a run's best model, or on that of `label`; the acceptance set decides where the run has one."""
    final = state.status == "complete"
    try:
        target = KpiTarget.parse(state.kpi_target)
    except InputError as error:
        return nothing_measured(state.kpi_target, f"the target cannot be read: {error.what}", final=final)
    best = state.best() if label is None else (label, state.iteration(label))
    if best is None or best[1].far_pct is None:
        return nothing_measured(target.text(), "no model was measured", final=final)
    name, iteration = best
    common: dict[str, Any] = {"trained": known(state, iteration), "model": name, "threshold": iteration.threshold}
    accepted = measured_on_acceptance(state, name)
    if accepted is not None:
        return verdict(
            target.text(),
            claims_of(target, *accepted, independent=True),
            set_name=ACCEPTANCE,
            independent=True,
            final=final,
            **common,
        )
    pending = "" if state.config.acceptance_csv is None else _pending(state, name)
    evaluation = iteration.evaluation
    far, recall = (evaluation.far, evaluation.recall) if evaluation is not None else (None, None)
    return verdict(
        target.text(),
        claims_of(target, far, recall, iteration, independent=False),
        set_name=KPI,
        independent=False,
        final=final,
        pending=pending,
        **common,
    )


def claims_of(
    target: KpiTarget,
    far: Interval | None,
    recall: Interval | None,
    iteration: Iteration | None = None,
    *,
    independent: bool,
) -> list[Claim]:
    """FAR and recall of one set against a target; of an iteration without counts its FAR alone is known."""
    ask_far, ask_recall = asks(target)
    value = None if iteration is None else iteration.far_pct
    return [
        claim(ask_far, far, value, independent=independent),
        claim(ask_recall, recall, independent=independent),
    ]


def measured_on_acceptance(state: DeftState, label: str) -> tuple[Interval, Interval] | None:
    """FAR and recall of an iteration's model on the acceptance set at its frozen threshold, None if not measured."""
    found = state.acceptance or {}
    best, baseline = found.get("best"), found.get("baseline")
    of = best if isinstance(best, dict) and best.get("iteration", label) == label else None
    of = of or (baseline if label == BASELINE else None)
    if not isinstance(of, dict):
        return None
    try:
        return Interval.model_validate(of.get("far")), Interval.model_validate(of.get("recall"))
    except ValidationError:
        return None


def _pending(state: DeftState, label: str) -> str:
    if state.status == "complete":
        return f"the acceptance set decides, and {label} was not measured on it"
    return "the acceptance set decides, and it is measured when the loop ends"
