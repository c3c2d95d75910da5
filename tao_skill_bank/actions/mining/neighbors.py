"""`tmm nearest_neighbors`: the images of a pool that look most like the given ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tao_skill_bank.actions.gap_analysis.arrow_arrays import from_numpy, strings
from tao_skill_bank.actions.mining.knn import Search
from tao_skill_bank.actions.mining.screens import SCREENS
from tao_skill_bank.actions.mining.tables import (
    EMBEDDING,
    ENCODER_KEY,
    FILEPATH,
    LABEL,
    EncoderId,
    ImageTable,
    same_encoder,
)
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import write_text

SUMMARY: Final = "mining_summary.txt"
TOLERANCE: Final = 1e-6
"""A limit on distance or similarity counts as kept when missed by no more: what rounding to float32 can shift."""

LABEL_FILTERS: Final = ("false", "within", "after")


@dataclass(frozen=True)
class Mined:
    """What `nearest_neighbors` found.

    Attributes:
        filepaths: [n] source images, each once, in the order the targets first name them.
        scores: [n] float32, the nearest target's: the cosine, or the distance for the other metrics.
        targets: [n] that target's image (the first of equally near ones).
        pairs: Target-source pairs looked at: targets times neighbours found.
        label_dropped: Pairs dropped because their labels differ (`after` only).
        distance_dropped: Pairs dropped because they are too far apart.
        queries: Target images.
        encoder: The encoder of both sides, where the files name it.
        summary: The lines of `mining_summary.txt`.
        notes: Warnings, a line each.
    """

    filepaths: list[str]
    scores: NDArray[np.float32]
    targets: list[str]
    pairs: int
    label_dropped: int
    distance_dropped: int
    queries: int
    encoder: EncoderId | None
    summary: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def nearest_neighbors(
    source_parquet: Path,
    target_parquet: Path,
    output_parquet: Path | None = None,
    *,
    topn: int = 5,
    knn_metric: str = "euclidean",
    source_embed_column_name: str = EMBEDDING,
    target_embed_column_name: str = EMBEDDING,
    filter_by_label: str = "false",
    distance_threshold: float = -1.0,
    group_by: Sequence[str] = (),
    found: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None,
) -> Mined:
    """Find, for every target image, the `topn` nearest source images; exact, the source read in row groups.

    Args:
        source_parquet: The pool: `filepath` and embeddings.
        target_parquet: The images to find look-alikes of.
        output_parquet: Where to write the result (columns `filepath`, `similarity` or `distance`, `target`), with
            `mining_summary.txt` beside it; None writes nothing.
        topn: Neighbours a target; fewer where the pool has fewer.
        knn_metric: `euclidean`, `cosine` or `manhattan`.
        source_embed_column_name: Column of the source's vectors.
        target_embed_column_name: Column of the target's vectors.
        filter_by_label: `false`; `after` (TAO's `true`) searches everything and then drops pairs whose labels
            differ; `within` searches among the images of the target's own label, so that all `topn` count. Labels
            are compared without case and outer blanks.
        distance_threshold: Drop pairs farther apart than this (cosine: distance = 1 - cosine), give or take
            `TOLERANCE`; negative: keep all.
        group_by: Columns (such as `lighting`) that must be equal for a pair to be looked at.
        found: Source rows and scores [targets, topn] as `knn` gives them, where the search was made elsewhere.

    Raises:
        InputError: Unreadable or empty tables, different encoders or vector lengths, NaN, a bad argument.
    """
    how = _label_filter(filter_by_label)
    if knn_metric not in SCREENS:
        raise InputError(f"unknown metric {knn_metric!r}", where="knn_metric", fix=did_you_mean(knn_metric, SCREENS))
    if not math.isfinite(distance_threshold):
        raise InputError(f"not a distance: {distance_threshold}", where="distance_threshold", fix="use -1.0 for none")
    source, target = ImageTable(source_parquet), ImageTable(target_parquet)
    for table in (source, target):
        if len(table) == 0:
            raise InputError("has no rows", where=table.path, fix="embed at least one image")
    encoder = same_encoder(source, target)
    notes = []
    lacking = [str(t.path) for t in (source, target) if LABEL not in t.columns]
    if how == "after" and lacking:
        notes.append(f"no label column in {', '.join(lacking)}: labels are not compared")
        how = "false"
    within = [*group_by, *([LABEL] if how == "within" else [])]
    columns = (source_embed_column_name, target_embed_column_name)
    indices, scores = found if found is not None else _search(source, target, topn, knn_metric, columns, within)
    paired = indices >= 0
    keep = paired.copy()
    if how == "after":
        keep[paired] &= source.groups([LABEL])[indices[paired]] == target.groups([LABEL])[np.nonzero(paired)[0]]
    label_dropped = int(paired.sum() - keep.sum())
    distance = 1.0 - scores.astype(np.float64) if knn_metric == "cosine" else -scores.astype(np.float64)
    if distance_threshold >= 0:
        keep &= distance <= distance_threshold + TOLERANCE * max(1.0, distance_threshold)
    mined = _unique(source, target, indices, scores if knn_metric == "cosine" else -scores, keep, knn_metric)
    result = Mined(
        *mined,
        pairs=int(paired.sum()),
        label_dropped=label_dropped,
        distance_dropped=int(paired.sum() - keep.sum()) - label_dropped,
        queries=len(target),
        encoder=encoder,
        notes=tuple(notes),
    )
    result = replace(result, summary=_summary(result, topn, how, distance_threshold, output_parquet))
    if output_parquet is not None:
        _write(output_parquet, result, source, knn_metric)
        write_text(output_parquet.parent / SUMMARY, "\n".join(result.summary) + "\n")
    return result


def _summary(mined: Mined, topn: int, how: str, threshold: float, output: Path | None) -> tuple[str, ...]:
    kept = mined.pairs - mined.label_dropped
    left = kept - mined.distance_dropped
    lines = [
        "Summary:",
        f"  Encoder: {mined.encoder or 'not named by the files'}",
        f"  Target queries: {mined.queries}",
        f"  Similar items per query: {topn}",
        f"  Total pairs: {mined.pairs}",
    ]
    if how == "after":
        lines.append(
            f"  After label mismatch filtering: kept {kept}/{mined.pairs} pairs, "
            f"dropped {mined.label_dropped} mismatches"
        )
    if how == "within":
        lines.append("  Searched within the label of each target")
    if threshold >= 0:
        lines.append(
            f"  After distance filtering: kept {left}/{kept} pairs, "
            f"dropped {mined.distance_dropped} exceeding threshold {threshold:.4f}"
        )
    return (
        *lines,
        f"  Total candidates: {left}",
        f"  Duplicates removed: {left - len(mined.filepaths)}",
        f"  Unique items saved: {len(mined.filepaths)}",
        f"  Results saved to: {output or 'nowhere'}",
    )


def _search(
    source: ImageTable,
    target: ImageTable,
    topn: int,
    metric: str,
    columns: tuple[str, str],
    within: list[str],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    search = Search(
        target.matrix(columns[1]),
        topn,
        metric,
        groups=target.groups(within) if within else None,
        names=(str(source.path), str(target.path)),
    )
    groups = source.groups(within) if within else None
    start = 0
    for block in source.vectors(columns[0]):
        search.add(block, None if groups is None else groups[start : start + len(block)])
        start += len(block)
    return search.result()


def _unique(
    source: ImageTable,
    target: ImageTable,
    indices: NDArray[np.int64],
    values: NDArray[np.float32],
    keep: NDArray[np.bool_],
    metric: str,
) -> tuple[list[str], NDArray[np.float32], list[str]]:
    """Every source image once, with the nearest target's value and image."""
    lines, _ = np.nonzero(keep)
    value = values[keep]
    files = source.filepaths().take(from_numpy(indices[keep])).to_pylist()
    names = target.filepaths().to_pylist()
    place: dict[str, int] = {}
    best: list[int] = []
    for pair, file in enumerate(files):
        at = place.setdefault(file, len(best))
        if at == len(best):
            best.append(pair)
        elif value[pair] > value[best[at]] if metric == "cosine" else value[pair] < value[best[at]]:
            best[at] = pair
    return list(place), value[best], [names[lines[pair]] for pair in best]


def _write(path: Path, mined: Mined, source: ImageTable, metric: str) -> None:
    import pyarrow as pa

    name = "similarity" if metric == "cosine" else "distance"
    note = (source.schema.metadata or {}).get(ENCODER_KEY)
    table = pa.table(
        {
            FILEPATH: strings(mined.filepaths),
            name: from_numpy(mined.scores),
            "target": strings(mined.targets),
        },
        metadata=None if note is None else {ENCODER_KEY: note},
    )
    write_parquet(path, table)


def _label_filter(value: str) -> str:
    text = str(value).strip().lower()
    text = {"true": "after", "1": "after", "yes": "after", "0": "false", "no": "false"}.get(text, text)
    if text not in LABEL_FILTERS:
        fix = did_you_mean(text, (*LABEL_FILTERS, "true"))
        raise InputError(f"not a label filter: {value!r}", where="filter_by_label", fix=fix)
    return text
