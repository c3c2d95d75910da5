"""Which pool rows are chosen: by likeness, by the model's own weakness, never twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.tasks.changenet.selection import default_budget, needs_scores, select, suspects

LABELS = ["PASS", "BRIDGE", "PASS", "BRIDGE", "PASS", "OPEN"]
SCORES = [0.9, 0.2, 0.1, 0.8, 0.6, 0.4]


def chosen(strategy: str, budget: int | None = 4, **changes: Any) -> list[int]:
    arguments: dict[str, Any] = {
        "labels": LABELS,
        "candidate": np.ones(6, dtype=bool),
        "used": np.zeros(6, dtype=bool),
        "kept": np.array([3, 2]),
        "scores": np.array(SCORES),
        "threshold": 0.5,
        "seed": (1, 1),
    }
    return [int(row) for row in select(strategy, budget=budget, **{**arguments, **changes})]


def test_hardest_takes_the_lowest_scored_defects_and_the_highest_scored_passes_by_halves() -> None:
    assert chosen("hardest") == [1, 5, 0, 4]
    assert chosen("hardest", budget=2) == [1, 0]


def test_what_one_half_cannot_fill_the_other_does() -> None:
    assert chosen("hardest", candidate=np.array([x == "PASS" for x in LABELS])) == [0, 4, 2]
    assert chosen("hardest", budget=5) == [1, 5, 0, 4, 2]


def test_nearest_takes_what_the_search_kept_in_its_order() -> None:
    assert chosen("nearest", budget=None) == [3, 2]
    assert chosen("nearest", budget=1) == [3]


def test_blend_takes_half_by_likeness_and_no_row_twice() -> None:
    rows = chosen("blend")
    assert rows[:2] == [3, 2] and len(set(rows)) == 4


def test_rows_of_earlier_iterations_are_never_taken_again() -> None:
    used = np.array([True, True, False, True, False, False])
    for strategy in ("nearest", "hardest", "blend", "random", "all"):
        assert not set(chosen(strategy, used=used)) & {0, 1, 3}


def test_random_is_decided_by_its_seed() -> None:
    assert chosen("random", budget=3, seed=(1, 1)) == chosen("random", budget=3, seed=(1, 1))
    assert any(chosen("random", budget=3, seed=(1, 1)) != chosen("random", budget=3, seed=(n, 1)) for n in range(9))


def test_only_strategies_that_look_at_scores_ask_for_them() -> None:
    assert [s for s in ("nearest", "hardest", "blend", "random", "all") if needs_scores(s)] == ["hardest", "blend"]


@pytest.mark.parametrize(("rows", "budget"), [(2000, 200), (360, 90), (3, 1)])
def test_the_default_budget_leaves_a_small_pool_for_later_iterations(rows: int, budget: int) -> None:
    assert default_budget(rows) == budget


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1)), min_size=1, max_size=40),
    st.integers(1, 50),
    st.floats(0, 1),
)
def test_nothing_weaker_of_its_kind_is_left_behind(
    pool: list[tuple[bool, bool, float]], budget: int, threshold: float
) -> None:
    labels = ["PASS" if is_pass else "BRIDGE" for is_pass, _, _ in pool]
    used = np.array([u for _, u, _ in pool])
    scores = np.array([s for _, _, s in pool])
    n = len(pool)
    rows = chosen(
        "hardest",
        budget,
        labels=labels,
        used=used,
        scores=scores,
        threshold=threshold,
        candidate=np.ones(n, dtype=bool),
        kept=np.array([], dtype=np.int64),
    )
    aside = set(suspects(labels, scores, np.flatnonzero(~used)).tolist())
    assert not aside & set(rows)
    assert len(rows) == len(set(rows)) == min(budget, int((~used).sum()) - len(aside))
    weakness = np.where([x == "PASS" for x in labels], scores - threshold, threshold - scores)
    for kind in ("PASS", "BRIDGE"):
        taken = [weakness[r] for r in rows if labels[r] == kind]
        left = [weakness[r] for r in range(n) if labels[r] == kind and r not in rows and not used[r] and r not in aside]
        assert not taken or not left or min(taken) >= max(left)


def suspected(labels: list[str], scores: list[float]) -> list[int]:
    return [int(row) for row in suspects(labels, np.array(scores), np.arange(len(labels)))]


def test_a_label_that_the_model_contradicts_outright_is_set_aside() -> None:
    labels = ["PASS"] * 8 + ["BRIDGE"] * 8
    scores = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.6, 0.99, 0.01, 0.5, 0.8, 0.8, 0.9, 0.9, 0.95, 0.95]
    assert suspected(labels, scores) == [7, 8]
    rows = select(
        "hardest",
        labels=labels,
        candidate=np.ones(16, dtype=bool),
        used=np.zeros(16, dtype=bool),
        kept=np.array([], dtype=np.int64),
        scores=np.array(scores),
        threshold=0.5,
        budget=4,
        seed=(1, 1),
    )
    assert rows.tolist() == [9, 10, 6, 4]


def test_nobody_is_suspected_by_one_class_alone_or_by_a_model_that_ranks_them_the_wrong_way_round() -> None:
    assert suspected(["PASS", "PASS"], [0.1, 0.9]) == []
    assert suspected(["BRIDGE", "BRIDGE"], [0.1, 0.9]) == []
    assert suspected(["PASS", "PASS", "BRIDGE", "BRIDGE"], [0.8, 0.9, 0.1, 0.2]) == []


def test_a_row_without_a_score_is_neither_suspected_nor_hardest() -> None:
    assert suspected(["PASS", "PASS", "BRIDGE"], [0.1, np.nan, 0.9]) == []
    assert 0 not in chosen("hardest", scores=np.array([np.nan, *SCORES[1:]]))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=40))
def test_whoever_is_suspected_lies_beyond_a_quarter_of_the_other_class(pool: list[tuple[bool, float]]) -> None:
    labels = ["PASS" if is_pass else "BRIDGE" for is_pass, _ in pool]
    for row in suspected(labels, [score for _, score in pool]):
        is_pass, score = pool[row]
        others = [other for other_is_pass, other in pool if other_is_pass != is_pass]
        beyond = sum(other < score if is_pass else other > score for other in others)
        assert beyond >= len(others) / 4
