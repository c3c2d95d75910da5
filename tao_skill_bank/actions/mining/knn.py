"""Exact k nearest neighbours over more vectors than fit in memory.

A search is one pass over the source in blocks. A float32 matrix product screens a block: only pairs that could
still enter a target's k best, given a proven bound of the product's rounding error, are looked at again. Those
few are scored in float64 by a function of the two vectors alone and rounded to float32; that score decides. So the
result does not depend on block sizes, shards, threads or the BLAS in use, and vectors that are equal byte for byte
tie exactly, the lower index first. `docs/design/knn.md` has the measurements behind this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tao_skill_bank.actions.mining.screens import SCREENS, Indices, Prepared, Scores, down
from tao_skill_bank.core.errors import InputError, did_you_mean

BLOCK_ROWS: Final = 8192
NO_NEIGHBOR: Final = -1
LARGEST: Final = 1e15

_TILE_BYTES: Final = 64 << 20
_PAIR_CHUNK: Final = 4096


def knn(source: NDArray[Any], target: NDArray[Any], k: int, metric: str = "cosine") -> tuple[Indices, Scores]:
    """The k nearest source rows of every target row, exactly.

    Args:
        source: [n, d] numbers; a memory map is read block by block.
        target: [m, d] numbers.
        k: Neighbours a target, at least 1. More than there are: the rest is filled as below.
        metric: `cosine` (a zero vector has cosine 0 with everything), `euclidean` or `manhattan`.

    Returns:
        Indices [m, k] int64 and similarity [m, k] float32, nearest first, equal similarity by the lower index.
        Similarity is the cosine, or the negated distance, so larger is always nearer. Places without a neighbour
        hold index -1 and similarity -inf.

    Raises:
        InputError: Shapes that do not fit, an unknown metric, k below 1, NaN or infinite values (names the row).
    """
    rows = _as_matrix(source, "source")
    search = Search(target, k, metric)
    for start in range(0, len(rows), BLOCK_ROWS):
        search.add(rows[start : start + BLOCK_ROWS])
    return search.result()


def merge_topk(parts: Iterable[tuple[NDArray[Any], NDArray[Any]]], k: int) -> tuple[Indices, Scores]:
    """Join the results of searches over parts of one source.

    Args:
        parts: (indices [m, k_i], similarity [m, k_i]) of each part; the indices already count within the whole
            source (add the part's first row to what `knn` gave), -1 marks an empty place.
        k: Neighbours to keep a target.

    Returns:
        Indices and similarity [m, k], the same as one search over the whole source gives.

    Raises:
        InputError: No part, k below 1, or parts for different numbers of targets.
    """
    tables = [(np.asarray(i, dtype=np.int64), np.asarray(s, dtype=np.float32)) for i, s in parts]
    _check_k(k)
    if not tables:
        raise InputError("no parts to merge", where="merge_topk", fix="search at least one part")
    if len({len(i) for i, _ in tables}) != 1 or any(i.shape != s.shape or i.ndim != 2 for i, s in tables):
        raise InputError("the parts differ in shape", where="merge_topk", fix="search every part with the same targets")
    indices = np.concatenate([i for i, _ in tables], axis=1)
    scores = np.concatenate([s for _, s in tables], axis=1)
    return _best(indices, scores, k)


class Search:
    """A running search: targets fixed, source rows added block by block in index order.

    Memory is the targets, one block, a tile of at most 64 MB of screening products, and the k best so far.
    """

    def __init__(
        self,
        target: NDArray[Any],
        k: int,
        metric: str = "cosine",
        *,
        groups: ArrayLike | None = None,
        names: tuple[str, str] = ("source", "target"),
    ) -> None:
        """Take the targets [m, d]; `groups` [m] restricts each to source rows of its own group.

        `names` is what error messages call the two sides, such as their files.
        """
        self._names = names
        _check_k(k)
        if metric not in SCREENS:
            raise InputError(f"unknown metric {metric!r}", where="knn_metric", fix=did_you_mean(metric, SCREENS))
        self._target = _finite(_as_matrix(target, names[1]), names[1], 0)
        self._groups = None if groups is None else np.asarray(groups)
        if self._groups is not None and self._groups.shape != (len(self._target),):
            raise InputError(
                f"{len(self._groups)} groups for {len(self._target)} rows", where="target groups", fix="one group a row"
            )
        self._k = k
        self._screen = SCREENS[metric](self._target)
        self._indices = np.full((len(self._target), k), NO_NEIGHBOR, dtype=np.int64)
        self._scores = np.full((len(self._target), k), -np.inf, dtype=np.float32)
        self._seen = 0

    def add(self, block: NDArray[Any], groups: ArrayLike | None = None) -> None:
        """Add the next source rows [b, d]; `groups` [b] goes with the groups of the targets."""
        rows = _as_matrix(block, self._names[0])
        if len(rows) and len(self._target) and rows.shape[1] != self._target.shape[1]:
            raise InputError(
                f"source vectors have {rows.shape[1]} numbers, target vectors {self._target.shape[1]}",
                where=self._names[0],
                fix="embed both sides with the same encoder",
            )
        if (groups is None) != (self._groups is None):
            raise InputError("groups of one side only", where="knn", fix="give groups for source and target")
        first = self._seen
        self._seen += len(rows)
        rows = _finite(rows, self._names[0], first)
        if self._groups is None or groups is None:
            self._add_rows(rows, first + np.arange(len(rows)), None)
            return
        labels = np.asarray(groups)
        if labels.shape != (len(rows),):
            raise InputError(f"{len(labels)} groups for {len(rows)} rows", where="source groups", fix="one group a row")
        for group in np.unique(labels):
            wanted = np.flatnonzero(self._groups == group)
            mine = np.flatnonzero(labels == group)
            if len(wanted):
                self._add_rows(rows[mine], first + mine, wanted)

    def result(self) -> tuple[Indices, Scores]:
        """Indices and similarity [m, k] over everything added so far, as `knn` describes them."""
        return self._indices.copy(), self._scores.copy()

    def _add_rows(self, rows: Scores, numbers: Indices, targets: Indices | None) -> None:
        """Search rows with these (ascending) numbers for the given targets, or for all."""
        for begin in range(0, len(rows), BLOCK_ROWS):
            block = rows[begin : begin + BLOCK_ROWS]
            names = numbers[begin : begin + BLOCK_ROWS]
            prepared = self._screen.prepare(block)
            duplicates = _Duplicates(block)
            tile = max(1, _TILE_BYTES // (4 * len(block)))
            for start in range(0, len(self._target) if targets is None else len(targets), tile):
                # A slice of the targets copies nothing; a choice of them does.
                at = slice(start, start + tile) if targets is None else targets[start : start + tile]
                hits, columns = self._candidates(prepared, at, duplicates)
                if len(hits):
                    self._take(start + hits if isinstance(at, slice) else at[hits], block, columns, names)

    def _candidates(self, prepared: Prepared, at: Indices | slice, duplicates: _Duplicates) -> tuple[Indices, Indices]:
        """(target within `at`, block row) of every pair that may belong to the k best."""
        approximate, slack = self._screen.products(at, prepared)
        count, width = approximate.shape
        k = self._k
        worst = self._scores[at, -1]
        floor = self._screen.floor(at, worst, slack)

        def raise_floor(lines: Indices) -> None:
            # k rows of this block are at least as near as its k-th best, give or take the slack.
            part = approximate[lines]
            edge = np.partition(part, width - k, axis=1)[:, width - k].astype(np.float64)
            floor[lines] = np.maximum(floor[lines], down(edge - 2.0 * slack[lines]))

        unfilled = np.flatnonzero(np.isneginf(worst))
        if len(unfilled) and width > k:
            raise_floor(unfilled)
        hits = np.flatnonzero(approximate >= floor[:, None])
        rows = hits // width
        counts = np.bincount(rows, minlength=count)
        crowded = np.flatnonzero(counts > 8 * k + 64)
        if len(crowded) and width > k:
            raise_floor(crowded)
            hits = hits[approximate.ravel()[hits] >= floor[rows]]
            rows = hits // width
            counts = np.bincount(rows, minlength=count)
        columns = hits - rows * width
        if counts.max(initial=0) > 8 * k + 64:
            rows, columns = duplicates.thin(rows, columns, k)
        return rows, columns

    def _take(self, rows: Indices, block: Scores, columns: Indices, numbers: Indices) -> None:
        """Score the pairs for good and merge them into the k best. `rows` is ascending."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _PAIR_CHUNK):
            part = slice(start, start + _PAIR_CHUNK)
            left = self._target[rows[part]].astype(np.float64)
            scores[part] = self._screen.exact(left, block[columns[part]].astype(np.float64))
        touched, counts = np.unique(rows, return_counts=True)
        width = int(counts.max())
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        line = np.repeat(np.arange(len(touched)), counts)
        new_indices = np.full((len(touched), width), NO_NEIGHBOR, dtype=np.int64)
        new_scores = np.full((len(touched), width), -np.inf, dtype=np.float32)
        new_indices[line, place] = numbers[columns]
        new_scores[line, place] = scores
        self._indices[touched], self._scores[touched] = _best(
            np.concatenate([self._indices[touched], new_indices], axis=1),
            np.concatenate([self._scores[touched], new_scores], axis=1),
            self._k,
        )


class _Duplicates:
    """Rows of a block that are equal byte for byte, found when first asked for.

    Blank crops are the rule in inspection images: thousands of equal vectors tie, and only the first k of them can
    be among anyone's k best.
    """

    def __init__(self, block: Scores) -> None:
        self._block = block
        self._kind: Indices | None = None

    def thin(self, rows: Indices, columns: Indices, k: int) -> tuple[Indices, Indices]:
        """Keep, of every target's hits (ascending), the first `k` of each set of equal rows."""
        if self._kind is None:
            plain = np.ascontiguousarray(self._block + np.float32(0))
            # A table of hashes: sorting rows of thousands of bytes takes three times as long.
            seen: dict[bytes, int] = {}
            self._kind = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in plain], dtype=np.int64)
        key = rows * len(self._block) + self._kind[columns]
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sizes = np.diff(np.append(starts, len(ordered)))
        rank = np.arange(len(ordered)) - np.repeat(starts, sizes)
        keep = np.sort(order[rank < k])
        return rows[keep], columns[keep]


