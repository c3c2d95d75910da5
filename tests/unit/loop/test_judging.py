"""Which figures make a run's verdict: those of the acceptance set where there are any, else the loop's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import toy_task

from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.judging import Measured, judged, on_acceptance
from tao_skill_bank.loop.state import BASELINE, StageRecord

MANY, SOME, BAD = Interval.of(0, 1000), Interval.of(0, 20), Interval.of(90, 1000)
MOMENT = "2026-01-01T00:00:00.000000Z"


def run(tmp_path: Path, status: str = "complete", target: str = "error < 1%", **errors: float) -> toy_task.State:
    state = toy_task.State.model_validate(
        {
            "started_at": MOMENT,
            "kpi_target": target,
            "results_dir": str(tmp_path / "r"),
            "max_iterations": 1,
            "config": {"workspace": str(tmp_path), "numbers": "n"},
            "task": toy_task.TASK.name,
            "order": toy_task.TASK.order,
            "status": status,
        }
    )
    for label, error in errors.items():
        found = state.iteration(label)
        found.results["compare"] = toy_task.Measured(error_pct=error)
        for n, stage in enumerate(("learn", "compare"), 1):
            record = {"seq": n, "ts": MOMENT, "stage": stage, "status": "ok", "summary": "x", "duration_sec": 0}
            found.stages.append(StageRecord.model_validate(record))
    return state


def told(state: toy_task.State, label: str | None = None, **known: Any) -> Any:
    asked: list[str] = []

    def measured(name: str, iteration: Any) -> Measured:
        asked.append(name)
        figures: dict[str, Any] = {"kpi": {}, "acceptance": None, "has_acceptance": False, **known}
        return Measured(trained=Trained(by="tao", software="1"), threshold=0.25, **figures)

    found = judged(state, measured, label)
    assert asked == ([found.model] if found.model else [])
    return found


def test_the_best_model_is_judged_by_the_loops_own_figures_where_no_other_set_is(tmp_path: Path) -> None:
    found = told(run(tmp_path, baseline=0.9, iter1=0.0), kpi={"error": MANY})
    assert (found.model, found.set, found.independent, found.threshold) == ("iter1", "KPI set", False, 0.25)
    assert (found.word, found.final) == ("met, not shown", True)
    assert found.claims[0].value_pct == 0.0 and "The loop has seen this set" in found.text


def test_a_figure_without_counts_is_judged_by_its_value(tmp_path: Path) -> None:
    found = told(run(tmp_path, baseline=0.5))
    assert (found.word, found.claims[0].text) == ("met, not shown", "error 0.50 %, asked < 1 %")
    assert told(run(tmp_path, baseline=5.0)).word == "not met"


def test_the_acceptance_set_decides_whatever_the_loops_own_figures_say(tmp_path: Path) -> None:
    state = run(tmp_path, baseline=0.0)
    shown = told(state, kpi={"error": BAD}, acceptance={"error": MANY}, has_acceptance=True)
    assert (shown.word, shown.set, shown.may_ship) == ("shown", "acceptance set", True)
    assert told(state, kpi={"error": MANY}, acceptance={"error": BAD}, has_acceptance=True).word == "not met"
    few = told(state, kpi={"error": MANY}, acceptance={"error": SOME}, has_acceptance=True)
    assert few.word == "met, not shown" and "more truths for error" in few.text
    # A set that gave no figure of what is asked tells nothing, whatever the value on the other set was.
    assert told(state, kpi={"error": MANY}, acceptance={}, has_acceptance=True).word == "cannot be told"


def test_a_set_that_somebody_has_seen_shows_nothing_and_the_verdict_says_who(tmp_path: Path) -> None:
    known: Mapping[str, Any] = {"acceptance": {"error": MANY}, "has_acceptance": True, "seen": "an eye was on it"}
    found = told(run(tmp_path, baseline=0.0), **known)
    assert (found.word, found.independent) == ("met, not shown", False)
    assert "An eye was on it" in found.text
    # What was said of a set that was not measured is not said of the other.
    assert "eye" not in told(run(tmp_path, baseline=0.0), **{**known, "acceptance": None}, kpi={"error": MANY}).text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", "the acceptance set decides, and it is measured when the loop ends"),
        ("complete", "the acceptance set decides, and baseline was not measured on it"),
    ],
)
def test_what_the_acceptance_set_would_decide_cannot_be_told_before(tmp_path: Path, status: str, said: str) -> None:
    found = told(run(tmp_path, status, baseline=0.0), kpi={"error": MANY}, has_acceptance=True)
    assert (found.word, found.set, found.final) == ("cannot be told", "KPI set", status == "complete")
    assert said in found.text.replace("The acc", "the acc")
    over = told(run(tmp_path, status, baseline=9.0), kpi={"error": BAD}, has_acceptance=True)
    assert over.word == "not met"


def test_a_run_that_measured_nothing_and_one_whose_target_cannot_be_read_say_so(tmp_path: Path) -> None:
    for status in ("running", "complete"):
        nothing = told(run(tmp_path, status))
        assert (nothing.word, nothing.text, nothing.asked) == ("cannot be told", "no model was measured", "error < 1%")
        assert nothing.final is (status == "complete")
        unread = told(run(tmp_path, status, target="beauty > 3%", baseline=0.0))
        assert unread.text.startswith("the target cannot be read: ") and unread.asked == "beauty > 3%"
        assert unread.final is (status == "complete")


def test_a_named_iteration_is_judged_and_no_other(tmp_path: Path) -> None:
    state = run(tmp_path, baseline=5.0, iter1=0.0)
    assert (told(state, BASELINE).model, told(state, BASELINE).word) == (BASELINE, "not met")
    assert told(run(tmp_path, iter1=0.0), BASELINE).text == "no model was measured"


def figures_of(acceptance: Any, label: str) -> Any:
    return on_acceptance(acceptance, label, lambda of: of["measures"])


def test_figures_of_the_acceptance_set_are_those_of_the_model_they_were_measured_of() -> None:
    one, two = ({"measures": {"error": found.model_dump()}} for found in (MANY, BAD))
    both = {"baseline": one, "best": {"iteration": "iter1", **two}}
    assert figures_of(both, "iter1") == {"error": BAD}
    assert figures_of(both, BASELINE) == {"error": MANY}
    assert figures_of(both, "iter2") is None, "another model's"
    assert figures_of({"best": two}, "iter3") == {"error": BAD}, "an earlier record names no iteration"
    assert figures_of({"baseline": one}, "iter1") is None
    for nothing in (
        None,
        {},
        {"best": "x"},
        {"best": {"measures": {"error": "x"}}},
        {"best": {}},
        {"best": {"measures": 3}},
    ):
        assert figures_of(nothing, "iter1") is None
