"""The stages of the loop, each in a file of its own."""

from __future__ import annotations

from tao_skill_bank.loop.stage import Outcome, Stage
from tao_skill_bank.tasks.changenet.stages.accept import LoopStop
from tao_skill_bank.tasks.changenet.stages.evaluate import Evaluate
from tao_skill_bank.tasks.changenet.stages.merge import DataMerge
from tao_skill_bank.tasks.changenet.stages.mine import DataMining
from tao_skill_bank.tasks.changenet.stages.rca import Rca
from tao_skill_bank.tasks.changenet.stages.route import Route
from tao_skill_bank.tasks.changenet.stages.synthesize import Anomalygen
from tao_skill_bank.tasks.changenet.stages.train import Train

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (Train(), Evaluate(), Rca(), Route(), Anomalygen(), DataMining(), DataMerge(), LoopStop())
}

__all__ = ["STAGES", "Outcome", "Stage"]
