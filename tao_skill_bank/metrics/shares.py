"""Shares: by largest remainder, and tests of them (binomial at one half, sums of unequal chances, chi-square)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tao_skill_bank.metrics.paired import mcnemar_exact

_MOST_EXACT = 2000


def apportioned(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """`total` over names in proportion to their counts, by largest remainder; ties by name, nothing where all are 0."""
    whole = sum(counts.values())
    if not whole:
        return dict.fromkeys(counts, 0)
    exact = {name: total * count / whole for name, count in counts.items()}
    out = {name: math.floor(value) for name, value in exact.items()}
    rest = total - sum(out.values())
    for name in sorted(exact, key=lambda n: (out[n] - exact[n], n))[:rest]:
        out[name] += 1
    return out


def binomial_two_sided(successes: int, trials: int) -> float:
    """The two-sided p-value of `successes` of `trials` at a chance of one half; 1 without trials."""
    return mcnemar_exact(successes, trials - successes)


def poisson_binomial_tail(chances: Sequence[float], successes: int) -> float:
    """P(X >= successes) of a sum of independent trials with these chances (one-sided p-value).

    Exact up to 2,000 trials; above, by the normal distribution with a correction for continuity.
    """
    if successes <= 0:
        return 1.0
    if len(chances) > _MOST_EXACT:
        mean = math.fsum(chances)
        spread = math.sqrt(math.fsum(p * (1 - p) for p in chances))
        if not spread:
            return float(successes <= mean)
        return 0.5 * math.erfc((successes - 0.5 - mean) / spread / math.sqrt(2))
    import numpy as np

    counts = np.zeros(len(chances) + 1)
    counts[0] = 1.0
    for p in chances:
        counts[1:] = counts[1:] * (1 - p) + counts[:-1] * p
        counts[0] *= 1 - p
    return float(min(1.0, counts[successes:].sum()))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) of a chi-square distribution with so many degrees of freedom.

    By the series of the lower incomplete gamma function, and its continued fraction where that converges faster.
    """
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-16:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - front * total)
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b or tiny)
        c = b + step / c or tiny
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * h
