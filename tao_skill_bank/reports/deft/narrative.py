"""Figures of a narrative against those of the page: what a text claims must stand on the page it is put on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser

_DIGITS = r"\d+(?:[.,'\u2019\u202f\u00a0\u2009 ]\d+)*(?:[eE][-+\u2212]?\d+)?"
_UNIT = r"\s*(?P<unit>%|\u066a|\u2030|percent(?:age points?)?\b|per cent\b|pp\b|percentage points?\b)?"
_FIGURE = re.compile(rf"(?P<word>[^\W\d]*(?:_[^\W\d]*)*)(?P<number>{_DIGITS}){_UNIT}", re.IGNORECASE)
_RANGE = re.compile(rf"(?P<low>{_DIGITS})\s*[-\u2013\u2014\u2212]\s*\u2060?(?={_DIGITS}\s*%)")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,'\u2019\u202f\u00a0\u2009 ]\d{3})+(?:\.\d+)?")
_UNITS = {"%": "%", "\u066a": "%", "\u2030": "\u2030", "pp": "pp", "percent": "%", "per cent": "%"}


@dataclass(frozen=True)
class Figure:
    """One number of a text: what it may mean (a comma may part thousands or decimals), its unit, how it was written."""

    values: frozenset[Decimal]
    unit: str
    written: str


def figures(text: str) -> list[Figure]:
    """Every number of a text, in order. One inside a name (`iter2`, `C17`) is no figure unless a unit follows it."""
    flat = text.replace("\u2060", "")
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


def _unit(written: str | None) -> str:
    if written is None:
        return ""
    lower = written.lower()
    return "pp" if lower.startswith("percentage point") else _UNITS.get(lower, "%")


def _values(written: str) -> frozenset[Decimal]:
    """What a number may be: `1,250` is a thousand and more, or one and a quarter."""
    plain = re.sub(r"['\u2019\u202f\u00a0\u2009 ]", "", written).replace("\u2212", "-")
    forms: Iterable[str] = {plain.replace(",", ""), plain.replace(".", "").replace(",", "."), plain.replace(",", ".")}
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
