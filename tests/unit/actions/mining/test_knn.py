"""The neighbour search against a brute-force oracle: every pair in float64, rounded to float32, sorted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tao_skill_bank.actions.mining import knn as module
from tao_skill_bank.actions.mining.knn import Search, knn, merge_topk
from tao_skill_bank.core.errors import InputError

METRICS = ("cosine", "euclidean", "manhattan")


def score(a, b, metric):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "manhattan":
        return np.float32(-np.add.reduce(np.abs(a - b)))
    if metric == "euclidean":
        return np.float32(-np.sqrt(np.add.reduce((a - b) * (a - b))))
    size = np.sqrt(np.add.reduce(a * a)) * np.sqrt(np.add.reduce(b * b))
    return np.float32(np.clip(np.add.reduce(a * b) / size, -1, 1)) if size > 0 else np.float32(0)


def oracle(source, target, k, metric, source_groups=None, target_groups=None):
    indices = np.full((len(target), k), -1)
    scores = np.full((len(target), k), -np.inf, dtype=np.float32)
    for t, row in enumerate(target):
        found = sorted(
            (-score(row, other, metric), s)
            for s, other in enumerate(source)
            if source_groups is None or source_groups[s] == target_groups[t]
        )[:k]
        for place, (negative, s) in enumerate(found):
            indices[t, place], scores[t, place] = s, -negative
    return indices, scores


def searched(source, target, k, metric="cosine", *, block_rows=7, source_groups=None, target_groups=None):
    """The search over a source that arrives in blocks of so many rows."""
    search = Search(target, k, metric, groups=target_groups)
    for start in range(0, len(source), block_rows):
        block = slice(start, start + block_rows)
        search.add(source[block], None if source_groups is None else source_groups[block])
    return search.result()


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


# Few values and few dimensions: equal rows, zero rows and tied distances in nearly every example.
coarse = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0])
fine = st.floats(-1e4, 1e4, width=32, allow_subnormal=True)


@st.composite
def problems(draw):
    d = draw(st.integers(1, 5))
    values = draw(st.sampled_from([coarse, fine]))
    source = draw(arrays(np.float32, (draw(st.integers(1, 24)), d), elements=values))
    target = draw(arrays(np.float32, (draw(st.integers(0, 6)), d), elements=values))
    repeat = draw(st.lists(st.integers(0, len(source) - 1), max_size=12))
    source = np.concatenate([source, source[repeat]]) if repeat else source
    return source, target, draw(st.integers(1, 8)), draw(st.sampled_from(METRICS))


@settings(max_examples=300)
@given(problems(), st.integers(1, 30))
def test_any_block_size_gives_what_every_pair_compared_gives(problem, block_rows):
    source, target, k, metric = problem
    same(searched(source, target, k, metric, block_rows=block_rows), oracle(source, target, k, metric))


@settings(max_examples=150)
@given(problems(), st.data())
def test_within_groups_only_rows_of_the_targets_own_group_are_found(problem, data):
    source, target, k, metric = problem
    letters = st.sampled_from(["a", "b", "c"])
    source_groups = data.draw(st.lists(letters, min_size=len(source), max_size=len(source)))
    target_groups = data.draw(st.lists(letters, min_size=len(target), max_size=len(target)))
    got = searched(source, target, k, metric, source_groups=source_groups, target_groups=target_groups)
    same(got, oracle(source, target, k, metric, source_groups, target_groups))


@settings(max_examples=150)
@given(problems(), st.lists(st.integers(0, 40), max_size=4))
def test_searches_over_shards_merge_into_the_search_over_everything(problem, cuts):
    source, target, k, metric = problem
    edges = sorted({0, len(source), *(c for c in cuts if c < len(source))})
    parts = []
    for start, stop in itertools.pairwise(edges):
        indices, scores = knn(source[start:stop], target, k, metric)
        parts.append((np.where(indices < 0, -1, indices + start), scores))
    same(merge_topk(reversed(parts), k), knn(source, target, k, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_wide_vectors_near_each_other_are_ranked_as_in_double_precision(metric):
    rng = np.random.default_rng(5)
    centre = rng.normal(size=256)
    source = (centre + 1e-5 * rng.normal(size=(400, 256))).astype(np.float32)
    target = (centre + 1e-5 * rng.normal(size=(9, 256))).astype(np.float32)
    same(searched(source, target, 7, metric, block_rows=64), oracle(source, target, 7, metric))


def test_thousands_of_equal_rows_give_the_lowest_indices_without_scoring_them_all(monkeypatch):
    rng = np.random.default_rng(1)
    blank = np.ones(32, dtype=np.float32)
    source = rng.normal(size=(6000, 32)).astype(np.float32)
    equal = np.sort(rng.choice(6000, 4000, replace=False))
    source[equal] = blank
    scored = []
    exact = module.Search._take

    def count(self, rows, block, columns, numbers):
        scored.append(len(rows))
        exact(self, rows, block, columns, numbers)

    monkeypatch.setattr(module.Search, "_take", count)
    indices, scores = knn(source, np.repeat(blank[None], 50, axis=0), 5)
    np.testing.assert_array_equal(indices, np.repeat(equal[None, :5], 50, axis=0))
    assert (scores == 1).all()
    assert sum(scored) < 50 * 200


def test_an_equal_row_in_a_later_block_does_not_displace_an_earlier_one():
    source = np.tile(np.array([[1.0, 2.0]]), (10, 1))
    indices, _ = searched(source, source[:1], 3, block_rows=2)
    assert indices.tolist() == [[0, 1, 2]]


def test_more_neighbors_than_rows_leaves_empty_places():
    indices, scores = knn(np.eye(2), np.eye(2), 4)
    assert indices.tolist() == [[0, 1, -1, -1], [1, 0, -1, -1]]
    assert scores.tolist() == [[1, 0, -np.inf, -np.inf]] * 2


def test_a_zero_vector_has_cosine_zero_with_everything():
    source = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    indices, scores = knn(source, np.array([[1.0, 0.0], [0.0, 0.0]]), 3)
    assert indices.tolist() == [[2, 0, 1], [0, 1, 2]]
    assert scores.tolist() == [[1, 0, -1], [0, 0, 0]]


def test_very_short_vectors_keep_their_direction():
    source = np.array([[1e-30, 0], [0, 1e-30]], dtype=np.float32)
    indices, scores = knn(source, np.array([[0.0, 2e-38]], dtype=np.float32), 1)
    assert (indices.tolist(), scores.tolist()) == ([[1]], [[1.0]])


@pytest.mark.parametrize("metric", METRICS)
def test_large_offsets_do_not_hide_small_distances(metric):
    rng = np.random.default_rng(3)
    source = (1e6 + rng.normal(size=(300, 16))).astype(np.float32)
    same(searched(source, source[:20], 4, metric, block_rows=50), oracle(source, source[:20], 4, metric))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_value_that_is_not_finite_is_refused_with_its_row(bad, side):
    good, other = np.ones((5, 3)), np.ones((5, 3))
    other[3, 1] = bad
    source, target = (other, good) if side == "source" else (good, other)
    with pytest.raises(InputError, match=f"{side} row 4: the embedding holds NaN"):
        searched(source, target, 1, block_rows=2)


def test_sides_of_different_width_are_refused():
    with pytest.raises(InputError, match="source vectors have 3 numbers, target vectors 4"):
        knn(np.ones((2, 3)), np.ones((2, 4)), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "at least 1"),
        ({"metric": "cosin"}, "did you mean 'cosine'"),
        ({"source_groups": ["a", "b"]}, "groups of one side"),
        ({"target_groups": ["a", "b"]}, "groups of one side"),
        ({"source_groups": ["a"], "target_groups": ["a", "b"]}, "1 groups for 2 rows"),
        ({"source_groups": ["a", "b"], "target_groups": ["a"]}, "1 groups for 2 rows"),
        ({"source": np.ones(3)}, "shape"),
        ({"target": np.array([["x"]])}, "not numbers"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        searched(**{"source": np.ones((2, 2)), "target": np.ones((2, 2)), "k": 1} | arguments)


def test_merging_nothing_or_parts_for_other_targets_is_refused():
    with pytest.raises(InputError, match="no parts"):
        merge_topk([], 1)
    one = (np.zeros((2, 1), dtype=int), np.zeros((2, 1)))
    with pytest.raises(InputError, match="differ in shape"):
        merge_topk([one, (one[0][:1], one[1][:1])], 1)


def test_blocks_that_arrive_one_by_one_count_from_the_first_row_of_all():
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(50, 6)), rng.normal(size=(4, 6))
    same(searched(source, target, 3, block_rows=9), knn(source, target, 3))


def test_many_targets_are_searched_in_tiles_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(8)
    source, target = rng.normal(size=(300, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    whole = knn(source, target, 5)
    monkeypatch.setattr(module, "_TILE_BYTES", 300 * 4 * 7)
    same(knn(source, target, 5), whole)
    groups = (rng.integers(0, 2, 300), rng.integers(0, 2, 40))
    tiled = searched(source, target, 5, block_rows=300, source_groups=groups[0], target_groups=groups[1])
    same(tiled, oracle(source, target, 5, "cosine", *groups))


def test_a_running_search_shows_what_it_has_found_so_far():
    search = Search(np.array([[1.0, 0.0]]), 1)
    search.add(np.array([[0.0, 1.0]]))
    first = search.result()
    search.add(np.array([[2.0, 0.0]]))
    assert first[0].tolist() == [[0]]
    assert search.result()[0].tolist() == [[1]]


def test_merging_narrow_parts_leaves_empty_places():
    indices, scores = merge_topk([(np.array([[4]]), np.array([[0.5]])), (np.array([[1]]), np.array([[0.5]]))], 3)
    assert indices.tolist() == [[1, 4, -1]]
    assert scores.tolist() == [[0.5, 0.5, -np.inf]]


def test_a_block_must_bring_groups_when_the_targets_have_them_and_only_then():
    with pytest.raises(InputError, match="groups of one side"):
        Search(np.ones((1, 2)), 1, groups=["a"]).add(np.ones((1, 2)))
    with pytest.raises(InputError, match="2 groups for 1 rows"):
        Search(np.ones((1, 2)), 1, groups=["a"]).add(np.ones((1, 2)), ["a", "b"])
