"""Two models on the same parts: areas against scikit-learn and a bootstrap, and how far one may be worse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics.two_models import area_difference, midranks, worse_by


def drawn(seed: int, goods: int, defects: int, rounded: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_pass = rng.permutation(np.arange(goods + defects) < goods)
    common = rng.normal(size=goods + defects) - 1.2 * is_pass
    first, second = (common + rng.normal(size=goods + defects) * w for w in (0.8, 0.4))
    return (first.round(1), second.round(1), is_pass) if rounded else (first, second, is_pass)


@pytest.mark.parametrize("rounded", [False, True])
def test_areas_are_those_of_scikit_learn_ties_counting_half(rounded: bool) -> None:
    first, second, is_pass = drawn(3, 120, 60, rounded)
    found = area_difference(first, second, is_pass)
    assert found is not None
    assert found.first == pytest.approx(roc_auc_score(~is_pass, first))
    assert found.second == pytest.approx(roc_auc_score(~is_pass, second))


def test_midranks_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).integers(0, 9, size=200).astype(float)
    assert midranks(values).tolist() == stats.rankdata(values).tolist()


def test_the_interval_of_two_areas_is_as_wide_as_a_bootstrap_says() -> None:
    first, second, is_pass = drawn(5, 300, 200, False)
    found = area_difference(first, second, is_pass)
    assert found is not None and found.low is not None and found.high is not None
    rng = np.random.default_rng(0)
    goods, defects = np.flatnonzero(is_pass), np.flatnonzero(~is_pass)
    again = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(goods, len(goods)), rng.choice(defects, len(defects))])
        drawn_again = area_difference(first[rows], second[rows], is_pass[rows])
        assert drawn_again is not None
        again.append(drawn_again.difference)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(again), rel=0.15)


def test_two_equal_models_do_not_differ() -> None:
    first, _, is_pass = drawn(7, 40, 30, False)
    found = area_difference(first, first, is_pass)
    assert found is not None and found.difference == 0 and found.p is None


def test_a_class_of_one_sample_and_scores_without_a_number_say_nothing() -> None:
    assert area_difference([0.1, 0.2, 0.9], [0.1, 0.2, 0.9], [True, True, False]) is None
    with pytest.raises(InputError, match="finite"):
        area_difference([0.1, float("nan")], [0.1, 0.2], [True, False])


def test_the_bounds_of_being_worse_hold_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    number, lost, gained = 300, 0.03, 0.01
    draws = rng.multinomial(number, [lost, gained, 1 - lost - gained], size=1500)
    bounds = {tuple(d[:2]): worse_by(int(d[0]), int(d[1]), number) for d in draws}
    held = np.mean(
        [[bounds[tuple(d[:2])][1] <= lost - gained, bounds[tuple(d[:2])][2] >= lost - gained] for d in draws], axis=0
    )
    assert (held >= 0.95).all()


def test_no_part_says_nothing_of_two_models() -> None:
    assert worse_by(0, 0, 0) == (0.0, -1.0, 1.0)
