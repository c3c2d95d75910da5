"""Shares by resampling groups, and two classifiers on the same samples. Counts in, numbers out.

Groups (videos) are drawn whole, because samples of one group are not independent. Groups with equal counts are
interchangeable, so the draws are multinomial over the kinds of groups: the same distribution, at a cost that does not
grow with their number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two raters' labels of the same items.

    Args:
        first: Labels, [n].
        second: Labels of the same items, [n].

    Returns:
        1 where they always agree, 0 where no more than by chance; None without items, and where both gave one label
        alone, so that nothing can be told from chance.
    """
    number = len(first)
    if number != len(second):
        raise ValueError("labels of other items")
    if not number:
        return None
    agree = sum(a == b for a, b in zip(first, second, strict=True)) / number
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[label] * theirs[label] for label in ours) / number**2
    return None if chance >= 1.0 else (agree - chance) / (1.0 - chance)


DRAWS = 2000
_SEED = 20_260_701
_TAIL = (1 - 0.95) / 2
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def resampled_sums(groups: IntArray) -> FloatArray:
    """Sums of the columns over groups drawn with replacement, float64 [DRAWS, k]; deterministic.

    Args:
        groups: Int [g, k], counts of each group; g at least 1.
    """
    kinds, number = np.unique(groups, axis=0, return_counts=True)
    rng = np.random.default_rng(_SEED)
    picked = rng.multinomial(len(groups), number / len(groups), size=DRAWS)
    return picked.astype(np.float64) @ kinds.astype(np.float64)


def grouped_interval(right: IntArray, tried: IntArray) -> tuple[float, float] | None:
    """The 95 % percentile interval of sum(right) / sum(tried) over groups; None with fewer than two groups.

    Args:
        right: Int [g].
        tried: Int [g]; groups without a sample are left out.
    """
    held = tried > 0
    if np.count_nonzero(held) < 2:
        return None
    sums = resampled_sums(np.column_stack([right[held], tried[held]]))
    return _ends(sums[:, 0] / sums[:, 1])


def grouped_difference(right_a: IntArray, right_b: IntArray, tried: IntArray) -> tuple[float, float] | None:
    """The same of sum(right_b) / sum(tried) - sum(right_a) / sum(tried), both over the same draws."""
    held = tried > 0
    if np.count_nonzero(held) < 2:
        return None
    sums = resampled_sums(np.column_stack([right_a[held], right_b[held], tried[held]]))
    return _ends((sums[:, 1] - sums[:, 0]) / sums[:, 2])


def _ends(values: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def mcnemar_exact(b: int, c: int) -> float:
    """The two-sided p-value that two classifiers are as often right: min(b, c) successes of b + c at 1/2.

    Args:
        b: Samples that only the first has right.
        c: Samples that only the second has right.

    Returns:
        2 P(X <= min(b, c)), at most 1; 1 where they never differ.
    """
    n, k = b + c, min(b, c)
    if n == 0:
        return 1.0
    log_half = n * math.log(0.5)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + log_half for i in range(k + 1)]
    top = max(logs)
    return min(1.0, 2.0 * math.exp(top) * math.fsum(math.exp(x - top) for x in logs))


def ranking(scores: npt.ArrayLike, is_positive: npt.ArrayLike) -> tuple[float, float] | None:
    """AUROC and average precision of scores, higher meaning positive; None where a class is missing.

    AUROC counts ties half. Average precision is the sum over thresholds of the gain in recall times the precision.
    """
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(is_positive, dtype=np.bool_)
    total = int(np.count_nonzero(positive))
    if not 0 < total < len(values):
        return None
    order = np.argsort(-values, kind="stable")
    ordered, hits = values[order], positive[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    tp = np.cumsum(hits)[ends]
    fp = ends + 1 - tp
    precision = tp / (tp + fp)
    recall, false = tp / total, fp / (len(values) - total)
    gains = np.diff(recall, prepend=0.0)
    steps = np.diff(false, prepend=0.0)
    before = np.concatenate(([0.0], recall[:-1]))
    return float(np.sum(steps * (recall + before) / 2)), float(np.sum(gains * precision))
