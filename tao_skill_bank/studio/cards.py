"""The question cards of an annotation: a sample as `annotate sample` draws it, with what was said of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.quality.error_rate import draw, read_sample
from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import clean
from tao_skill_bank.data import corrections
from tao_skill_bank.studio.verdicts import word_row

USUAL = 50


def cards(
    folder: Path, book: QuestionBook, checked: Mapping[str, str], wanted: int | None, seed: int | None
) -> dict[str, Any]:
    """The cards of a results folder: those that `annotate sample` draws with this number and seed.

    Args:
        folder: The results folder.
        book: Its questions.
        checked: Digest → task of those that passed the checks.
        wanted: How many; None: as many as the sample that was drawn for the error rate, else 50.
        seed: None: that of the sample that was drawn, else 1.
    """
    kept = read_sample(folder)
    wanted = min(wanted or (len(kept.items) if kept else USUAL), len(checked))
    seed = seed if seed is not None else (kept.seed if kept else 1)
    sample = draw(checked, wanted, seed)
    chosen = [question for digest, question in book.questions.items() if digest in sample.items]
    said = corrections.read(folder)
    words = {sample.object_name: standing for sample, standing in said.standing.items()}
    listed = []
    for question in sorted(chosen, key=lambda question: question.video):
        item, standing = question.item, words.get(question.digest)
        assert item is not None
        listed.append(
            {
                "digest": question.digest,
                "sample": corrections.sample_name(question.video_id, question.digest),
                "video_id": clean(question.video_id),
                "task": question.task,
                "question": clean(item.question),
                "answer": clean(question.answer),
                "span": None if item.span is None else [float(x) for x in item.span],
                "reasoning": clean(item.reasoning),
                "choices": [clean(choice) for choice in item.choices],
                "status": None if standing is None else standing.status,
                "words": [] if standing is None else [word_row(word).model_dump() for word in standing.words],
            }
        )
    measured = kept is not None and kept.items == sample.items
    return {"total": len(checked), "n": wanted, "seed": seed, "measured": measured, "cards": listed}


def video_of_card(folder: Path, book: QuestionBook, digest: str) -> Path:
    """The video of a question.

    Raises:
        InputError: No such question, or its video is not there.
    """
    question = book.questions.get(digest)
    if question is None:
        raise InputError("no such question", where=folder, fix="open the page again")
    path = Path(question.video)
    found = next((p for p in (path, folder / path) if guard.is_file(p)), None)
    if found is None:
        raise InputError("the video is not there", where=path, fix="bring it back")
    return found
