"""Figures that a text states without a number: `halved`, `twice as many`, `hundreds of boards`, `none is missed`.

Only what states a measure counts: a row that stands twice, a doubled row and what a target asks for are no claims.
Words of no amount ("most", "a few", "nearly all") are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

Shown = frozenset[tuple[str, Decimal]]
"""(Unit, value): a page that shows one of them bears a claim out."""

_MEASURE = re.compile(
    r"\b(?:FAR|recall|escapes?|rates?|precision|accuracy|f1|miss(?:es|ed)?|flagged|false|errors?|figures?|"
    r"gap|yield|quality|numbers?|counts?|better|worse|defects|boards|samples)\b",
    re.IGNORECASE,
)
_TIME = r"(?!\s+(?:of\s+)?(?:an?\s+)?(?:hours?|minutes?|seconds?|days?|milliseconds?)\b)"
_PARTED = {
    rf"\bhalv(?:e[sd]?|ing)\b|\b(?:by|in|to)\s+(?:about\s+|nearly\s+)?(?:a\s+)?half\b{_TIME}": 2,
    r"\bquarter(?:ed|ing)\b": 4,
}
_TIMES = {"doubl": 2, "tripl": 3, "trebl": 3, "quadrupl": 4}
_THAN = r"\s+(?:the|that|what|its|their)\b(?!\s+same)"
_AS = r"\s+as\s+(?:many|much|high|low|good|bad|large|small|big|often|likely|few)\b"
_MANY = re.compile(rf"\b(?:hundreds|thousands|millions|dozens|tens(?=\s+of))\b{_TIME}", re.IGNORECASE)

# What somebody asks for, or says to be open, is not said to be so.
_ASKED = re.compile(
    r"\b(?:whether|asks?|asked|asking|target|require[sd]?|must|should|would|could|cannot|can\s+not|may\s+not|"
    r"not\s+(?:known|shown|told|certain|proven)|nothing\s+(?:shows|says|proves)|does\s+not\s+(?:mean|show|prove))\b",
    re.IGNORECASE,
)
_WORD = r"\s+(?!longer\b)[^\s.,;:\d]{1,30}"
_GAP = rf"(?:{_WORD}){{0,4}}?"
_NONE = r"\b(?:no(?!\s+one\b)|none|nothing|never|not\s+(?:one|an?|any)|without)"
_IS = r"\s+(?:is|are|was|were|been|be|gets?|got|goes|went|stays?|remains?)(?:\s+(?:ever|now|still))?"
_NOUNS = r"(?:defects?|boards?|samples?|parts?|captures?|NG|faults?|bad\s+ones?|them|types?)"
_GOT = r"(?:found|caught|detected|recogni[sz]ed|right|correct(?:ly)?)"
_FLAWLESS = (
    rf"{_NONE}(?:{_WORD}){{0,7}}?{_IS}\s+(?:missed|overlooked|undetected|unnoticed|flagged)\b",
    rf"{_NONE}{_GAP}\s+(?:misses|escapes|escaped|slips|slipped|overlooks)\b",
    rf"{_NONE}(?:{_WORD}){{0,2}}?\s+(?:miss|misses|escapes?|false[\s-]+(?:calls?|alarms?|accepts?))\b",
    rf"\b(?:all|every|each){_GAP}\s+{_NOUNS}(?:\s+(?:is|are|was|were|gets?|got|has|have|been|now))+\s+{_GOT}\b"
    r"(?!\s+(?:in|on|among|at|below|above|by)\b)",
    rf"\b(?:find|catch|detect|caught|found|flag)(?:s|es|ed)?\s+(?:all|every|each)\b{_GAP}\s+{_NOUNS}\b",
    r"\b(?:perfect|flawless|full|complete)\s+(?:recall|detection|precision|accuracy|score)\b",
    r"\b(?:flawless(?:ly)?|faultless(?:ly)?|(?:error|fault|escape)[\s-]+free)\b",
)
_ALL_OR_NONE: Shown = frozenset(
    (unit, Decimal(value)) for unit, *values in (("/", 0, 1), ("%", 0, 100)) for value in values
)


def _of(many: int) -> Shown:
    return frozenset({("\u00d7", Decimal(many)), ("/", 1 / Decimal(many)), ("%", Decimal(100) / many)})


_CLAIMS: list[tuple[re.Pattern[str], Shown]] = [
    *((re.compile(words, re.IGNORECASE), _of(many)) for words, many in _PARTED.items()),
    *(
        (re.compile(rf"\b{stem}(?:ed|es(?!\s+as\b)|ing)\b|\b{stem}e(?:{_THAN}|{_AS})", re.IGNORECASE), _of(many))
        for stem, many in _TIMES.items()
    ),
    *(
        (re.compile(rf"\b{word}(?:{_THAN}|{_AS})", re.IGNORECASE), _of(many))
        for word, many in (("twice", 2), ("thrice", 3))
    ),
]
_WHOLE = [re.compile(words, re.IGNORECASE) for words in _FLAWLESS]


def claims(text: str) -> Iterator[tuple[str, Shown]]:
    """What a text states of a measure in words alone, as it is written, and what a page must show one of for it."""
    for sentence in re.split(r"(?<=[.!?;])\s+|\n", text):
        for found in _MANY.finditer(sentence):
            yield found[0], frozenset()
        if _MEASURE.search(sentence):
            for pattern, shown in _CLAIMS:
                for found in pattern.finditer(sentence):
                    yield " ".join(found[0].split()), shown
        for pattern in _WHOLE:
            for found in pattern.finditer(sentence):
                if not _ASKED.search(sentence, 0, found.start()):
                    yield " ".join(found[0].split()), _ALL_OR_NONE
