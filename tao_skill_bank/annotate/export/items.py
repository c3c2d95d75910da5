"""What is exported: the items that the rules let pass, one record for each way that they are asked."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tao_skill_bank.annotate.quality.examine import Examiner
from tao_skill_bank.annotate.questions import TASKS, Question, entries_of
from tao_skill_bank.annotate.results import Results
from tao_skill_bank.core.errors import InputError

Twins = Literal["short", "long", "both"]
Answers = Literal["plain", "think", "think_answer"]
Media = Literal["reference", "copy", "link"]
_LONG = "_openended"
BALANCES = ("yes-no", "letters")


@dataclass(frozen=True)
class Options:
    """How an export is made; the defaults are those of the command."""

    layout: str
    to: Path
    split: str = "80/10/10"
    seed: int = 0
    keep_split: Path | None = None
    group_field: str | None = None
    tasks: tuple[str, ...] = ()
    answers: Answers = "plain"
    twins: Twins | None = None
    media: Media = "reference"
    balance: tuple[str, ...] = ()
    tar: bool = False
    parquet: bool = False


@dataclass(frozen=True)
class Record:
    """One question as a trainer sees it.

    Attributes:
        id: The item's digest; that of its twin in words ends with `-long`.
        video: The path of its video as the rows name it. `video_id`: below the root.
        content: What its split hangs on: the digest of the video's file.
    """

    id: str
    digest: str
    video: str
    video_id: str
    content: str
    task: str
    question: str
    answer: str
    reasoning: str

    def said(self, answers: Answers) -> str:
        """What the model is to say. Without a reasoning there is no thinking in it."""
        answer = f"<answer>{self.answer}</answer>" if answers == "think_answer" else self.answer
        if answers == "plain" or not self.reasoning:
            return answer
        return f"<think>\n{self.reasoning}\n</think>\n\n{answer}"


@dataclass
class Collected:
    """The items of a folder, and what was seen of them.

    Attributes:
        unseen: Videos whose content nobody can look at any more; their names stand for it.
        dropped: Items that were left out for balance, by what was balanced.
    """

    questions: list[Question] = field(default_factory=list)
    content: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    examiner: Examiner = field(default_factory=Examiner)


def collect(results: Results) -> Collected:
    """The exportable items of a folder, in the order of its rows."""
    found = Collected(examiner=results.examiner())
    for _, taken in results.taken(found.examiner):
        if not taken.kept:
            continue
        question = taken.question
        found.questions.append(question)
        if question.video not in found.content:
            digest = results.content(question.video)
            if digest is None:
                found.unseen.append(question.video_id)
                digest = hashlib.sha256(f"name:{question.video_id}".encode()).hexdigest()
            found.content[question.video] = digest
    return found


def chosen_tasks(tasks: Collection[str], twins: Twins) -> list[str]:
    """The tasks of the records, in the order of the files.

    Args:
        tasks: As a person named them; none means all.
        twins: Which way multiple-choice and yes/no questions are answered where the way is not named.

    Raises:
        InputError: An unknown task.
    """
    from tao_skill_bank.core.errors import did_you_mean

    for task in tasks:
        if task not in TASKS:
            raise InputError(f"unknown task {task!r}", where="--tasks", fix=did_you_mean(task, TASKS))
    wanted: set[str] = {task for task in tasks if task.endswith(_LONG)}
    for task in tasks or [task for task in TASKS if not task.endswith(_LONG)]:
        long = f"{task}{_LONG}"
        if long not in TASKS:
            wanted.add(task)
            continue
        wanted |= {task} if twins == "short" else {long} if twins == "long" else {task, long}
    return [task for task in TASKS if task in wanted]


def records_of(collected: Collected, tasks: Collection[str]) -> list[Record]:
    """A record for each entry of the tasks that are asked for."""
    found = []
    for question in collected.questions:
        for task, entry in entries_of(question):
            if task in tasks:
                found.append(
                    Record(
                        question.digest + ("-long" if task.endswith(_LONG) else ""),
                        *(question.digest, question.video, question.video_id, collected.content[question.video], task),
                        *(entry["question"], entry["answer"], entry["reasoning"]),
                    )
                )
    return found


def balance(collected: Collected, what: Collection[str], seed: int) -> None:
    """Leave out surplus items until the answers are even; nothing is added or changed.

    Args:
        collected: Changed in place.
        what: Of `yes-no` (Yes as often as No) and `letters` (each letter of k choices as often).
        seed: Decides between items that could go.

    Raises:
        InputError: An unknown balance, or one that would leave nothing.
    """
    for name in what:
        if name not in BALANCES:
            raise InputError(f"unknown balance {name!r}", where="--balance", fix=f"use {', '.join(BALANCES)}")
    if "yes-no" in what:
        asked = [q for q in collected.questions if q.task == "bcq"]
        _even(collected, "yes-no", asked, lambda q: q.item.answer if q.item else "", ("Yes", "No"), seed)
    if "letters" in what:
        by_count: dict[int, list[Question]] = defaultdict(list)
        for question in collected.questions:
            if question.task == "mcq" and question.item is not None:
                by_count[len(question.item.choices)].append(question)
        for count, asked in sorted(by_count.items()):
            letters = tuple(chr(ord("A") + i) for i in range(count))
            _even(collected, "letters", asked, lambda q: q.item.answer if q.item else "", letters, seed)


def _even(
    collected: Collected,
    name: str,
    asked: list[Question],
    answer: Callable[[Question], str],
    answers: Iterable[str],
    seed: int,
) -> None:
    if not asked:
        return
    groups: dict[str, list[Question]] = {value: [] for value in answers}
    for question in asked:
        groups[answer(question)].append(question)
    least = min(len(group) for group in groups.values())
    if not least:
        missing = next(value for value, group in groups.items() if not group)
        raise InputError(
            f"no item is answered {missing}, so nothing would be left",
            where=f"--balance {name}",
            fix="leave the balance away, or generate more",
        )
    gone: set[int] = set()
    for value, group in groups.items():
        of_video: dict[str, list[Question]] = defaultdict(list)
        others = Counter(q.video for q in asked if answer(q) != value)
        for question in sorted(group, key=lambda q: _hash(seed, q.digest)):
            of_video[question.video].append(question)
        # A video's surplus: what it has of this answer over what it has of the others.
        heap = [(others[video] - len(mine), _hash(seed, mine[0].digest), video) for video, mine in of_video.items()]
        heapq.heapify(heap)
        for _ in range(len(group) - least):
            surplus, _, video = heapq.heappop(heap)
            mine = of_video[video]
            gone.add(id(mine.pop(0)))
            if mine:
                heapq.heappush(heap, (surplus + 1, _hash(seed, mine[0].digest), video))
    collected.questions = [q for q in collected.questions if id(q) not in gone]
    collected.dropped[name] += len(gone)


def _hash(seed: int, digest: str) -> str:
    return hashlib.sha256(f"{seed}{digest}".encode()).hexdigest()
