"""A pattern of many alternatives that finds what their one joined pattern would, and searches for few of them.

Each alternative says by itself what must stand in a text that it matches: its needles, read off the parsed pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_GROUP = re.compile(r"\(\?P<(yes|no)>")
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)
# What `re` takes for these letters when case is ignored, and `lower` does not.
_ALIKE = str.maketrans({"İ": "i", "ı": "i", "ſ": "s"})


class _Alternative:
    """One of them, compiled when a text first holds one of its needles."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def needles(self) -> tuple[str, ...]:
        """Small letters, one of which stands in every match; none where the pattern demands none."""
        return tuple(sorted(_needles(parser.parse(self._text, re.IGNORECASE)) or ()))

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self._text, re.IGNORECASE)


class Alternatives:
    """What `re.compile("|".join(texts), re.IGNORECASE)` is, for patterns that match no empty text.

    Args:
        texts: The alternatives; an earlier one goes before a later one at the same place. Their groups `yes` and `no`
            get numbers behind their names, so that a text may hold several.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        numbers = iter(range(sum(len(_GROUP.findall(text)) for text in texts)))
        numbered = [_GROUP.sub(lambda m: f"(?P<{m[1]}{next(numbers)}>", text) for text in texts]
        self.pattern = "|".join(f"(?:{text})" for text in numbered) or r"(?!)"
        self._alternatives = [_Alternative(text) for text in numbered]

    def search(self, text: str) -> re.Match[str] | None:
        """The first match."""
        return next(self.finditer(text), None)

    def match(self, text: str) -> re.Match[str] | None:
        """A match at the very beginning."""
        return next((m for one in self._possible(text) if (m := one.match(text))), None)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Every match, from left to right, none over another."""
        place, possible = 0, self._possible(text)
        found: list[re.Match[str] | None] = [one.search(text) for one in possible]
        while any(found):
            first = min((m for m in found if m is not None), key=lambda m: m.start())
            yield first
            place = first.end()
            for i, m in enumerate(found):
                if m is not None and m.start() < place:
                    found[i] = possible[i].search(text, place)

    def sub(self, put: str, text: str) -> str:
        """A text with `put` in the place of every match."""
        parts, place = [], 0
        for match in self.finditer(text):
            parts += [text[place : match.start()], put]
            place = match.end()
        return "".join([*parts, text[place:]]) if parts else text

    @cached_property
    def _of_ascii(self) -> list[tuple[_Alternative, tuple[str, ...]]]:
        """Those that can match a text in ASCII, each with the needles that can stand in one."""
        return [
            (one, own)
            for one, needles in self._every
            if (own := tuple(n for n in needles if n.isascii())) or not needles
        ]

    @cached_property
    def _every(self) -> list[tuple[_Alternative, tuple[str, ...]]]:
        return [(one, one.needles) for one in self._alternatives]

    def _possible(self, text: str) -> list[re.Pattern[str]]:
        small, found = _small(text), []
        for one, needles in self._of_ascii if text.isascii() else self._every:
            if not needles:
                found.append(one.compiled)
            # Not `any` over a generator, which takes twice as long: this is asked of every text.
            for needle in needles:
                if needle in small:
                    found.append(one.compiled)
                    break
        return found


@lru_cache(maxsize=8)
def _small(text: str) -> str:
    """A text in small letters, so that it holds whatever a pattern that ignores case would find in it."""
    return text.lower() if text.isascii() else text.translate(_ALIKE).lower()


def _needles(parts: Iterable[tuple[Any, Any]]) -> frozenset[str] | None:
    """Of what must stand in each match of a sequence the most telling; None where nothing must."""
    found: list[frozenset[str]] = []
    run = ""
    for kind, value in [*parts, (None, None)]:
        if kind is sre.LITERAL:
            run += chr(value).lower()
            continue
        if run:
            found.append(frozenset([run]))
            run = ""
        own: frozenset[str] | None = None
        if kind is sre.SUBPATTERN:
            own = _needles(value[-1])
        elif kind is sre.BRANCH:
            each = [_needles(branch) for branch in value[1]]
            own = None if None in each else frozenset().union(*(one for one in each if one))
        elif kind in _REPEATS and value[0] > 0:
            own = _needles(value[2])
        if own:
            found.append(own)
    return max(found, key=lambda own: (min(map(len, own)), -len(own)), default=None)
