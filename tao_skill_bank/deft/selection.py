"""Which pool rows an iteration adds: by likeness to the weak samples, by the model's own weakness, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEFAULT_BUDGET = 100
PASS = "PASS"


@dataclass(frozen=True)
class Selection:
    """Pool rows in a fixed order, and why each was chosen (aligned)."""

    rows: npt.NDArray[np.int64]
    reasons: list[str]


def needs_scores(strategy: str) -> bool:
    """Whether a strategy asks for the model's scores of the pool."""
    return strategy in ("hardest", "blend")


def select(
    strategy: str,
    *,
    labels: Sequence[str],
    candidate: npt.NDArray[np.bool_],
    used: npt.NDArray[np.bool_],
    kept: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64] | None,
    threshold: float | None,
    budget: int | None,
    seed: Sequence[int],
) -> Selection:
    """Choose rows of the pool.

    Args:
        strategy: `nearest`, `hardest`, `blend`, `random`, `all`.
        labels: [n] upper-cased.
        candidate: [n] whether the row's label was routed to mining.
        used: [n] whether an earlier iteration took it.
        kept: Rows that nearest-neighbour search kept, most similar first.
        similarity: [n] cosine to the nearest weak sample, NaN where it is nobody's neighbour.
        scores: [n] siamese score by the current best model, NaN where unknown.
        threshold: That model's threshold.
        budget: Rows at most; None for the default.
        seed: Decides `random`.
    """
    free = np.flatnonzero(candidate & ~used)
    most = DEFAULT_BUDGET if budget is None else budget
    if strategy == "all":
        return Selection(free, ["all"] * len(free))
    if strategy == "random":
        rng = np.random.default_rng(list(seed))
        rows = np.sort(rng.permutation(free)[:most])
        return Selection(rows, ["random"] * len(rows))
    nearest = kept[~used[kept]]
    if strategy == "nearest":
        rows = nearest if budget is None else nearest[:budget]
        return Selection(rows, ["nearest"] * len(rows))
    if scores is None or threshold is None:
        return Selection(nearest[:most], ["nearest"] * len(nearest[:most]))
    is_pass = np.array([x == PASS for x in labels], dtype=np.bool_)
    weakness = np.where(is_pass, scores - threshold, threshold - scores)
    known = free[~np.isnan(weakness[free])]
    order = known[np.argsort(-weakness[known], kind="stable")]
    if strategy == "blend":
        half = nearest[: most // 2]
        order = np.concatenate([half, order[~np.isin(order, half)]])
    rows = order[:most]
    return Selection(rows, [strategy] * len(rows))
