"""Exact intervals cover at least what they say, whatever the rate and the number of parts.

Coverage is a finite sum over the counts, so it is computed and not drawn; the proof draws as well.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tao_skill_bank.metrics.evidence import exact_bounds

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


def likely(n: int, p: float) -> range:
    """The counts that all but a millionth of a millionth of draws have."""
    return range(int(binom.ppf(1e-12, n, p)), int(binom.isf(1e-12, n, p)) + 1)


@pytest.mark.parametrize("n", [30, 300, 3000, 10_000])
def test_every_end_is_on_the_right_side_as_often_as_it_says(n: int) -> None:
    for p in RATES:
        chance = {"two-sided": 0.0, "least": 0.0, "most": 0.0}
        for k in likely(n, p):
            bounds, share = exact_bounds(k, n), binom.pmf(k, n, p)
            chance["two-sided"] += share * (bounds.low <= p <= bounds.high)
            chance["least"] += share * (bounds.least <= p)
            chance["most"] += share * (bounds.most >= p)
        assert min(chance.values()) >= 0.95 - 1e-9, (n, p, chance)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [30, 100, 1000, 10_000])
@pytest.mark.parametrize("p", RATES)
def test_drawn_twenty_thousand_times_the_ends_hold(n: int, p: float) -> None:
    counts, times = np.unique(np.random.default_rng(n).binomial(n, p, size=20_000), return_counts=True)
    held = np.zeros(2)
    for k, many in zip(counts.tolist(), times.tolist(), strict=True):
        bounds = exact_bounds(k, n)
        held += many * np.array([bounds.most >= p, bounds.low <= p <= bounds.high])
    assert (held / 20_000 >= 0.95 - 3 * 0.00154).all()