def _best(indices: Indices, scores: Scores, k: int) -> tuple[Indices, Scores]:
    """The k best columns of every row: higher score, then lower index; empty places last, filled up to k."""
    rank = np.where(indices < 0, np.iinfo(np.int64).max, indices)
    order = np.lexsort((rank, -scores), axis=1)[:, :k]
    best_indices = np.take_along_axis(indices, order, axis=1)
    best_scores = np.take_along_axis(scores, order, axis=1)
    missing = k - order.shape[1]
    if missing > 0:
        best_indices = np.pad(best_indices, ((0, 0), (0, missing)), constant_values=NO_NEIGHBOR)
        best_scores = np.pad(best_scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return best_indices, best_scores


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k must be at least 1, not {k}", where="topn", fix="ask for one neighbour or more")


def _as_matrix(values: NDArray[Any], side: str) -> NDArray[Any]:
    matrix = values if isinstance(values, np.ndarray) else np.asarray(values)
    if matrix.ndim != 2:
        raise InputError(f"vectors have shape {matrix.shape}", where=side, fix="give one vector a row: [n, d]")
    if not (np.issubdtype(matrix.dtype, np.number) and not np.iscomplexobj(matrix)):
        raise InputError(f"vectors are {matrix.dtype}, not numbers", where=side, fix="give floating point vectors")
    return matrix


def _finite(matrix: NDArray[Any], side: str, first: int) -> Scores:
    """The matrix as contiguous float32; NaN, infinity or a value beyond `LARGEST` is refused with its row (from 1)."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        # One pass finds the rows that could hold such a value; only those are looked at number by number.
        suspects = np.flatnonzero(~(np.einsum("ij,ij->i", rows, rows) < LARGEST**2))
    for row in suspects:
        if not (np.abs(rows[row]) <= LARGEST).all():
            raise InputError(
                f"the embedding holds NaN, infinity or a number beyond {LARGEST:g}",
                where=f"{side} row {first + int(row) + 1}",
                fix="embed that image again",
            )
    return rows
