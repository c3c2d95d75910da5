"""Where a verdict on yes/no answers takes its figures from: the acceptance set, else the KPI set."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import StopResult
from tao_skill_bank.tasks.vlm_bcq.measures import verdict_of
from tao_skill_bank.tasks.vlm_bcq.results import EvaluateResult, Evaluation
from tao_skill_bank.tasks.vlm_bcq.state import State
from tao_skill_bank.tasks.vlm_bcq.task import TASK

ASKED = "balanced accuracy"


def evaluated(figure: Interval) -> EvaluateResult:
    """One checkpoint on the KPI set."""
    found = Evaluation(
        kind="last",
        checkpoint="c",
        evaluator="local",
        answers_jsonl="a.jsonl",
        predictions_json="p.json",
        table={},
        measures={ASKED: figure},
        unreadable=0,
        threshold=0.25,
    )
    return EvaluateResult(
        evaluations=[found],
        answers_jsonl="a.jsonl",
        metrics="m.json",
        threshold=0.25,
        best_ckpt_path="c",
        best_ckpt_kind="last",
        trained={"by": "tao", "software": "1"},
    )


KPI, ACCEPTANCE, FIRST = Interval.of(95, 100), Interval.of(970, 1000), Interval.of(700, 1000)


def measured(folder: Path, *, has: bool = True, accepted: bool = True) -> State:
    """A run that is over; `has` an acceptance set, and its models were measured on it (`accepted`)."""
    figures = {"baseline": FIRST, "best": ACCEPTANCE}
    told = {which: {"iteration": "iter1", "measures": {ASKED: of.model_dump()}} for which, of in figures.items()}
    state = State.model_validate(
        {
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": f"{ASKED} >= 95%",
            "results_dir": str(folder / "r"),
            "max_iterations": 1,
            "config": {"workspace": str(folder), "kpi": "k.json", "acceptance": "a.json" if has else None},
            "task": TASK.name,
            "order": TASK.order,
            "status": "complete",
        }
    )
    for label, figure in (("baseline", FIRST), ("iter1", KPI)):
        state.iteration(label).results["evaluate"] = evaluated(figure)
    if has and accepted:
        state.iteration("iter1").results["loop_stop"] = StopResult(
            stop_reason="target met", best_iteration="iter1", acceptance=told
        )
    return state


def test_the_acceptance_set_decides_and_the_model_is_told_with_its_threshold_and_who_trained_it(tmp_path: Path) -> None:
    found = verdict_of(measured(tmp_path))
    assert (found.model, found.set, found.threshold, found.trained.by) == ("iter1", "acceptance set", 0.25, "tao")
    assert [(claim.name, claim.value_pct) for claim in found.claims] == [(ASKED, ACCEPTANCE.value_pct)]
    first = verdict_of(measured(tmp_path), "baseline")
    assert [claim.value_pct for claim in first.claims] == [FIRST.value_pct]


def test_without_an_acceptance_set_the_kpi_set_is_told_and_one_that_was_not_measured_is_missed(tmp_path: Path) -> None:
    without, waiting = (verdict_of(measured(tmp_path, has=has, accepted=False)) for has in (False, True))
    for found in (without, waiting):
        assert found.set == "KPI set" and [claim.measured for claim in found.claims] == [KPI]
    assert "iter1 was not measured on it" in waiting.text
    assert "was not measured" not in without.text


def test_a_run_that_measured_nothing_tells_nothing_and_names_no_threshold(tmp_path: Path) -> None:
    state = measured(tmp_path)
    for iteration in state.iterations.values():
        del iteration.results["evaluate"]
    found = verdict_of(state, "baseline")
    assert (found.word, found.threshold, found.claims) == ("cannot be told", None, ())
