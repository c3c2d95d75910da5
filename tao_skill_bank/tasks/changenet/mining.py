"""Data mining of the loop, the pure part: from neighbours of images to rows of the pool, and what is written of it.

A sample of the pool is one row and has an image for every lighting. Neighbours are found image by image, within one
lighting at a time; a sample counts with its best lighting.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tao_skill_bank.actions.mining.knn import knn
from tao_skill_bank.actions.mining.neighbors import TOLERANCE
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_text

NEAR = 0.99
"""Two images of at least this cosine are nearly the same."""


@dataclass(frozen=True)
class PoolMatch:
    """How much each sample of the pool looks like a weak sample; all arrays are aligned with the pool's rows.

    Attributes:
        similarity: [n] float64, the cosine of the best lighting; NaN where no target has the sample among its
            nearest.
        files: [n] the image of that lighting; empty where NaN.
        targets: [n] the weak image it is nearest to; empty where NaN.
        used: [n] whether an earlier iteration took the sample.
    """

    similarity: NDArray[np.float64]
    files: list[str]
    targets: list[str]
    used: NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """The candidates that pass the limit.

    Attributes:
        rows: Pool rows, the most similar first, then in the pool's order.
        candidate_count: Samples among the nearest of some target and not used before: kept + rejected.
        rejected_count: Candidates below the limit.
        used_count: Samples among the nearest that earlier iterations had taken; they are no candidates.
        threshold: The least similarity that is kept.
    """

    rows: NDArray[np.int64]
    candidate_count: int
    rejected_count: int
    used_count: int
    threshold: float

    @property
    def kept_count(self) -> int:
        """How many are kept."""
        return len(self.rows)


def match_pool(
    filepaths: Sequence[str],
    similarity: Sequence[float] | NDArray[np.floating],
    targets: Sequence[str],
    pool_files: Sequence[Sequence[str]],
    used: Collection[str] = (),
) -> PoolMatch:
    """Bring the neighbours of all lightings together, one value a sample.

    Args:
        filepaths: [j] pool images found by the searches (`filepath` of the mined tables, one after the other).
        similarity: [j] cosine of each.
        targets: [j] the weak image each was found for.
        pool_files: [n] the images of each pool row, one a lighting, as they were given to the search. A file that
            stands in two rows counts for the first.
        used: Images that earlier iterations took; one image of a row is enough.

    Raises:
        InputError: A mined image that is not in the pool, or a similarity that is no number.
    """
    if not len(filepaths) == len(similarity) == len(targets):
        raise InputError("columns of different length", where="mined neighbours", fix="run the search again")
    row_of: dict[str, int] = {}
    for row, files in enumerate(pool_files):
        for file in files:
            row_of.setdefault(file, row)
    best = np.full(len(pool_files), np.nan)
    best_files = [""] * len(pool_files)
    best_targets = [""] * len(pool_files)
    for file, value, target in zip(filepaths, similarity, targets, strict=True):
        at = row_of.get(file)
        if at is None:
            raise InputError("is not an image of the pool", where=file, fix="mine from the pool of this run")
        if np.isnan(value):
            raise InputError("has no similarity", where=file, fix="run the search again")
        if np.isnan(best[at]) or value > best[at]:
            best[at], best_files[at], best_targets[at] = float(value), file, target
    taken = set(used)
    used_rows = np.array([not taken.isdisjoint(files) for files in pool_files], dtype=np.bool_)
    return PoolMatch(best, best_files, best_targets, used_rows)


def keep_similar(match: PoolMatch, min_similarity: float) -> Kept:
    """The candidates with at least that similarity; a similarity of the limit itself is kept.

    Cosines are float32, whose neighbours near 1 are 6e-8 apart, so a value that misses the limit by no more than
    1e-6 counts as equal to it.
    """
    found = ~np.isnan(match.similarity)
    candidates = np.flatnonzero(found & ~match.used)
    values = match.similarity[candidates]
    passed = values >= min_similarity - TOLERANCE
    order = np.argsort(-values[passed], kind="stable")
    return Kept(
        rows=candidates[passed][order],
        candidate_count=len(candidates),
        rejected_count=int(len(candidates) - passed.sum()),
        used_count=int((found & match.used).sum()),
        threshold=min_similarity,
    )


def similarity_to_targets(
    filepaths: Sequence[str],
    source_files: Sequence[str],
    source: NDArray[np.floating],
    target_files: Sequence[str],
    target: NDArray[np.floating],
) -> tuple[NDArray[np.float32], list[str]]:
    """Cosine and nearest target of mined images, for a mined table that has file paths alone (as TAO writes it).

    Args:
        filepaths: [j] mined images.
        source_files: [n] images of the pool that was searched.
        source: [n, d] their vectors.
        target_files: [m] weak images, m >= 1.
        target: [m, d] their vectors.

    Returns:
        Similarity [j] float32 and the image of the nearest target [j].

    Raises:
        InputError: A mined image that is not in the pool, no targets, NaN, or vectors of different length.
    """
    if not len(target_files):
        raise InputError("no target images", where="target embeddings", fix="embed at least one weak sample")
    row_of = {file: row for row, file in reversed(list(enumerate(source_files)))}
    missing = next((file for file in filepaths if file not in row_of), None)
    if missing is not None:
        raise InputError("is not an image of the pool", where=missing, fix="mine from the pool of this run")
    rows = np.array([row_of[file] for file in filepaths], dtype=np.int64)
    nearest, cosine = knn(target, source[rows], 1)
    return cosine[:, 0], [target_files[i] for i in nearest[:, 0]]


def near_duplicates(
    new: NDArray[np.floating], evaluation: NDArray[np.floating], most: int
) -> list[tuple[int, int, float]]:
    """New images whose cosine with some evaluation image is at least `NEAR` (missed by 1e-6 counts as met).

    They are for showing, not for dropping: blank crops of different boards look the same and are no leak.

    Args:
        new: [n, d] vectors of images about to enter training.
        evaluation: [m, d] vectors of validation, KPI and acceptance images, by the same encoder.
        most: Evaluation images a new one, the most similar first (of equals the first).

    Returns:
        (new image, evaluation image, cosine), by place, in the order of the new ones.
    """
    if len(new) == 0 or len(evaluation) == 0:
        return []
    nearest, cosine = knn(evaluation, new, min(most, len(evaluation)))
    rows, ranks = np.nonzero(cosine >= NEAR - TOLERANCE)
    return list(zip(rows.tolist(), nearest[rows, ranks].tolist(), cosine[rows, ranks].tolist(), strict=True))


def write_mined(path: Path, match: PoolMatch, rows: Sequence[int] | NDArray[np.int64], files: Sequence[str]) -> None:
    """Write `mined.parquet`: a row a chosen sample with `filepath`, `similarity` and `target`, in the order of `rows`.

    A sample that was chosen by other means than its neighbours has an image from `files` (aligned with the pool)
    and null in the other two.
    """
    import pyarrow as pa

    table = pa.table(
        {
            "filepath": pa.array([match.files[r] or files[r] for r in rows], pa.string()),
            "similarity": pa.array(match.similarity[list(rows)], pa.float64(), from_pandas=True),
            "target": pa.array([match.targets[r] or None for r in rows], pa.string()),
        }
    )
    write_parquet(path, table)


def write_knn_summary(path: Path, kept: Kept) -> None:
    """Write `knn_summary.csv`: one row; candidate = kept + rejected."""
    write_text(
        path,
        "candidate_count,kept_count,rejected_count,similarity_threshold\n"
        f"{kept.candidate_count},{kept.kept_count},{kept.rejected_count},{kept.threshold!r}\n",
    )


def write_mining_summary(
    path: Path, kept: Kept, *, encoder: str, targets: int, pool_rows: int, top_k: int, notes: Sequence[str] = ()
) -> None:
    """Write `mining_summary.txt`: what was searched, with which encoder, and what came of it."""
    lines = [
        "Data mining",
        f"  Encoder: {encoder}",
        f"  Weak images: {targets}",
        f"  Pool rows: {pool_rows}",
        f"  Neighbours a weak image: {top_k}",
        f"  Taken by earlier iterations: {kept.used_count}",
        f"  Candidates: {kept.candidate_count}",
        f"  Kept (cosine >= {kept.threshold:g}): {kept.kept_count}",
        f"  Rejected: {kept.rejected_count}",
        *(f"  {note}" for note in notes),
    ]
    write_text(path, "\n".join(lines) + "\n")
