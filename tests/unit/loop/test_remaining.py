"""What is said to be left: of the run's own stages, by its own times, shrinking to the end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from flat import put

from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.loop.api import remaining_seconds
from tao_skill_bank.loop.machine import Position, next_stage
from tao_skill_bank.loop.order import StageOrder
from tao_skill_bank.loop.state import Attempt, StageRecord
from tao_skill_bank.tasks.changenet.state import State
from tao_skill_bank.tasks.changenet.task import TASK

SECONDS = {"train": 600, "evaluate": 60, "rca": 5, "routing": 1, "anomalygen": 30, "data_mining": 40, "data_merge": 2}
MORE = TASK.order.model_copy(update={"iteration": ("anomalygen_finetune", *TASK.order.iteration)})


def fresh(iterations: int, order: StageOrder) -> State:
    places = dict.fromkeys(("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir"), "x")
    return State.model_validate(
        {
            "task": TASK.name,
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": "FAR < 1% at recall=99%",
            "results_dir": "/r",
            "max_iterations": iterations,
            "order": order,
            "config": {"workspace": "/w", **places},
        }
    )


def end(state: State, position: Position, seconds: int) -> None:
    """Let a stage have ended after so many seconds."""
    iteration = state.iteration(position.label)
    iteration.stages.append(
        StageRecord(
            seq=len(state.records()) + 1,
            ts="2026-01-01T00:00:00.000000Z",
            stage=position.stage,
            status="ok",
            summary="x",
            duration_sec=seconds,
        )
    )
    if position.stage == "evaluate":
        put(iteration, far_pct=50.0)


def course(iterations: int, order: StageOrder) -> list[tuple[Position, int, int | None]]:
    """(stage that ended, its seconds, what was said to be left behind it), to the end of a run."""
    state, seen = fresh(iterations, order), []
    assert remaining_seconds(state) is None, "nothing was measured yet"
    while (position := next_stage(state, lambda _: False)) is not None:
        took = SECONDS.get(position.stage, 20)
        end(state, position, took)
        seen.append((position, took, remaining_seconds(state)))
    return seen


@pytest.mark.parametrize("order", [TASK.order, MORE])
def test_once_every_stage_was_measured_what_is_left_is_what_it_takes(order: StageOrder) -> None:
    seen = course(4, order)
    known = next(i for i, (position, _, _) in enumerate(seen) if position == Position(2, order.iteration[0]))
    for at in range(known, len(seen) - 1):
        rest = sum(took for _, took, _ in seen[at + 1 : -1])
        left = seen[at][2]
        assert left is not None
        # The stage that ends the loop was never measured: it counts as an average one.
        assert 0 <= left - rest <= max(SECONDS.values())


def test_what_is_left_shrinks_with_every_stage_and_is_there_until_the_last() -> None:
    seen = course(3, TASK.order)
    first = next(i for i, (position, _, _) in enumerate(seen) if position == Position(2, "routing"))
    left = [found for _, _, found in seen[first:]]
    assert all(a is not None and b is not None and b < a for a, b in pairwise(left))
    assert left[-2] is not None and left[-2] > 0, "in the last iteration too"
    assert left[-1] == 0


def test_the_rest_of_the_iteration_at_work_counts() -> None:
    state = fresh(1, TASK.order)
    for stage in ("train", "evaluate", "rca"):
        end(state, Position(0, stage), SECONDS[stage])
    end(state, Position(1, "routing"), 1)
    left = remaining_seconds(state)
    assert left is not None and left >= SECONDS["train"] + SECONDS["evaluate"]


def test_what_the_stage_at_work_has_worked_is_taken_off_and_never_more_than_it_takes() -> None:
    state = fresh(1, TASK.order)
    for stage in ("train", "evaluate", "rca"):
        end(state, Position(0, stage), SECONDS[stage])
    for stage in TASK.order.iteration[: TASK.order.iteration.index("train")]:
        end(state, Position(1, stage), SECONDS[stage])
    left = remaining_seconds(state)
    assert left is not None
    moment = log_time(SystemClock().now())
    attempt = {"stage": "train", "n": 1, "timestamp": "2026-01-01_000000", "started_at": moment}
    for worked, least, most in ((200.0, left - SECONDS["train"], left - 200), (9000.0, *[left - SECONDS["train"]] * 2)):
        state.iteration("iter1").attempt = Attempt.model_validate({**attempt, "worked_sec": worked})
        assert least <= (remaining_seconds(state) or 0) <= most


def test_a_clock_that_went_back_and_attempts_that_failed_count_for_nothing() -> None:
    state = fresh(1, TASK.order)
    for stage in ("train", "evaluate", "rca"):
        end(state, Position(0, stage), SECONDS[stage])
    left = remaining_seconds(state)
    ahead = {"stage": "routing", "n": 1, "timestamp": "2099-01-01_000000", "started_at": "2099-01-01T00:00:00.000000Z"}
    state.iteration("iter1").attempt = Attempt.model_validate(ahead)
    assert remaining_seconds(state) == left
    failed = state.records()[0].model_copy(update={"stage": "routing", "status": "error", "duration_sec": 10**6})
    state.iteration("iter1").stages.append(failed)
    assert remaining_seconds(state) == left
