r"""Yes or no in free text: lower-cased, `yes` and `no` as whole words, both or neither means unclear.

What a word is follows Python's `\b`: letters, digits and `_` of every script count as parts of words, so `yesé`,
`noyes` and `yes_` hold neither, and `no-one` holds a `no`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NEITHER, YES, NO, BOTH = 0, 1, 2, 3
NAMES = ("neither", "yes", "no", "both")

_YES = re.compile(r"\byes\b")
_NO = re.compile(r"\bno\b")
# What a byte is to a word boundary: 0 a border, 1 part of a word, 2 part of a character beyond ASCII, to be looked at.
_KIND = np.zeros(256, dtype=np.uint8)
_KIND[[b for b in range(128) if chr(b).isalnum() or chr(b) == "_"]] = 1
_KIND[128:] = 2
_SEPARATOR = "\0"


def answer(text: str) -> int:
    """YES, NO, NEITHER or BOTH for one text."""
    lowered = text.lower()
    yes = YES if "yes" in lowered and _YES.search(lowered) else 0
    return yes | (NO if "no" in lowered and _NO.search(lowered) else 0)


def answers(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    """`answer` of every text, uint8 [n], several times as fast: one search through all of them.

    The texts are joined by NUL and searched as bytes. A match next to ASCII is decided there; a text with a match
    next to any other character, or with a NUL in it, is decided by `answer`.
    """
    result = np.zeros(len(texts), dtype=np.uint8)
    if not len(texts):
        return result
    joined = _SEPARATOR.join(texts)
    if joined.count(_SEPARATOR) != len(texts) - 1:
        return np.array([answer(text) for text in texts], dtype=np.uint8)
    # Lower-casing bytes leaves characters beyond ASCII alone. None of them becomes y, e, s, n or o in lower case, and
    # as neighbours of a match they send their text to `answer`.
    data = np.frombuffer(f"\0{joined}\0".encode().lower(), dtype=np.uint8)
    ends = np.flatnonzero(data[1:] == 0)
    unsure: list[npt.NDArray[np.intp]] = []
    for word, code in ((b"yes", YES), (b"no", NO)):
        at = _find(data, word)
        sides = np.maximum(_KIND[data[at - 1]], _KIND[data[at + len(word)]])
        # A word character on one side settles it, whatever stands on the other.
        inside = (_KIND[data[at - 1]] == 1) | (_KIND[data[at + len(word)]] == 1)
        result[np.searchsorted(ends, at[sides == 0])] |= code
        unsure.append(np.searchsorted(ends, at[(sides == 2) & ~inside]))
    for index in set(np.concatenate(unsure).tolist()):
        result[index] = answer(texts[index])
    return result


def _find(data: npt.NDArray[np.uint8], word: bytes) -> npt.NDArray[np.intp]:
    """Every position of `word` in `data`, ascending."""
    last = len(data) - len(word) + 1
    here = data[:last] == word[0]
    for offset, byte in enumerate(word[1:], start=1):
        here &= data[offset : last + offset] == byte
    return np.flatnonzero(here)
