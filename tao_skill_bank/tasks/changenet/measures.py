"""Where a run's state holds the figures that its verdict is made of."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data.changenet.spent import looks
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.judging import Measured, judged, on_acceptance
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL
from tao_skill_bank.tasks.changenet.state import Iteration, State
from tao_skill_bank.tasks.changenet.trained import known

CHECK = "acceptance set seen"


def seen_checks(config: RunConfig) -> list[Check]:
    """The check of a plan whose acceptance set somebody has looked at; none where nobody has.

    Raises:
        InputError: What was written down of looks cannot be read.
    """
    if config.acceptance_csv is None:
        return []
    found = looks(Path(config.workspace), Path(config.acceptance_csv))
    if not found:
        return []
    who = "; ".join(look.line for look in found[:3])
    text = f"{who}: it is spent, so it shows nothing of a model that is made now; name one that nobody has seen"
    return [Check(name=CHECK, status="warn", text=text)]


def was_seen(state: State) -> bool:
    """Whether the plan that was approved said so."""
    return any(check.name == CHECK for check in state.checked)


def verdict_of(state: State, label: str | None = None) -> Verdict:
    """The verdict on a run's best model, or on that of `label`; the acceptance set decides where the run has one."""

    def measured(label: str, iteration: Iteration) -> Measured:
        found = iteration.evaluation
        figures = {} if found is None else {limit.name: found.measured(limit.name) for limit in state.target.limits}
        return Measured(
            trained=known(state, iteration),
            threshold=iteration.threshold,
            kpi={name: figure for name, figure in figures.items() if figure is not None},
            acceptance=on_acceptance(
                state.acceptance,
                label,
                lambda of: {FAR.name: of.get("far"), RECALL.name: of.get("recall"), **(of.get("others") or {})},
            ),
            has_acceptance=state.config.acceptance_csv is not None,
            seen="somebody had looked at this set before the run" if was_seen(state) else "",
        )

    return judged(state, measured, label)
