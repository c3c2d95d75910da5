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
from tao_skill_bank.loop.state import AnyState, iteration_label


@dataclass(frozen=True)
class Position:
    """The stage to run now: of the baseline (0) or of iteration `number`."""

    number: int
    stage: str

    @property
    def label(self) -> str:
        """`baseline` or `iter<N>`."""
        return iteration_label(self.number)


def is_complete(state: AnyState) -> bool:
    """Whether the loop has stopped for good: its last stage is committed."""
    return any(state.order.ending in iteration.done() for iteration in state.iterations.values())


def another_iteration_follows(state: AnyState, number: int) -> bool:
    """Whether the loop goes on behind the last stage of iteration `number`: target not met, iterations left."""
    iteration = state.iterations.get(iteration_label(number))
    value = None if iteration is None else state.value(iteration)
    met = value is not None and state.met(value)
    return not met and number < state.max_iterations


def next_stage(state: AnyState, exists: Callable[[str], bool] = lambda p: guard.is_file(Path(p))) -> Position | None:
    """The stage to run now, or None when the loop has stopped for good.

    `exists`: whether a file that another program left is on disk.
    """
    if is_complete(state):
        return None
    for number in count():
        iteration = state.iterations.get(iteration_label(number))
        done = set() if iteration is None else iteration.done() | iteration.given_stages(exists)
        for stage in state.order.baseline if number == 0 else state.order.iteration:
            if stage not in done:
                return Position(number, stage)
        if not another_iteration_follows(state, number):
            return Position(number, state.order.ending)
        for stage in state.order.between:
            if stage not in done:
                return Position(number, stage)
    raise AssertionError("unreachable: the numbers do not end")
