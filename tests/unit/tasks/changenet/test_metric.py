"""Which threshold serves a target best, against looking at every one; and what is measured there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.data.changenet.kpi import Scored
from tao_skill_bank.data.changenet.tables import PairTable
from tao_skill_bank.loop.metric import Measure
from tao_skill_bank.metrics import Threshold, confusion_at, far_at_recall, optimal_threshold
from tao_skill_bank.tasks.changenet.metric import ACCURACY, ESCAPE, F1, FAR, GRAMMAR, PRECISION, RECALL, best_point
from tao_skill_bank.tasks.changenet.scores import figures_at

_SETS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: {good for _, good in rows} == {True, False}
)
_NO_ROWS = PairTable(Path("inference.csv"), {})
_FIGURES = {FAR: "far", RECALL: "recall", ESCAPE: "escape_rate", F1: "f1", PRECISION: "precision", ACCURACY: "accuracy"}
_TARGETS = (
    "FAR < 5% at recall=100%",
    "FAR < 5% at recall=70%",
    "FAR <= 5% at escape rate <= 20%",
    "recall >= 90% at FAR <= 25%",
    "recall >= 90% at FAR < 25%",
    "escape rate < 10% at FAR <= 10%",
    "f1 >= 0.9",
    "f1 >= 0.9 at recall=80%",
    "precision >= 90% at recall=60%",
    "accuracy >= 95%",
)


def figure_pct(measure: Measure, point: Threshold) -> float:
    """A measure at an operating point, in percent."""
    return 100.0 * float(getattr(point, _FIGURES[measure]))


@given(rows=_SETS, text=st.sampled_from(_TARGETS))
def test_the_threshold_is_that_of_an_exhaustive_search(rows: list[tuple[int, bool]], text: str) -> None:
    scores = np.array([value / 12 for value, _ in rows])
    good = np.array([is_good for _, is_good in rows])
    target = GRAMMAR.parse(text)
    best = None
    for threshold in (float(np.nextafter(scores.min(), -np.inf)), *np.unique(scores)):
        point = confusion_at(scores, good, threshold)
        if not all(limit.met(figure_pct(limit.measure, point)) for limit in target.constraints):
            continue
        value = figure_pct(target.measure, point)
        if best is None or value == pytest.approx(best[0]) or target.measure.better(value, best[0]):
            best = value, threshold
    assert best is not None
    found = best_point(scores, good, target)
    assert found is not None
    assert (pytest.approx(figure_pct(target.measure, found)), found.threshold) == best


@given(rows=_SETS, recall=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_far_at_a_recall_is_read_off_where_it_always_was(rows: list[tuple[int, bool]], recall: float) -> None:
    scores, good = np.array([v / 12 for v, _ in rows]), np.array([g for _, g in rows])
    assert best_point(scores, good, GRAMMAR.parse(f"FAR < 1% at recall={recall}")) == far_at_recall(
        scores, good, recall
    )


@given(rows=_SETS)
def test_the_best_f1_is_that_of_the_sweep(rows: list[tuple[int, bool]]) -> None:
    scores, good = np.array([v / 12 for v, _ in rows]), np.array([g for _, g in rows])
    found, sweep = best_point(scores, good, GRAMMAR.parse("f1 >= 0.9")), optimal_threshold(scores, good, 0.0)
    assert found is not None
    assert sweep is not None
    assert found.f1 == pytest.approx(sweep.f1, abs=1e-12)


def test_a_set_without_defects_has_no_point() -> None:
    assert best_point([0.1, 0.2], [True, True], GRAMMAR.parse("f1 >= 0.9")) is None


def test_every_measure_of_a_target_is_taken_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(3)
    good = rng.random(400) < 0.7
    read = Scored(_NO_ROWS, np.where(good, rng.normal(0, 1, 400), rng.normal(2, 1, 400)), good)
    for text in _TARGETS:
        target = GRAMMAR.parse(text)
        point = best_point(read.scores, good, target)
        assert point is not None
        figures = figures_at(read, point, target)
        for limit in target.limits:
            found = figures[limit.name]
            assert found.value_pct == pytest.approx(figure_pct(limit.measure, point))
            assert found.low_pct < found.value_pct < found.high_pct or found.value_pct in (0.0, 100.0)
            assert found.least_pct is not None
            assert found.low_pct <= found.least_pct <= found.value_pct + 1e-9


def test_the_interval_of_f1_holds_the_true_value_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(11)
    target = GRAMMAR.parse("f1 >= 0.5")
    truth = 2 * 0.2 * 0.9 / (0.2 * 0.9 + 0.2 + 0.8 * 0.05)  # 2 TP / (2 TP + FP + FN) in shares of all samples
    held = 0
    for _ in range(200):
        defect = rng.random(150) < 0.2
        flagged = np.where(defect, rng.random(150) < 0.9, rng.random(150) < 0.05)
        read = Scored(_NO_ROWS, flagged.astype(np.float64), ~defect)
        found = figures_at(read, confusion_at(read.scores, read.is_pass, 0.5), target)["f1"]
        held += found.low_pct <= 100 * truth <= found.high_pct
    assert held >= 190
