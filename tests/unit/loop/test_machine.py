"""Which stage comes next, from any state a run can reach."""

from __future__ import annotations

from typing import Any

from flat import put
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.loop.machine import Position, is_complete, next_stage
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.state import StageRecord, iteration_label
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.task import TASK

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
            "task": TASK.name,
            "order": TASK.order,
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
    iteration.stages.append(StageRecord.model_validate(record))
    put(iteration, **fields)


def reference(max_iterations: int, fars: list[float]) -> list[tuple[int, str]]:
    """What a loop that never fails runs, written out plainly."""
    out = [(0, "train"), (0, "evaluate")]
    number = 0
    while fars[number] >= 1 and number < max_iterations:
        out.append((number, "rca"))
        number += 1
        out += [(number, stage) for stage in TASK.order.iteration]
    return [*out, (number, TASK.order.ending)]


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
    raw = {**baseline.model_dump(mode="json"), "stage_completed": "train", "best_ckpt_path": "/ckpt/best.pth"}
    state.iterations["baseline"] = type(baseline).model_validate(raw)
    assert next_stage(state, lambda path: path == "/ckpt/best.pth") == Position(0, "evaluate")
    assert next_stage(state, lambda path: False) == Position(0, "train")


def test_a_target_with_less_than_is_not_met_by_the_limit_itself() -> None:
    state = fresh()
    for stage in TASK.order.baseline:
        commit(state, Position(0, stage), **({"far_pct": 1.0} if stage == "evaluate" else {}))
    assert next_stage(state) == Position(0, "rca")


def test_nothing_follows_the_stop() -> None:
    state = fresh()
    commit(state, Position(0, "train"))
    commit(state, Position(0, "evaluate"), far_pct=0.2)
    assert next_stage(state) == Position(0, TASK.order.ending)
    commit(state, Position(0, TASK.order.ending))
    assert next_stage(state) is None
    assert iteration_label(0) == "baseline"


ADDED = StageOrder(
    baseline=("train", "anomalygen_finetune", "evaluate"),
    iteration=("anomalygen_finetune", *TASK.order.iteration),
    between=("rca",),
    ending="loop_stop",
)
ADDED_OUTSIDE_THE_BASELINE = ADDED.model_copy(
    update={
        "baseline": TASK.order.baseline,
        "between": ("rca", "data_mining"),
        "iteration": ("routing", "train", "evaluate"),
    }
)


def finished(order: StageOrder, fars: tuple[float, ...] = (5.0, 2.0)) -> DeftState:
    """A run of this order with one iteration, as it stands when it has ended."""
    state = fresh(1)
    state.order = order
    while (position := next_stage(state, lambda _: False)) is not None:
        commit(state, position, **({"far_pct": fars[position.number]} if position.stage == "evaluate" else {}))
    return state


def test_a_finished_run_stays_finished_whatever_its_order_becomes() -> None:
    for mine in (TASK.order, ADDED):
        state = finished(mine)
        for other in (TASK.order, ADDED):
            state.order = other
            assert is_complete(state)
            assert next_stage(state) is None


def test_a_finished_run_stays_finished_with_more_iterations_or_a_stage_that_is_not_known_here() -> None:
    state = finished(TASK.order)
    state.max_iterations += 7
    assert is_complete(state) and next_stage(state) is None
    last = state.iterations[max(state.iterations)]
    last.stages.append(last.stages[-1].model_copy(update={"stage": "weigh_the_boards"}))
    assert is_complete(state) and next_stage(state) is None


def test_a_run_under_way_goes_on_in_the_order_it_was_approved_with() -> None:
    state = finished(ADDED_OUTSIDE_THE_BASELINE)
    assert [(label, r.stage) for label, r in state.labelled_records()] == [
        *(("baseline", stage) for stage in ADDED_OUTSIDE_THE_BASELINE.of(0)),
        *(("iter1", stage) for stage in (*ADDED_OUTSIDE_THE_BASELINE.iteration, "loop_stop")),
    ]


def test_a_stage_between_two_iterations_does_not_run_where_none_follows() -> None:
    stages = [r.stage for r in finished(ADDED, fars=(0.5, 0.5)).records()]
    assert stages == [*ADDED.baseline, "loop_stop"]
