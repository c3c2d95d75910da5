"""What of a model's text may be used at all: no refusal, no thinking that never ended, nothing cut in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tao_skill_bank.annotate.parse import thinking_cut_off, without_thinking
from tao_skill_bank.annotate.quality.rules import refusal_at_start
from tao_skill_bank.annotate.quality.text import up_to_last_sentence
from tao_skill_bank.annotate.records import Recorded

T = TypeVar("T")
LEAST_LEFT = 200
"""Characters that a text that was cut off must have up to its last whole sentence to be of use."""


class UnusableError(Exception):
    """A text that is no answer; `code` is the rule, the text why."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def prose_of(answer: Recorded) -> str:
    """The text of a caption or description; one that was cut off ends with its last whole sentence.

    Raises:
        UnusableError: Of codes think_open, refusal, cut_off, empty.
    """
    text = questions_text(answer)
    if answer.finish != "length":
        return text
    whole = up_to_last_sentence(text)
    if len(whole) < LEAST_LEFT:
        raise UnusableError(
            "cut_off", f"cut off at the token limit, with fewer than {LEAST_LEFT} characters of whole text"
        )
    return whole


def questions_text(answer: Recorded) -> str:
    """The text of an answer that is parsed later, item by item.

    Raises:
        UnusableError: Of codes think_open, refusal, empty.
    """
    text = without_thinking(answer.text)
    if not text:
        if thinking_cut_off(answer.text):
            raise UnusableError("think_open", "nothing but thinking, which never ended")
        raise UnusableError("empty", "holds nothing but thinking, or far too much")
    if refusal_at_start(text):
        raise UnusableError("refusal", "a refusal")
    return text


def reading(read: Callable[[str], T | None], fault: str) -> Callable[[Recorded], T]:
    """A reader of answers that must be whole: labels, times, filters.

    Args:
        read: What the text says, None where it says nothing.
        fault: What to say then.
    """

    def value(answer: Recorded) -> T:
        if answer.finish == "length":
            raise UnusableError("cut_off", "cut off at the token limit")
        found = read(answer.text)
        if found is None:
            if thinking_cut_off(answer.text):
                raise UnusableError("think_open", "nothing but thinking, which never ended")
            code = "refusal" if refusal_at_start(without_thinking(answer.text)) else "unreadable"
            raise UnusableError(code, fault)
        return found

    return value
