"""Reading what a ChangeNet evaluation left: `inference.csv`, and of the train YAML the names of a sample's images."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import arrow_file
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import sha256_file
from tao_skill_bank.core.overrides import load_yaml_mapping
from tao_skill_bank.core.sheets import refuse_other_separator
from tao_skill_bank.core.threads import ThreadPool

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

CSV_NAME = "inference.csv"
COLUMNS = ("input_path", "object_name", "label", "siamese_score")
PASS = "PASS"
# Beyond this the distance of two scores overflows; a siamese score is a probability or a distance, far below it.
LARGEST_SCORE = 1e300
# Nobody has so many columns; a file that is no CSV may be one line.
LONGEST_HEADER = 1 << 16
_NUMBER = re.compile(r"\s*-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True)
class Inference:
    """The scored rows of an evaluation, in file order; n rows, m distinct labels.

    Attributes:
        sha256: Digest of its bytes.
        scores: float64 [n], finite.
        label_codes: Integers [n], an index into `labels` and `label_texts`.
        label_texts: The distinct labels as written but stripped, m of them; two may differ in case only.
        labels: The same, upper-cased.
        input_path: Arrow dictionary array [n] of strings.
        object_name: Arrow chunked array [n] of strings.
    """

    path: Path
    sha256: str
    scores: npt.NDArray[np.float64]
    label_codes: npt.NDArray[np.integer[Any]]
    label_texts: tuple[str, ...]
    labels: tuple[str, ...]
    input_path: pa.DictionaryArray
    object_name: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def is_pass(self) -> npt.NDArray[np.bool_]:
        """Bool [n]: the label, stripped and upper-cased, is PASS."""
        import numpy as np

        flags = np.array([label == PASS for label in self.labels], dtype=np.bool_)
        passes: npt.NDArray[np.bool_] = flags[self.label_codes]
        return passes


@dataclass(frozen=True)
class ImageNames:
    """How the images of a sample are called: one suffix a lighting, in order (`_SolderLight.png`)."""

    suffixes: tuple[str, ...]


def read_inference(folder: Path) -> Inference:
    """Read `inference.csv` of a folder, once, by column.

    Raises:
        InputError: No such file, a path to the file itself, a missing column, no rows, a malformed row, a score that
            is empty, not a number or not finite, an empty label or object name. The row is named.
    """
    path = _csv_of(folder)
    header = _header(path)
    with ThreadPool(1) as pool:
        digest = pool.submit(sha256_file, path)
        found = _read_columns(path)
        if found is None:
            raise _first_fault(path, header)
        return Inference(path=path, sha256=digest.result(), **found)


def read_goldens(inference: Inference) -> Inference | None:
    """The same rows with their goldens' folders as `input_path`; None where the CSV names no goldens."""
    import pyarrow as pa

    column = "golden_path"
    table = _arrow_columns(inference.path, {column: pa.dictionary(pa.int32(), pa.string())})
    if table is None or table.num_rows != len(inference):
        return None
    return replace(inference, input_path=table[column].unify_dictionaries().combine_chunks())


def read_image_names(train_config: Path) -> ImageNames:
    """The image suffixes of a sample, from `dataset.classify.input_map` and `.image_ext` of a train YAML.

    `input_map` is a list of lightings, or a mapping whose keys are, in order; an empty one means names without a
    lighting, as in TAO.

    Raises:
        InputError: No such file, not YAML, a missing or malformed key.
    """
    if guard.is_folder(train_config):
        raise InputError("is a folder", where=train_config, fix="name the train YAML itself: train_config=FILE.yaml")
    try:
        config: Any = load_yaml_mapping(train_config)
    except InputError as error:
        raise InputError(
            error.what, where=error.where, fix="train_config= names the YAML the model trained with"
        ) from None
    for depth, part in enumerate(("dataset", "classify")):
        name = ".".join(("dataset", "classify")[: depth + 1])
        config = config.get(part)
        if not isinstance(config, dict):
            raise InputError(f"no mapping {name!r}", where=train_config, fix="pass the train YAML of a classify model")
    return ImageNames(tuple(_suffixes(config, train_config)))


def _suffixes(classify: dict[Any, Any], where: Path) -> Iterator[str]:
    lights, extension = classify.get("input_map"), classify.get("image_ext")
    if lights is None:
        raise InputError("no dataset.classify.input_map", where=where, fix="list the lightings: input_map: {LIGHT: 0}")
    if not isinstance(lights, (list, dict)) or not all(isinstance(k, (str, int)) for k in lights):
        raise InputError(
            "dataset.classify.input_map is neither a mapping nor a list of lightings",
            where=where,
            fix="write input_map: {LIGHT: 0}",
        )
    if not isinstance(extension, str) or not extension.strip():
        raise InputError("no dataset.classify.image_ext", where=where, fix="write image_ext: .png")
    if not lights:
        yield extension
    for light in lights:
        yield f"_{light}{extension}"


def _csv_of(folder: Path) -> Path:
    if guard.is_file(folder):
        raise InputError(
            "inference_results_dir is a file",
            where=folder,
            fix=f"pass the directory: inference_results_dir={folder.parent}",
        )
    if not guard.is_folder(folder):
        raise InputError("no such folder", where=folder, fix=f"inference_results_dir= names the folder of {CSV_NAME}")
    path = folder / CSV_NAME
    if guard.is_file(path):
        return path
    others = [at for below in guard.children(folder) if guard.is_file(at := below / CSV_NAME)]
    fix = f"pass inference_results_dir={others[0].parent}" if others else "run inference first"
    raise InputError(f"holds no {CSV_NAME}", where=folder, fix=fix)


