"""The questions of an annotation run by name, for what people say of them: `video_id/digest`, or the digest alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.annotate.layout import step_file
from tao_skill_bank.annotate.listing import read_rows
from tao_skill_bank.annotate.made import made
from tao_skill_bank.annotate.questions import Question, media_root, questions_of
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.corrections import ANNOTATION, Known, Sample, sample_name


def holds_questions(folder: Path) -> bool:
    """Whether a folder is that of an annotation run which has questions."""
    return guard.is_file(step_file(folder, "3"))


def known_question(question: Question) -> Known:
    """A question as corrections know it: its digest stands for what was looked at."""
    sample = Sample(set=ANNOTATION, input_path=question.video_id, object_name=question.digest)
    return Known(sample, question.answer, question.digest)


class QuestionBook:
    """Every question of a results folder."""

    label_advice = "an answer is one line of text"

    def __init__(self, results_dir: Path) -> None:
        self._results_dir = results_dir

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Digest → question."""
        folder = self._results_dir
        if guard.exists(journal_path(folder)):
            with Journal(folder, read_only=True) as journal:
                of_files = made(folder, journal)
        else:
            of_files = made(folder, None)
        root, keep_order = media_root(of_files.video_root), of_files.keep_order
        found = (q for row in read_rows(step_file(folder, "3")) for q in questions_of(row, root, keep_order=keep_order))
        return {question.digest: question for question in found}

    def find(self, name: str, set_name: str | None = None) -> Known:
        """As `corrections.Book`."""
        if set_name not in (None, ANNOTATION):
            raise InputError(f"no set {set_name!r}", where="set", fix=f"questions are of the set {ANNOTATION}")
        question = self.questions.get(name.rpartition("/")[2])
        if question is None or name not in (question.digest, sample_name(question.video_id, question.digest)):
            known = [sample_name(q.video_id, q.digest) for q in self.questions.values()]
            raise InputError("no such question", where=name, fix=did_you_mean(name, known[:5000]))
        return known_question(question)

    def label_fault(self, label: str) -> str | None:
        """An answer is a line of text."""
        return None if label.strip() and label.isprintable() else f"is {label!r}"
