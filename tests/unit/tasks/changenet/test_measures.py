"""Where a verdict takes its figures from: the acceptance set, else the KPI set, with threshold and who trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flat import put
from report_runs import RunBuilder

from tao_skill_bank.data.changenet.spent import record_look
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.tasks.changenet.measures import CHECK, seen_checks, verdict_of
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """A run with an acceptance set, and one without."""
    few = {"iterations": 1, "passes": 30, "per_label": 2, "pictures": False, "tokens": False}
    folder = tmp_path_factory.mktemp("measures")
    return {
        has: load_state(RunBuilder(folder / str(has), acceptance=has, **few).build())  # type: ignore[arg-type]
        for has in (True, False)
    }


def test_a_plan_is_warned_by_name_of_a_set_that_somebody_has_looked_at(runs: dict[bool, Any], tmp_path: Path) -> None:
    csv = tmp_path / "acceptance.csv"
    csv.write_text("input_path\n")
    config = runs[True].config.model_copy(update={"workspace": str(tmp_path), "acceptance_csv": str(csv)})
    assert seen_checks(config) == []
    for who in ("Ana", "Ben", "Cem", "Dora"):
        record_look(tmp_path, csv, who)
    (found,) = seen_checks(config)
    assert (found.name, found.status) == (CHECK, "warn")
    assert "Cem" in found.text and "Dora" not in found.text, "the first three are enough"
    assert seen_checks(config.model_copy(update={"acceptance_csv": None})) == []


@pytest.mark.parametrize("has", [True, False])
def test_the_acceptance_set_decides_where_there_is_one_else_the_kpi_set(runs: dict[bool, Any], has: bool) -> None:
    state = runs[has]
    told = verdict_of(state)
    best = state.iteration(told.model)
    assert told.set == ("acceptance set" if has else "KPI set")
    assert told.threshold == best.threshold is not None
    assert told.trained.by == best.trained.by
    found = {claim.name: claim.value_pct for claim in told.claims}
    assert sorted(found) == ["FAR", "recall"]
    for name in found:
        written = state.acceptance["best"][name.lower()]["value_pct"] if has else None
        assert found[name] == (written if has else best.evaluation.measured(name).value_pct)


@pytest.mark.parametrize(("judged", "others"), [("stand-in", "tao"), ("tao", "stand-in")])
def test_who_trained_the_judged_model_counts_whoever_trained_the_others(
    runs: dict[bool, Any], judged: Any, others: Any
) -> None:
    state = runs[True].model_copy(deep=True)
    best = verdict_of(state).model
    for label, iteration in state.iterations.items():
        put(iteration, trained=Trained(by=judged if label == best else others, software="0.1.0"))
    found = verdict_of(state)
    assert (found.model, found.rehearsal) == (best, judged == "stand-in")
    assert found.head.startswith("rehearsal: ") is (judged == "stand-in")


def test_any_measure_of_the_acceptance_set_is_found_and_until_it_is_measured_the_verdict_waits_for_it(
    runs: dict[bool, Any],
) -> None:
    state = runs[True].model_copy(deep=True)
    state.kpi_target = "f1 >= 90%"
    accepted = Interval.of(97, 100)
    for iteration in state.iterations.values():
        iteration.evaluation.others["f1"] = Interval.of(60, 100)
    state.acceptance["best"]["others"] = {"f1": accepted.model_dump()}
    found = verdict_of(state)
    assert found.set == "acceptance set"
    assert [(claim.name, claim.value_pct) for claim in found.claims] == [("f1", accepted.value_pct)]
    assert "acceptance set decides" not in verdict_of(runs[False]).text
    waiting = runs[True].model_copy(deep=True)
    for iteration in waiting.iterations.values():
        iteration.results.pop("loop_stop", None)
    assert "acceptance set decides" in verdict_of(waiting).text


def test_a_set_that_somebody_had_seen_is_said_to_be_one(runs: dict[bool, Any]) -> None:
    seen = runs[True].model_copy(deep=True)
    said = "omebody had looked at this set before the run"
    assert said not in verdict_of(seen).text
    seen.checked.append(Check(name=CHECK, status="warn", text="Ana looked at it"))
    assert said in verdict_of(seen).text


def test_a_run_that_measured_nothing_tells_nothing(runs: dict[bool, Any]) -> None:
    empty = runs[False].model_copy(deep=True)
    for iteration in empty.iterations.values():
        iteration.results.pop("evaluate", None)
    assert verdict_of(empty, "baseline").word == "cannot be told"
