"""Letters of choices: what `B` means where the question says `A: Yes` and `B: No`."""

from __future__ import annotations

import functools
import re

from tao_skill_bank.data.vlm.answers import taken_by
from tao_skill_bank.data.vlm.labels import NO, YES, Labels

_CHOICE = re.compile(r"^[ \t]*\(?([A-H])[).:][ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LONE = re.compile(r"[\W_]*([A-Ha-h])[\W_]*")
_QUESTIONS_KEPT = 10_000


class Choices:
    """Turns letters into the lines that they stand for."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        # Whatever was asked for, a letter stands where models put answers.
        self._take = taken_by(("answer_tag", "boxed", "after_think"), labels)
        self._of = functools.lru_cache(maxsize=_QUESTIONS_KEPT)(self._choices)

    def judged(self, question: str, response: str, answer: str, truth: str) -> tuple[str, str] | None:
        """The answer and the truth, letters among them as their choices; None where it is no yes/no question.

        Args:
            question: With its choices, a line each.
            response: The raw response.
            answer: What was taken out of it; the response itself where nothing was asked for.
            truth: A letter, or a text.
        """
        choices, fits = self._of(question)
        if choices and not fits:
            return None
        letter = _letter(truth)
        if letter is not None:
            if letter not in choices:
                return None
            truth = choices[letter]
        said = _letter(answer if answer != response else self._take(response) or "")
        return (choices[said] if said is not None and said in choices else answer), truth

    def _choices(self, question: str) -> tuple[dict[str, str], bool]:
        """Letter → its line, and whether they are one yes and one no."""
        found = dict(_CHOICE.findall(question))
        sides = sorted(self._labels.answer(text) for text in found.values())
        return found, sides == [YES, NO]


def _letter(text: str) -> str | None:
    found = _LONE.fullmatch(text.strip())
    return found[1].upper() if found else None
