"""The stages of the loop, each in a file of its own."""

from __future__ import annotations

from tao_skill_bank.deft.stages.base import Outcome, Stage
from tao_skill_bank.deft.stages.evaluate import Evaluate
from tao_skill_bank.deft.stages.merge import DataMerge
from tao_skill_bank.deft.stages.mine import DataMining
from tao_skill_bank.deft.stages.rca import Rca
from tao_skill_bank.deft.stages.route import Route
from tao_skill_bank.deft.stages.stop import LoopStop
from tao_skill_bank.deft.stages.synthesize import Anomalygen
from tao_skill_bank.deft.stages.train import Train

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (Train(), Evaluate(), Rca(), Route(), Anomalygen(), DataMining(), DataMerge(), LoopStop())
}

__all__ = ["STAGES", "Outcome", "Stage"]
