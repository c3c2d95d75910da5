"""The one home of what a person says of a sample: `labels/corrections.jsonl` of a workspace or of annotation results.

It is appended to, never changed: under a lock, synced, a line whole or not at all; what a crash tore off is moved
aside by the next writer and never counted by a reader. The customer's CSVs are never edited.
"""

from __future__ import annotations

import errno
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import Timeout
from pydantic import ValidationError

from tao_skill_bank.core import guard
from tao_skill_bank.core.appended import append_bytes, last_line, move_last_line_aside
from tao_skill_bank.core.clock import Clock, SystemClock, log_time
from tao_skill_bank.core.errors import BankError, InputError, InputErrors
from tao_skill_bank.data.corrections.record import DROP, Correction, Sample, note_of, person_named, reason_named
from tao_skill_bank.data.corrections.standing import Corrections, Snapshot

FOLDER, FILE = "labels", "corrections.jsonl"
_LOCK_SEC = 60.0
_NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Known:
    """A sample that there is: its label as the set has it, and the digest of its pictures as they are now."""

    sample: Sample
    label: str
    pictures: str


class Book(Protocol):
    """What samples there are; whoever knows the data brings it."""

    def find(self, name: str, set_name: str | None = None) -> Known:
        """The sample of this name.

        Args:
            name: As every page prints it: `input_path/object_name`.
            set_name: Its set; None: the only one that has it.

        Raises:
            InputError: There is none, there are several, or no such set.
        """

    def label_fault(self, label: str) -> str | None:
        """What is wrong with a label; None: nothing is."""

    @property
    def label_advice(self) -> str:
        """What a label is among these samples, for whoever wrote another."""


@dataclass(frozen=True)
class Word:
    """What somebody says of a sample.

    Attributes:
        sample: Its name, or the sample itself.
        reason: mislabeled, edge_case, data_quality or systematic, in any spelling.
        to: The label it should have; None: no other label is given.
        set: The set of a name; None: the only one that has it.
        run, score: Where it was seen, and the model's score there.
        pictures: The digest of what was looked at, where the caller knows it: another one now is refused.
    """

    sample: str | Sample
    reason: str
    who: str
    to: str | None = None
    drop: bool = False
    set: str | None = None
    note: str = ""
    run: str | None = None
    score: float | None = None
    pictures: str | None = None


def corrections_path(home: Path) -> Path:
    """Where the corrections of a workspace, or of an annotation's results, lie."""
    return home / FOLDER / FILE


def read(home: Path, upto: Snapshot | None = None) -> Corrections:
    """Everything that was said, and what stands of it; a torn last line is left out.

    Args:
        home: The workspace, or the annotation's results folder.
        upto: Only what the file held then.

    Raises:
        InputError: A line cannot be read, or the file does not begin any more with what it held then.
    """
    path = corrections_path(home)
    try:
        data = guard.read_bytes(path, "file of corrections")
    except FileNotFoundError:
        data = b""
    raw = data.split(b"\n")[:-1]
    if upto is not None:
        raw = raw[: upto.lines]
    lines = tuple(_parsed(path, n, line) for n, line in enumerate(raw, start=1))
    _require_own_ids(path, lines)
    found = Corrections(lines, _snapshot(raw))
    if upto is not None and found.snapshot != upto:
        raise InputError(
            "is not what it was: lines are only ever added to it",
            where=path,
            fix="restore the file, or start a new run on what it holds now",
        )
    return found


def append(home: Path, words: Sequence[Word], book: Book, clock: Clock | None = None) -> list[Correction]:
    """Write down what was said, all of it or nothing; returns a line for every word, in order.

    What the same reader said before in the same words is not written twice: the line that stands is returned.

    Raises:
        InputError: A sample or set that is not there, an ambiguous name, a label that is none, a picture that has
            changed since it was looked at, nobody named, or a folder that cannot be written to.
        InputErrors: Several of these; a line each.
    """
    return put(home, drafts(words, book, clock))[0]


def drafts(words: Sequence[Word], book: Book, clock: Clock | None = None) -> list[Correction]:
    """The lines that words become, checked and not written: `put` gives them their ids. Raises as `append`."""
    now = log_time((clock or SystemClock()).now())
    found: list[Correction] = []
    faults: list[str] = []
    for number, word in enumerate(words, start=1):
        try:
            found.append(_draft(word, book, now))
        except InputError as error:
            if len(words) == 1:
                raise
            faults.append(f"correction {number}: {error.line()}")
    if faults:
        what = f"{len(faults)} of {len(words)} corrections cannot be taken, first: {faults[0]}"
        raise InputErrors(what, faults, fix="fix these; none was written")
    return found


def put(home: Path, lines: Sequence[Correction]) -> tuple[list[Correction], int]:
    """Write drafts, and lines that have an id already, such as those of another copy of the file.

    Returns:
        The line that stands for each, in order, and how many were new.

    Raises:
        InputError: One has the id of another word; nothing is written.
    """
    with _Writer(home) as writer:
        out = [writer.add(line) if line.id == NEW else writer.take(line) for line in lines]
        return out, writer.new


NEW = "none"
_UNDONE = {"undone_by": None, "undone_at": None}


def undo(home: Path, what: str, who: str, book: Book | None = None, set_name: str | None = None) -> Correction:
    """Take back a correction by its id, or the last word on a sample by its name; what stood before stands again.

    Without a `book` names are those that the file has.

    Raises:
        InputError: Nothing such stands.
    """
    by = person_named(who)
    now = log_time(SystemClock().now())
    with _Writer(home) as writer:
        found = writer.found.by_id.get(what)
        if found is None:
            found = _last_on(writer.found, what, book, set_name)
        if found.undone_by is not None:
            raise InputError(f"was undone by {found.undone_by} at {found.undone_at}", where=what, fix="nothing to do")
        return writer.write(found.model_copy(update={"undone_by": by, "undone_at": now}))


