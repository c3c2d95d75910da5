"""Corrections as a CSV for a spreadsheet, and back: what is exported is imported without a change."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.sheets import plain, refuse_other_separator
from tao_skill_bank.core.sheets import write_sheet as write_table
from tao_skill_bank.data.corrections.file import Book, Word, drafts
from tao_skill_bank.data.corrections.record import Correction, sample_name
from tao_skill_bank.data.corrections.standing import Corrections

COLUMNS = (
    *("id", "set", "input_path", "object_name", "from", "to", "drop", "reason", "who", "when"),
    *("run", "score", "note", "pictures", "undone_by", "undone_at"),
)
REQUIRED = ("input_path", "object_name", "reason", "who")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")


def write_sheet(path: Path, found: Corrections) -> int:
    """Write every word, undone ones too, in the order in which they were said; returns how many.

    Raises:
        InputError: Something else than an earlier export lies there.
    """
    _not_over_another(path)
    words = list(found.by_id.values())
    write_table(path, COLUMNS, map(_cells, words))
    return len(words)


def _cells(word: Correction) -> list[Any]:
    row = {**word.model_dump(mode="json", by_alias=True), **word.sample.model_dump()}
    row["drop"] = "true" if word.drop else ""
    return [row[name] for name in COLUMNS]


def _not_over_another(path: Path) -> None:
    """Only an export is written over: a workspace has CSVs of its own under its hands."""
    if not guard.exists(path):
        return
    with guard.open_text(path, "CSV", encoding="utf-8-sig", newline="", errors="replace") as handle:
        first = handle.readline(10_000).strip()
    if first and first != ",".join(COLUMNS):
        raise InputError("is no export of corrections, and is not written over", where=path, fix="name another file")


def read_sheet(path: Path, book: Book) -> list[Correction]:
    """The words of a CSV, checked against today's samples. A row without an id is a new word.

    Raises:
        InputError: No such file, not UTF-8, or a column is missing.
        InputErrors: Rows that cannot be taken; a line each.
    """
    try:
        with guard.open_text(path, "CSV", encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, restkey="", restval="")
            names, rows = reader.fieldnames or [], list(reader)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="name the CSV that was exported") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no CSV in UTF-8: {error}", where=path, fix="save it as CSV, UTF-8") from None
    refuse_other_separator(path, ",".join(names), "save it with commas between the cells")
    missing = [name for name in REQUIRED if rows and name not in rows[0]]
    unknown = [name for name in (rows[0] if rows else ()) if name not in COLUMNS]
    if missing or unknown:
        what = f"missing column {missing[0]!r}" if missing else f"has a column {unknown[0]!r} or too many cells"
        raise InputError(what, where=path, fix=f"columns: {', '.join(COLUMNS)}")
    out: list[Correction] = []
    faults: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            out.append(_line({name: plain(cell or "") for name, cell in row.items()}, book))
        except InputError as error:
            faults.append(f"row {number}: {error.line()}")
    if faults:
        what = f"{len(faults)} of {len(rows)} rows cannot be taken, first: {faults[0]}"
        raise InputErrors(what, faults, where=path, fix="fix these; nothing was written")
    return out


def _line(row: dict[str, str], book: Book) -> Correction:
    drop = row.get("drop", "").strip().lower()
    if drop not in (*_YES, *_NO):
        raise InputError(f"drop is {drop!r}", fix="write true, or leave it empty")
    if row.get("undone_by") and not row.get("id"):
        raise InputError("is undone and has no id", fix="leave the row away")
    word = Word(
        sample=sample_name(row["input_path"], row["object_name"]),
        set=row.get("set") or None,
        to=row.get("to") or None,
        drop=drop in _YES,
        reason=row["reason"],
        who=row["who"],
        note=row.get("note", ""),
        run=row.get("run") or None,
        score=_number(row.get("score", "")),
        pictures=row.get("pictures") or None,
    )
    [draft] = drafts([word], book)
    given = {name: row[name] for name in ("id", "from", "when", "undone_by", "undone_at") if row.get(name)}
    if not given.get("id"):
        if given.get("from", draft.before) != draft.before:
            raise InputError(f"its label is {draft.before} now, not {given['from']}", fix="look again")
        return draft
    try:
        return Correction.model_validate({**draft.model_dump(by_alias=True), **given})
    except ValidationError as error:
        raise InputError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}", fix="fix the cell") from None


def _number(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise InputError(f"score is no number: {text!r}", fix="write a number, or leave it empty") from None
