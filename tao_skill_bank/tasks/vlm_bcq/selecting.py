"""Which pool pairs an iteration takes: the nearest of the failed ones, half Yes and half No. Arrays in, places out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.mining.knn import knn
from tao_skill_bank.data.bcq.vectors import Vectors
from tao_skill_bank.metrics.shares import apportioned

MOST = 2000
_MOST_OF_ONE = 0.6


@dataclass(frozen=True)
class Found:
    """A pool pair that was chosen: its place, the target it is nearest to, the cosine."""

    place: int
    target: int
    similarity: float


@dataclass(frozen=True)
class Block:
    """One search: the targets of a question against the pool rows of one answer.

    Attributes:
        targets: Places among the targets, int64 [t].
        rows: Places in the pool, int64 [p].
    """

    targets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


def budget_of(targets: int, budget: int | None) -> int:
    """Rows at most: as asked, else 2 a target; never more than 2,000."""
    return min(MOST, 2 * targets if budget is None else budget)


def nearest(
    targets: Vectors, pool: Vectors, ids: Sequence[str], places: npt.NDArray[np.int64], top_k: int
) -> list[Found]:
    """The pool places among the k nearest of any target, each once with its best target; by similarity, then id.

    Args:
        targets: Unit float32 [t, d].
        pool: Unit float32 [p, d].
        ids: Of the pool, [p].
        places: Which of the pool may be taken.
        top_k: Neighbours a target.
    """
    if not len(places) or not len(targets):
        return []
    indices, scores = knn(pool[places], targets, min(top_k, len(places)))
    best: dict[int, Found] = {}
    for target, (row, cosines) in enumerate(zip(np.asarray(indices), np.asarray(scores), strict=True)):
        for index, cosine in zip(row.tolist(), cosines.tolist(), strict=True):
            if index < 0:
                continue
            place = int(places[index])
            if place not in best or cosine > best[place].similarity:
                best[place] = Found(place, target, float(cosine))
    return sorted(best.values(), key=lambda found: (-found.similarity, ids[found.place]))


def most_beside(other: int) -> int:
    """Rows of one answer at most beside so many of the other: 60 % of both together, or one more than the other."""
    return max(other + 1, math.floor(_MOST_OF_ONE / (1 - _MOST_OF_ONE) * other + 1e-9))


def balanced(yes: Sequence[Found], no: Sequence[Found], number: int) -> list[Found]:
    """`number` of both lists, half of each; where one is short, the other fills up to 60 % of what is chosen."""
    half = number // 2
    taken_yes, taken_no = min(len(yes), half), min(len(no), number - half)
    if taken_yes < half:
        taken_no = min(len(no), number - taken_yes, most_beside(taken_yes))
    elif taken_no < number - half:
        taken_yes = min(len(yes), number - taken_no, most_beside(taken_no))
    return [*yes[:taken_yes], *no[:taken_no]]


def choose(
    candidates: Mapping[str, tuple[Sequence[Found], Sequence[Found]]], failures: Mapping[str, int], budget: int
) -> dict[str, list[Found]]:
    """Candidates of every question key within a budget: by failures, the rest to keys that have more to give.

    Args:
        candidates: Key → (Yes rows, No rows), in the order of preference.
        failures: Key → how many targets it has.
        budget: Rows at most.
    """
    parts = apportioned({key: failures.get(key, 0) for key in candidates}, budget)
    chosen = {key: balanced(*candidates[key], parts[key]) for key in candidates}
    left = budget - sum(map(len, chosen.values()))
    for key in sorted(candidates, key=lambda k: (-failures.get(k, 0), k)):
        if left <= 0:
            break
        wanted = len(chosen[key]) + left
        fuller = balanced(*candidates[key], wanted)
        if len(fuller) > len(chosen[key]):
            left -= len(fuller) - len(chosen[key])
            chosen[key] = fuller
    return chosen
