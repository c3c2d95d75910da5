"""Figures of a narrative against those of the page: what a text claims must stand on the page it is put on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser

from tao_skill_bank.reports.deft.claims_in_words import claims
from tao_skill_bank.reports.deft.number_words import DIGITS, NUMBER, UNITS, in_digits, unit_of

_FIGURE = re.compile(rf"(?P<word>[^\W\d]*(?:_[^\W\d]*)*)(?P<number>{DIGITS})(?:\s*-?(?P<unit>{UNITS}))?", re.IGNORECASE)
_RANGE = re.compile(rf"(?P<low>{DIGITS})\s*[-\u2013\u2014\u2212]\s*\u2060?(?={DIGITS}\s*%)")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,'\u2019\u202f\u00a0\u2009 ]\d{3})+(?:\.\d+)?")
_SPACE = r"(?:(?!\n)[\s\-])"
_IN = rf"(?:in|per|of|among|for(?={_SPACE}+(?:every|each)\b)){_SPACE}+(?:(?:every|each|all|the){_SPACE}+)*"
_COUNTED = r"iterations?|stages?|steps?|epochs?|runs?|sets?|hours?|minutes?|seconds?|days?|h\b|min\b|s\b"
# `1/200`, `1 in 200`, `8 boards out of the 65`; not `2 types in 3 iterations`, nor `5 % of 65`.
_RATIO = re.compile(
    rf"(?<![\w.,])(?P<part>{NUMBER})(?!{_SPACE}*(?:{UNITS}))"
    rf"(?:(?P<sign>{_SPACE}*[/\u00f7\u2044\u2215]{_SPACE}*|[:\u2236])"
    rf"|{_SPACE}+(?:[^\W\d]+{_SPACE}+){{0,2}}?{_IN})(?P<whole>{NUMBER})(?!\w|{_SPACE}*(?:{UNITS}|{_COUNTED}))",
    re.IGNORECASE,
)
# `every 200th board`, and `per 1000 boards, one`: the part stands elsewhere, so that the whole is told as one in it.
_WHOLE = re.compile(
    rf"\b(?:every|each|per){_SPACE}+(?P<whole>{NUMBER})(?:st|nd|rd|th)?\b(?!{_SPACE}*(?:{UNITS}|{_COUNTED}))",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:iteration|stage|step|epoch|page)\s+\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """One number of a text: what it may mean (a comma may part thousands or decimals), its unit, how it was written.

    The unit of a ratio (`1 in 200`, `1/200`, `a third of`) is `/`, and its value the quotient.
    """

    values: frozenset[Decimal]
    unit: str
    written: str


def unsupported(text: str, page: str) -> list[str]:
    """What `text` states of a measure that the HTML `page` does not show, as it is written, each once.

    Its figures with their units, and what it says in words alone (`claims_in_words`).
    """
    shown = _Shown()
    shown.feed(page)
    known: dict[str, set[Decimal]] = {}
    for figure in [*figures(shown.text), *figures(shown.text, ratios=False)]:
        known.setdefault(figure.unit, set()).update(figure.values)
    # What the page holds beside a shown figure, with all its digits, is on the page too.
    for unit, written in shown.exact:
        known.setdefault(unit, set()).update(_values(written))
    wrong = [f.written for f in figures(text) if not f.values & known.get(f.unit, set())]
    said = " ".join(shown.text.casefold().split())
    for written, needed in claims(text):
        borne_out = any(value in known.get(unit, set()) for unit, value in needed)
        if not borne_out and written.casefold() not in said:
            wrong.append(written)
    return list(dict.fromkeys(wrong))


def figures(text: str, *, ratios: bool = True) -> list[Figure]:
    """Every number of a text, in order. One inside a name (`iter2`, `C17`) is no figure unless a unit follows it.

    Args:
        text: What is written, number words too.
        ratios: `8 of 65` is one figure; otherwise its two numbers are.
    """
    flat = in_digits(text)
    found, at = [], 0
    for match in _RATIO.finditer(flat) if ratios else ():
        values = _quotients(flat, match)
        if values:
            found += _without_ratio(flat[at : match.start()])
            found.append(Figure(values, "/", " ".join(match[0].split())))
            at = match.end()
    return found + (_without_ratio(flat[at:]) if ratios else _numbers(flat))


def _without_ratio(flat: str) -> list[Figure]:
    """The figures of a piece between ratios."""
    found, at = [], 0
    for match in _WHOLE.finditer(flat):
        values = frozenset((1 / whole).normalize() for whole in _values(match["whole"]) if whole > 1)
        if values:
            found += [*_numbers(flat[at : match.start()]), Figure(values, "/", " ".join(match[0].split()))]
            at = match.end()
    return found + _numbers(flat[at:])


def _numbers(flat: str) -> list[Figure]:
    found = []
    for match in _FIGURE.finditer(_RANGE.sub(lambda m: f"{m['low']} % \u2013 ", flat)):
        unit = unit_of(match["unit"])
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


def _quotients(flat: str, ratio: re.Match[str]) -> frozenset[Decimal]:
    """What a ratio may be worth; nothing where it is none: `8 in 2` parts no whole, `iteration 1 of 2` is a place."""
    if _PLACE.search(flat, max(0, ratio.start() - 20), ratio.start()):
        return frozenset()
    found = {
        (part / whole).normalize()
        for part in _values(ratio["part"])
        for whole in _values(ratio["whole"])
        if whole and (ratio["sign"] or part <= whole)
    }
    return frozenset(found)


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
            # Lines of the source are no lines of the page.
            self._parts.append(data.replace("\n", " "))
