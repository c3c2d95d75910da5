"""The stages of the second loop, in order."""

from __future__ import annotations

from tao_skill_bank.tasks.vlm_bcq.stages.accept import LoopStop
from tao_skill_bank.tasks.vlm_bcq.stages.annotate import Annotate
from tao_skill_bank.tasks.vlm_bcq.stages.evaluate import Evaluate
from tao_skill_bank.tasks.vlm_bcq.stages.merge import DataMerge
from tao_skill_bank.tasks.vlm_bcq.stages.mine import DataMining
from tao_skill_bank.tasks.vlm_bcq.stages.rca import Rca
from tao_skill_bank.tasks.vlm_bcq.stages.route import Routing
from tao_skill_bank.tasks.vlm_bcq.stages.train import Train

BASELINE = (Evaluate(),)
BETWEEN = (Rca(),)
ITERATION = (Routing(), DataMining(), Annotate(), DataMerge(), Train(), *BASELINE)
ENDING = LoopStop()
