"""The numeric core against a brute-force sweep in exact arithmetic."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.metrics import (
    clopper_pearson,
    confusion_at,
    far_at_recall,
    far_without_weakest,
    operating_curve,
    optimal_threshold,
    parting_scores,
    samples_needed,
    thinned_curve,
)

TIED = st.sampled_from([-1.5, -0.25, 0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0])
ANY = st.floats(-1e6, 1e6, allow_nan=False)
ROWS = st.lists(st.tuples(TIED | ANY, st.booleans()), min_size=1, max_size=40) | st.lists(
    st.tuples(TIED, st.booleans()), min_size=1, max_size=40
)
RECALLS = st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.9, 0.99, 1.0])


def candidates(scores: list[float]) -> list[float]:
    return [math.nextafter(min(scores), -math.inf), *sorted(set(scores))]


def counts(scores: list[float], passes: list[bool], t: float) -> tuple[int, int, int, int]:
    tp = sum(s > t and not p for s, p in zip(scores, passes, strict=True))
    fp = sum(s > t and p for s, p in zip(scores, passes, strict=True))
    tn = sum(s <= t and p for s, p in zip(scores, passes, strict=True))
    return tp, fp, tn, len(scores) - tp - fp - tn


def brute_optimum(scores: list[float], passes: list[bool], floor: float) -> float | None:
    """The sweep in the plainest form, with the textbook F1 of floats."""
    best: tuple[float, float, float] | None = None
    for t in candidates(scores):
        tp, fp, _tn, fn = counts(scores, passes, t)
        if tp + fn == 0 or tp / (tp + fn) < floor - 1e-12:
            continue
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        key = (f1, precision, t)
        best = key if best is None else max(best, key)
    return None if best is None else best[2]


def split(rows: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [s for s, _ in rows], [p for _, p in rows]


@settings(max_examples=400)
@given(ROWS, RECALLS)
@example([(0.5, False), (0.5, True)], 1.0)
@example([(0.0, False), (-0.0, True)], 0.5)
def test_the_optimal_threshold_equals_a_brute_force_sweep(rows: list[tuple[float, bool]], floor: float) -> None:
    scores, passes = split(rows)
    found = optimal_threshold(scores, passes, floor)
    expected = brute_optimum(scores, passes, floor)
    assert (None if found is None else found.threshold) == expected
    if found is not None:
        assert found == confusion_at(scores, passes, found.threshold)
        assert (found.tp, found.fp, found.tn, found.fn) == counts(scores, passes, found.threshold)


@settings(max_examples=300)
@given(ROWS, RECALLS)
def test_far_at_a_recall_is_read_at_the_highest_candidate_that_keeps_it(
    rows: list[tuple[float, bool]], recall: float
) -> None:
    scores, passes = split(rows)
    found = far_at_recall(scores, passes, recall)
    if all(passes):
        assert found is None
        return
    total = passes.count(False)
    kept = [t for t in candidates(scores) if counts(scores, passes, t)[0] / total >= recall - 1e-12]
    assert found is not None
    assert found.threshold == max(kept)
    assert found == confusion_at(scores, passes, max(kept))


@settings(max_examples=200)
@given(ROWS)
def test_far_at_full_recall_is_the_share_of_pass_rows_not_below_the_lowest_ng_score(
    rows: list[tuple[float, bool]],
) -> None:
    scores, passes = split(rows)
    found = far_at_recall(scores, passes, 1.0)
    lowest = min((s for s, p in rows if not p), default=None)
    if lowest is None:
        assert found is None
        return
    ok = [s for s, p in rows if p]
    assert found is not None
    assert found.far == (sum(s >= lowest for s in ok) / len(ok) if ok else 0.0)


@settings(max_examples=200)
@given(ROWS)
def test_the_operating_curve_holds_every_candidate_with_its_counts(rows: list[tuple[float, bool]]) -> None:
    scores, passes = split(rows)
    curve = operating_curve(scores, passes)
    assert curve.thresholds.tolist() == candidates(scores)
    for i, t in enumerate(curve.thresholds.tolist()):
        point = confusion_at(scores, passes, t)
        assert curve.at(i) == point
        rates = (curve.precision[i], curve.recall[i], curve.f1[i], curve.far[i], curve.accuracy[i])
        assert rates == (point.precision, point.recall, point.f1, point.far, point.accuracy)


def test_a_pass_row_at_the_lowest_ng_score_counts_as_a_false_accept() -> None:
    scores = [0.1, 0.3, 0.5, 0.3, 0.9]
    passes = [True, True, True, False, False]
    point = far_at_recall(scores, passes, 1.0)
    assert point is not None
    assert (point.threshold, point.fp, round(100 * point.far, 4)) == (0.1, 2, 66.6667)


def test_equal_f1_is_decided_by_precision() -> None:
    # Of 2 defects, TP 1 with FP 0 and TP 2 with FP 2 both have F1 = 2/3; the first has the higher precision.
    defects, passes = [0.9, 0.1], [0.7, 0.65]
    point = optimal_threshold(defects + passes, [False] * 2 + [True] * 2, 0.0)
    assert point is not None
    assert (point.tp, point.fp, point.threshold) == (1, 0, 0.7)


@settings(max_examples=200)
@given(ROWS, st.lists(ANY, max_size=3), st.integers(14, 40))
def test_a_thinned_curve_keeps_the_corners_and_its_limit(
    rows: list[tuple[float, bool]], keep: list[float], limit: int
) -> None:
    scores, passes = split(rows)
    curve = thinned_curve(scores, passes, keep, limit)
    got = curve.thresholds.tolist()
    everything = candidates(scores)
    must = {everything[0], everything[-1], *keep}
    full = far_at_recall(scores, passes, 1.0)
    if full is not None:
        must.add(full.threshold)
    if any(passes):
        must.add(max(s for s, p in rows if p))
    assert len(got) <= limit
    assert must <= set(got) <= set(everything) | set(keep)
    assert got == sorted(set(got))
    if len(everything) + 6 + len(keep) <= limit:
        assert set(got) == set(everything) | set(keep)
    for i, t in enumerate(got):
        assert curve.at(i) == confusion_at(scores, passes, t)


def test_a_thinned_curve_of_many_rows_is_spaced_evenly_in_recall_and_far() -> None:
    random = np.random.default_rng(3)
    passes = random.random(50_000) < 0.9
    curve = thinned_curve(random.random(50_000) + ~passes, passes, [0.5], 1000)
    assert 900 < len(curve) <= 1000
    assert np.abs(np.diff(curve.recall)).max() < 0.005
    assert np.abs(np.diff(curve.far)).max() < 0.005


def test_without_ng_rows_no_recall_can_be_reached() -> None:
    assert optimal_threshold([0.1, 0.2], [True, True], 0.5) is None
    assert optimal_threshold([0.1, 0.2], [True, True], 0.0) is None
    assert far_at_recall([0.1, 0.2], [True, True], 0.0) is None


@pytest.mark.parametrize("digits", [2, 3, 6])
@pytest.mark.parametrize("floor", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_on_many_rows_the_optimum_is_the_best_point_of_the_whole_curve(digits: int, floor: float) -> None:
    random = np.random.default_rng(digits)
    passes = random.random(30_000) < 0.8
    scores = np.round(random.normal(0, 1, 30_000) + 1.2 * ~passes, digits)
    curve = operating_curve(scores, passes)
    kept = np.flatnonzero(curve.recall >= floor - 1e-12)
    best = kept[np.lexsort((curve.thresholds[kept], curve.precision[kept], curve.f1[kept]))[-1]]
    assert optimal_threshold(scores, passes, floor) == curve.at(int(best))


def test_inputs_are_not_changed() -> None:
    scores = np.array([0.5, 0.1, 0.9, 0.3])
    passes = np.array([True, False, False, True])
    before = scores.copy()
    optimal_threshold(scores, passes, 0.5)
    far_at_recall(scores, passes, 0.5)
    operating_curve(scores, passes)
    assert scores.tolist() == before.tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    for function in (optimal_threshold, operating_curve):
        with pytest.raises(InputError, match="not finite"):
            function([0.1, bad], [True, False])


@pytest.mark.parametrize("recall", [-0.1, 1.01, math.nan])
def test_a_recall_outside_zero_to_one_is_refused(recall: float) -> None:
    with pytest.raises(InputError, match=r"0\.\.1"):
        optimal_threshold([0.1, 0.2], [True, False], recall)
    with pytest.raises(InputError, match=r"0\.\.1"):
        far_at_recall([0.1, 0.2], [True, False], recall)


def test_empty_or_mismatched_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        optimal_threshold([], [])
    with pytest.raises(InputError, match="shape"):
        confusion_at([0.1], [True, False], 0.5)


def test_no_missed_defect_of_350_is_a_recall_of_at_least_98_95_percent() -> None:
    low, high = clopper_pearson(350, 350)
    assert (round(low, 4), high) == (0.9895, 1.0)


@settings(max_examples=100)
@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_ends_where_the_binomial_tails_hold_half_of_what_is_left(a: int, b: int, conf: float) -> None:
    k, n = min(a, b), max(a, b)
    low, high = clopper_pearson(k, n, conf)

    def tail_at_least(p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    half = (1 - conf) / 2
    assert low == 0.0 if k == 0 else math.isclose(tail_at_least(low), half, rel_tol=1e-6)
    upper = 1 - tail_at_least(high) + math.comb(n, k) * high**k * (1 - high) ** (n - k)
    assert high == 1.0 if k == n else math.isclose(upper, half, rel_tol=1e-6, abs_tol=1e-9)


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
@example(1, 10**6, 0.95)
@example(10**6 - 1, 10**6, 0.95)
@example(500_000, 10**6, 0.95)
def test_the_interval_agrees_with_scipy_at_any_size(a: int, b: int, conf: float) -> None:
    from scipy.special import betaincinv

    k, n = min(a, b), max(a, b)
    low, high = clopper_pearson(k, n, conf)
    half = (1 - conf) / 2
    assert math.isclose(low, 0.0 if k == 0 else betaincinv(k, n - k + 1, half), rel_tol=1e-7)
    assert math.isclose(high, 1.0 if k == n else betaincinv(k + 1, n - k, 1 - half), rel_tol=1e-7)


@settings(max_examples=100)
@given(st.floats(0.01, 0.9999), st.sampled_from([0.8, 0.95, 0.99]))
def test_samples_needed_is_the_smallest_flawless_set_whose_bound_reaches_the_recall(recall: float, conf: float) -> None:
    n = samples_needed(recall, conf)
    tail = (1 - conf) / 2
    assert tail ** (1 / n) >= recall
    assert n == 1 or tail ** (1 / (n - 1)) < recall


def test_certainty_cannot_be_sampled() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        samples_needed(1.0)
    with pytest.raises(InputError, match="0 <= successes"):
        clopper_pearson(3, 2)
    with pytest.raises(InputError, match="confidence"):
        clopper_pearson(1, 2, 1.0)


@given(rows=ROWS)
def test_recall_never_falls_while_far_rises_along_a_curve(rows: list[tuple[float, bool]]) -> None:
    scores, passes = [s for s, _ in rows], [p for _, p in rows]
    for curve in (operating_curve(scores, passes), thinned_curve(scores, passes, limit=12)):
        far, recall = curve.recall_over_far()
        assert len(far) == len(recall) == len(curve)
        assert (np.diff(far) >= 0).all() and (np.diff(recall) >= 0).all()


SMALL = st.lists(st.tuples(TIED, st.booleans()), min_size=1, max_size=9)


@given(rows=SMALL, recall=RECALLS, count=st.sampled_from([1, 2, 3]))
@settings(max_examples=300, deadline=None)
def test_leaving_out_the_lowest_is_held_against_every_other_choice(
    rows: list[tuple[float, bool]], recall: float, count: int
) -> None:
    scores, passes = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    defects = np.flatnonzero(~passes)
    found = far_without_weakest(scores, passes, recall, count)
    if len(defects) < count + 1:
        assert found is None
        return
    lowest = set(defects[np.argsort(scores[defects], kind="stable")][:count].tolist())

    def far(out: tuple[int, ...]) -> float:
        keep = np.array([i not in out for i in range(len(scores))])
        point = far_at_recall(scores[keep], passes[keep], recall)
        assert point is not None
        return point.far

    others = [far(c) for c in combinations(defects.tolist(), count) if set(c) != lowest]
    assert found is not None
    assert found[0].far == far(tuple(lowest))
    assert found[1].far == min(others)


def test_below_full_recall_no_single_sample_sets_far_because_the_quota_moves() -> None:
    scores = [0.1 * i for i in range(20)] + [0.05 * i for i in range(40)]
    passes = [False] * 20 + [True] * 40
    found = far_without_weakest(scores, passes, 0.7, 1)
    assert found is not None and found[0].far == found[1].far


@given(rows=ROWS)
@settings(deadline=None)
def test_the_parting_score_of_a_row_parts_all_others_best(rows: list[tuple[float, bool]]) -> None:
    scores, passes = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    found = parting_scores(scores, passes)
    for i, at in enumerate(found.tolist()):
        others, kinds = np.delete(scores, i), np.delete(passes, i)

        def parted(t: float, others: np.ndarray = others, kinds: np.ndarray = kinds) -> float:
            return float((others[~kinds] > t).mean() - (others[kinds] > t).mean())

        two = bool(kinds.any() and not kinds.all())
        best = max(parted(t) for t in candidates(others.tolist())) if two else 0.0
        if math.isnan(at):
            assert best < 1e-9
        else:
            assert parted(at) == pytest.approx(best, abs=1e-9)


def test_the_parting_score_stands_in_the_middle_of_a_gap_however_rare_defects_are() -> None:
    scores = [0.1] * 500 + [0.2] * 500 + [0.8, 0.8]
    found = parting_scores(scores, [True] * 1000 + [False] * 2)
    assert found.tolist() == pytest.approx([0.5] * 1002)


def test_a_row_does_not_move_the_parting_score_to_its_own_side() -> None:
    scores = [0.1, 0.2, 0.35, 0.6, 0.7]
    found = parting_scores(scores, [True, True, False, False, False])
    assert found[2] == pytest.approx(0.4)  # between 0.2 and 0.6, for all others
    assert found[4] == pytest.approx(0.275)
