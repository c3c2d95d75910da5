"""Bounds that hold at every look: by simulation, against exact bounds, and with samples drawn at known rates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics.anytime import Drawn, anytime_bounds, log_wealth
from tao_skill_bank.metrics.evidence import exact_bounds


def by_bounds(share: float, rates: tuple[float, float], hits: int, others: int) -> tuple[bool, bool]:
    """Whether the lower and the upper bound lie on the wrong side of a share."""
    found = anytime_bounds([Drawn(rates[0], hits, hits), Drawn(rates[1], 0, others)])
    return found.least > share, found.most < share


def refuted(share: float, rates: tuple[float, float], hits: int, others: int) -> tuple[bool, bool]:
    """Whether the lower and the upper bound lie on the wrong side of a share, by one wealth each and no search."""
    weight, counts = 1 / np.array(rates), (np.array([hits, 0.0]), np.array([0.0, others]))
    wealth = log_wealth(1 - share, weight, *counts[::-1]), log_wealth(share, weight, *counts)
    return wealth[0] >= math.log(20), wealth[1] >= math.log(20)


def missed(
    share: float, looks: int, step: int, runs: int, rates: tuple[float, float], judged: Any = by_bounds, seed: int = 0
) -> tuple[float, float]:
    """How many runs had, at any look, a lower or an upper bound on the wrong side of the truth.

    Parts that hit are drawn for a label at the first rate and the others at the second.
    """
    rng = np.random.default_rng(seed)
    known: dict[tuple[int, int], tuple[bool, bool]] = {}
    wrong = np.zeros((runs, 2), dtype=bool)
    for run in range(runs):
        parts = rng.random(looks * step) < share
        seen = rng.random(looks * step) < np.where(parts, *rates)
        ends = np.arange(1, looks + 1) * step
        hits, others = np.cumsum(parts & seen)[ends - 1], np.cumsum(~parts & seen)[ends - 1]
        for hit, other in zip(hits.tolist(), others.tolist(), strict=True):
            if (hit, other) not in known:
                known[hit, other] = judged(share, rates, hit, other)
            wrong[run] |= known[hit, other]
    return float(wrong[:, 0].mean()), float(wrong[:, 1].mean())


@pytest.mark.parametrize(
    "rates", [(1.0, 1.0), (1.0, 0.25), (0.1, 1.0)], ids=["every part", "one in four of the others", "one hit in ten"]
)
def test_bounds_hold_at_every_look_together(rates: tuple[float, float]) -> None:
    low, high = missed(0.05, looks=6, step=100, runs=40, rates=rates)
    assert low <= 0.05 + 2.5 * 0.035 and high <= 0.05 + 2.5 * 0.035


@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.1), (0.1, 1.0)])
def test_a_share_is_refuted_by_the_wealth_at_it_where_a_bound_lies_on_the_wrong_side(
    rates: tuple[float, float],
) -> None:
    rng = np.random.default_rng(4)
    for hits, others in zip(rng.integers(0, 60, 60).tolist(), rng.integers(1, 400, 60).tolist(), strict=True):
        assert refuted(0.05, rates, hits, others) == by_bounds(0.05, rates, hits, others)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.1)])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_bounds_hold_at_each_of_a_thousand_looks(share: float, rates: tuple[float, float]) -> None:
    runs = 3000
    wrong = missed(share, looks=1000, step=10, runs=runs, rates=rates, judged=refuted)
    # Three standard deviations of a share of so many runs.
    assert max(wrong) <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_at_one_look_they_are_about_twice_as_wide_as_the_exact_bounds() -> None:
    found, exact = anytime_bounds([Drawn(1.0, 20, 1000)]), exact_bounds(20, 1000)
    assert found.value == 0.02
    assert found.least < exact.least and found.most > exact.most
    assert found.most - 0.02 < 2.2 * (exact.most - 0.02) and 0.02 - found.least < 2.2 * (0.02 - exact.least)


def test_a_sample_of_some_is_weighted_back() -> None:
    # 10 of 10 flagged parts looked at, 5 of 500 others at 1 in 10: 10 hits beside about 50 others.
    found = anytime_bounds([Drawn(1.0, 10, 10), Drawn(0.1, 0, 5)])
    assert found.value == pytest.approx(10 / 60)


def test_without_a_sample_nothing_is_known() -> None:
    found = anytime_bounds([Drawn(1.0, 0, 0)])
    assert (found.value, found.least, found.most) == (None, 0.0, 1.0)


@pytest.mark.parametrize("sample", [Drawn(0.0, 0, 1), Drawn(1.5, 0, 1), Drawn(0.5, 3, 2), Drawn(0.5, -1, 2)])
def test_samples_that_cannot_be_are_refused(sample: Drawn) -> None:
    with pytest.raises(InputError, match="cannot be"):
        anytime_bounds([sample])


def test_hits_and_misses_swapped_mirror_the_bounds() -> None:
    there, back = anytime_bounds([Drawn(0.5, 7, 100)]), anytime_bounds([Drawn(0.5, 93, 100)])
    assert there.least == pytest.approx(1 - back.most) and there.most == pytest.approx(1 - back.least)
