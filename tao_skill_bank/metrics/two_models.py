"""Two models on the same parts: the area under the curve, and how far one may be worse. Arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics import clopper_pearson

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AreaDifference:
    """Areas under the two ROC curves, the difference second - first with its interval, and its two-sided p-value.

    `low`, `high` and `p` are None where neither area varies (both models part the classes completely).
    """

    first: float
    second: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def difference(self) -> float:
        """Second - first."""
        return self.second - self.first


def area_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, is_pass: npt.ArrayLike, confidence: float = 0.95
) -> AreaDifference | None:
    """DeLong's test of two correlated areas (DeLong et al. 1988), by midranks (Sun and Xu 2014).

    An asymptotic interval: with fewer than about 30 samples of a class it is too narrow.

    Args:
        first: Float [n], scores of the first model, higher more like a defect.
        second: Float [n], of the second, same samples in the same order.
        is_pass: Bool [n].
        confidence: Between 0 and 1.

    Returns:
        None where a class has fewer than two samples.

    Raises:
        InputError: Shapes that differ, scores that are not finite.
    """
    scores = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    passes = np.asarray(is_pass, dtype=np.bool_)
    if scores.shape[1:] != passes.shape or not np.isfinite(scores).all():
        raise InputError("scores of two models must be finite and of equal number", fix="give one score a sample")
    defects, goods = scores[:, ~passes], scores[:, passes]
    m, n = defects.shape[1], goods.shape[1]
    if m < 2 or n < 2:
        return None
    above = np.empty_like(defects)
    below = np.empty_like(goods)
    for k in range(2):
        together = midranks(np.concatenate([defects[k], goods[k]]))
        above[k] = (together[:m] - midranks(defects[k])) / n
        below[k] = 1 - (together[m:] - midranks(goods[k])) / m
    areas = above.mean(axis=1)
    spread = np.cov(above) / m + np.cov(below) / n
    variance = float(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    difference = float(areas[1] - areas[0])
    if variance <= 1e-18:
        return AreaDifference(float(areas[0]), float(areas[1]), None, None, None)
    error = math.sqrt(variance)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    p = 2 * NormalDist().cdf(-abs(difference) / error)
    return AreaDifference(float(areas[0]), float(areas[1]), difference - half, difference + half, p)


def midranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing the mean of theirs, float64 [n]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: FloatArray = (ends - (counts - 1) / 2)[inverse]
    return ranks


def worse_by(lost: int, gained: int, number: int) -> tuple[float, float, float]:
    """By how much the second model's share of errors is higher on the same parts: (value, least, most), each in -1..1.

    Each bound is one-sided and holds at least at 95 %: the two ends are exact (Clopper-Pearson) bounds of the
    two shares of parts that changed sides, each at half the error. Conservative.

    Args:
        lost: Parts that the first model has right and the second wrong.
        gained: The other way.
        number: All parts; 0 gives (0, -1, 1).
    """
    if not number:
        return 0.0, -1.0, 1.0
    # Each end at half the error, one-sided: the two-sided interval at 95 % itself.
    lost_low, lost_high = clopper_pearson(lost, number)
    gained_low, gained_high = clopper_pearson(gained, number)
    return (lost - gained) / number, lost_low - gained_high, lost_high - gained_low
