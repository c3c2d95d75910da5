"""Texts as the rules compare them: `N(t)`, words, shingles, sentences, and what is only quoted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

_CJK = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_CJK_SIGN = re.compile(f"[{_CJK}]")
_NO_WORD = re.compile(r"[\W_]+")
_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "‑": "-"}
)
_QUOTED = re.compile(r"\"[^\"\n]{1,400}\"|(?<!\w)'.{2,300}?'(?!\w)|「[^」]*」|『[^』]*』|《[^》]*》")
_QUOTE_MARKS = ('"', "'", "「", "『", "《")
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]*]|$)|[。！？]")
_SHORT = 6
_TEXTS = 32
"""About the texts of one item: several rules read each of them, and it is brought into its form once."""
SHINGLE = 3


@lru_cache(maxsize=_TEXTS)
def normal(text: str) -> str:
    """`N(t)`: NFKC, case folded, punctuation to single spaces."""
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


@lru_cache(maxsize=_TEXTS)
def plain(text: str) -> str:
    """NFKC in one line with straight quotes, as the patterns expect it; case and punctuation stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_QUOTES)).translate(_QUOTES)
    return " ".join(text.split())


def unquoted(text: str) -> str:
    """A plain text without what stands in quotation marks; whole where nothing else is in it."""
    if not any(mark in text for mark in _QUOTE_MARKS):
        return text
    left, quoted = _QUOTED.subn(" … ", text)
    return left if quoted and _WORD.search(left) else text


def words(text: str) -> list[str]:
    """The words of `N(t)`; in scripts without spaces each sign is one."""
    return _WORD.findall(normal(text))


def word_count(text: str) -> float:
    """How many words a text has; two signs of a script without spaces count as one."""
    found = _WORD.findall(text)
    signs = sum(_CJK_SIGN.match(word) is not None for word in found)
    return len(found) - signs / 2


def shingles(text: str) -> frozenset[str]:
    """Runs of three words; of fewer than six words the single words and the pairs."""
    found = words(text)
    sizes = (1, 2) if len(found) < _SHORT else (SHINGLE,)
    return frozenset(" ".join(found[i : i + size]) for size in sizes for i in range(len(found) - size + 1))


def jaccard(one: Collection[str], other: Collection[str]) -> float:
    """Shared over all, 0..1; nothing shares nothing."""
    shared = len(frozenset(one) & frozenset(other))
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def first_sentence(text: str) -> str:
    """Up to and with the first end of a sentence."""
    found = _SENTENCE_END.search(text)
    return text[: found.end()] if found else text


def up_to_last_sentence(text: str) -> str:
    """A text that was cut off, up to the end of its last whole sentence; empty where it has none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    # A full stop at the very end may stand inside a number or an abbreviation, and is taken for what it looks like.
    return text[: ends[-1]].rstrip() if ends else ""
