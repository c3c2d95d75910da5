"""Which samples are weak, and where their images lie: the pure half of the ChangeNet gap analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.gap_analysis.arrow_arrays import from_numpy, repeated, strings, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

    from tao_skill_bank.actions.gap_analysis.vcn_read import ImageNames, Inference

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

# Samples turned into rows of images at a time: bounds memory when every row of a large CSV is kept.
BATCH = 100_000
# Up to this many large labels are cut one by one, which needs no full sort; beyond it one sort serves them all.
FEW_LABELS = 64


@dataclass(frozen=True)
class LabelCount:
    """What became of one label's samples: all of them, those misclassified, those kept, and of these the wrong."""

    label: str
    count: int
    misclassified: int
    kept: int
    kept_misclassified: int


def misclassified(scores: FloatArray, is_pass: BoolArray, threshold: float) -> BoolArray:
    """Bool [n]: PASS above the threshold, NO_PASS at it or below.

    Strict on one side only, so a NO_PASS row at the threshold is wrong although its weakness is 0.
    """
    result: BoolArray = (scores > threshold) == is_pass
    return result


def weakness(scores: FloatArray, is_pass: BoolArray, threshold: float) -> FloatArray:
    """Float [n]: how far a score lies on the wrong side of the threshold; negative on the right side."""
    distance = scores - threshold
    # 0 - d instead of -d: no negative zero in the files.
    return np.where(is_pass, distance, 0.0 - distance)


def repeats(inference: Inference) -> tuple[int, int]:
    """How many rows name a sample that stands in an earlier row, and how many samples stand under several labels."""
    import pyarrow as pa

    names = inference.object_name.combine_chunks(memory_pool=pa.system_memory_pool()).dictionary_encode()
    paths, places = (to_numpy(part.indices).astype(np.int64) for part in (inference.input_path, names))
    samples = paths * max(1, len(names.dictionary)) + places
    ordered = np.sort(samples)
    number = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    if number == len(samples):
        return 0, 0
    upper = {label: code for code, label in enumerate(dict.fromkeys(inference.labels))}
    labels = np.array([upper[label] for label in inference.labels], dtype=np.int64)[inference.label_codes]
    _, place = np.unique(samples, return_inverse=True)
    apart = np.unique(place * len(upper) + labels) // len(upper)
    return len(samples) - number, int((np.bincount(apart) > 1).sum())


def weakest(weak: FloatArray, codes: npt.NDArray[np.integer[Any]], top_k: int) -> IntArray:
    """The rows that are among the `top_k` weakest of their group; weakest first, equals in file order.

    Args:
        weak: Float [n].
        codes: Group of each row, small integers [n].
        top_k: At least 1.
    """
    sizes = np.bincount(codes)
    large = np.flatnonzero(sizes > top_k)
    if len(large) > FEW_LABELS:
        order = np.lexsort((-weak, codes))
        starts = np.cumsum(sizes) - sizes
        rank = np.arange(len(weak)) - starts[codes[order]]
        kept = order[rank < top_k]
    else:
        parts = [np.flatnonzero((sizes <= top_k)[codes])] if len(large) < np.count_nonzero(sizes) else []
        for code in large:
            rows = np.flatnonzero(codes == code)
            values = weak[rows]
            cut = np.partition(values, len(values) - top_k)[len(values) - top_k]
            above = rows[values > cut]
            # Of the rows at the cut, the first in the file.
            parts.append(np.concatenate((above, rows[values == cut][: top_k - len(above)])))
        kept = np.concatenate(parts)
    return ordered(weak, kept)


def ordered(weak: FloatArray, rows: IntArray) -> IntArray:
    """Rows by weakness, weakest first, equals in file order."""
    rows = np.sort(rows)
    return rows[np.argsort(-weak[rows], kind="stable")]


def label_groups(labels: Sequence[str]) -> tuple[list[str], npt.NDArray[np.intp]]:
    """The distinct upper-cased labels (PASS first, then by name) and, for each of `labels`, its place in them."""
    names = sorted(set(labels), key=lambda name: (name != "PASS", name))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place[label] for label in labels], dtype=np.intp)


def count_labels(
    names: Sequence[str], codes: npt.NDArray[np.integer[Any]], wrong: BoolArray, kept: IntArray
) -> list[LabelCount]:
    """One record a label, in the order of `names`."""
    size = len(names)
    columns = (
        np.bincount(codes, minlength=size),
        np.bincount(codes[wrong], minlength=size),
        np.bincount(codes[kept], minlength=size),
        np.bincount(codes[kept[wrong[kept]]], minlength=size),
    )
    return [LabelCount(name, *(int(column[i]) for column in columns)) for i, name in enumerate(names)]


def image_rows(
    inference: Inference, rows: IntArray, weak: FloatArray, names: ImageNames, media_root: str
) -> Iterator[pa.RecordBatch]:
    """The kept samples as record batches of `filepath, label, siamese_score, weakness`, one row an image.

    Args:
        inference: The scored rows.
        rows: Which of them, in output order.
        weak: Float [n], of all rows.
        names: How the images of a sample are called.
        media_root: Put before each `input_path`; may be empty.
    """
    import pyarrow as pa

    folders = strings([_folder_prefix(media_root, text) for text in inference.input_path.dictionary.to_pylist()])
    labels = strings(inference.label_texts)
    lights = len(names.suffixes)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        index = from_numpy(part)
        folder = folders.take(inference.input_path.indices.take(index))
        paths = _image_paths(folder, inference.object_name.take(index), names.suffixes)
        expand = np.repeat(np.arange(len(part)), lights)
        columns = [
            paths,
            labels.take(from_numpy(inference.label_codes[part][expand].astype(np.int32))),
            from_numpy(inference.scores[part][expand]),
            from_numpy(weak[part][expand]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=gaps_schema())


def gaps_schema() -> pa.Schema:
    """The columns of `kpi_gaps.parquet`; they stand even where there are no rows."""
    import pyarrow as pa

    return pa.schema(
        [
            ("filepath", pa.string()),
            ("label", pa.string()),
            ("siamese_score", pa.float64()),
            ("weakness", pa.float64()),
        ]
    )


def _image_paths(folder: pa.Array, object_name: pa.ChunkedArray, suffixes: Sequence[str]) -> pa.Array:
    """`folder` + `object_name` + suffix for every sample and lighting, samples outermost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    count, lights = len(folder), len(suffixes)
    if any("/" in s for s in suffixes) or pc.any(pc.match_substring(object_name, "/")).as_py():
        # An object name with folders in it may be absolute or hold `//`: path rules, one by one.
        return strings(
            [
                str(PurePath(base) / f"{name}{suffix}")
                for base, name in zip(folder.to_pylist(), object_name.to_pylist(), strict=True)
                for suffix in suffixes
            ]
        )
    names = object_name.combine_chunks()
    nothing = repeated("", count)
    per_light = [pc.binary_join_element_wise(folder, names, repeated(suffix, count), nothing) for suffix in suffixes]
    samples_outermost = np.arange(count * lights).reshape(lights, count).T.reshape(-1)
    return pa.concat_arrays(per_light).take(from_numpy(samples_outermost)) if lights > 1 else per_light[0]


def _folder_prefix(media_root: str, input_path: str) -> str:
    """The folder of a sample's images with a trailing slash, or nothing for the working folder."""
    text = str(PurePath(media_root) / input_path)
    if text == ".":
        return ""
    return text if text.endswith("/") else text + "/"
