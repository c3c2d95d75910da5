"""Which stage comes next: a pure function of what the disk says.

The run's own order says what its stages are: those of the baseline, those of an iteration, those between two (they run
once a model, and only if another iteration will follow: the root cause of iteration N-1 feeds N), and the one that ends
the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.data.changenet.kpi_target import KpiTarget
from tao_skill_bank.loop.state import BASELINE, DeftState, Iteration, iteration_label


@dataclass(frozen=True)
class Position:
    """The stage to run now: of the baseline (0) or of iteration `number`."""

    number: int
    stage: str

    @property
    def label(self) -> str:
        """`baseline` or `iter<N>`."""
        return iteration_label(self.number)


def done_stages(iteration: Iteration | None) -> set[str]:
    """The stages of an iteration that ended ok."""
    return set() if iteration is None else {r.stage for r in iteration.stages if r.status == "ok"}


def is_complete(state: DeftState) -> bool:
    """Whether the loop has stopped for good: its last stage is committed."""
    return any(state.order.ending in done_stages(iteration) for iteration in state.iterations.values())


def is_pre_seeded(state: DeftState, exists: Callable[[str], bool]) -> bool:
    """Whether an earlier tool left a trained baseline: `stage_completed` is `train` and its checkpoint exists."""
    baseline = state.iterations.get(BASELINE)
    return (
        baseline is not None
        and baseline.stage_completed == "train"
        and baseline.best_ckpt_path is not None
        and exists(baseline.best_ckpt_path)
    )


def another_iteration_follows(state: DeftState, number: int) -> bool:
    """Whether the loop goes on behind the evaluation of iteration `number`: target not met, iterations left."""
    evaluated = state.iterations.get(iteration_label(number))
    far = None if evaluated is None else evaluated.far_pct
    met = far is not None and KpiTarget.parse(state.kpi_target).met(far)
    return not met and number < state.max_iterations


def next_stage(state: DeftState, exists: Callable[[str], bool] = lambda p: guard.is_file(Path(p))) -> Position | None:
    """The stage to run now, or None when the loop has stopped for good.

    Args:
        state: The run's snapshot.
        exists: Whether a checkpoint is on disk (asked for a pre-seeded baseline only).
    """
    if is_complete(state):
        return None
    for number in count():
        done = done_stages(state.iterations.get(iteration_label(number)))
        for stage in state.order.baseline if number == 0 else state.order.iteration:
            if stage in done:
                continue
            if stage == "train" and number == 0 and "evaluate" not in done and is_pre_seeded(state, exists):
                continue
            if stage == "train" and "evaluate" in done:
                continue
            return Position(number, stage)
        if not another_iteration_follows(state, number):
            return Position(number, state.order.ending)
        for stage in state.order.between:
            if stage not in done:
                return Position(number, stage)
    raise AssertionError("unreachable: the numbers do not end")
