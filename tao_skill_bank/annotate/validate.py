"""Which questions may be trained on: the checks of an item, the shuffle of its choices, the reason of a refusal."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from tao_skill_bank.annotate.parse import Parsed, answer_letter, yes_no
from tao_skill_bank.annotate.times import clock, moments, span

_LONGEST_QUESTION = 3000
_LEAST_TELLTALE = 8
_TOLERANCE = 0.5
"""Seconds that an end may lie behind the video's: models round up."""
_SEPARATOR_LINE = re.compile(r"^[ \t]*={5,}[ \t]*$", re.MULTILINE)
_DATA_MARK = re.compile(r"<<DATA|DATA [0-9a-f]{8}>>")
_NAMED = re.compile(
    r"\b(?:options?|choices?|answers?|letters?|alternatives?)\s+(?:is\s+|are\s+)?(?:(?:option|choice|letter)\s+)?"
    r"[(\"'*]*[A-Z]\b[)\"'*]*(?:\s*(?:,|and|or|&|/|,\s*and|,\s*or|nor)\s*[(\"'*]*[A-Z]\b[)\"'*]*(?![a-z'’]))*",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
_AT_START = re.compile(r"^[ \t]*(?:[-*]\s*)?(?:\*\*)?([A-Z])[.):](?=\s|\*)", re.MULTILINE)
_JUDGED = re.compile(
    r"(?<![\w'’-])([A-Z])\s+(?:is|are|was|would be|must be|cannot be|can be|fits|matches|fails|contradicts)\b"
)
_ALONE = re.compile(r"(?<![\w'’.-])([B-H])(?![\w'’-]|\.\w)")
_NAME_BEFORE = re.compile(
    r"\b(?:camera|lane|dock|bay|zone|aisle|gate|vehicle|car|truck|person|worker|line|section|area|level|row|rack|"
    r"building|team|type|class|grade|vitamin|point|door|station|terminal|platform|exit|level|plan|phase)\s+$",
    re.IGNORECASE,
)
_RIGHT_IN_REASONING = re.compile(
    r"\b(?:correct|right)\s+(?:answer|option|choice)\s+(?:is|:)\s*(?:therefore\s+)?(?:option\s+|choice\s+)?[(\"'*]*([A-Z])\b(?![a-z'’])"
    r"|(?<![\w'’-])\(?([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right)\b"
)


@dataclass(frozen=True)
class Item:
    """A checked question.

    Attributes:
        question: Without choices and instructions.
        answer: A letter, `Yes` or `No`, a text, or for a localisation its start and end as a clock shows them.
        full_answer: The answer in words: `B. text`, `Yes. …`; the same as `answer` elsewhere.
        choices: `A. text` lines in the order shown.
        span: Seconds of a localisation.
    """

    question: str
    answer: str
    full_answer: str
    reasoning: str
    choices: tuple[str, ...] = ()
    span: tuple[float, float] | None = None


class Rejected(Exception):
    """Why a question is not taken; the text is the reason."""


def checked(kind: str, parsed: Parsed, duration: float | None) -> Item:
    """A parsed question of a type as an item.

    Args:
        kind: The question type, such as `mcq`.
        parsed: What the model wrote.
        duration: The video's length in seconds, None if unknown.

    Raises:
        Rejected: It breaks a rule; the reason is for people.
    """
    question = parsed.question.strip()
    if not question:
        raise Rejected("no question")
    if len(question) > _LONGEST_QUESTION:
        raise Rejected(f"the question has {len(question)} characters")
    for part in (question, parsed.answer, parsed.reasoning, *parsed.choices.values()):
        if _SEPARATOR_LINE.search(part) or _DATA_MARK.search(part):
            raise Rejected("a separator or data mark stands inside the text")
    if kind == "mcq":
        return _mcq(question, parsed)
    if kind == "bcq":
        return _bcq(question, parsed)
    if kind == "temporal_localization":
        return _localization(question, parsed, duration)
    answer = parsed.answer.strip()
    if not answer:
        raise Rejected("no answer")
    if _stands_in(answer, question):
        raise Rejected("the answer stands in the question")
    return Item(question, answer, answer, parsed.reasoning.strip())


def _mcq(question: str, parsed: Parsed) -> Item:
    choices = {letter: text.strip() for letter, text in parsed.choices.items()}
    if len(choices) < 2:
        raise Rejected("fewer than two choices")
    if not all(choices.values()):
        raise Rejected("an empty choice")
    if len({_plain(text) for text in choices.values()}) < len(choices):
        raise Rejected("two choices say the same")
    if not parsed.answer.strip():
        raise Rejected("no answer")
    letter = answer_letter(parsed.answer, choices)
    if letter is None:
        raise Rejected(f"the answer {_short(parsed.answer)!r} names none of the choices, or more than one")
    named = {a or b for a, b in _RIGHT_IN_REASONING.findall(parsed.reasoning)}
    if named and letter not in named:
        raise Rejected(f"the answer is {letter}, the reasoning says {', '.join(sorted(named))}")
    if _stands_in(choices[letter], question):
        raise Rejected("the answer stands in the question")
    lines, new_letter, moved = shuffled(question, choices, letter)
    reasoning = relettered(parsed.reasoning.strip(), moved)
    return Item(
        question, new_letter, next(line for line in lines if line.startswith(f"{new_letter}. ")), reasoning, lines
    )


def _bcq(question: str, parsed: Parsed) -> Item:
    said = yes_no(parsed.answer)
    if said is None:
        raise Rejected(f"the answer {_short(parsed.answer)!r} is neither yes nor no" if parsed.answer else "no answer")
    word = "Yes" if said else "No"
    head = re.sub(r"^[\W_]+", "", parsed.answer)
    rest = re.sub(r"^(?:(?:final\s+)?answer[\W_]{0,20})?(?:yes|no)\b[\W_]*", "", head, flags=re.I)
    explanation = parsed.explanation.strip() or (rest.strip() if yes_no(parsed.answer[:40]) is not None else "")
    full = f"{word}. {explanation[:1].upper()}{explanation[1:]}" if explanation else f"{word}."
    return Item(question, word, full, parsed.reasoning.strip())


def _localization(question: str, parsed: Parsed, duration: float | None) -> Item:
    found = parsed.span or span(parsed.answer)
    if found is None:
        raise Rejected(f"no start and end in {_short(parsed.answer)!r}" if parsed.answer else "no answer")
    start, end = found
    if duration is not None and duration < end <= duration + _TOLERANCE:
        end = duration
    if not 0 <= start < end:
        raise Rejected(f"start {start:g} s does not lie before end {end:g} s")
    if duration is not None and end > duration:
        raise Rejected(f"end {end:g} s lies behind the video's {duration:g} s")
    asked = moments(question) if re.search(r"\d\s*(?:s\b|sec|min)|\d:\d\d", question) else []
    if any(abs(m - start) < 0.01 for m in asked) and any(abs(m - end) < 0.01 for m in asked):
        raise Rejected("the answer stands in the question")
    shown = f"{clock(start)} - {clock(end)}"
    return Item(question, shown, shown, parsed.reasoning.strip(), span=(start, end))


def shuffled(question: str, choices: dict[str, str], letter: str) -> tuple[tuple[str, ...], str, dict[str, str]]:
    """Choices in an order that hangs on the question alone: `A. text` lines, the right letter, old → new letters."""
    order = sorted(choices)
    random.Random(question).shuffle(order)
    moved = {old: chr(ord("A") + position) for position, old in enumerate(order)}
    lines = tuple(f"{moved[old]}. {choices[old]}" for old in order)
    return lines, moved[letter], moved


def relettered(text: str, moved: dict[str, str]) -> str:
    """A reasoning whose references to choices follow a shuffle.

    A letter counts as a reference behind `option` and the like, in brackets, at the beginning of a line, or when it is
    judged (`B is wrong`); where a text refers to choices at all, its single capitals B to H do so too, unless they name
    something (`camera B`).
    """
    places: set[int] = set()
    for match in _NAMED.finditer(text):
        # The word itself may be matched in any case; a letter must be a capital.
        inside = match[0]
        offset = re.match(r"\w+", inside)
        begin = offset.end() if offset else 0
        for letter in re.finditer(r"(?<![\w'’])[A-Z](?![\w'’])", inside[begin:]):
            places.add(match.start() + begin + letter.start())
    for pattern in (_IN_BRACKETS, _AT_START, _JUDGED):
        places.update(match.start(1) for match in pattern.finditer(text))
    if places:
        for match in _ALONE.finditer(text):
            if not _NAME_BEFORE.search(text[: match.start()]):
                places.add(match.start())
    places = {p for p in places if not _NAME_BEFORE.search(text[:p])}
    return "".join(moved.get(c, c) if i in places else c for i, c in enumerate(text))


def _stands_in(answer: str, question: str) -> bool:
    plain = _plain(answer)
    return len(plain) >= _LEAST_TELLTALE and f" {plain} " in f" {_plain(question)} "


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"
