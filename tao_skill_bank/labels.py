"""What a person says of a sample, as every door takes it: one function each to list, say, take back, export, import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.system import user_name
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import book_of
from tao_skill_bank.data.corrections.sheet import read_sheet, write_sheet


class Listed(BaseModel):
    """One word as it is listed: the line of the file, the sample's name, and how the sample stands.

    `status`: relabelled, dropped, kept, doubted or disputed; undone; replaced by a later word of its reader.
    """

    line: dict[str, Any]
    name: str
    set: str
    status: str


class Listing(BaseModel):
    """Everything that was said: `counts` of samples by how they stand."""

    file: str
    counts: dict[str, int]
    words: list[Listed] = Field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs: a line of the file each, with `name` and `status`."""
        lines = [{**word.line, "name": word.name, "status": word.status} for word in self.words]
        return {"file": self.file, "counts": self.counts, "corrections": lines}


def book_for(home: Path) -> corrections.Book:
    """The samples of a workspace, boards or questions about videos, or the questions of an annotation's results.

    Raises:
        InputError: It is none of them.
    """
    from tao_skill_bank.annotate.question_book import QuestionBook, holds_questions
    from tao_skill_bank.tasks.vlm_bcq.book import RecordBook, holds_records

    if holds_questions(home):
        return QuestionBook(home)
    if holds_records(home):
        return RecordBook(home)
    return book_of(home)


def listing(home: Path) -> Listing:
    """Everything that was said of the samples of a workspace or of an annotation's results."""
    home = _home(home)
    found = corrections.read(home)
    current = {word.id: standing for standing in found.standing.values() for word in standing.words}
    words = []
    for line in found.by_id.values():
        standing = current.get(line.id)
        status = "undone" if line.undone_by is not None else standing.status if standing else "replaced"
        shown = line.model_dump(mode="json", by_alias=True)
        words.append(Listed(line=shown, name=line.sample.name, set=line.sample.set, status=status))
    counts = {str(status): count for status, count in found.counts.items()}
    return Listing(file=str(corrections.corrections_path(home)), counts=counts, words=words)


def say(home: Path, words: Sequence[corrections.Word]) -> list[corrections.Correction]:
    """Write down what somebody says of samples; all of it or nothing."""
    home = _home(home)
    return corrections.append(home, words, book_for(home))


def take_back(home: Path, what: str, who: str | None = None, set_name: str | None = None) -> corrections.Correction:
    """Undo a correction by its id, or the last word on a sample by its name."""
    from tao_skill_bank.data.changenet.sample_book import SETS, set_named

    home = _home(home)
    named = None if set_name is None else set_name if set_name == corrections.ANNOTATION else set_named(set_name)
    assert named is None or named in (*SETS, corrections.ANNOTATION)
    return corrections.undo(home, what, who or user_name(), book_for(home), named)


def export(home: Path, path: Path) -> int:
    """Write every word into a CSV; returns how many."""
    return write_sheet(path, corrections.read(_home(home)))


def take_in(home: Path, path: Path) -> tuple[int, int]:
    """Take the words of a CSV; returns how many rows it has and how many of them were new."""
    home = _home(home)
    lines = read_sheet(path, book_for(home))
    return len(lines), corrections.put(home, lines)[1]


def _home(folder: Path) -> Path:
    from tao_skill_bank.loop.state import state_path
    from tao_skill_bank.tasks.registry import load_state

    home = folder.expanduser().absolute()
    if not guard.is_folder(home):
        what = "no such folder"
        raise InputError(what, where=home, fix="name a workspace, or the results folder of an annotation")
    if guard.is_file(state_path(home)):
        what = "is a run: what is said of its samples is kept in its workspace"
        raise InputError(what, where=home, fix=f"name {load_state(home).config.workspace}")
    return home.resolve()
