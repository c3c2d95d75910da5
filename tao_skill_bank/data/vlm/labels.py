r"""Which of two labels a text holds: `yes` and `no` as TAO finds them, or words of one's own in any script.

TAO's rule for yes and no is that of `yes_no`. Other labels are looked for in NFKC form without case, the leftmost first
and of those the longest; what was found is consumed, so that `not OK` holds no `OK`. Words of letters have borders as
Python's `\b` has. Chinese and Japanese write no borders: there a word must not follow another Han or kana sign, and a
word of one sign must not be followed by one either, so that 对不起 holds no 对.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm import yes_no

NEITHER, YES, NO, BOTH = yes_no.NEITHER, yes_no.YES, yes_no.NO, yes_no.BOTH
PRESETS = {
    "en": "yes,no",
    "de": "ja,nein",
    "fr": "oui,non",
    "es": "sí|si,no",
    "zh": "是|是的|对|对的|有,不是|否|不|不对|没有",
    "ja": "はい|ええ,いいえ|いや",
    "ko": "네|예,아니요|아니오|아뇨",
}
_SIGN = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAS_SIGN = re.compile(f"[{_SIGN}]")
_HOW = "write labels=POSITIVE,NEGATIVE with | between alternatives, or one of " + ", ".join(PRESETS)


class Labels:
    """Two labels and their alternatives.

    Attributes:
        positive: The alternatives of the positive label, as written.
        negative: Those of the negative one.
    """

    def __init__(self, positive: Sequence[str], negative: Sequence[str]) -> None:
        self.positive, self.negative = tuple(positive), tuple(negative)
        self._plain = (self.positive, self.negative) == (("yes",), ("no",))
        sides = {_form(word): YES for word in self.positive} | {_form(word): NO for word in self.negative}
        self._sides = sides
        words = sorted(sides, key=lambda w: (-len(w), w))
        self._pattern = re.compile("|".join(_bordered(word) for word in words))

    @property
    def words(self) -> tuple[str, str]:
        """The first alternative of each."""
        return self.positive[0], self.negative[0]

    @property
    def names(self) -> tuple[str, str, str, str]:
        """What each code means, by `NEITHER`, `YES`, `NO` and `BOTH`."""
        return "neither", self.positive[0], self.negative[0], "both"

    def answers(self, texts: Sequence[str]) -> npt.NDArray[np.uint8]:
        """YES, NO, NEITHER or BOTH of each text, uint8 [n]."""
        if self._plain:
            return yes_no.answers(texts)
        result = np.zeros(len(texts), dtype=np.uint8)
        if not len(texts):
            return result
        # All texts in one search: NUL is a border, and no label holds one.
        joined = _folded("\0".join(t.replace("\0", " ") if "\0" in t else t for t in texts))
        ends = np.flatnonzero(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32) == 0)
        sides = self._sides
        found = [
            (m.start(), sides.get(word := m.group()) or sides[_spaced(word)]) for m in self._pattern.finditer(joined)
        ]
        if found:
            places, codes = (np.array(column) for column in zip(*found, strict=True))
            np.bitwise_or.at(result, np.searchsorted(ends, places), codes.astype(np.uint8))
        return result

    def answer(self, text: str) -> int:
        """The code of one text."""
        return int(self.answers([text])[0])

    def last(self, text: str) -> str | None:
        """The label word that a text ends with, so to say; None where it holds none."""
        if self._plain:
            found = re.findall(r"\b(?:yes|no)\b", text.lower())
        else:
            found = [m.group() for m in self._pattern.finditer(_folded(text))]
        return found[-1] if found else None


def labels_of(value: object) -> Labels:
    """Labels as a person wrote them: `yes,no`, `OK,NG|not OK`, `zh`, or a list of two.

    Raises:
        InputError: Not two labels, an empty one, or one that stands on both sides.
    """
    if isinstance(value, (list, tuple)):
        # YAML reads yes and no as true and false.
        sides = ["yes" if v is True else "no" if v is False else str(v) for v in value]
    else:
        text = str(value).strip()
        sides = PRESETS.get(text.lower(), text).split(",")
    split = [[word.strip() for word in side.split("|") if word.strip()] for side in sides]
    if len(split) != 2 or not all(split):
        raise InputError(f"no two labels: {value!r:.80}", where="labels", fix=_HOW)
    both = {_form(w) for w in split[0]} & {_form(w) for w in split[1]}
    if both:
        raise InputError(f"{sorted(both)[0]!r} stands on both sides", where="labels", fix=_HOW)
    return Labels(*split)


def _folded(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _form(word: str) -> str:
    return _spaced(_folded(word))


def _bordered(word: str) -> str:
    """A label as a pattern, with what must not stand before and behind it."""
    # The first letter comes first, and what must not stand before it is asked for behind it: so the search skips from
    # one first letter to the next instead of asking at every place.
    first = re.escape(word[0])
    rest = r"\s+".join(re.escape(part) for part in word[1:].split(" "))
    if _HAS_SIGN.search(word):
        return f"{first}(?<![{_SIGN}]{first}){rest}" + (f"(?![{_SIGN}])" if len(word) == 1 else "")
    before = rf"(?<!\w{first})" if re.match(r"\w", word[0]) else ""
    behind = r"(?!\w)" if re.match(r"\w", word[-1]) else ""
    return f"{first}{before}{rest}{behind}"


def suggested(truths: Sequence[str]) -> str | None:
    """Labels that fit some truths, as `labels=` takes them; None where they are not of two kinds."""
    kinds: dict[str, str] = {}
    for text in truths:
        kinds.setdefault(_form(text), text.strip())
        if len(kinds) > 2:
            return None
    if len(kinds) != 2 or not all(kinds) or any("," in k or "|" in k or len(k) > 30 for k in kinds):
        return None
    for name, preset in PRESETS.items():
        labels = labels_of(preset)
        if {labels.answer(text) for text in kinds.values()} == {YES, NO}:
            return name if name != "en" else preset
    good = [form for form in kinds if form in _GOOD or form.startswith(("no ", "not ", "non"))]
    ordered = sorted(kinds, key=lambda form: form in good) if len(good) == 1 else list(kinds)
    return ",".join(kinds[form] for form in ordered)


_GOOD = frozenset(("ok", "okay", "pass", "good", "normal", "negative", "false", "0", "absent", "n", "f", "io"))
