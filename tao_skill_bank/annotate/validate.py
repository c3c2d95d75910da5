"""Which questions have the form of an item, and the reason of a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tao_skill_bank.annotate.parse import Parsed, answer_letter, yes_no
from tao_skill_bank.annotate.quality.choices import cannot_follow, claimed_letters, names_letters, relettered, shuffled
from tao_skill_bank.annotate.quality.rules import TOLERANCE
from tao_skill_bank.annotate.times import clock, moments, span

_LONGEST_QUESTION = 3000
_LEAST_TELLTALE = 8
_SEPARATOR_LINE = re.compile(r"^[ \t]*={5,}[ \t]*$", re.MULTILINE)
_DATA_MARK = re.compile(r"<<DATA|DATA [0-9a-f]{8}>>")


@dataclass(frozen=True)
class Item:
    """A checked question.

    Attributes:
        question: Without choices and instructions.
        answer: A letter, `Yes` or `No`, a text, or for a localisation its start and end as a clock shows them.
        full_answer: The answer in words: `B. text`, `Yes. …`; the same as `answer` elsewhere.
        choices: `A. text` lines in the order shown.
        span: Seconds of a localisation.
        written_letter: The right choice's letter before the shuffle; empty elsewhere.
    """

    question: str
    answer: str
    full_answer: str
    reasoning: str
    choices: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    written_letter: str = ""


class Rejected(Exception):
    """Why a question is not taken; the text is the reason, `code` the rule."""

    def __init__(self, reason: str, code: str = "malformed") -> None:
        super().__init__(reason)
        self.code = code


def checked(kind: str, parsed: Parsed, duration: float | None, *, keep_order: bool = False) -> Item:
    """A parsed question of a type as an item.

    Args:
        kind: The question type, such as `mcq`.
        parsed: What the model wrote.
        duration: The video's length in seconds, None if unknown.
        keep_order: Choices that name letters stay in their order.

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
        return _mcq(question, parsed, keep_order)
    if kind == "bcq":
        return _bcq(question, parsed)
    if kind == "temporal_localization":
        return _localization(question, parsed, duration)
    answer = parsed.answer.strip()
    if not answer:
        raise Rejected("no answer")
    if _stands_in(answer, question):
        raise Rejected("the answer stands in the question", "answer_in_question")
    return Item(question, answer, answer, parsed.reasoning.strip())


def _mcq(question: str, parsed: Parsed, keep_order: bool) -> Item:
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
    named = set(claimed_letters(parsed.reasoning))
    if named and letter not in named:
        raise Rejected(f"the answer is {letter}, the reasoning says {', '.join(sorted(named))}", "choice_contradiction")
    if _stands_in(choices[letter], question):
        raise Rejected("the answer stands in the question", "answer_in_question")
    keeps = keep_order and any(names_letters(text) for text in choices.values())
    lines, new_letter, moved = shuffled(question, choices, letter, keep_order=keeps)
    if (fault := cannot_follow(parsed.reasoning, set(choices))) is not None:
        raise Rejected(fault, "reasoning_letters")
    reasoning = relettered(parsed.reasoning.strip(), moved)
    full = next(line for line in lines if line.startswith(f"{new_letter}. "))
    return Item(question, new_letter, full, reasoning, lines, written_letter=letter)


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
    if duration is not None and duration < end <= duration + TOLERANCE:
        end = duration
    if not 0 <= start < end:
        raise Rejected(f"start {start:g} s does not lie before end {end:g} s")
    if duration is not None and end > duration:
        raise Rejected(f"end {end:g} s lies behind the video's {duration:g} s", "timestamp_outside")
    asked = moments(question) if re.search(r"\d\s*(?:s\b|sec|min)|\d:\d\d", question) else []
    if any(abs(m - start) < 0.01 for m in asked) and any(abs(m - end) < 0.01 for m in asked):
        raise Rejected("the answer stands in the question", "answer_in_question")
    shown = f"{clock(start)} - {clock(end)}"
    return Item(question, shown, shown, parsed.reasoning.strip(), span=(start, end))


def _stands_in(answer: str, question: str) -> bool:
    plain = _plain(answer)
    return len(plain) >= _LEAST_TELLTALE and f" {plain} " in f" {_plain(question)} "


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"
