"""The detector of drift: its likelihood ratio against a count of all orders, false alarms and power by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tao_skill_bank.metrics.drift import HAZARDS, limit_for, rank_evidence


def lots_to_alarm(values: np.ndarray, reference: int, limit: float, seed: int) -> int | None:
    ties = np.random.default_rng(seed).random(len(values))
    for n in range(reference + 1, len(values) + 1):
        if rank_evidence(values[:n], ties[:n], reference).log_evidence >= math.log(limit):
            return n
    return None


def test_over_all_orders_of_the_lots_the_evidence_of_each_start_is_one_on_average() -> None:
    # One start can be tested with five lots of which four are the reference; with three, two starts.
    ties = np.zeros(5)
    for reference, starts in ((4, 1), (3, 2), (1, 4)):
        total = [
            math.exp(rank_evidence(order, ties, reference).log_evidence) for order in itertools.permutations(range(5))
        ]
        assert np.mean(total) == pytest.approx(starts)


def test_the_ratio_is_the_chance_of_the_order_under_the_alternative_times_the_number_of_orders() -> None:
    # Exponential waiting times with these rates come in ascending order with this probability.
    order, reference = [2, 0, 3, 1], 3
    expected = []
    for hazard in HAZARDS:
        rates = [1.0, 1.0, 1.0, hazard]
        left = [rates[i] for i in np.argsort(order)]
        expected.append(math.factorial(4) * math.prod(rate / sum(left[k:]) for k, rate in enumerate(left)))
    found = rank_evidence(order, np.zeros(4), reference)
    assert math.exp(found.log_evidence) == pytest.approx(np.mean(expected))


def test_lots_that_do_not_change_alarm_more_rarely_than_is_asked() -> None:
    rng = np.random.default_rng(2)
    limit = limit_for(100, statistics=1)
    alarms = sum(lots_to_alarm(rng.normal(size=100), 20, limit, seed) is not None for seed in range(20))
    # Within 100 lots the chance is at most 100 / limit = one half; the rank likelihood is far from that bound.
    assert alarms <= 8


def test_a_change_is_found_its_start_named_and_its_direction() -> None:
    rng = np.random.default_rng(4)
    for sign in (1, -1):
        # Fourteen lots after the change: every start of the last sixteen is tried.
        values = rng.normal(size=74)
        values[60:] += 2.5 * sign
        found = rank_evidence(values, rng.random(74), 25)
        assert found.log_evidence > math.log(limit_for(1000, statistics=2))
        assert found.start is not None and abs(found.start - 60) <= 3
        assert found.rises is (sign > 0)


def test_equal_lots_are_ordered_by_chance_and_raise_no_alarm() -> None:
    rng = np.random.default_rng(5)
    found = rank_evidence(np.zeros(120), rng.random(120), 25)
    assert found.log_evidence < math.log(limit_for(1000, statistics=2))


def test_any_rising_map_of_the_values_says_the_same() -> None:
    rng = np.random.default_rng(6)
    values, ties = rng.normal(size=60), rng.random(60)
    assert rank_evidence(values, ties, 20) == rank_evidence(np.exp(3 * values), ties, 20)


def test_with_the_reference_alone_there_is_nothing_to_test() -> None:
    assert rank_evidence([1.0, 2.0], [0.1, 0.2], 2).start is None


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_average_run_to_a_false_alarm_is_at_least_what_is_asked() -> None:
    rng = np.random.default_rng(8)
    limit = limit_for(60, statistics=1)
    runs = [lots_to_alarm(rng.normal(size=600), 20, limit, seed) or 600 for seed in range(120)]
    assert np.mean(runs) >= 60
