"""Alternatives that are searched for only where they can stand: they find what one joined pattern finds."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path

import pytest
import yaml

from tao_skill_bank.annotate.quality import patterns as rules
from tao_skill_bank.annotate.quality.alternatives import Alternatives
from tao_skill_bank.annotate.quality.choices import _CAPITAL
from tao_skill_bank.annotate.quality.text import _QUOTED, _QUOTES, _WORD, plain, unquoted

WORDINGS = Path(__file__).resolve().parents[3] / "benchmarks/quality_wordings.yaml"
ODD = (
    "İ",
    "ı",
    "ſ",
    "K",
    "ß",
    "ẞ",
    "“",
    "'",
    '"',
    "「",
    "\x1c",
    "\x85",
    "\u3000",
    "0:45",
    "٣ s",
    "12分",
    "option D",
    "No",
)


def texts() -> list[str]:
    """Wordings of planted errors, and what becomes of them when they are cut, joined, turned to capitals, spoilt."""
    chance = random.Random(7)
    read = yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))
    said = [t for language in read.values() for rule in language.values() for half in rule.values() for t in half]
    for _ in range(150):
        text = " ".join(chance.choice(said) for _ in range(chance.randrange(1, 3)))
        cut = chance.randrange(len(text))
        text = text[:cut] + chance.choice(ODD) + text[cut:]
        text = text.replace(*chance.choice((("i", "İ"), ("s", "ſ"), ("k", "K"), ("i", "ı"), ("", ""), (" ", "  "))))
        said.append(chance.choice((str, str.upper, str.title, str.swapcase))(text))
    return said


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return texts()


@pytest.mark.parametrize("name", rules._NAMES)
def test_a_rule_finds_what_its_joined_pattern_finds(name: str, corpus: list[str]) -> None:
    own = getattr(rules.patterns(), name)
    joined = re.compile(own.pattern, re.IGNORECASE)
    for text in corpus:
        expected = [(m.span(), m.group(), [g for g in m.groups() if g]) for m in joined.finditer(text)]
        assert [(m.span(), m.group(), [g for g in m.groups() if g]) for m in own.finditer(text)] == expected, text
        first, at_start = own.search(text), joined.match(text)
        assert (first and first.span()) == (expected[0][0] if expected else None), text
        assert bool(own.match(text)) == bool(at_start), text
        assert own.sub(" … ", text) == joined.sub(" … ", text), text


@pytest.mark.parametrize(
    ("texts", "text", "spans"),
    [
        (["ab", "abc"], "xabc", [(1, 3)]),
        (["bc", "abc"], "xabc abc", [(1, 4), (5, 8)]),
        (["THIS", "kiss"], "thİs Kiſſ", [(0, 4), (5, 9)]),
        (["(?:a|b)x", "c+"], "bx cc", [(0, 2), (3, 5)]),
        (["(?:very )?late|soon"], "soon, very late", [(0, 4), (6, 15)]),
        (["(?:ab)?c(?!d)", "^x"], "cd xabc x", [(4, 7)]),
        (["ß", "Ä"], "ẞä", [(0, 1), (1, 2)]),
        ([], "anything", []),
    ],
)
def test_an_earlier_place_goes_before_an_earlier_alternative(texts: list[str], text: str, spans: list[object]) -> None:
    own = Alternatives(texts)
    assert [m.span() for m in own.finditer(text)] == spans
    assert [m.span() for m in re.finditer(own.pattern, text, re.IGNORECASE)] == spans


def test_yes_and_no_of_several_alternatives_are_told_apart() -> None:
    own = Alternatives(["(?P<yes>ja)|(?P<no>nein)", "so (?P<no>nay)"])
    assert [rules.side(match) for match in own.finditer("ja, nein, so nay")] == [True, False, False]


def test_every_sign_is_brought_into_the_same_form_whatever_stands_around_it() -> None:
    spaces = re.compile(r"\s+")
    for first in range(0, 0x10000, 1024):
        signs = "a".join(chr(n) for n in range(first, first + 1024) if not 0xD800 <= n < 0xE000)
        old = spaces.sub(" ", unicodedata.normalize("NFKC", signs.translate(_QUOTES)).translate(_QUOTES)).strip()
        assert plain(signs) == old
    for text in ("say 'no' twice", 'all "of it"', '"all"', "「全部」", "don't", "plain", ""):
        left = _QUOTED.sub(" … ", text)
        assert unquoted(text) == (left if _WORD.search(left) else text)


def test_a_claim_of_a_letter_has_a_capital_that_stands_by_itself(corpus: list[str]) -> None:
    without = [text for text in (*corpus, *map(str.lower, corpus)) if not _CAPITAL.search(text)]
    assert len(without) > 100
    for name in ("right_letter", "letter_in_use"):
        assert [text for text in without if getattr(rules.patterns(), name).search(text)] == []
