"""A results folder read back: its rows, what its files say of themselves, and its items as the rules let them pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.annotate.judge.kept import read_judged
from tao_skill_bank.annotate.layout import STEP_FILES, step_file
from tao_skill_bank.annotate.listing import read_rows, video_of
from tao_skill_bank.annotate.made import made
from tao_skill_bank.annotate.output import Written, write_outputs
from tao_skill_bank.annotate.quality.error_rate import Measured, draw, measure, read_sample, write_sample
from tao_skill_bank.annotate.quality.examine import Examiner, Taken
from tao_skill_bank.annotate.questions import media_root, questions_of
from tao_skill_bank.annotate.verdicts import edited_answers, read_verdicts
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import sha256_file


@dataclass(frozen=True)
class Quality:
    """What the rules say of a folder's items now.

    Attributes:
        report: As `quality.json` holds it.
        refused: The first question that each rule refused: its code, video, task and the reason.
        measured: The error rate by the verdicts on a sample, None where none was drawn.
    """

    report: dict[str, Any]
    refused: list[tuple[str, str, str, str]]
    measured: Measured | None


class Results:
    """A results folder that holds questions. Reads; writes only where a method says so."""

    def __init__(self, folder: Path, journal: Journal | None) -> None:
        self.folder = folder
        self._journal = journal
        self._digests: dict[str, str | None] = {}
        self.made = made(folder, journal)
        self.root = media_root(self.made.video_root)
        self.judged = read_judged(folder)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of step 3; none where it has not run."""
        path = step_file(self.folder, "3")
        if guard.is_file(path):
            yield from read_rows(path)

    def rows_with_fields(self) -> Iterator[dict[str, Any]]:
        """Rows that may carry fields of one's own: the lines of the input files, then the rows of all steps."""
        for path in [*map(Path, self.made.input_files), *(step_file(self.folder, step) for step in STEP_FILES)]:
            if guard.is_file(path):
                yield from read_rows(path)

    def examiner(self, *, judged: bool = True) -> Examiner:
        """The rules, before the first question; with what judges found."""
        return Examiner(read_verdicts(self.folder), self.content, self.judged.findings if judged else {})

    def taken(self, examiner: Examiner) -> Iterator[tuple[dict[str, Any], Taken]]:
        """(row, question and what became of it), in the order of the rows."""
        answers = edited_answers(self.folder)
        for row in self.rows():
            for question in questions_of(row, self.root, keep_order=self.made.keep_order, answers=answers):
                yield row, examiner.take(question)

    def content(self, video: str) -> str | None:
        """SHA-256 of a video's file: the journal's, as long as the file has not changed, else the file's own."""
        if video not in self._digests:
            self._digests[video] = self._content(video)
        return self._digests[video]

    def recorded(self, video: str) -> str | None:
        """SHA-256 of a video as the journal has it; the file is not opened."""
        return None if self._journal is None else self._journal.content(video)

    def models(self) -> list[str]:
        """Every model whose answers the items were made from."""
        return [] if self._journal is None else self._journal.makers()

    def exportable(self) -> dict[str, str]:
        """Item digest → task of what the rules let pass, whatever a review says of it."""
        return _passing(self, self.content)

    def measured(self) -> Measured | None:
        """The error rate that the verdicts on the sample give; None where no sample was drawn."""
        sample = read_sample(self.folder)
        return None if sample is None else measure(sample, self.exportable(), read_verdicts(self.folder))

    def write(self) -> Written:
        """Step 4 anew, with the rules as they are now. Calls nobody."""
        measured = self.measured()
        tags = measured.tags() if measured else []
        return write_outputs(self.folder, self.rows(), self.made, content=self.content, judged=self.judged, tags=tags)

    def _content(self, video: str) -> str | None:
        path = Path(video)
        try:
            stat = path.stat()
        except OSError:
            return self._journal.content(video) if self._journal is not None else None
        known = self._journal.media(video, stat.st_size, stat.st_mtime_ns) if self._journal is not None else None
        return known[0] if known is not None else sha256_file(path)


@contextmanager
def opened(folder: Path, *, empty: bool = False) -> Iterator[Results]:
    """A results folder; with `empty` also one without questions.

    Raises:
        InputError: It holds no questions.
    """
    path = step_file(folder, "3")
    if not empty and (not guard.is_file(path) or next((row for row in read_rows(path) if video_of(row)), None) is None):
        raise InputError("no questions yet", where=folder, fix="name a results folder whose step 3 has run")
    journal = Journal(folder, read_only=True) if guard.exists(journal_path(folder)) else None
    try:
        yield Results(folder, journal)
    finally:
        if journal is not None:
            journal.close()


def check(folder: Path, *, empty: bool = False) -> Written:
    """Look at every question of a folder with the rules as they are now, and write step 4 anew. The caller locks it.

    `empty`: without questions, too. Files are dated by the newest answer, so that the same answers give the same files.
    """
    with opened(folder, empty=empty) as results:
        return results.write()


def quality_of(folder: Path) -> Quality:
    """Every question of a folder by the rules as they are now. Reads only.

    No video is opened: which are copies is told by the journal.

    Raises:
        InputError: It holds no questions.
    """
    with opened(folder) as results:
        examiner = Examiner(read_verdicts(folder), results.recorded, results.judged.findings)
        first: dict[str, tuple[str, str, str, str]] = {}
        for _, taken in results.taken(examiner):
            if taken.code is not None:
                question = taken.question
                said = (taken.code, question.video_id, question.task, taken.reason or "")
                first.setdefault(taken.code, said)
        sample = read_sample(folder)
        items = {} if sample is None else _passing(results, results.recorded)
        measured = None if sample is None else measure(sample, items, read_verdicts(folder))
        return Quality(examiner.report(), [first[code] for code in sorted(first)], measured)


def _passing(results: Results, content: Callable[[str], str | None]) -> dict[str, str]:
    """Item digest → task of what the rules let pass, whatever a review says of it."""
    examiner = Examiner({}, content, results.judged.findings)
    return {taken.question.digest: taken.question.task for _, taken in results.taken(examiner) if taken.kept}


def sample(folder: Path, number: int, seed: int) -> tuple[Path, dict[str, int]]:
    """Draw the items that a person judges to measure the error rate; returns the file and its items a task.

    Raises:
        InputError: No items, a number below 1.
    """
    if number < 1:
        raise InputError(f"a sample of {number} items measures nothing", where="--n", fix="give 20 or more")
    with opened(folder) as results:
        items = results.exportable()
    if not items:
        raise InputError("no item passes the checks", where=folder, fix="look at rejected.jsonl")
    drawn = draw(items, number, seed)
    return write_sample(folder, drawn), dict(Counter(drawn.items.values()))


def error_rate(folder: Path) -> Measured:
    """What the verdicts on the sample say; with a rate, the task files are written anew with it. The caller locks.

    Raises:
        InputError: No sample was drawn.
    """
    with opened(folder) as results:
        found = results.measured()
        if found is None:
            raise InputError(
                "no sample was drawn", where=folder, fix=f"tao-skills annotate sample {folder} --n 200 --seed 0"
            )
        results.write()
    return found
