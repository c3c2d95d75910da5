"""The second loop, as the loop's task: a video VLM's yes/no answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank.loop import task as loop_task
from tao_skill_bank.loop.request import PreFlight, ResolvedPlan
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.tasks.vlm_bcq import measures, workspace
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.evaluators import EVALUATE, TRAIN
from tao_skill_bank.tasks.vlm_bcq.handoff import write_handoff
from tao_skill_bank.tasks.vlm_bcq.preflight import pre_flight
from tao_skill_bank.tasks.vlm_bcq.stages import BASELINE, BETWEEN, ENDING, ITERATION
from tao_skill_bank.tasks.vlm_bcq.state import Run
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

    def discover(self, workspace_dir: Path) -> dict[str, Any]:
        """The inputs that are there, by their usual places."""
        return workspace.discover(workspace_dir)

    def settled(self, config: VlmConfig) -> VlmConfig:
        """What `auto` means in this workspace."""
        return workspace.settled(config)

    def contents(self, config: VlmConfig) -> dict[str, Path]:
        """Annotations, specs, imported evaluations."""
        return workspace.contents(config)

    def minutes(self, config: VlmConfig) -> float:
        """By who trains."""
        return workspace.minutes(config)

    def pre_flight(self, plan: ResolvedPlan) -> PreFlight:
        """Annotations by row, leakage, target, who answers and trains, platform, disk."""
        return pre_flight(plan)

    def verdict(self, state: VlmState) -> Verdict:
        """The acceptance set decides where the run has one."""
        return measures.verdict_of(state)

    def headline(self, state: VlmState) -> dict[str, float | int | str | None]:
        """The best figure on the KPI set."""
        best = state.best()
        return {"best_pct": None if best is None else state.value(best[1])}

    def close(self, run: Run) -> list[Path]:
        """The hand-off of the best model."""
        return write_handoff(run)


TASK = VlmBcq()
