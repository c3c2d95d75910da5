"""What counted samples show of a share: one-sided bounds, bounds by resampling groups, how many samples it takes.

Counts in, numbers out; nothing reads or writes. Samples of one group (crops of one board) are not independent, so an
interval that takes them one by one is too narrow; drawing whole groups again and again says how wide it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics import beta_share, clopper_pearson

CONFIDENCE = 0.95
DRAWS = 4000
_SEED = 20_240_229
_MOST_CELLS = 4_000_000
MOST_SAMPLES = 100_000_000
"""More samples than this are not a plan: the figure is then left out."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a share, all in 0..1.

    Attributes:
        low: Lower end of the two-sided interval.
        high: Its upper end.
        least: The one-sided lower bound: the share is at least this.
        most: The one-sided upper bound: the share is at most this.
    """

    low: float
    high: float
    least: float
    most: float


def exact_bounds(successes: int, trials: int, confidence: float = CONFIDENCE) -> Bounds:
    """Clopper-Pearson bounds of a share, two-sided and one-sided at the same confidence.

    Raises:
        InputError: As `clopper_pearson`; a confidence of 0.5 or less has no one-sided bound above the middle.
    """
    low, high = clopper_pearson(successes, trials, confidence)
    if confidence <= 0.5:
        raise InputError(f"a one-sided bound at {confidence} says nothing", fix="give for example 0.95")
    least, most = clopper_pearson(successes, trials, 2 * confidence - 1)
    return Bounds(low, high, least, most)


def group_bounds(
    successes: npt.ArrayLike, trials: npt.ArrayLike, confidence: float = CONFIDENCE, draws: int = DRAWS
) -> Bounds | None:
    """Bounds of a share by drawing whole groups with replacement (cluster bootstrap, percentiles); deterministic.

    Args:
        successes: Int [g], of each group.
        trials: Int [g], of each group; groups without a trial say nothing and are left out.
        confidence: Between 0.5 and 1.
        draws: How often the groups are drawn; less often where there are very many.

    Returns:
        The bounds; None with fewer than two groups, which say nothing of how groups differ.

    Raises:
        InputError: Shapes that differ, counts that cannot be.
    """
    won, tried = np.asarray(successes, dtype=np.int64), np.asarray(trials, dtype=np.int64)
    if won.ndim != 1 or won.shape != tried.shape:
        raise InputError(f"successes of shape {won.shape} and trials of shape {tried.shape}", fix="give one a group")
    if len(won) and (won.min() < 0 or (won > tried).any()):
        raise InputError("a group has fewer trials than successes", fix="give 0 <= successes <= trials")
    won, tried = won[tried > 0], tried[tried > 0]
    groups = len(tried)
    if groups < 2:
        return None
    rng = np.random.default_rng(_SEED)
    draws = min(draws, max(1000, 10 * _MOST_CELLS // groups))
    shares = np.full(draws, np.nan)
    block = max(1, _MOST_CELLS // groups)
    for start in range(0, draws, block):
        picked = rng.integers(0, groups, size=(min(block, draws - start), groups))
        shares[start : start + block] = won[picked].sum(axis=1) / tried[picked].sum(axis=1)
    return percentile_bounds(shares, confidence)


def percentile_bounds(drawn: npt.NDArray[np.float64], confidence: float) -> Bounds:
    """The bounds of a share that was drawn anew again and again, float [draws]: its percentiles."""
    tail = (1 - confidence) / 2
    low, least, most, high = np.quantile(drawn, [tail, 2 * tail, 1 - 2 * tail, 1 - tail])
    return Bounds(float(low), float(high), float(least), float(most))


def wider(exact: Bounds, grouped: Bounds | None) -> Bounds:
    """End by end the more careful of two: a bound that takes groups into account never makes a claim easier."""
    if grouped is None:
        return exact
    return Bounds(
        min(exact.low, grouped.low),
        max(exact.high, grouped.high),
        min(exact.least, grouped.least),
        max(exact.most, grouped.most),
    )


def spread_factor(successes: int, trials: int, exact: Bounds, used: Bounds) -> float:
    """How many samples of these groups tell as much as one independent sample: 1 or more (the design effect)."""
    share = successes / trials if trials else 0.0
    pairs = ((used.most - share, exact.most - share), (share - used.least, share - exact.least))
    ratios = [(wide / narrow) ** 2 for wide, narrow in pairs if narrow > 0]
    return max([1.0, *ratios])


def trials_to_show(
    share: float, limit: float, *, at_most: bool, confidence: float = CONFIDENCE, factor: float = 1.0
) -> int | None:
    """How many samples put the one-sided Clopper-Pearson bound at `limit` or beyond, if the share stays what it is.

    Fractions of a success are allowed on the way, so it is the smallest number about which this is so.

    Args:
        share: The share seen, in 0..1.
        limit: The limit to show, in 0..1.
        at_most: Whether the share must lie at `limit` or below; else at `limit` or above.
        confidence: Of the one-sided bound.
        factor: Samples that tell as much as one independent one (`spread_factor`).

    Returns:
        The number; None where none does: the share does not beat the limit, or the limit is 0 or 1 itself, or it
        takes more than `MOST_SAMPLES`.
    """
    errors = share if at_most else 1 - share
    allowed = limit if at_most else 1 - limit
    if allowed >= 1:
        return 1
    if errors >= allowed:
        return None
    return fewest(lambda trials: _shown(errors, trials, allowed, confidence), 0, 1, factor)


def fewest(shows: Callable[[int], bool], low: int, high: int, factor: float) -> int | None:
    """The smallest number above `low` that shows something, as larger ones do, times `factor`; `high` is tried first.

    None where it takes more than `MOST_SAMPLES`.
    """
    while not shows(high):
        low, high = high, 2 * high
        if high * factor > MOST_SAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return math.ceil(high * factor)


def _shown(errors: float, trials: int, allowed: float, confidence: float) -> bool:
    """Whether the upper bound of the share of errors lies at `allowed` or below.

    The bound is the Beta(k + 1, n - k) quantile, so this asks whether I_allowed(k + 1, n - k) reaches the confidence.
    """
    k = errors * trials
    return beta_share(k + 1, trials - k, allowed) >= confidence


def meets(value: float, limit: float, *, at_most: bool, strict: bool) -> bool:
    """Whether a figure meets a limit. One that equals it but for rounding counts as equal: met unless `strict`."""
    if math.isclose(value, limit, rel_tol=1e-12):
        return not strict
    return value < limit if at_most else value > limit
