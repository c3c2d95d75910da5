"""Where a run's state holds the figures that its verdict is made of."""

from __future__ import annotations

from tao_skill_bank.loop.judging import Measured, judged, on_acceptance
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.tasks.vlm_bcq.state import Iteration, State


def verdict_of(state: State, label: str | None = None) -> Verdict:
    """The verdict on a run's best model, or on that of `label`; the acceptance set decides where the run has one."""

    def measured(label: str, iteration: Iteration) -> Measured:
        found = iteration.evaluation
        return Measured(
            trained=iteration.trained,
            threshold=None if found is None else found.threshold,
            kpi={} if found is None else found.measures,
            acceptance=on_acceptance(state.acceptance, label, lambda of: dict(of["measures"])),
            has_acceptance=state.config.acceptance is not None,
        )

    return judged(state, measured, label)
