"""The stages of the DEFT loop, in order, each in a file of its own. RCA of iteration N-1 feeds iteration N."""

from __future__ import annotations

from tao_skill_bank.tasks.changenet.stages.accept import LoopStop
from tao_skill_bank.tasks.changenet.stages.evaluate import Evaluate
from tao_skill_bank.tasks.changenet.stages.merge import DataMerge
from tao_skill_bank.tasks.changenet.stages.mine import DataMining
from tao_skill_bank.tasks.changenet.stages.rca import Rca
from tao_skill_bank.tasks.changenet.stages.route import Route
from tao_skill_bank.tasks.changenet.stages.synthesize import Anomalygen
from tao_skill_bank.tasks.changenet.stages.train import Train

BASELINE = (Train(), Evaluate())
ITERATION = (Route(), Anomalygen(), DataMining(), DataMerge(), *BASELINE)
BETWEEN = (Rca(),)
ENDING = LoopStop()
