"""The order of a run's stages. A run keeps the one it was approved with, whatever later versions add."""

from __future__ import annotations

from pydantic import Field

from tao_skill_bank.core.models import Frozen


class StageOrder(Frozen):
    """Names of stages, in order.

    Attributes:
        baseline: Of the baseline.
        iteration: Of every iteration.
        between: What follows a measured model if another iteration will; it belongs to that model's iteration.
        ending: The stage that ends the loop.
    """

    baseline: tuple[str, ...] = Field(min_length=1)
    iteration: tuple[str, ...] = Field(min_length=1)
    between: tuple[str, ...] = ()
    ending: str

    def of(self, number: int) -> tuple[str, ...]:
        """The stages of the baseline (0) or of iteration `number`, those between included."""
        return (*(self.baseline if number == 0 else self.iteration), *self.between)
