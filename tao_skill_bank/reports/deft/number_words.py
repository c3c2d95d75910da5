"""Numbers that a text writes in words, fractions or powers, as digits: `one in a thousand` as `1 in 1000`."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

# Numbers of any length are cut: whoever writes more digits than these writes none of the page's.
_PARTED = r"(?:[.,'\u2019\u202f\u00a0\u2009 ]\d{1,40}){0,12}"
_EXPONENT = r"(?:[eE][-+\u2212]?\d{1,3})?"
DIGITS = rf"(?:(?<!\w)\.)?\d{{1,40}}{_PARTED}{_EXPONENT}"
# One number alone: a space in it parts thousands.
_GROUPED = r"\d{1,3}(?:[\u202f\u00a0\u2009 ]\d{3}){1,6}(?!\d)"
NUMBER = rf"(?:{_GROUPED}|\d{{1,40}}(?:[.,'\u2019]\d{{1,40}}){{0,12}}){_EXPONENT}"
_PER_CENT = r"%|\uff05|\u066a|percentage[- ]points?\b|percent\b|per[- ]cent\b|pct\b|p\.c\."
_PER_MILLE = r"\u2030|(?:per|pro)[- ]?mill?e?\b|parts[- ]per[- ]thousand\b"
_TIMES = r"times\b|fold\b|[x\u00d7]\b(?!\s*\d)|\u00d7(?!\s*\d)"
_OTHERS = r"\u2031|pp\b|pp[mbt]\b|parts[- ]per[- ](?:[mb]illion|trillion)\b|basis[- ]points?\b|bps?\b"
UNITS = rf"{_PER_CENT}|{_PER_MILLE}|{_TIMES}|{_OTHERS}"
_ALIKE = {
    "%": ("\uff05", "\u066a", "percent", "per cent", "pct", "p.c."),
    "ppm": ("parts per million",),
    "ppb": ("parts per billion",),
    "\u00d7": ("x", "times", "fold"),
    "bp": ("bps", "basis point", "basis points"),
}

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {name: n for n, name in enumerate([*_ONES, *_TEENS])} | {"dozen": 12}
_VALUES |= {name: 10 * n for n, name in enumerate(_TENS, 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SCALE = rf"(?:{'|'.join(_SCALES)})\b"
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-]+(?:{'|'.join(_ONES[1:])}))?|{'|'.join([*_TEENS, 'dozen', *_ONES])})\b"
_PIECE = rf"(?:(?:an?|{_BELOW_100})[\s-]+)?{_SCALE}(?:[\s-]+{_SCALE}){{0,2}}"
_SPELLED = re.compile(
    rf"(?<!parts.per.)\b(?:{_PIECE}(?:[\s-]+(?:and\s+)?{_PIECE}){{0,4}}(?:[\s-]+(?:and\s+)?{_BELOW_100})?"
    rf"|an?\s+(?=dozen)|{_BELOW_100}(?:\s+dozen\b)?)",
    re.IGNORECASE,
)
_SCALED = re.compile(rf"(?<!\d)(?P<number>\d{{1,40}}(?:\.\d{{1,40}})?)[\s-]*(?P<scale>{_SCALE})", re.IGNORECASE)

_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_PARTS |= {"eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "twentieth": 20, "fiftieth": 50}
_PARTS |= {"hundredth": 100, "thousandth": 1000, "millionth": 10**6, "billionth": 10**9}
_PART_NAMES = "|".join(_PARTS)
# `a third of`, `two thirds`, `a thousandth`, `one-tenth of a percent`; `a third iteration`, `half an hour` are none.
_PART = re.compile(
    r"(?<!first )(?<!second )(?<!last )(?<!other )(?<!latter )"
    rf"\b(?:(?P<many>\d{{1,40}}|an?|{'|'.join(_ONES)})[\s-]+)?(?P<scale>(?:10|100|ten|hundred)[\s-]+(?=th|mi))?"
    rf"(?P<part>{_PART_NAMES})(?:s\b|(?<=dth)\b|(?<=nth)\b"
    rf"|\b(?=\s+(?:of|the|all|an?)\b|\s+(?:{UNITS})|\s*[.,;:!?)]|\s*\Z))"
    rf"(?!\s+(?:an?\s+)?(?:hour|minute|second|day))(?P<unit>(?:\s+of)?(?:\s+(?:an?|one|1))?\s*(?=\s(?:{UNITS})))?",
    re.IGNORECASE,
)
_EACH = re.compile(rf"\b(every|each)\s+({_PART_NAMES})\b", re.IGNORECASE)
# "one" is a number where something is counted by it; in "the one that" it is none.
_OF_ALL = r"(?:of|for)[\s-]+(?:every|each)|in|per|out[\s-]+of"
_ONE = re.compile(
    rf"(?<!\bno )\b(?:one|single|an?)(?=\s+(?:{UNITS}))|(?<!\bno )\b(?:(?:one|single)(?=[\s-]+(?:[^\W\d]+\s+){{0,3}}?"
    rf"(?:of|{_OF_ALL})[\s-]+(?:(?:every|each|all|the)\s+)*\d)|an?(?=\s+[^\W\d]+\s+(?:{_OF_ALL})\s+(?:the\s+)?\d))",
    re.IGNORECASE,
)


def in_digits(text: str) -> str:
    """A text whose numbers are all in digits; "one" and "a" only where they count."""
    text = re.sub(r"10([\u207b\u207a]?)([\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)", _power, text.replace("\u2060", ""))
    text = re.sub(
        r"(?<!\d)(\d{0,40})([\u00bc-\u00be\u2150-\u215e\u2189])",
        lambda m: f"{int(m[1] or 0) + unicodedata.numeric(m[2]):g}",
        text,
    )
    # What is left of signs in another form (superscripts over a fraction's bar, full width) as the plain ones.
    text = unicodedata.normalize("NFKC", text.replace("\u2026", "..."))
    text = re.sub(
        r"\b10\s*(?:\^|\*\*)\s*[({]?([-+\u2212]?\d{1,3})[)}]?", lambda m: f"1e{m[1]}".replace("\u2212", "-"), text
    )
    text = re.sub(r"(?<!\d)(\d{1,40}(?:\.\d{1,40})?)\s*[x*\u00d7\u00b7\u22c5]\s*1(e[-+]?\d+)", r"\1\2", text)
    text = _EACH.sub(lambda m: f"{m[1]} {_PARTS[m[2].lower()]}th", text)
    text = _PART.sub(_part, text)
    text = _SCALED.sub(lambda m: f"{(Decimal(m['number']) * _SCALES[m['scale'].lower()]).normalize():f}", text)
    text = re.sub(rf"({'|'.join([*_VALUES, *_SCALES])}|\d)[\s-]*fold\b", r"\1 fold", text, flags=re.IGNORECASE)
    text = _SPELLED.sub(_counted, text)
    return _ONE.sub("1", text)


def unit_of(written: str | None) -> str:
    """A unit by its sign, however it was written; empty for none."""
    if written is None:
        return ""
    lower = written.lower().replace("-", " ")
    if lower.startswith("percentage point"):
        return "pp"
    if re.fullmatch(_PER_MILLE, lower):
        return "\u2030"
    return next((sign for sign, others in _ALIKE.items() if lower in others), lower)


def _power(found: re.Match[str]) -> str:
    sign = "-" if found[1] == "\u207b" else ""
    return f"1e{sign}{unicodedata.normalize('NFKC', found[2])}"


def _counted(found: re.Match[str]) -> str:
    """`ninety-nine` as `99`, `two thousand and ten` as `2010`; "one" alone stays."""
    words = [w for w in re.findall(r"[a-z]+", found[0].lower()) if w not in ("a", "an", "and")]
    if words in ([], ["one"]):
        return found[0] if words else ""
    total = current = 0
    for word in words:
        if word in _VALUES:
            current = current * 12 if word == "dozen" and current else current + _VALUES[word]
        elif word == "hundred":
            current = max(1, current) * 100
        else:
            total, current = total + max(1, current) * _SCALES[word], 0
    return str(total + current)


def _part(found: re.Match[str]) -> str:
    """`a third of` as `1/3 of`; `a tenth of a percent` as `0.1 percent`."""
    many, scale = (found["many"] or "1").lower(), (found["scale"] or "1").strip(" -\t").lower()
    number = int(many) if many.isdigit() else _VALUES.get(many, 1)
    whole = _PARTS[found["part"].lower()] * (int(scale) if scale.isdigit() else {"ten": 10, "hundred": 100}[scale])
    if found["unit"] is not None:
        return f"{Decimal(number) / Decimal(whole):f}"
    return f"{number}/{whole}"
