"""The closed form against the rule fitted anew without each sample."""

from __future__ import annotations

import numpy as np
import pytest

from tao_skill_bank.metrics.left_out import SHRINKAGE, left_out_margins


def by_hand(features: np.ndarray, side: np.ndarray) -> np.ndarray:
    """A fit a sample, over everything but its own row; centre, weights and shrinkage are those of the whole set."""
    weight = np.where(side, 0.5 / side.mean(), 0.5 / (1 - side.mean()))
    goal = np.where(side, 1.0, -1.0)
    rows = np.column_stack([features - weight @ features / weight.sum(), np.ones(len(side))])
    scaled, d = rows * np.sqrt(weight)[:, None], rows.shape[1]
    shrunk = SHRINKAGE * (scaled[:, :-1] ** 2).sum() / d
    out = np.zeros(len(side))
    for at in range(len(side)):
        kept = np.arange(len(side)) != at
        normal = scaled[kept].T @ scaled[kept] + shrunk * np.eye(d)
        rule = np.linalg.solve(normal, scaled[kept].T @ (goal * np.sqrt(weight))[kept])
        out[at] = -goal[at] * (rows[at] @ rule)
    return out


@pytest.mark.parametrize(("n", "d"), [(12, 40), (40, 12), (20, 19)], ids=["wide", "long", "even"])
def test_a_margin_is_that_of_a_rule_which_never_saw_the_sample(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    side = np.arange(n) % 3 != 0
    features = rng.normal(size=(n, d)) + side[:, None]
    assert left_out_margins(features, side) == pytest.approx(by_hand(features, side), abs=1e-8)


def test_a_turned_label_stands_out_although_it_pulls_the_rule_to_itself() -> None:
    rng = np.random.default_rng(3)
    side = np.arange(60) % 2 == 0
    features = rng.normal(0, 0.3, (60, 200)) + side[:, None] * 0.5
    side[7] = ~side[7]
    margins = left_out_margins(features, side)
    assert margins.argmax() == 7 and margins[7] > 0.5
    assert np.delete(margins, 7).max() < 0


@pytest.mark.parametrize("side", [np.ones(4, bool), np.zeros(4, bool)])
def test_of_one_side_alone_nothing_is_contradicted(side: np.ndarray) -> None:
    assert left_out_margins(np.eye(4), side).tolist() == [-1.0] * 4


def test_of_equal_pictures_nothing_is_contradicted() -> None:
    assert left_out_margins(np.ones((4, 3)), np.array([True, False, True, False])).tolist() == [-1.0] * 4
