"""What counts show: bounds against sums of the binomial, resampled groups against a brute force, samples needed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics import beta_share, evidence
from tao_skill_bank.metrics.evidence import (
    MOST_SAMPLES,
    Bounds,
    exact_bounds,
    group_bounds,
    meets,
    spread_factor,
    trials_to_show,
    wider,
)


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """P(X >= successes), summed term by term."""
    from math import comb

    return sum(comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1))


@given(st.integers(1, 120), st.data())
@settings(max_examples=60, deadline=None)
def test_a_one_sided_bound_is_the_share_at_which_the_count_would_be_a_one_in_twenty_event(
    trials: int, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    bounds = exact_bounds(successes, trials)
    if successes:
        assert binomial_tail(successes, trials, bounds.least) == pytest.approx(0.05, abs=1e-9)
    else:
        assert bounds.least == 0.0
    if successes < trials:
        assert 1 - binomial_tail(successes + 1, trials, bounds.most) == pytest.approx(0.05, abs=1e-9)
    else:
        assert bounds.most == 1.0


def test_a_one_sided_bound_lies_inside_the_two_sided_interval() -> None:
    bounds = exact_bounds(3, 71)
    assert bounds.low < bounds.least < 3 / 71 < bounds.most < bounds.high


def test_a_one_sided_bound_needs_a_confidence_above_one_half() -> None:
    for confidence in (0.5, 0.3):
        with pytest.raises(InputError, match="one-sided"):
            exact_bounds(1, 2, confidence)


def test_four_of_a_hundred_meets_five_percent_and_does_not_show_it() -> None:
    bounds = exact_bounds(4, 100)
    assert bounds.most > 0.05
    # 59 without one false call show 5 %: the rule of three.
    assert exact_bounds(0, 59).most <= 0.05 < exact_bounds(0, 58).most


def test_resampling_three_boards_agrees_with_counting_every_way_to_draw_them() -> None:
    won, tried = np.array([0, 1, 5]), np.array([10, 10, 10])
    ways = sorted(sum(won[list(w)]) / 30 for w in itertools.product(range(3), repeat=3))
    found = group_bounds(won, tried)
    assert found is not None
    exact = np.quantile(np.repeat(ways, 1000), [0.025, 0.05, 0.95, 0.975])
    assert (found.low, found.least, found.most, found.high) == pytest.approx(tuple(exact), abs=0.034)


def test_each_bound_of_six_boards_is_that_of_every_way_to_draw_them() -> None:
    won = np.array([0, 1, 2, 4, 7, 11])
    ways = won[np.array(list(itertools.product(range(6), repeat=6)))].sum(axis=1) / 120
    found = group_bounds(won, [20] * 6)
    assert found is not None
    exact = np.quantile(ways, [0.025, 0.05, 0.95, 0.975])
    assert (found.low, found.least, found.most, found.high) == pytest.approx(tuple(exact), abs=0.0084)


def test_two_boards_are_enough_and_one_without_a_sample_changes_nothing() -> None:
    found = group_bounds([1, 2], [5, 5])
    assert found is not None
    assert group_bounds([1, 0, 2], [5, 0, 5]) == found
    single = group_bounds([0, 0, 1], [10, 10, 1])
    assert single is not None and single.most > 0, "a board with one sample counts"


@pytest.mark.parametrize(("cells", "draws"), [(10, 1000), (36, 1000), (1500, 1250), (4_000_000, 4000)])
def test_very_many_boards_are_drawn_less_often_and_in_pieces(
    cells: int, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    won, tried = [1, 0, 3, 2, 11, 5, 8, 1, 0, 13, 4, 2], [17, 23, 31, 29, 41, 37, 53, 19, 7, 61, 43, 13]
    whole = group_bounds(won, tried, draws=draws)
    monkeypatch.setattr(evidence, "_MOST_CELLS", cells)
    assert group_bounds(won, tried) == whole


def test_resampling_is_the_same_every_time_and_does_not_touch_the_global_generator() -> None:
    before = np.random.get_state()[1].tolist()
    first = group_bounds([1, 0, 3, 0], [5, 5, 5, 5])
    assert first == group_bounds([1, 0, 3, 0], [5, 5, 5, 5])
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(("won", "tried"), [([], []), ([2], [9]), ([2, 0], [9, 0])])
def test_fewer_than_two_boards_say_nothing_of_how_boards_differ(won: list[int], tried: list[int]) -> None:
    assert group_bounds(won, tried) is None


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError):
        group_bounds([3, 0], [2, 2])
    with pytest.raises(InputError):
        group_bounds([1], [2, 2])


def test_errors_on_one_board_widen_the_interval_and_errors_spread_evenly_do_not() -> None:
    tried = [20] * 10
    together, apart = group_bounds([10, *[0] * 9], tried), group_bounds([1] * 10, tried)
    exact = exact_bounds(10, 200)
    assert together is not None
    assert apart is not None
    assert together.most > exact.most
    assert wider(exact, apart) == exact
    assert wider(exact, together).most == together.most
    assert wider(exact, None) == exact
    assert spread_factor(10, 200, exact, wider(exact, together)) > 2
    assert spread_factor(10, 200, exact, wider(exact, apart)) == 1.0


def test_the_wider_side_says_how_many_samples_tell_as_much_as_one() -> None:
    exact = Bounds(low=0.03, high=0.09, least=0.04, most=0.08)
    assert spread_factor(5, 100, exact, Bounds(0.0, 0.2, 0.02, 0.12)) == pytest.approx(9.0)
    assert spread_factor(5, 100, exact, Bounds(0.0, 0.2, 0.04, 0.14)) == pytest.approx(9.0)
    assert spread_factor(0, 100, Bounds(0.0, 0.04, 0.0, 0.03), Bounds(0.0, 0.08, 0.0, 0.06)) == pytest.approx(4.0)
    assert spread_factor(0, 0, Bounds(0.0, 1.0, 0.0, 0.9), Bounds(0.0, 1.0, 0.0, 0.9)) == 1.0
    assert spread_factor(0, 0, Bounds(0.0, 1.0, 0.0, 0.4), Bounds(0.0, 1.0, 0.0, 0.8)) == pytest.approx(4.0)


def test_without_an_error_resampling_says_nothing_and_the_exact_bound_counts() -> None:
    exact, grouped = exact_bounds(0, 200), group_bounds([0] * 10, [20] * 10)
    assert grouped == Bounds(0.0, 0.0, 0.0, 0.0)
    assert wider(exact, grouped) == exact


@pytest.mark.parametrize("limit", [0.05, 0.01, 0.001])
def test_the_number_without_an_error_is_the_first_whose_bound_shows_the_limit(limit: float) -> None:
    n = trials_to_show(0.0, limit, at_most=True)
    assert n is not None
    assert exact_bounds(0, n).most <= limit < exact_bounds(0, n - 1).most
    assert trials_to_show(1.0, 1 - limit, at_most=False) == n


@given(st.integers(0, 20), st.integers(40, 400), st.floats(0.02, 0.5))
@settings(max_examples=40, deadline=None)
def test_that_many_samples_at_the_same_rate_show_the_limit(errors: int, trials: int, limit: float) -> None:
    rate = errors / trials
    found = trials_to_show(rate, limit, at_most=True)
    if rate >= limit:
        assert found is None
    elif found is not None and found < 20_000:
        # The least whole number of errors at that rate still shows it; well below that number no rounding does.
        assert exact_bounds(int(rate * found), found).most <= limit + 1e-9
        fewer = int(found * 0.9)
        if fewer > 1:
            assert exact_bounds(min(fewer, int(np.ceil(rate * fewer))), fewer).most > limit - 1e-9


@pytest.mark.parametrize(
    ("share", "limit", "at_most"), [(0.0, 0.0, True), (1.0, 1.0, False), (0.05, 0.05, True), (0.98, 0.99, False)]
)
def test_no_number_shows_certainty_or_a_limit_that_is_not_beaten(share: float, limit: float, at_most: bool) -> None:
    assert trials_to_show(share, limit, at_most=at_most) is None


def test_a_limit_that_everything_meets_is_shown_by_one_sample_and_a_loose_one_too() -> None:
    assert trials_to_show(0.5, 1.0, at_most=True) == 1
    assert trials_to_show(1.0, 1.0, at_most=True) == 1
    assert trials_to_show(0.0, 0.0, at_most=False) == 1
    assert trials_to_show(0.0, 0.96, at_most=True) == 1


def test_more_samples_than_a_plan_can_ask_for_are_no_answer() -> None:
    # 59 without an error show 5 %; the search goes by powers of two.
    assert trials_to_show(0.0, 0.05, at_most=True, factor=MOST_SAMPLES / 64) == math.ceil(59 * MOST_SAMPLES / 64)
    assert trials_to_show(0.0, 0.05, at_most=True, factor=MOST_SAMPLES / 63) is None


@pytest.mark.parametrize(
    ("value", "at_most", "strict", "met"),
    [
        (4.9, True, True, True),
        (5.1, True, True, False),
        (5.0, True, True, False),
        (5.0, True, False, True),
        (5.1, False, True, True),
        (4.9, False, False, False),
        (5.0, False, True, False),
        (5.0, False, False, True),
        (5.0 + 1e-13, True, False, True),
        (5.0 - 1e-13, True, True, False),
        (5.0 + 1e-9, True, False, False),
    ],
)
def test_a_figure_that_equals_its_limit_but_for_rounding_meets_it_unless_it_must_beat_it(
    value: float, at_most: bool, strict: bool, met: bool
) -> None:
    assert meets(value, 5.0, at_most=at_most, strict=strict) is met


def test_boards_that_differ_ask_for_more_samples() -> None:
    alone = trials_to_show(0.02, 0.05, at_most=True)
    assert alone is not None
    assert trials_to_show(0.02, 0.05, at_most=True, factor=3.0) in range(3 * alone - 3, 3 * alone + 1)


def test_a_share_just_below_the_limit_asks_for_more_than_anybody_has() -> None:
    assert trials_to_show(0.0499999, 0.05, at_most=True) is None


def test_the_share_of_a_beta_distribution_agrees_with_a_known_one() -> None:
    assert beta_share(2, 3, 0.4) == pytest.approx(0.5248)
    assert beta_share(1.5, 1.5, 0.5) == pytest.approx(0.5)
