"""What a figure rests on: a share with its interval, and who trained the model that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tao_skill_bank.core.models import Kept
from tao_skill_bank.metrics.evidence import CONFIDENCE, exact_bounds, group_bounds, spread_factor, wider


class Interval(Kept):
    """A share with its 95 % interval: Clopper-Pearson, or by resampling groups where that is the wider; in percent.

    `least_pct` and `most_pct` are the one-sided 95 % bounds. `groups` is how many groups (boards) were resampled, None
    where the groups are not known; `factor` how many samples of these groups tell as much as one independent sample.
    A record without them is an earlier one, of which no more is known than its counts.
    """

    value_pct: float
    low_pct: float
    high_pct: float
    successes: int
    trials: int
    least_pct: float | None = None
    most_pct: float | None = None
    groups: int | None = None
    factor: float = 1.0

    @classmethod
    def of(
        cls,
        successes: int,
        trials: int,
        groups: Sequence[tuple[int, int]] | None = None,
        confidence: float = CONFIDENCE,
    ) -> Interval:
        """The share of `successes` in `trials`; `groups` are (successes, trials) of each board, where they are known.

        One group alone says nothing of how groups differ; it is recorded, and only the exact bounds are there.
        """
        exact = exact_bounds(successes, trials, confidence)
        known = None if groups is None else [(won, tried) for won, tried in groups if tried]
        grouped = group_bounds([w for w, _ in known], [t for _, t in known], confidence) if known else None
        used = wider(exact, grouped)
        return cls(
            value_pct=100.0 * successes / trials if trials else 0.0,
            low_pct=100.0 * used.low,
            high_pct=100.0 * used.high,
            successes=successes,
            trials=trials,
            least_pct=100.0 * used.least,
            most_pct=100.0 * used.most,
            groups=None if known is None else len(known),
            factor=spread_factor(successes, trials, exact, used),
        )

    def complement(self) -> Interval:
        """The share of what did not succeed, with the same evidence."""
        least, most = self.least_pct, self.most_pct
        return self.model_copy(
            update={
                "value_pct": 100.0 * (self.trials - self.successes) / self.trials if self.trials else 0.0,
                "low_pct": 100.0 - self.high_pct,
                "high_pct": 100.0 - self.low_pct,
                "successes": self.trials - self.successes,
                "least_pct": None if most is None else 100.0 - most,
                "most_pct": None if least is None else 100.0 - least,
            }
        )

    def bound_pct(self, *, at_most: bool) -> float:
        """The one-sided 95 % bound on the side that a claim must hold on: of an earlier record, from its counts."""
        found = self.most_pct if at_most else self.least_pct
        if found is not None:
            return found
        exact = exact_bounds(self.successes, self.trials)
        return 100.0 * (exact.most if at_most else exact.least)


class Trained(Kept):
    """Who trained a model, and on what it was really trained. What is not recorded is unknown, never a yes.

    Attributes:
        by: `tao`: NVIDIA's own network; `stand-in`: the bank's own small one, so that the run is a
            rehearsal; `unknown`: nothing on disk says it.
        network: The network that was trained, in words.
        image: The container image that trained it, where there was one.
        image_digest: That image's content digest.
        release: The TAO release, as far as it is known.
        image_size: Width and height the network saw, pixels.
        host: Name of the machine that trained it, as its job says.
        submitted_from: Name of the machine that submitted the job.
        software: Version of this package.
        checkpoint_sha256: Content digest of the checkpoint that was chosen.
    """

    by: Literal["tao", "stand-in", "unknown"] = "unknown"
    network: str | None = None
    image: str | None = None
    image_digest: str | None = None
    release: str | None = None
    image_size: tuple[int, int] | None = None
    host: str | None = None
    submitted_from: str | None = None
    software: str | None = None
    checkpoint_sha256: str | None = None
