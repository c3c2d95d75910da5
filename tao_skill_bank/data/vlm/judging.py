"""What responses and truths say: a code for each, and why a sample cannot be judged."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tao_skill_bank.data.vlm import answers as where
from tao_skill_bank.data.vlm.answers import taken_by
from tao_skill_bank.data.vlm.labels import BOTH, NEITHER, NO, YES, Labels
from tao_skill_bank.data.vlm.samples import Samples

Codes = npt.NDArray[np.uint8]
Looks = list[tuple[bool, str | None]]
_BEHIND = ("after_think",)
# The place of (response, truth) in a table of 16: response * 4 + truth.
TP, FP, FN, TN = YES * 4 + YES, YES * 4 + NO, NO * 4 + YES, NO * 4 + NO
JUDGED = np.isin(np.arange(16), (TP, FP, FN, TN))
USABLE_TRUTH = np.isin(np.arange(16) % 4, (YES, NO))
NO_QUESTION = "no yes/no question"
NO_ANSWER = "no answer"
CUT_OFF = "thinking cut off"
_CHOICE = re.compile(r"^[ \t]*\(?([A-H])[).:][ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LONE = re.compile(r"[\W_]*([A-Ha-h])[\W_]*")
_QUESTIONS_KEPT = 10_000


@dataclass(frozen=True)
class Thinking:
    """Responses with think tags: how many, how many of them cut off, and the codes of both ways to read all."""

    tagged: int
    cut_off: int
    anywhere: Codes
    after_think: Codes


@dataclass(frozen=True)
class Judged:
    """The codes of some samples, `response * 4 + truth`, and what else there is to say of a sample.

    Attributes:
        codes: uint8 [n].
        marks: Place → why there is no answer, where that is known better than by the words of the response.
        thinking: Where some response holds a think tag.
    """

    codes: Codes
    marks: dict[int, str] = field(default_factory=dict)
    thinking: Thinking | None = None


class Judge:
    """Tells what samples say.

    Args:
        labels: What yes and no are called.
        modes: Where the answer stands in a response.
        letters: Letters are lines of the question's choices.
    """

    def __init__(self, labels: Labels, modes: Sequence[str], *, letters: bool) -> None:
        self.labels = labels
        self.modes = tuple(modes)
        self._plain = self.modes == ("anywhere",)
        self._take = where.taken_by(self.modes, labels)
        self._choices = Choices(labels) if letters else None

    def judge(self, samples: Samples) -> Judged:
        """The codes of some samples."""
        responses = samples.responses if samples.answers is None else samples.answers
        truths = samples.truths if samples.usable is None else samples.usable
        marks = {place: f"{NO_ANSWER} ({why})" for place, why in samples.unanswered.items()}
        looks = [where.look(text) for text in responses] if where.may_think(responses) else None
        texts = responses if self._plain else self._taken(responses, looks, marks)
        if self._choices is not None:
            texts, truths = self._lettered(samples, responses, texts, truths, marks)
        said, right = self.labels.answers(texts), self._told(truths)
        for place, why in marks.items():
            if why == NO_QUESTION:
                right[place] = NEITHER
            said[place] = NEITHER
        return Judged(said * 4 + right, marks, self._thinking(responses, looks, right, said))

    def _told(self, truths: Sequence[str]) -> Codes:
        """The codes of truths; those that are the same few texts over and over are looked at once."""
        once = list(set(truths))
        if len(once) > len(truths) // 4:
            return self.labels.answers(truths)
        codes = dict(zip(once, self.labels.answers(once).tolist(), strict=True))
        return np.fromiter(map(codes.__getitem__, truths), dtype=np.uint8, count=len(truths))

    def why(self, code: int) -> str:
        """Why a sample of this code cannot be judged, by its words; the truth is blamed first."""
        response, truth = divmod(code, 4)
        name, found = ("ground truth", truth) if truth in (NEITHER, BOTH) else ("response", response)
        yes, no = self.labels.words
        return f"{name} has neither {yes} nor {no}" if found == NEITHER else f"{name} has both {yes} and {no}"

    def _taken(self, responses: Sequence[str], looks: Looks | None, marks: dict[int, str]) -> list[str]:
        taken = []
        known = [rest for _, rest in looks] if looks is not None and self.modes == _BEHIND else None
        for place, text in enumerate(responses):
            found = self._take(text) if known is None else known[place]
            if found is None:
                cut_off = where.look(text)[1] is None
                marks.setdefault(place, CUT_OFF if cut_off else f"{NO_ANSWER} ({'/'.join(self.modes)})")
            taken.append(found or "")
        return taken

    def _lettered(
        self,
        samples: Samples,
        responses: Sequence[str],
        taken: Sequence[str],
        truths: Sequence[str],
        marks: dict[int, str],
    ) -> tuple[list[str], list[str]]:
        assert self._choices is not None
        texts, right = list(taken), list(truths)
        for place, question in enumerate(samples.questions):
            found = self._choices.judged(question, responses[place], texts[place], right[place])
            if found is None:
                marks[place] = NO_QUESTION
            else:
                texts[place], right[place] = found
        return texts, right

    def _thinking(self, responses: Sequence[str], looks: Looks | None, right: Codes, said: Codes) -> Thinking | None:
        """Both ways to read the responses, where one of them holds a think tag."""
        tagged = sum(has for has, _ in looks or ())
        if looks is None or not tagged:
            return None
        anywhere = said if self._plain else self.labels.answers(responses)
        behind = said if self.modes == _BEHIND else self.labels.answers([rest or "" for _, rest in looks])
        cut_off = sum(rest is None for _, rest in looks)
        return Thinking(tagged, cut_off, anywhere * 4 + right, behind * 4 + right)


class Choices:
    """Turns letters into the lines that they stand for: `B` where the question says `A: Yes` and `B: No`."""

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
