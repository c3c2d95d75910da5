"""Rows of tables as objects in blocks: CSV and TSV, parquet, the first sheet of an xlsx, MME's four tab fields."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.sheets import refuse_other_separator
from tao_skill_bank.data.vlm.fields import Table
from tao_skill_bank.data.vlm.json_blocks import Block
from tao_skill_bank.data.vlm.json_scan import item_name
from tao_skill_bank.data.vlm.source import LARGEST_ITEM, Source, suffix_of

ROWS = 4096
LARGEST_SHEET = 1 << 30
MME = ("mme_image", "mme_question", "mme_gt", "mme_response")
Rows = Iterator[Block[Mapping[str, Any]]]


def is_delimited(path: Path) -> bool:
    """A CSV or TSV by its name."""
    return suffix_of(path) in (".csv", ".tsv")


def delimited_rows(source: Source) -> Rows:
    """The rows of a CSV or TSV with a header; cells may hold line breaks.

    Raises:
        InputError: No header, a name twice, a row with more or fewer cells, text that is no UTF-8.
    """
    path = source.path
    # A cell may hold a whole train of thought; the limit is one of the module's, and its default is 128 KiB.
    csv.field_size_limit(LARGEST_ITEM)
    reader = csv.reader(source.text(), delimiter="\t" if suffix_of(path) == ".tsv" else ",", strict=True)
    try:
        head = next(reader, [])
        names = [name.strip() for name in head]
        if not any(names):
            raise InputError("has no header", where=path, fix="name the columns in the first line")
        if reader.dialect.delimiter == ",":
            refuse_other_separator(path, ",".join(names), "save it with commas, or with tabs as .tsv")
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise InputError(f"two columns are called {twice!r}", where=path, fix="rename one")
        count = 0
        rows: list[list[str]] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise InputError(
                    f"has {len(row)} cells, the header {len(names)}",
                    where=item_name(path, count + len(rows), reader.line_num),
                    fix="quote cells that hold the delimiter or a line break",
                )
            rows.append(row)
            if len(rows) == ROWS:
                yield Block(count, Table(names, rows), source.share)
                count, rows = count + len(rows), []
        yield Block(count, Table(names, rows), 1.0)
    except csv.Error as error:
        raise InputError(
            f"is no table: {error}", where=f"{path} line {reader.line_num}", fix="export it again"
        ) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=path, fix="export it as UTF-8") from None


def parquet_rows(path: Path) -> Rows:
    """The rows of a parquet file.

    Raises:
        InputError: It is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with guard.open_read(path) as handle:
        try:
            table = pq.ParquetFile(handle)
            total, count = max(1, table.metadata.num_rows), 0
            for batch in table.iter_batches(batch_size=ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                rows = list(zip(*columns, strict=True))
                yield Block(count, Table(batch.schema.names, rows), (count + len(rows)) / total)
                count += len(rows)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"is no parquet file: {reason}", where=path, fix="export it again") from None


def xlsx_rows(path: Path) -> Rows:
    """The rows of the first sheet of an xlsx file, whose first row names the columns.

    Raises:
        InputError: openpyxl is not installed, it is no such file, or larger than 1 GiB unpacked.
    """
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            "reading xlsx needs openpyxl",
            where=path,
            fix="install the bank with its extra [xlsx], or save the sheet as CSV",
        ) from None
    with guard.open_read(path) as handle:
        try:
            with zipfile.ZipFile(handle) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
            if size > LARGEST_SHEET:
                raise InputError(
                    f"is {size >> 20} MiB unpacked, more than {LARGEST_SHEET >> 20}", where=path, fix="save it as CSV"
                )
            handle.seek(0)
            book = openpyxl.load_workbook(handle, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
            raise InputError(f"is no xlsx file: {error}", where=path, fix="save it again, or as CSV") from None
        sheet = book.worksheets[0]
        total = max(1, sheet.max_row or 1)
        cells = sheet.iter_rows(values_only=True)
        names = [str(v).strip() if v is not None else "" for v in next(cells, ())]
        if not any(names):
            raise InputError("has no header", where=path, fix="name the columns in the first row")
        count, rows = 0, []
        for row in cells:
            values = {n: v for n, v in zip(names, row, strict=False) if n}
            if all(v is None for v in values.values()):
                continue
            rows.append({n: _whole(v) for n, v in values.items()})
            if len(rows) == ROWS:
                yield Block(count, rows, min(1.0, count / total))
                count, rows = count + len(rows), []
        yield Block(count, rows, 1.0)


def _whole(value: Any) -> Any:
    """A number of a sheet that is whole, as one; dates and the like as text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def is_mme(path: Path) -> bool:
    """A text file of tab fields by its name."""
    return suffix_of(path) == ".txt"


def mme_rows(source: Source) -> Rows:
    """Lines of picture, question, truth and response, tabs between them.

    Raises:
        InputError: A line with more or fewer fields.
    """
    count, rows = 0, []
    with source.text() as lines:
        try:
            for number, line in enumerate(lines, start=1):
                text = line.rstrip("\r\n")
                if not text.strip():
                    continue
                fields = text.split("\t")
                if len(fields) != len(MME):
                    raise InputError(
                        f"has {len(fields)} tab fields, not 4",
                        where=f"{source.path} line {number}",
                        fix="write picture, question, right answer and response, tabs between them",
                    )
                rows.append(dict(zip(MME, fields, strict=True)))
                if len(rows) == ROWS:
                    yield Block(count, rows, source.share)
                    count, rows = count + len(rows), []
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text", where=source.path, fix="export it as UTF-8") from None
    yield Block(count, rows, 1.0)
