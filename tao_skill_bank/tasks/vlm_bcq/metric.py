"""The measures of yes/no answers, what a target says with them, and the threshold of a score that serves it best."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from tao_skill_bank.loop.metric import Grammar, Measure, Target
from tao_skill_bank.metrics.binary import Operating, best_threshold

ACCURACY = Measure("accuracy", "answer", at_most=False, group="video", tunable=False)
BALANCED = Measure(
    "balanced accuracy", "answer", at_most=False, words=("balanced",), group="video", share=False, tunable=False
)
WORST = Measure("worst question accuracy", "answer", at_most=False, group="video", share=False, tunable=False)
FP_RATE = Measure("FP rate", "No-row", at_most=True, words=("false positive rate",), group="video", constrains=True)
FN_RATE = Measure("FN rate", "Yes-row", at_most=True, words=("false negative rate",), group="video", constrains=True)

GRAMMAR = Grammar((BALANCED, ACCURACY, WORST, FP_RATE, FN_RATE), example="balanced accuracy >= 95%")


def threshold_for(scores: npt.ArrayLike, truth: npt.ArrayLike, target: Target) -> Operating | None:
    """The threshold at which the goal is best within the constraint; None where a class is missing.

    Args:
        scores: Float [n].
        truth: Bool [n], whether yes is right.
        target: Of these measures, with a constraint.
    """
    held = target.constraints[0]
    most: Any = held.share - (1e-9 if held.strict else 0.0)
    return best_threshold(scores, truth, most, hold_fp=held.measure is FP_RATE)
