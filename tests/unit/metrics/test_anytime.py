"""Bounds that hold at every look: by simulation, against exact bounds, and with samples drawn at known rates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics.anytime import Drawn, anytime_bounds, log_wealth
from tao_skill_bank.metrics.evidence import exact_bounds

Rates = tuple[float, ...]
"""Of the parts of one side."""


def refuted(share: float, weight: np.ndarray, hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Whether the lower and the upper bound lie on the wrong side of a share, [..., 2], by the wealth at it alone."""
    wealth = log_wealth(1 - share, weight, misses, hits), log_wealth(share, weight, hits, misses)
    return np.stack(wealth, axis=-1) >= math.log(20)


def missed(share: float, rates: tuple[Rates, Rates], looks: int, step: int, runs: int, seed: int = 0) -> np.ndarray:
    """The share of runs that had, at any look, a lower or an upper bound on the wrong side of the truth, [2].

    Of `step` parts a look each is a hit by chance, has one of the rates of its side (hits; others), all as likely, and
    is drawn for a label at that rate.
    """
    rng = np.random.default_rng(seed)
    weight = 1 / np.array([*rates[0], *rates[1]])
    chances = np.concatenate(
        [share * np.array(rates[0]) / len(rates[0]), (1 - share) * np.array(rates[1]) / len(rates[1])]
    )
    drawn = rng.multinomial(step, [*chances, max(0.0, 1 - chances.sum())], size=(runs, looks))[..., :-1]
    counts, are_hits = drawn.cumsum(axis=1).astype(float), np.arange(len(weight)) < len(rates[0])
    return refuted(share, weight, counts * are_hits, counts * ~are_hits).any(axis=1).mean(axis=0)


@pytest.mark.parametrize(
    "rates",
    [((1.0,), (1.0,)), ((1.0,), (0.25,)), ((0.1,), (1.0,)), ((0.5, 0.05), (1.0, 0.1))],
    ids=["every part", "one in four of the others", "one hit in ten", "several rates a side"],
)
def test_bounds_hold_at_every_look_together(rates: tuple[Rates, Rates]) -> None:
    runs = 200
    assert missed(0.05, rates, looks=50, step=20, runs=runs).max() <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.1), (0.1, 1.0)])
def test_a_share_is_refuted_by_the_wealth_at_it_where_a_bound_lies_on_the_wrong_side(
    rates: tuple[float, float],
) -> None:
    rng = np.random.default_rng(4)
    hits, others = rng.integers(0, 60, 60), rng.integers(1, 400, 60)
    counts = np.zeros((2, 60, 2))
    counts[0, :, 0], counts[1, :, 1] = hits, others
    for hit, other, found in zip(hits, others, refuted(0.05, 1 / np.array(rates), *counts), strict=True):
        bounds = anytime_bounds([Drawn(rates[0], int(hit), int(hit)), Drawn(rates[1], 0, int(other))])
        assert found.tolist() == [bounds.least > 0.05, bounds.most < 0.05]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "rates",
    [((1.0,), (1.0,)), ((1.0,), (0.1,)), ((0.1,), (1.0,)), ((0.5, 0.02), (1.0, 0.1))],
    ids=["every part", "one in ten of the others", "one hit in ten", "several rates a side"],
)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_of_twenty_thousand_runs_bounds_hold_at_each_of_a_thousand_looks(
    share: float, rates: tuple[Rates, Rates]
) -> None:
    runs, batch = 20_000, 250
    # Looks at 10 parts, 20 and so on to 10,000.
    wrong = [missed(share, rates, looks=1000, step=10, runs=batch, seed=seed) for seed in range(runs // batch)]
    # Three standard deviations of a share of so many runs.
    assert np.mean(wrong, axis=0).max() <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


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
