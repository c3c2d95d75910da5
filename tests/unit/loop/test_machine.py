"""Which stage comes next, from any state a run can reach."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.loop.machine import BASELINE_STAGES, ITERATION_STAGES, STOP, Position, next_stage
from tao_skill_bank.loop.state import DeftState, iteration_label

CONFIG = {
    "workspace": "/w",
    "specs_file": "s",
    "training_csv": "t",
    "validation_csv": "v",
    "kpi_test_csv": "k",
    "images_dir": "i",
}


def fresh(max_iterations: int = 2) -> DeftState:
    return DeftState.model_validate(
        {
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": "FAR < 1% at recall=99%",
            "results_dir": "/r",
            "max_iterations": max_iterations,
            "config": CONFIG,
        }
    )


def commit(state: DeftState, position: Position, status: str = "ok", **fields: Any) -> None:
    iteration = state.iteration(position.label)
    seq = len(state.records()) + 1
    record = {
        "seq": seq,
        "ts": "2026-01-01T00:00:00.000000Z",
        "stage": position.stage,
        "status": status,
        "summary": "x",
        "duration_sec": 0,
    }
    stages = [*(r.model_dump() for r in iteration.stages), record]
    state.iterations[position.label] = type(iteration).model_validate(
        {**iteration.model_dump(), **fields, "stages": stages}
    )


def reference(max_iterations: int, fars: list[float]) -> list[tuple[int, str]]:
    """What a loop that never fails runs, written out plainly."""
    out = [(0, "train"), (0, "evaluate")]
    number = 0
    while fars[number] >= 1 and number < max_iterations:
        out.append((number, "rca"))
        number += 1
        out += [(number, stage) for stage in ITERATION_STAGES[:-1]]
    return [*out, (number, STOP)]


@given(
    max_iterations=st.integers(1, 4),
    fars=st.lists(st.sampled_from([0.0, 0.5, 0.99, 1.0, 3.0, 20.0]), min_size=5, max_size=5),
    failures=st.lists(st.booleans(), max_size=60),
)
def test_the_stages_of_a_run_are_those_of_the_plain_reference_whatever_fails_on_the_way(
    max_iterations: int, fars: list[float], failures: list[bool]
) -> None:
    state = fresh(max_iterations)
    ran: list[tuple[int, str]] = []
    outcomes = iter(failures)
    while (position := next_stage(state, lambda _: False)) is not None:
        if next(outcomes, False):
            commit(state, position, "error")
            assert next_stage(state, lambda _: False) == position, "a stage that failed is taken up at that stage"
            continue
        ran.append((position.number, position.stage))
        commit(state, position, **({"far_pct": fars[position.number]} if position.stage == "evaluate" else {}))
    assert ran == reference(max_iterations, fars)


def test_a_pre_seeded_baseline_goes_on_at_evaluate_only_where_its_checkpoint_is_there() -> None:
    state = fresh()
    baseline = state.iteration("baseline")
    baseline.stage_completed = "train"
    baseline.best_ckpt_path = "/ckpt/best.pth"
    assert next_stage(state, lambda path: path == "/ckpt/best.pth") == Position(0, "evaluate")
    assert next_stage(state, lambda path: False) == Position(0, "train")


def test_a_target_with_less_than_is_not_met_by_the_limit_itself() -> None:
    state = fresh()
    for stage in BASELINE_STAGES[:2]:
        commit(state, Position(0, stage), **({"far_pct": 1.0} if stage == "evaluate" else {}))
    assert next_stage(state) == Position(0, "rca")


def test_nothing_follows_the_stop() -> None:
    state = fresh()
    commit(state, Position(0, "train"))
    commit(state, Position(0, "evaluate"), far_pct=0.2)
    assert next_stage(state) == Position(0, STOP)
    commit(state, Position(0, STOP))
    assert next_stage(state) is None
    assert iteration_label(0) == "baseline"
