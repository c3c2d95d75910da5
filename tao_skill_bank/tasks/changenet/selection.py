"""Which pool rows an iteration adds: by likeness to the weak samples, by the model's own weakness, or both.

Pure functions of arrays over the pool's rows. What the defaults rest on: `docs/design/local-changenet.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DEFAULT_BUDGET = 200
SUSPECT_QUANTILE = 0.25
PASS = "PASS"


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
    scores: npt.NDArray[np.float64] | None,
    threshold: float | None,
    budget: int | None,
    seed: Sequence[int],
) -> npt.NDArray[np.int64]:
    """Choose rows of the pool: their positions in a fixed order, none twice.

    Args:
        strategy: `nearest`, `hardest`, `blend`, `random`, `all`.
        labels: [n] upper-cased.
        candidate: [n] whether the row's label was routed to mining.
        used: [n] whether an earlier iteration took it.
        kept: Rows that nearest-neighbour search kept, most similar first.
        scores: [n] siamese score by the current best model, NaN where unknown.
        threshold: That model's threshold.
        budget: Rows at most; None for the default.
        seed: Decides `random`.
    """
    free = np.flatnonzero(candidate & ~used)
    most = default_budget(len(labels)) if budget is None else budget
    if strategy == "all":
        return free
    if strategy == "random":
        rng = np.random.default_rng(list(seed))
        return np.sort(rng.permutation(free)[:most])
    nearest = kept[~used[kept]]
    if strategy == "nearest" or scores is None or threshold is None:
        return nearest if budget is None and strategy == "nearest" else nearest[:most]
    suspect = suspects(labels, scores, free)
    trusted = free[~np.isin(free, suspect)]
    alike = nearest[~np.isin(nearest, suspect)][: most // 2] if strategy == "blend" else nearest[:0]
    hard = hardest(labels, scores, threshold, trusted[~np.isin(trusted, alike)], most - len(alike))
    return np.concatenate([alike, hard])


def suspects(
    labels: Sequence[str], scores: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Those of `rows` whose label the model contradicts outright: they are probably mislabelled.

    A PASS row that scores above a quarter of the defects, a defect that scores below a quarter of the PASS rows. What
    is hard to tell lies near the threshold; what lies deep in the other class is mostly wrongly labelled, and without
    this the hardest rows of a pool with 3 % wrong labels are one third wrong. They stay in the pool for the next model
    to judge. Rows without a score are no suspects; with one class alone, or a model that ranks the classes the wrong
    way round, nobody is.
    """
    known = rows[~np.isnan(scores[rows])]
    is_pass = np.array([labels[row] == PASS for row in known], dtype=np.bool_)
    passes, defects = known[is_pass], known[~is_pass]
    if not len(passes) or not len(defects):
        return known[:0]
    high = float(np.quantile(scores[defects], SUSPECT_QUANTILE))
    low = float(np.quantile(scores[passes], 1.0 - SUSPECT_QUANTILE))
    if low >= high:
        return known[:0]
    return known[np.where(is_pass, scores[known] > high, scores[known] < low)]


def default_budget(pool_rows: int) -> int:
    """Rows an iteration adds unless it is told: `DEFAULT_BUDGET`, but at most a quarter of the pool."""
    return max(1, min(DEFAULT_BUDGET, pool_rows // 4))


def hardest(
    labels: Sequence[str],
    scores: npt.NDArray[np.float64],
    threshold: float,
    rows: npt.NDArray[np.int64],
    most: int,
) -> npt.NDArray[np.int64]:
    """The rows a model is weakest on: half of them defects, half PASS, weakest first within each.

    Weakness is `score - threshold` for PASS and `threshold - score` for defects. The halves matter: a model that
    flags many PASS samples would otherwise spend whole iterations on them and never see the defects it misses. What
    one half cannot fill, the other does. Rows without a score are left out; equal weakness keeps the pool's order.
    """
    known = rows[~np.isnan(scores[rows])]
    is_pass = np.array([labels[row] == PASS for row in known], dtype=np.bool_)
    defects = known[~is_pass][np.argsort(scores[known[~is_pass]] - threshold, kind="stable")]
    passes = known[is_pass][np.argsort(threshold - scores[known[is_pass]], kind="stable")]
    from_defects = min(len(defects), max(most // 2, most - len(passes)))
    return np.concatenate([defects[:from_defects], passes[: most - from_defects]]).astype(np.int64)
