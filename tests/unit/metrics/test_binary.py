"""Yes/no answers against a brute-force count, thresholds against every one of them, intervals against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tao_skill_bank.metrics import binary


def test_ten_thousand_random_tables_count_as_a_loop_counts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10_000):
        n = int(rng.integers(0, 9))
        truth = rng.integers(0, 2, n).astype(bool)
        said = rng.integers(-1, 2, n)
        found = binary.table(truth, said)
        wrong_yes = sum(1 for t, a in zip(truth, said, strict=True) if t and a != 1)
        wrong_no = sum(1 for t, a in zip(truth, said, strict=True) if not t and a != 0)
        p, q = int(truth.sum()), n - int(truth.sum())
        assert found.fn_rate == (wrong_yes / p if p else None)
        assert found.fp_rate == (wrong_no / q if q else None)
        assert found.accuracy == pytest.approx((n - wrong_yes - wrong_no) / n if n else None)
        assert (found.balanced_accuracy is None) == (not p or not q)
        if p and q:
            assert found.balanced_accuracy == pytest.approx(1 - (wrong_yes / p + wrong_no / q) / 2)
        assert found.TP + found.FN + found.unreadable_yes == p
        assert found.TN + found.FP + found.unreadable_no == q


def test_the_figures_of_the_example_are_these() -> None:
    found = binary.Table(P=180, N=180, TP=150, TN=140, FP=38, FN=28, unreadable_yes=2, unreadable_no=2)
    plain = found.plain()
    rates = ("fn_rate", "fp_rate", "accuracy", "balanced_accuracy")
    assert [plain[name] for name in rates] == [0.1667, 0.2222, 0.8056, 0.8056]


def test_the_threshold_is_that_of_an_exhaustive_sweep_ties_and_all() -> None:
    rng = np.random.default_rng(2)
    for _ in range(600):
        n = int(rng.integers(2, 14))
        scores = rng.integers(0, 6, n) / 5
        truth = rng.integers(0, 2, n).astype(bool)
        hold_fp = bool(rng.integers(2))
        limit = float(rng.choice([0.0, 0.1, 0.25, 0.5, 1.0]))
        found = binary.best_threshold(scores, truth, limit, hold_fp=hold_fp)
        if not truth.any() or truth.all():
            assert found is None
            continue
        best = None
        for t in [*sorted(set(scores.tolist())), float("inf")]:
            yes = scores >= t
            fn, fp = float(np.mean(~yes[truth])), float(np.mean(yes[~truth]))
            held, least = (fp, fn) if hold_fp else (fn, fp)
            if held <= limit and (best is None or least <= best[0]):
                best = (least, t, fn, fp)
        assert best is not None
        assert found is not None
        assert (found.threshold, found.fn_rate, found.fp_rate) == pytest.approx(best[1:])


def test_the_interval_of_balanced_accuracy_covers_at_least_95_percent() -> None:
    rng = np.random.default_rng(3)
    for p_yes, p_no in ((0.9, 0.7), (0.5, 0.97)):
        covered = 0
        for _ in range(400):
            wins = int(rng.binomial(40, p_yes)), int(rng.binomial(25, p_no))
            found = binary.balanced(wins, (40, 25))
            covered += found.low <= (p_yes + p_no) / 2 <= found.high
        assert covered / 400 >= 0.95


def test_rows_of_one_video_widen_the_interval_and_never_narrow_it() -> None:
    alike = np.array([[3, 3]] * 8 + [[0, 3]] * 2)
    plain, grouped = binary.share(24, 30), binary.share(24, 30, alike)
    assert grouped.low < plain.low
    assert grouped.high >= plain.high
    assert grouped.value == plain.value


def test_fisher_and_holm_say_what_is_known_of_them() -> None:
    assert binary.fisher_exact(3, 1, 1, 3) == pytest.approx(0.4857142857)
    assert binary.fisher_exact(8, 2, 1, 5) == pytest.approx(0.0349650350)
    assert binary.fisher_exact(0, 5, 0, 5) == pytest.approx(1.0)
    assert binary.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