class _Writer:
    """The file, locked, with what it holds; lines are appended together when the block ends well."""

    def __init__(self, home: Path) -> None:
        self._path = corrections_path(home)
        self._home = home
        self._new: list[Correction] = []

    def __enter__(self) -> _Writer:
        try:
            self._lock = guard.locked(self._path.with_name(f"{FILE}.lock"), timeout=_LOCK_SEC, make=True)
            self._lock.__enter__()
        except Timeout:
            raise BankError("another program holds the corrections", where=self._path, fix="try again") from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self.found = read(self._home)
        except BaseException as error:
            self._lock.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None and self._new:
                self._write()
        finally:
            self._lock.__exit__(None, None, None)

    @property
    def new(self) -> int:
        """How many lines are to be written."""
        return len(self._new)

    def take(self, line: Correction) -> Correction:
        """A line that has an id: known, undone elsewhere, or new."""
        known = self.found.by_id.get(line.id)
        if known is None:
            return self.write(line)
        if known.model_copy(update=_UNDONE) != line.model_copy(update=_UNDONE):
            what = f"is the id of another correction, of {known.sample.name}"
            raise InputError(what, where=f"id {line.id}", fix="leave the id away to say something new")
        return self.write(line) if known.undone_by is None and line.undone_by is not None else known

    def add(self, draft: Correction) -> Correction:
        """A new word, under an id of its own, unless its reader's word is the same already."""
        standing = self.found.standing.get(draft.sample)
        same = next((w for w in standing.words if w.who == draft.who), None) if standing else None
        if same is not None and same.word == draft.word:
            return same
        while (own := secrets.token_hex(4)) in self.found.by_id:
            pass
        return self.write(draft.model_copy(update={"id": own}))

    def write(self, line: Correction) -> Correction:
        """A line, known at once to whoever asks `found`."""
        self._new.append(line)
        self.found = Corrections((*self.found.lines, line), self.found.snapshot)
        return line

    def _write(self) -> None:
        try:
            last = last_line(self._path, "file of corrections")
            if last is not None and not last.endswith(b"\n"):
                move_last_line_aside(self._path, "file of corrections")
            append_bytes(self._path, "".join(line.json_line() + "\n" for line in self._new).encode())
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BankError:
        if error.errno in _NO_WRITING:
            what = f"corrections cannot be kept here: {error.strerror}"
            return InputError(what, where=self._path.parent, fix="looking works; to correct, make it writable")
        return BankError(f"corrections were not kept: {error.strerror}", where=self._path, fix="make room, then again")


def _draft(word: Word, book: Book, now: str) -> Correction:
    who, reason, note = person_named(word.who), reason_named(word.reason), note_of(word.note)
    if isinstance(word.sample, Sample):
        known = book.find(word.sample.name, word.sample.set)
    else:
        known = book.find(word.sample, word.set)
    where = f"{known.sample.name} of the {known.sample.set} set"
    if word.pictures is not None and word.pictures != known.pictures:
        raise InputError("what was looked at has changed since", where=where, fix="look again")
    to = None if word.to is None else word.to.strip()
    if word.drop:
        to = DROP
    elif to is not None and (fault := book.label_fault(to)) is not None:
        raise InputError(f"the new label {fault}", where=where, fix=book.label_advice)
    return Correction(
        id=NEW,
        sample=known.sample,
        pictures=known.pictures,
        before=known.label,
        to=to,
        drop=word.drop,
        reason=reason,
        who=who,
        when=now,
        run=word.run,
        score=word.score,
        note=note,
    )


def _last_on(found: Corrections, name: str, book: Book | None, set_name: str | None) -> Correction:
    fits = [s for s in found.standing if s.name == name and set_name in (None, s.set)]
    if not fits and book is not None and found.standing:
        known = book.find(name, set_name).sample
        fits = [s for s in found.standing if s == known]
    if not fits:
        raise InputError("no correction of it stands, and none has that id", where=name, fix="see labels list")
    if len(fits) > 1:
        sets = " and ".join(s.set for s in fits)
        raise InputError(f"corrections of it stand in the sets {sets}", where=name, fix="name the set, or the id")
    return found.standing[fits[0]].last


def _parsed(path: Path, number: int, line: bytes) -> Correction:
    try:
        return Correction.model_validate_json(line)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError(
            f"cannot be read: {reason}", where=f"{path} line {number}", fix="fix the line, or restore the file"
        ) from None


def _require_own_ids(path: Path, lines: Sequence[Correction]) -> None:
    """Raise an `InputError` where a line that was written by hand would put itself in the place of another word."""
    first: dict[str, tuple[int, Correction]] = {}
    for number, line in enumerate(lines, start=1):
        at, known = first.setdefault(line.id, (number, line))
        if known is not line and known.model_copy(update=_UNDONE) != line.model_copy(update=_UNDONE):
            raise InputError(
                f"has the id {line.id} of another word, in line {at}",
                where=f"{path} line {number}",
                fix="give it an id of its own, or restore the file",
            )


def _snapshot(raw: Sequence[bytes]) -> Snapshot:
    digest = hashlib.sha256(b"".join(line + b"\n" for line in raw)).hexdigest() if raw else ""
    return Snapshot(len(raw), digest)
