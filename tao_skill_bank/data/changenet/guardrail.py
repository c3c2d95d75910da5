"""Pairs that a generator blocked: AnomalyGen 1.0.1 puts a black picture in their place and says so in its table.

`SDG_result.csv` stands beside `reconstructed_image/`; a row whose `guardrail_pass` is not 1 was blocked. A row is tied
to its picture by the file name it holds, else by its place: pictures are numbered in the order of the rows, defect type
by defect type. A black NG picture whose OK picture is not is left out as well, whether a table says so or not, and one
whose bytes are those of its OK picture, in which nothing was made.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

TABLE = "SDG_result.csv"
PASSED, TYPES, FILES = "guardrail_pass", ("defect_type", "anomaly_type"), ("output_filename", "reconstructed_image")
_YES = frozenset({"1", "1.0", "true", "yes"})
_DARKEST, _LIT = 2, 12.0


def left_out(pairs: Sequence[tuple[Path, Path]], table: Path | None) -> dict[str, str]:
    """Stem → why, of the pairs that must not be trained on; in the order of `pairs`.

    Args:
        pairs: NG and OK picture of every pair.
        table: The generator's table, if there may be one; None or a file that is not there: pictures alone decide.

    Raises:
        InputError: The table blocks rows that cannot be tied to pictures, or cannot be read.
    """
    blocked = {} if table is None or not guard.is_file(table) else _blocked(table, [ng.stem for ng, _ in pairs])
    found: dict[str, str] = {}
    for ng, ok in pairs:
        if ng.stem in blocked:
            found[ng.stem] = blocked[ng.stem]
        elif _brightness(ng)[1] <= _DARKEST and _brightness(ok)[0] > _LIT:
            found[ng.stem] = "its picture is black"
        elif _equal(ng, ok):
            found[ng.stem] = "its picture is its golden, with nothing made in it"
    return found


def is_told(table: Path) -> bool:
    """Whether there is a table that says of its rows whether they passed.

    Raises:
        InputError: It cannot be read.
    """
    return guard.is_file(table) and PASSED in _read(table)[0]


def _read(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a table, whatever parts its cells; of a column that stands twice, the cell that is no yes."""
    try:
        with guard.open_text(table, encoding="utf-8-sig", newline="") as handle:
            first = handle.readline()
            parted = [(mark, _names(next(csv.reader([first], delimiter=mark), []))) for mark in ",;\t"]
            mark, names = next((found for found in parted if PASSED in found[1]), parted[0])
            return names, [_row(names, cells) for cells in csv.reader(handle, delimiter=mark) if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the generator's table cannot be read: {error}", where=table, fix="restore it") from None


def _names(cells: Sequence[str]) -> list[str]:
    return [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, cell in zip(names, [*cells, *[""] * len(names)], strict=False):
        if name != PASSED or _refused(row) is None:
            row[name] = cell
    return row


def _blocked(table: Path, stems: Sequence[str]) -> dict[str, str]:
    _, rows = _read(table)
    reasons = {
        n: f"{PASSED} is {value or 'empty'}" for n, row in enumerate(rows) if (value := _refused(row)) is not None
    }
    if not reasons:
        return {}
    # A generator may have run on Windows.
    named = [Path(next((row[k] for k in FILES if row.get(k)), "").replace("\\", "/")).stem for row in rows]
    if all(named[n] for n in reasons):
        strange = [named[n] for n in reasons if named[n] not in stems]
        unnamed = set(stems).difference(named)
        if strange and unnamed:
            raise InputError(
                f"the guardrail blocked {strange[0]}, which is no picture here, and {len(unnamed)} pictures stand in "
                f"no row, first {min(unnamed)}: which of them was blocked cannot be told",
                where=table,
                fix="restore the folder as it was generated, or take out the blocked pictures and the table",
            )
        return {named[n]: reason for n, reason in reasons.items()}
    kinds = [next((row[k] for k in TYPES if row.get(k)), "").strip().lower() for row in rows]
    found: dict[str, str] = {}
    for kind in {kinds[n] for n in reasons}:
        mine = [n for n, k in enumerate(kinds) if k == kind]
        numbered = [s for s in stems if s.rpartition("_")[0].lower() == kind]
        if len(mine) != len(numbered):
            raise InputError(
                f"the guardrail blocked {sum(n in reasons for n in mine)} rows of {kind or 'no defect type'}, and "
                f"{len(mine)} rows cannot be tied to {len(numbered)} pictures",
                where=table,
                fix="restore the folder as it was generated, or take out the blocked pictures and the table",
            )
        found |= {stem: reasons[n] for n, stem in zip(mine, numbered, strict=True) if n in reasons}
    return found


def _refused(row: dict[str, str]) -> str | None:
    """What stands in the column where it is not a yes; None where the row passed or the table has no such column."""
    if PASSED not in row:
        return None
    text = str(row[PASSED] or "").strip()
    return None if text.lower() in _YES else text


def _equal(ng: Path, ok: Path) -> bool:
    sizes = [None if found is None else found.st_size for found in (guard.status(ng), guard.status(ok))]
    return None not in sizes and sizes[0] == sizes[1] and guard.read_bytes(ng) == guard.read_bytes(ok)


def _brightness(path: Path) -> tuple[float, int]:
    """Mean and greatest grey value; of what cannot be read, those of no black picture: whoever stages it says so."""
    from PIL import Image, ImageStat, UnidentifiedImageError

    try:
        with guard.open_read(path, "image") as handle, Image.open(handle) as image:
            found = ImageStat.Stat(image.convert("L"))
            return float(found.mean[0]), int(found.extrema[0][1])
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 255.0, 255
