"""The parquet files of mining: a row an image, its file in `filepath`, its vector in `embedding`.

Vectors are fixed-size lists of float32, and the file's metadata names the encoder that made them, so that vectors
of different encoders are never compared. Files written by TAO data services (lists of doubles, no encoder named)
are read as well. Everything streams in row groups: a pool need not fit in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tao_skill_bank.actions.gap_analysis.arrow_arrays import from_numpy, to_numpy
from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import arrow_file
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import atomic_file
from tao_skill_bank.core.parquet_footer import widest_columns

FILEPATH: Final = "filepath"
EMBEDDING: Final = "embedding"
LABEL: Final = "label"
ENCODER_KEY: Final = b"tao_skill_bank.encoder"
BATCH_ROWS: Final = 8192
_MANY_ROWS: Final = 100_000
_WIDEST: Final = 1 << 16


@dataclass(frozen=True)
class EncoderId:
    """Which encoder made the vectors of a file; two files may be compared when theirs are equal."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} (version {self.version})"


class ImageTable:
    """A parquet file with a `filepath` column, read in batches."""

    def __init__(self, path: Path) -> None:
        """Open a table and check its columns.

        Raises:
            InputError: No such file, not a parquet file, no `filepath` column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        if guard.is_folder(path):
            raise InputError("is a folder, not a parquet file", where=path, fix="name the file")
        try:
            self._file = pq.ParquetFile(arrow_file(path))
        except FileNotFoundError:
            raise InputError("no such parquet file", where=path, fix="check the path") from None
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise _unreadable(error, path) from None
        refuse_endless(self._file, path)
        # Columns of the index that pandas writes are not data.
        self.columns = [c for c in self._file.schema_arrow.names if not c.startswith("__index_level_")]
        self.need(FILEPATH)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def schema(self) -> Any:
        """The Arrow schema of the file."""
        return self._file.schema_arrow

    def encoder(self) -> EncoderId | None:
        """The encoder that made the vectors, if the file says so."""
        text = (self._file.schema_arrow.metadata or {}).get(ENCODER_KEY)
        if text is None:
            return None
        try:
            value = json.loads(text)
            return EncoderId(str(value["name"]), str(value["version"]))
        except (ValueError, TypeError, KeyError):
            raise InputError("names its encoder unreadably", where=self.path, fix="embed the images again") from None

    def need(self, column: str) -> None:
        """Refuse a table without that column, naming the nearest one."""
        if column not in self.columns:
            raise InputError(f"no column {column!r}", where=self.path, fix=did_you_mean(column, self.columns))

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[Any]:
        """Record batches of the given columns, in order."""
        import pyarrow as pa

        try:
            yield from self._file.iter_batches(batch_size=rows, columns=list(columns))
        except (pa.ArrowException, OSError, UnicodeError) as error:
            raise _unreadable(error, self.path) from None

    def column(self, name: str) -> Any:
        """A whole column as an Arrow array in one piece."""
        import pyarrow as pa

        self.need(name)
        chunks = [batch.column(0) for batch in self.batches([name])]
        return pa.chunked_array(chunks, type=self.schema.field(name).type).combine_chunks()

    def filepaths(self) -> Any:
        """The `filepath` column as an Arrow array without nulls; a null is refused with its row (from 1)."""
        paths = self.column(FILEPATH)
        check_filepaths(paths, self.path, 0)
        return paths

    def groups(self, columns: Sequence[str]) -> NDArray[np.str_]:
        """[n] one text a row that is equal where the given columns are, however their case and outer blanks."""
        parts = []
        for name in columns:
            values = self.column(name).dictionary_encode(null_encoding="encode")
            _check_text(values.dictionary, self.path)
            names = np.array([_plain(value) for value in values.dictionary.to_pylist()], dtype=np.str_)
            parts.append(names[to_numpy(values.indices)])
        joined: NDArray[np.str_] = parts[0]
        for more in parts[1:]:
            joined = np.char.add(np.char.add(joined, "\0"), more)
        return joined

    def vectors(self, column: str = EMBEDDING) -> Iterator[NDArray[np.float32]]:
        """The vectors in blocks [b, d] float32.

        Raises:
            InputError: No such column, not lists of numbers, a null, or rows of different length (names the row).
        """
        import pyarrow as pa

        self.need(column)
        kind = self.schema.field(column).type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not (lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))):
            raise InputError(
                f"column {column!r} holds {kind}, not lists of numbers", where=self.path, fix="embed the images first"
            )
        width, start = None, 0
        for batch in self.batches([column]):
            block = self._block(batch.column(0), width, start)
            if len(block):
                width, start = block.shape[1], start + len(block)
                yield block

    def matrix(self, column: str = EMBEDDING) -> NDArray[np.float32]:
        """All of the vectors, [n, d], of a table that has rows; as `vectors`."""
        return np.concatenate(list(self.vectors(column)))

    def _block(self, array: Any, width: int | None, start: int) -> NDArray[np.float32]:
        import pyarrow as pa

        if array.null_count:
            row = start + _first_null(array) + 1
            raise InputError("no embedding", where=f"{self.path} row {row}", fix="embed that image again")
        if pa.types.is_fixed_size_list(array.type):
            sizes = np.full(len(array), array.type.list_size)
        else:
            sizes = np.diff(to_numpy(array.offsets))
        wanted = width if width is not None else int(sizes[0]) if len(sizes) else 0
        odd = np.flatnonzero(sizes != wanted)
        if len(odd) or (len(sizes) and wanted == 0):
            row = int(odd[0]) if len(odd) else 0
            raise InputError(
                f"an embedding of {sizes[row]} numbers among embeddings of {wanted}",
                where=f"{self.path} row {start + row + 1}",
                fix="embed all images with the same encoder",
            )
        flat = array.flatten()
        if flat.null_count:
            row = start + _first_null(flat) // wanted + 1
            raise InputError("an embedding with a gap", where=f"{self.path} row {row}", fix="embed that image again")
        values = to_numpy(flat.cast(pa.float32(), safe=False))
        block: NDArray[np.float32] = values.reshape(len(array), wanted)
        return block


def refuse_endless(file: Any, where: Path) -> None:
    """Refuse a parquet file that stands for far more than it can hold: a row an image costs at least its name.

    Raises:
        InputError: More rows than bits, and enough of them to fill a memory; rows wider than any vector; a damaged
            footer.
    """
    facts = guard.status(where)
    rows, size = int(file.metadata.num_rows), 0 if facts is None else facts.st_size
    if rows > _MANY_ROWS and rows > 8 * size:
        raise InputError(f"stands for {rows:,} rows in {size:,} bytes", where=where, fix="write it again")
    try:
        groups = widest_columns(where)
    except ValueError as error:
        raise InputError(f"cannot be read as parquet: {error}", where=where, fix="write it again") from None
    for rows, values in groups:
        if values > _WIDEST * max(1, rows):
            what = f"holds rows of {values // max(1, rows):,} numbers"
            raise InputError(what, where=where, fix="embed the images again")


def check_filepaths(paths: Any, where: Path, start: int) -> None:
    """Refuse a path that is missing, empty or not text, with its row; `start` rows came before this array."""
    import pyarrow as pa

    if not (pa.types.is_string(paths.type) or pa.types.is_large_string(paths.type) or pa.types.is_null(paths.type)):
        raise InputError(f"column 'filepath' holds {paths.type}, not text", where=where, fix="write paths as text")
    _check_text(paths, where)
    for row, path in enumerate(paths.to_pylist(), start=start + 1) if _has_gaps(paths) else ():
        if not path:
            raise InputError("no filepath", where=f"{where} row {row}", fix="fill in the image's path")


@contextmanager
def embedding_writer(path: Path, source: ImageTable, encoder: EncoderId, dim: int) -> Iterator[Any]:
    """Write embeddings beside a table's own columns, atomically.

    Yields a function `write(batch, vectors)`: a record batch of all of `source.columns` and its vectors [b, dim].
    The columns are `filepath`, `embedding`, and then the table's other columns as they were.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    extra = [source.schema.field(name) for name in source.columns if name not in (FILEPATH, EMBEDDING)]
    vector = pa.list_(pa.float32(), dim)
    note = json.dumps({"name": encoder.name, "version": encoder.version}, ensure_ascii=False)
    fields = [pa.field(FILEPATH, pa.string()), pa.field(EMBEDDING, vector), *extra]
    schema = pa.schema(fields, metadata={ENCODER_KEY: note.encode("utf-8")})
    plain = [f.name for f in fields if f.name != EMBEDDING]
    with atomic_file(path) as handle, pq.ParquetWriter(handle, schema, use_dictionary=plain) as writer:

        def write(batch: Any, vectors: NDArray[np.float32]) -> None:
            values = pa.FixedSizeListArray.from_arrays(from_numpy(vectors.ravel()), dim)
            columns = [batch.column(FILEPATH).cast(pa.string()), values, *(batch.column(f.name) for f in extra)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

        yield write


def same_encoder(source: ImageTable, target: ImageTable) -> EncoderId | None:
    """The encoder both files were made with (None where neither says); different ones are refused."""
    one, other = source.encoder(), target.encoder()
    if one != other:
        raise InputError(
            f"embedded with {one or 'an unnamed encoder'}, but {target.path} with {other or 'an unnamed encoder'}",
            where=source.path,
            fix="embed both with the same model",
        )
    return one


def _check_text(values: Any, where: Path) -> None:
    """Refuse text that is not UTF-8: Arrow takes it from a file as it stands, and fails where it is used."""
    import pyarrow as pa

    try:
        values.validate(full=True)
    except pa.ArrowException as error:
        raise _unreadable(error, where) from None


def _unreadable(error: Exception, where: Path) -> InputError:
    reason = (str(error).splitlines() or ["damaged"])[0]
    return InputError(f"cannot be read as parquet: {reason}", where=where, fix="write it again")


def _has_gaps(paths: Any) -> bool:
    import pyarrow.compute as pc

    if paths.null_count:
        return True
    # Arrow functions of a Python number (such as equal(x, 0)) would import pandas, so none is used here.
    return len(paths) > 0 and pc.min(pc.utf8_length(paths)).as_py() == 0


def _first_null(array: Any) -> int:
    return int(array.is_null().to_pylist().index(True))


def _plain(value: Any) -> str:
    return str(value).strip().upper()
