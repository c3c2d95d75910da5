"""The question cards of an annotation: a sample drawn by task and video, with what was said of each."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.annotate.questions import Question
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.text import clean
from tao_skill_bank.data import corrections
from tao_skill_bank.metrics.shares import apportioned
from tao_skill_bank.studio.verdicts import word_row


def drawn(questions: list[Question], wanted: int, seed: int) -> list[Question]:
    """A sample of questions: from every task its share, of every video in turn; the same for the same seed.

    Args:
        questions: In the order of their file.
        wanted: How many, at most.
        seed: Another seed draws others.
    """
    wanted = min(wanted, len(questions))
    tasks: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        tasks[question.task].append(question)
    chance = random.Random(seed)
    take = apportioned({task: len(found) for task, found in tasks.items()}, wanted)
    out = []
    for task in sorted(tasks):
        videos: dict[str, list[Question]] = defaultdict(list)
        for question in tasks[task]:
            videos[question.video].append(question)
        for found in videos.values():
            chance.shuffle(found)
        order = sorted(videos)
        chance.shuffle(order)
        turns = [
            videos[video][turn]
            for turn in range(max(map(len, videos.values())))
            for video in order
            if turn < len(videos[video])
        ]
        out += turns[: take[task]]
    place = {question.digest: at for at, question in enumerate(questions)}
    return sorted(out, key=lambda question: (question.video, place[question.digest]))


def cards(folder: Path, book: QuestionBook, wanted: int, seed: int) -> dict[str, Any]:
    """The cards of a results folder. Only questions that passed the checks are drawn."""
    passed = [question for question in book.questions.values() if question.item is not None]
    said = corrections.read(folder)
    words = {sample.object_name: standing for sample, standing in said.standing.items()}
    listed = []
    for question in drawn(passed, wanted, seed):
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
    return {"total": len(passed), "cards": listed, "cost": _cost(folder)}


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


def _cost(folder: Path) -> str:
    """`120 calls, 0.31 USD`, as far as the run has it."""
    from tao_skill_bank.annotate.api import status

    try:
        found = status(folder)
    except (BankError, OSError):
        return ""
    left = "" if found.left_sec is None else f", {found.left_sec} s left"
    return f"{found.calls} calls, {found.cost:.2f} USD{left}"
