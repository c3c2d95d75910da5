"""The DEFT loop for AOI with Visual ChangeNet, as the loop's task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tao_skill_bank.loop import task as loop_task
from tao_skill_bank.loop.request import PreFlight, ResolvedPlan
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.tasks.changenet import generator, measures, upcast, workspace
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.handoff import write_handoff
from tao_skill_bank.tasks.changenet.preflight import pre_flight
from tao_skill_bank.tasks.changenet.progress import mining_progress, training_progress
from tao_skill_bank.tasks.changenet.stages import BASELINE, BETWEEN, ENDING, ITERATION
from tao_skill_bank.tasks.changenet.state import Run
from tao_skill_bank.tasks.changenet.state import State as DeftState


class ChangeNet(loop_task.Task[DeftState]):
    """Find the weak samples, add data like them, train again."""

    name = "changenet"
    Config = RunConfig
    State = DeftState
    baseline = BASELINE
    iteration = ITERATION
    between = BETWEEN
    ending = ENDING
    # Of the published loop; the engine never writes it.
    logged = ("anomalygen_finetune",)
    commands = ("visual_changenet", "gap_analysis", "embedding", "tmm", generator.AMP, generator.SDG)

    def discover(self, workspace_dir: Path) -> dict[str, Any]:
        """The inputs that are there, by their usual places."""
        return workspace.discover(workspace_dir)

    def settled(self, config: RunConfig) -> RunConfig:
        """What `auto` means in this workspace; absolute paths."""
        return workspace.settled(config)

    def contents(self, config: RunConfig) -> dict[str, Path]:
        """Spec and CSVs, and the generator's defect spec where it runs inline."""
        found: dict[str, Path] = config.contents()
        if config.anomalygen.mode == "inline":
            found["anomalygen.defect_spec"] = generator.find_assets(config).defect_spec
        return found

    def minutes(self, config: RunConfig) -> float:
        """By platform and rows."""
        return workspace.minutes_per_iteration(config)

    def pre_flight(self, plan: ResolvedPlan) -> PreFlight:
        """Spec, CSVs, images, leakage, generator, encoder, backbone, credentials, platform, disk."""
        return pre_flight(plan)

    def verdict(self, state: DeftState) -> Verdict:
        """FAR and recall; the acceptance set decides where the run has one."""
        return measures.verdict_of(state)

    def headline(self, state: DeftState) -> dict[str, float | int | str | None]:
        """FAR of the best model on the KPI set."""
        best = state.best()
        return {"best_far_pct": None if best is None else best[1].far_pct}

    def live(self, state: DeftState, stage: str) -> str | None:
        """Epoch and loss of a training that goes on; of a mining, the step and its images."""
        if stage == "data_mining":
            return mining_progress(Path(state.results_dir))
        if stage != "train":
            return None
        return training_progress(Path(state.results_dir) / state.current_label / "train")

    def known_files(self, state: DeftState) -> Sequence[tuple[str, Path, str]]:
        """The checkpoint of every iteration that was evaluated."""
        measured = [(label, it.best_ckpt_path, it.trained.checkpoint_sha256) for label, it in state.iterations.items()]
        return [(f"the checkpoint of {label}", Path(path), known) for label, path, known in measured if path and known]

    def close(self, run: Run) -> list[Path]:
        """The hand-off of the best model."""
        return write_handoff(run)

    def upcast(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Every state of version 3 is of this task."""
        return upcast.upcast(raw, self.name)


TASK = ChangeNet()
