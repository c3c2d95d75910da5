"""The words of each language by which the rules know a refusal, a leak, a hedge, a verdict: data files beside this one.

A text is read with the patterns of all languages at once: items of one run may be in several, and none names its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any

from tao_skill_bank.annotate.quality.alternatives import Alternatives

_PART = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Patterns:
    """One pattern a rule, over all languages. Yes and no of a verdict are its groups `yes*` and `no*`.

    Attributes:
        on_screen: Text that belongs to the picture (`the caption on the TV`); taken out before leaks are looked for.
        refusal_opening: How a model's whole text begins that declines. `refusal`: the same anywhere in an item.
        source_leak: What names the captions and descriptions an item was made from.
        unanswerable: What says that there is no answer.
        hedge: What is neither yes nor no. Both also where `yes and no` stands.
        verdict: Words of a conclusion with its yes or no.
        first_word: A yes or no that a text begins with, as a word of its own.
        right_letter: A claim which letter is right; the letter is its first group that matched.
        answer_is: Behind it the answer is named in words.
        choice_letters: A choice that names letters or places of others.
        of_the_above: A choice that means all, none or both of the others.
        letter_words: The words for a choice before its letter. `ordinal_choice`: a choice named by its place.
        letter_in_use: Letters in words that only fit choices (`rules out B`, `only B shows`); all in it are meant.
        name_before: What makes a letter the name of a thing (`camera B`).
        time_elsewhere: A time that is none of the video: on a clock.
        hints: Rule → what must stand in a text that it can match, in small letters.
    """

    on_screen: Alternatives
    refusal_opening: Alternatives
    refusal: Alternatives
    source_leak: Alternatives
    unanswerable: Alternatives
    hedge: Alternatives
    verdict: Alternatives
    first_word: Alternatives
    right_letter: Alternatives
    answer_is: Alternatives
    choice_letters: Alternatives
    of_the_above: Alternatives
    letter_words: Alternatives
    letter_in_use: Alternatives
    ordinal_choice: Alternatives
    name_before: Alternatives
    time_elsewhere: Alternatives
    languages: tuple[str, ...]
    hints: dict[str, tuple[str, ...]]

    def first(self, name: str, text: str) -> str | None:
        """What a rule finds in a text, None where nothing; texts without any of its hints are not searched."""
        found = getattr(self, name).search(text) if self.may_find(name, text) else None
        return None if found is None else str(found[0])

    def may_find(self, name: str, text: str) -> bool:
        """Whether one of a rule's hints stands in a text; True of a rule without hints."""
        hints = self.hints.get(name)
        if hints is None:
            return True
        lower = text.lower()
        for hint in hints:  # noqa: SIM110 - `any` over a generator takes twice as long, and this is asked of every text
            if hint in lower:
                return True
        return False


_NAMES = tuple(rule.name for rule in fields(Patterns) if rule.type == "Alternatives")


@lru_cache(maxsize=1)
def patterns() -> Patterns:
    """The patterns of every language that there is a file of."""
    import yaml

    folder = resources.files(__package__).joinpath("languages")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    read = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    texts = {name: [text for language in read for text in _texts(language, name)] for name in _NAMES}
    return Patterns(
        languages=tuple(language["language"] for language in read),
        hints={
            name: tuple(hint for language in read for hint in language["hints"][name])
            for name in _NAMES
            if all(name in (language.get("hints") or {}) for language in read)
        },
        **{name: Alternatives(texts[name]) for name in _NAMES},
    )


def side(match: re.Match[str]) -> bool | None:
    """Whether a verdict is yes; None where its pattern names neither."""
    said = {name[0] == "y" for name, text in match.groupdict().items() if text is not None}
    return said.pop() if len(said) == 1 else None


def letter(match: re.Match[str]) -> str:
    """The letter of a claim."""
    return next(text for text in match.groups() if text)


def _texts(language: dict[str, Any], name: str) -> Iterable[str]:
    parts = language.get("parts") or {}

    def filled(text: str) -> str:
        while _PART.search(text):
            text = _PART.sub(lambda match: f"(?:{parts[match[1]]})", text)
        return text

    return [filled(text) for text in language.get(name) or ()]
