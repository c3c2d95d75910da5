"""Figures of a narrative against those of the page: what a text claims must stand on the page it is put on."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser

_DIGITS = r"(?:(?<!\w)\.)?\d+(?:[.,'\u2019\u202f\u00a0\u2009 ]\d+)*(?:[eE][-+\u2212]?\d+)?"
_PER_CENT = r"%|\uff05|\u066a|percentage points?\b|percent\b|per cent\b|pct\b|p\.c\."
_OTHERS = r"\u2030|pp\b|per mille?\b|ppm\b|ppb\b|parts per (?:thousand|million|billion)\b|basis points?\b|bps?\b"
_UNIT = rf"\s*(?P<unit>{_PER_CENT}|{_OTHERS})?"
_FIGURE = re.compile(rf"(?P<word>[^\W\d]*(?:_[^\W\d]*)*)(?P<number>{_DIGITS}){_UNIT}", re.IGNORECASE)
_RANGE = re.compile(rf"(?P<low>{_DIGITS})\s*[-\u2013\u2014\u2212]\s*\u2060?(?={_DIGITS}\s*%)")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,'\u2019\u202f\u00a0\u2009 ]\d{3})+(?:\.\d+)?")
_AS_PER_CENT = ("\uff05", "\u066a", "percent", "per cent", "pct", "p.c.")
_BELOW_20 = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NAMED = {
    **{name: Decimal(number) for number, name in enumerate(re.findall(r"\w+", _BELOW_20))},
    **{name: Decimal(10 * ten) for ten, name in enumerate(re.findall(r"\w+", _TENS), 2)},
    **dict.fromkeys(("half a", "a half", "half"), Decimal("0.5")),
    **dict.fromkeys(("hundred", "a hundred", "one hundred"), Decimal(100)),
}
_WORDS = "|".join(sorted(_NAMED, key=len, reverse=True))
_SPELLED = re.compile(rf"\b(?:(?P<tens>\w+ty)[- ])?(?P<word>{_WORDS})\s+(?=(?:{_PER_CENT}|{_OTHERS}))", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """One number of a text: what it may mean (a comma may part thousands or decimals), its unit, how it was written."""

    values: frozenset[Decimal]
    unit: str
    written: str


def figures(text: str) -> list[Figure]:
    """Every number of a text, in order. One inside a name (`iter2`, `C17`) is no figure unless a unit follows it."""
    flat = _SPELLED.sub(_named, _plain(text))
    found = []
    for match in _FIGURE.finditer(_RANGE.sub(lambda m: f"{m['low']} % \u2013 ", flat)):
        unit = _unit(match["unit"])
        if match["word"] and not unit:
            continue
        # A space parts thousands only in groups of three; else it parts two numbers.
        pieces = [match["number"]] if _THOUSANDS.fullmatch(match["number"]) else re.split(r"\s", match["number"])
        for place, piece in enumerate(pieces):
            last = place == len(pieces) - 1
            values = _values(piece)
            if values:
                shown = f"{piece} {unit}".strip() if last else piece
                found.append(Figure(values, unit if last else "", shown))
    return found


def unsupported(text: str, page: str) -> list[str]:
    """The figures of `text` that the HTML `page` does not show with their unit, as they are written, each once."""
    shown = _Shown()
    shown.feed(page)
    known: dict[str, set[Decimal]] = {}
    for figure in figures(shown.text):
        known.setdefault(figure.unit, set()).update(figure.values)
    # What the page holds beside a shown figure, with all its digits, is on the page too.
    for unit, written in shown.exact:
        known.setdefault(unit, set()).update(_values(written))
    wrong = [f for f in figures(text) if not f.values & known.get(f.unit, set())]
    return list(dict.fromkeys(f.written for f in wrong))


def _plain(text: str) -> str:
    """Fractions and powers of one character as the numbers that they are: `\u00bd` as 0.5, `10\u207b\u00b3` as 1e-3."""
    text = re.sub(r"10([\u207b\u207a]?)([\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)", _power, text.replace("\u2060", ""))
    return re.sub(
        r"(\d*)([\u00bc-\u00be\u2150-\u215e])", lambda m: f"{int(m[1] or 0) + unicodedata.numeric(m[2]):g}", text
    )


def _power(found: re.Match[str]) -> str:
    sign = "-" if found[1] == "\u207b" else ""
    return f"1e{sign}{unicodedata.normalize('NFKC', found[2])}"


def _named(found: re.Match[str]) -> str:
    """`ninety-nine percent` as `99 percent`."""
    tens, word = (found["tens"] or "").lower(), found["word"].lower()
    if tens and tens not in _NAMED:
        return found[0]
    return f"{_NAMED.get(tens, Decimal(0)) + _NAMED[word]} "


def _unit(written: str | None) -> str:
    if written is None:
        return ""
    lower = written.lower()
    if lower.startswith("percentage point"):
        return "pp"
    return "%" if lower in _AS_PER_CENT else "\u2030" if lower.startswith("per mil") else lower


def _values(written: str) -> frozenset[Decimal]:
    """What a number may be: `1,250` is a thousand and more, or one and a quarter."""
    plain = re.sub(r"['\u2019\u202f\u00a0\u2009 ]", "", written).replace("\u2212", "-")
    forms = [plain] if "," not in plain else []
    if plain.count(",") == 1 and "." not in plain:
        forms.append(plain.replace(",", "."))
    # `1,250` is a thousand and more; `0.5` is never 5.
    for sign, point in ((",", "."), (".", ",")):
        if re.fullmatch(rf"[1-9]\d{{0,2}}(?:\{sign}\d{{3}})+(?:\{point}\d+)?", plain):
            forms.append(plain.replace(sign, "").replace(point, "."))
    found = set()
    for form in forms:
        try:
            found.add(Decimal(form).normalize())
        except InvalidOperation:
            continue
    return frozenset(found)


class _Shown(HTMLParser):
    """The text of a page that is read, and the exact values it holds beside its figures."""

    _SILENT = frozenset({"script", "style", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._depth = 0
        self.exact: list[tuple[str, str]] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SILENT:
            self._depth += 1
        if tag not in ("bdi", "span", "b", "strong", "wbr"):
            self._parts.append("\n")
        given = {name: value or "" for name, value in attrs}
        field = given.get("data-field", "")
        unit = "%" if field.endswith("_pct") else "pp" if field.endswith("_pp") else ""
        self.exact += [(unit, given["data-value"])] if "data-value" in given else []
        self.exact += [("%", given[end]) for end in ("data-low", "data-high") if end in given]

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SILENT:
            self._depth -= 1
        if tag not in ("bdi", "span", "b", "strong", "wbr"):
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self._parts.append(data)