def _header(path: Path) -> list[str]:
    # Bytes that are not UTF-8 further down are none of the header's business: they are found with their row.
    with guard.open_text(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        first = handle.readline(LONGEST_HEADER + 1)
        if len(first) > LONGEST_HEADER:
            what = f"the first line is longer than {LONGEST_HEADER >> 10} KiB"
            raise InputError(what, where=path, fix="export it again: a header and a row a line")
        handle.seek(0)
        try:
            header = next(csv.reader(handle), [])
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", where=f"{path} line 1", fix="export it again") from None
    if not header:
        raise InputError("is empty", where=path, fix="run inference again; a header and at least one row are needed")
    refuse_other_separator(path, ",".join(header))
    for column in COLUMNS:
        if header.count(column) > 1:
            raise InputError(f"column {column!r} stands there twice", where=path, fix="keep one of them")
        if column not in header:
            raise InputError(f"no column {column!r}", where=path, fix=did_you_mean(column, header))
    return header


def _read_columns(path: Path) -> dict[str, Any] | None:
    """The columns by arrow's reader, or None where something is wrong; which row it is, is looked up afterwards."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from tao_skill_bank.actions.gap_analysis.arrow_arrays import to_numpy

    pool = pa.system_memory_pool()
    text = pa.dictionary(pa.int32(), pa.string())
    types = {"input_path": text, "object_name": pa.string(), "label": text, "siamese_score": pa.float64()}
    table = _arrow_columns(path, types)
    if table is None or table.num_rows == 0 or table["siamese_score"].null_count:
        return None
    scores = np.concatenate([to_numpy(chunk) for chunk in table["siamese_score"].chunks])
    if not (np.abs(scores) <= LARGEST_SCORE).all():
        return None
    label = table["label"].unify_dictionaries(memory_pool=pool).combine_chunks(memory_pool=pool)
    texts = tuple(t.strip() for t in label.dictionary.to_pylist())
    if "" in texts or pc.min(pc.binary_length(table["object_name"])).as_py() == 0:
        return None
    codes = to_numpy(label.indices).astype(np.min_scalar_type(max(len(texts) - 1, 0)))
    return {
        "scores": scores,
        "label_codes": codes,
        "label_texts": texts,
        "labels": tuple(t.upper() for t in texts),
        "input_path": table["input_path"].unify_dictionaries(memory_pool=pool).combine_chunks(memory_pool=pool),
        "object_name": table["object_name"],
    }


def _arrow_columns(path: Path, types: dict[str, pa.DataType]) -> pa.Table | None:
    """Columns of a CSV by arrow's reader; None where it does not take the file."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        return arrow_csv.read_csv(
            arrow_file(path),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(include_columns=list(types), column_types=types),
            # The default pool takes fresh memory in huge pages: seconds of a system's time where it has to find them.
            memory_pool=pa.system_memory_pool(),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None


def _first_fault(path: Path, header: list[str]) -> InputError:
    """The first row that cannot be used, found by reading slowly."""
    place = {name: header.index(name) for name in COLUMNS}
    fix = "fix the row, or run inference again"
    row, line = 0, 1
    try:
        with guard.open_text(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            next(reader)
            for cells in reader:
                line = reader.line_num
                if not cells:
                    continue
                row += 1
                fault = _fault(cells, header, place)
                if fault:
                    return InputError(fault, where=f"{path} row {row} (line {line})", fix=fix)
    except UnicodeDecodeError:
        line = _first_line_not_utf8(path)
        return InputError("is not UTF-8 text", where=f"{path} row {line - 1} (line {line})", fix="export it as UTF-8")
    except csv.Error as error:
        return InputError(f"not valid CSV: {error}", where=f"{path} row {row + 1} (line {line + 1})", fix=fix)
    if row == 0:
        return InputError("is empty: a header and no rows", where=path, fix="run inference again")
    return InputError("cannot be read as CSV", where=path, fix="export it again, comma-separated, UTF-8, one header")


def _first_line_not_utf8(path: Path) -> int:
    """Which line, counted from 1, holds the first byte that is not UTF-8."""
    with guard.open_read(path) as handle:
        for number, raw in enumerate(handle, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _fault(cells: list[str], header: list[str], place: dict[str, int]) -> str | None:
    if len(cells) != len(header):
        return f"{len(cells)} cells where the header has {len(header)}"
    score = cells[place["siamese_score"]]
    if not score.strip():
        return "siamese_score is empty"
    try:
        number = float(score)
    except ValueError:
        return f"siamese_score is not a number: {score[:40]!r}"
    if not math.fabs(number) <= LARGEST_SCORE:
        return f"siamese_score is not a finite number: {score[:40]!r}"
    if not _NUMBER.fullmatch(score):
        return f"siamese_score is not written as a plain number: {score[:40]!r}"
    if not cells[place["label"]].strip():
        return "label is empty"
    if not cells[place["object_name"]]:
        return "object_name is empty"
    return None
