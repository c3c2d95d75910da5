"""The measures of a two-picture classifier, what a target says with them, and the threshold that serves it best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tao_skill_bank.loop.metric import Grammar, Limit, Measure, Target
from tao_skill_bank.metrics import RECALL_TOLERANCE, Curve, Threshold, operating_curve

FAR = Measure(
    "FAR",
    "PASS sample",
    at_most=True,
    words=("false accept rate", "false alarm rate"),
    group="board",
    constrains=True,
    meant="recall=100%",
)
RECALL = Measure(
    "recall", "defect", at_most=False, words=("NO_PASS recall",), group="board", constrains=True, needs="FAR <= 1%"
)
ESCAPE = Measure(
    "escape rate", "defect", at_most=True, words=("escapes",), group="board", constrains=True, needs="FAR <= 1%"
)
F1 = Measure("f1", "sample", at_most=False, words=("f1 score",), group="board", share=False)
PRECISION = Measure("precision", "flagged sample", at_most=False, group="board", needs="recall=99%")
ACCURACY = Measure("accuracy", "sample", at_most=False, group="board")

GRAMMAR = Grammar((FAR, RECALL, ESCAPE, F1, PRECISION, ACCURACY), example="FAR < 0.1% at recall=100%")

_FIGURES = {
    FAR.name: "far",
    RECALL.name: "recall",
    ESCAPE.name: "escape_rate",
    F1.name: "f1",
    PRECISION.name: "precision",
    ACCURACY.name: "accuracy",
}


def recall_asked(target: Target) -> float | None:
    """The NO_PASS recall that a target asks for, in 0..1; None where it names neither recall nor escapes."""
    recall, escapes = target.limit(RECALL.name), target.limit(ESCAPE.name)
    if recall is not None:
        return recall.share
    return None if escapes is None else 1.0 - escapes.share


def recall_floor(target: Target) -> float:
    """The NO_PASS recall that a target asks for, in 0..1; all of it where it names none."""
    asked = recall_asked(target)
    return 1.0 if asked is None else asked


def best_point(scores: npt.ArrayLike, is_pass: npt.ArrayLike, target: Target) -> Threshold | None:
    """The candidate threshold at which the goal's measure is best within the constraints; of equals the highest.

    For `FAR … at recall=…` that is the highest threshold of enough recall (`far_at_recall`).

    Args:
        scores: Float [n].
        is_pass: Bool [n].
        target: Of these measures.

    Returns:
        The operating point; None without NO_PASS rows, or where no candidate keeps the constraints.

    Raises:
        InputError: No rows, shapes that differ, NaN or infinite scores.
    """
    curve = operating_curve(scores, is_pass)
    if curve.tp[0] == 0:
        return None
    kept = np.ones(len(curve), dtype=np.bool_)
    for limit in target.constraints:
        kept &= _within(limit, _figures(limit.measure, curve))
    places = np.flatnonzero(kept)
    if not len(places):
        return None
    figures = _figures(target.measure, curve)[places]
    best = figures.min() if target.measure.at_most else figures.max()
    # Two candidates of one exact F1 may differ in the last digit.
    return curve.at(int(places[np.flatnonzero(np.abs(figures - best) <= RECALL_TOLERANCE)[-1]]))


def _figures(measure: Measure, curve: Curve) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = getattr(curve, _FIGURES[measure.name])
    return found


def _within(limit: Limit, figures: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    room = -RECALL_TOLERANCE if limit.strict else RECALL_TOLERANCE
    return figures <= limit.share + room if limit.at_most else figures >= limit.share - room
