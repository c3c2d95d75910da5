"""What people say of samples, as the page takes it and shows it; written down by the one function of corrections."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.models import Strict
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import SampleBook, book_of


class Say(Strict):
    """One verdict, as the page sends it."""

    sample: str
    set: str
    reason: str
    who: str
    to: str | None = None
    drop: bool = False
    note: str = ""
    run: str | None = None
    score: float | None = None
    pictures: str | None = None


class Said(Strict):
    """Several verdicts: all of them are taken, or none."""

    words: list[Say] = Field(min_length=1, max_length=5000)


class Undo(Strict):
    """What is taken back: an id, or a sample's last word."""

    what: str
    who: str
    set: str | None = None


class WordRow(BaseModel):
    """One word of one reader."""

    id: str
    sample: str
    set: str
    before: str
    to: str | None
    drop: bool
    reason: str
    who: str
    when: str
    note: str
    run: str | None
    score: float | None
    undone_by: str | None


class StandingRow(BaseModel):
    """A sample that something was said of: what stands, and every reader's last word."""

    sample: str
    set: str
    status: str
    to: str | None
    words: list[WordRow]


class LabelsView(BaseModel):
    """Everything that stands, newest last; `undone` are words that were taken back."""

    counts: dict[str, int]
    standing: list[StandingRow]
    undone: int


class Shelf:
    """The books of a workspace, kept while its CSVs stay as they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._books: dict[Path, tuple[str, SampleBook]] = {}

    def of(self, workspace: Path) -> SampleBook:
        """The samples of a workspace by name."""
        with self._lock:
            known = self._books.get(workspace)
            if known is not None and known[0] == guard.mark(*known[1].sets.values()):
                return known[1]
            book = book_of(workspace)
            self._books[workspace] = (guard.mark(*book.sets.values()), book)
            return book


def say(home: Path, words: Sequence[Say], book: corrections.Book) -> list[WordRow]:
    """Write verdicts down; they are on disk when this returns.

    Raises:
        InputError: As `corrections.append`.
    """
    given = [corrections.Word(**word.model_dump()) for word in words]
    return [word_row(line) for line in corrections.append(home, given, book)]


def take_back(home: Path, undo: Undo, book: corrections.Book) -> WordRow:
    """Undo one."""
    return word_row(corrections.undo(home, undo.what, undo.who, book, undo.set))


def view(home: Path) -> LabelsView:
    """Everything that stands in a workspace."""
    found = corrections.read(home)
    rows = [
        StandingRow(
            sample=sample.name,
            set=sample.set,
            status=standing.status,
            to=standing.to,
            words=[word_row(word) for word in standing.words],
        )
        for sample, standing in found.standing.items()
    ]
    undone = sum(line.undone_by is not None for line in found.by_id.values())
    return LabelsView(counts={str(k): n for k, n in found.counts.items()}, standing=rows, undone=undone)


def of_sample(home: Path, set_name: str, sample: str) -> list[dict[str, Any]]:
    """Every reader's last word on one sample."""
    try:
        found = corrections.read(home)
    except BankError:
        return []
    folder, _, name = sample.rpartition("/")
    wanted = corrections.sample_name(folder, name)
    for key, standing in found.standing.items():
        if key.set == set_name and key.name == wanted:
            return [{**word_row(word).model_dump(), "status": standing.status} for word in standing.words]
    return []


def known(book: SampleBook, sample: str, set_name: str) -> corrections.Known:
    """A sample as corrections know it; one of a grown training set may stand in the pool.

    Raises:
        InputError: There is none.
    """
    try:
        return book.find(sample, set_name)
    except InputError:
        if set_name != "training" or "pool" not in book.sets:
            raise
        return book.find(sample, "pool")


def word_row(line: corrections.Correction) -> WordRow:
    """A line of the file for the page."""
    own = line.model_dump(include=set(WordRow.model_fields), exclude={"sample"})
    return WordRow(sample=line.sample.name, set=line.sample.set, **own)
