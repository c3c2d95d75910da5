"""The detector of drift: its bets over all orders of lots, false alarms and power by simulation of many lines."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tao_skill_bank.metrics.drift import evidence, first_alarms, limit_for, rank_score, rank_scores, running_sums

LOTS_TO_FALSE_ALARM = 1000
SHIPPED = 25
"""Lots of a reference as a monitor is started."""


def after(values: Any, ties: Any, first: int) -> Any:
    return evidence(running_sums(rank_scores(np.asarray(values, dtype=float), np.asarray(ties))), first)


def alarms(values: np.ndarray, ties: np.ndarray, first: int, limit: float) -> np.ndarray:
    """The lot at which each line alarms, [lines]; infinite where none does."""
    return first_alarms(running_sums(rank_scores(values, ties)).astype(np.float32), first, limit)


def test_over_all_orders_of_the_lots_the_evidence_is_at_most_the_number_of_starts() -> None:
    # Five lots: one start can be tested where four are the reference, four where one is.
    orders = np.array(list(itertools.permutations(range(5))), dtype=float)
    for reference, starts in ((4, 1), (3, 2), (1, 4)):
        total = np.exp(after(orders, np.zeros(orders.shape), reference).log_evidence).mean()
        assert 0.9 * starts < total <= starts


def test_a_score_is_the_mean_of_a_normal_number_within_its_rank() -> None:
    for n, rank in ((1, 0), (5, 0), (5, 3), (26, 25)):
        values = np.array([k for k in range(n) if k != rank] + [rank], dtype=float)
        low, high = stats.norm.ppf(rank / n), stats.norm.ppf((rank + 1) / n)
        assert rank_score(values, np.zeros(n)) == pytest.approx(stats.truncnorm.mean(low, high), abs=1e-9)


def test_the_evidence_is_the_mixture_of_the_likelihood_ratios_of_shifts_that_thin_out() -> None:
    scores, reference = np.random.default_rng(1).normal(size=12), 8
    total = 0.0
    for start in range(reference, 12):
        for shift in (0.25, 0.5, 1.0, 2.0, -0.25, -0.5, -1.0, -2.0):
            means = [shift * start / t for t in range(start + 1, 13)]
            ratios = stats.norm.pdf(scores[start:], means) / stats.norm.pdf(scores[start:])
            total += float(np.prod(ratios)) / 8
    assert evidence(running_sums(scores), reference).log_evidence == pytest.approx(math.log(total))


def test_lots_that_do_not_change_alarm_more_rarely_than_is_asked() -> None:
    rng = np.random.default_rng(2)
    found = alarms(rng.normal(size=(200, 100)), rng.random((200, 100)), 20, limit_for(100, statistics=1))
    # Within 100 lots the chance is at most 100 / 200; three standard deviations of 200 lines are 21.
    assert np.isfinite(found).sum() <= 100 + 21


def test_a_change_is_found_its_start_named_and_its_direction() -> None:
    rng = np.random.default_rng(4)
    for sign in (1, -1):
        values = rng.normal(size=74)
        values[60:] += 2.5 * sign
        found = after(values, rng.random(74), 25)
        assert found.log_evidence > math.log(limit_for(1000, statistics=3))
        assert abs(found.start - 60) <= 3 and found.rises == (sign > 0)


def test_half_a_standard_deviation_is_told_within_some_hundred_lots_after_a_long_history() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(9, 700))
    values[:, 500:] += 0.5
    found = alarms(values, rng.random(values.shape), SHIPPED, limit_for(1000, statistics=3))
    assert 500 < np.median(found) <= 600


def test_equal_lots_are_ordered_by_chance_and_raise_no_alarm() -> None:
    rng = np.random.default_rng(5)
    found = after(np.zeros(120), rng.random(120), 25)
    assert found.log_evidence < math.log(limit_for(1000, statistics=3))


def test_any_rising_map_of_the_values_says_the_same() -> None:
    rng = np.random.default_rng(6)
    values, ties = rng.normal(size=60), rng.random(60)
    assert after(values, ties, 20) == after(np.exp(3 * values), ties, 20)


def test_with_the_reference_alone_there_is_nothing_to_test() -> None:
    assert after([1.0, 2.0], [0.1, 0.2], 2).log_evidence == -math.inf


def line_alarms(rng: np.random.Generator, lines: int, lots: int, strata: int) -> np.ndarray:
    """The first alarm of whole lines, [lines]: in every stratum the three statistics of each lot.

    All are of the same lot: they depend on each other, as those of a monitor do. Skewed, and rounded so that some tie.
    """
    limit = limit_for(LOTS_TO_FALSE_ALARM, 3 * strata)
    found = np.full(lines, np.inf)
    for _ in range(strata):
        level = np.exp(rng.normal(size=(lines, lots))).round(2)
        tail = (level + np.exp(rng.normal(size=(lines, lots)))).round(2)
        spread = np.exp(rng.normal(size=(lines, lots)) + 0.5 * np.log(level + 0.01)).round(2)
        for values in (level, tail, spread):
            found = np.minimum(found, alarms(values, rng.random((lines, lots)), SHIPPED, limit))
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("strata", [1, 3])
def test_of_twenty_thousand_lines_no_more_alarm_than_is_promised_at_any_look_of_a_thousand(strata: int) -> None:
    rng, lines = np.random.default_rng(strata), 20_000
    found = np.concatenate([line_alarms(rng, 500, 1000, strata) for _ in range(lines // 500)])
    for lots in (50, 100, 200, 500, 1000):
        share, promised = np.mean(found <= lots), lots / (2 * LOTS_TO_FALSE_ALARM)
        assert share <= promised + 3 * math.sqrt(promised / lines), (strata, lots, share)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("strata", [1, 3])
def test_the_average_run_to_a_false_alarm_is_at_least_the_thousand_lots_that_are_promised(strata: int) -> None:
    rng, lots = np.random.default_rng(10 + strata), 1500
    runs = np.concatenate([line_alarms(rng, 200, lots, strata) for _ in range(5)])
    # Cut off at 1,500 lots, which makes the average smaller.
    assert np.minimum(runs, lots).mean() >= LOTS_TO_FALSE_ALARM
