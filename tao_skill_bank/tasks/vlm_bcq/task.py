"""The second loop, as the loop's task: a video VLM's yes/no answers."""

from __future__ import annotations

from tao_skill_bank.loop import task as loop_task
from tao_skill_bank.tasks.vlm_bcq import workspace
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.evaluators import EVALUATE, TRAIN
from tao_skill_bank.tasks.vlm_bcq.handoff import write_handoff
from tao_skill_bank.tasks.vlm_bcq.measures import verdict_of
from tao_skill_bank.tasks.vlm_bcq.preflight import pre_flight
from tao_skill_bank.tasks.vlm_bcq.stages import BASELINE, BETWEEN, ENDING, ITERATION
from tao_skill_bank.tasks.vlm_bcq.state import State as VlmState


class VlmBcq(loop_task.Task[VlmState]):
    """Find what the model answers wrongly, add questions like them, train again."""

    name = "vlm_bcq"
    Config = VlmConfig
    State = VlmState
    baseline = BASELINE
    iteration = ITERATION
    between = BETWEEN
    ending = ENDING
    commands = (TRAIN, EVALUATE, "gap_analysis")

    discover = staticmethod(workspace.discover)
    settled = staticmethod(workspace.settled)
    contents = staticmethod(workspace.contents)
    seals = staticmethod(workspace.seals)
    minutes = staticmethod(workspace.minutes)
    pre_flight = staticmethod(pre_flight)
    verdict = staticmethod(verdict_of)
    close = staticmethod(write_handoff)

    def headline(self, state: VlmState) -> dict[str, float | int | str | None]:
        """The best figure on the KPI set."""
        best = state.best()
        return {"best_pct": None if best is None else state.value(best[1])}


TASK = VlmBcq()
