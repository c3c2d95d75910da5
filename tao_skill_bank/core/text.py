"""How figures and foreign text are written in reports: one place, so that a number looks the same everywhere."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, TypeGuard

DASH = "–"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


_UNIT = re.compile(r"(?<=\d) (?=%|pp\b|×)|(?<=[×<>=≤≥]) (?=\d)")
_RANGE = re.compile(r"(?<=\d)–(?=\d)")


def unbroken(value: Any) -> str:
    """`clean`, with no line broken between a number and its unit or the sign before it, nor within a range."""
    return _RANGE.sub("–\u2060", _UNIT.sub("\u00a0", clean(value)))


def clean(value: Any) -> str:
    """Foreign text made safe to look at: control, direction-changing and unpaired characters are shown as escapes.

    It is not HTML-escaped here; the template does that.
    """
    return "".join(_visible(c) for c in str(value))


def _visible(char: str) -> str:
    if char in " \n\t":
        return char
    if char in _BIDI or unicodedata.category(char) in ("Cc", "Cs", "Cn"):
        return char.encode("unicode_escape", "surrogatepass").decode("ascii")
    return char


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value can be shown as a figure: a finite int or float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number beyond every float: no figure of anything.
        return False


def percent(value: Any) -> str:
    """A rate given in percent: `43.6 %`, `3.11 %`, `0.052 %`; a dash where there is none."""
    if not is_number(value):
        return DASH
    return f"{rate_digits(float(value))} %"


def rate_digits(value: float) -> str:
    """The digits of a percentage: two decimals, one from 10 on, three significant below 0.1."""
    size = abs(value)
    if not size:
        return "0"
    if size < 0.1:
        return f"{value:.2g}" if size >= 1e-4 else f"{value:.1e}"
    text = f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
    # Rounding must not turn "almost" into "all" or into "none".
    if text == "100.0" and value != 100:
        places = min(max(1, math.ceil(-math.log10(100 - value))), 12)
        return f"{math.floor(value * 10**places) / 10**places:.{places}f}"
    return "100" if text == "100.0" else text


def limit(value: Any) -> str:
    """A percentage that somebody wrote, such as a target: with the digits it was written with."""
    return f"{float(value):g} %" if is_number(value) else DASH


def interval(low: Any, high: Any) -> str:
    """The two ends of an interval in percent: `1.4–5.9 %`."""
    if not is_number(low) or not is_number(high):
        return DASH
    return f"{rate_digits(float(low))}–{rate_digits(float(high))} %"


def points(value: Any) -> str:
    """A difference of percentages, signed: `−3.1 pp`."""
    if not is_number(value):
        return DASH
    if abs(value) < 1e-12:
        return "±0 pp"
    sign = "−" if value < 0 else "+"
    return f"{sign}{rate_digits(abs(float(value)))} pp"


def score(value: Any) -> str:
    """A score or threshold at six digits: behind the point where it is around 1, so that a column lines up."""
    if not is_number(value):
        return DASH
    return f"{float(value):.6f}" if 1e-3 <= abs(value) < 10 else f"{float(value):.6g}"


def signed(value: Any) -> str:
    """A difference of scores at three significant digits, signed: `+0.0412`."""
    if not is_number(value):
        return DASH
    return f"{'−' if value < 0 else '+'}{abs(float(value)):.3g}"


def whole(value: Any) -> str:
    """A count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f") if is_number(value) else DASH


def tokens(value: Any) -> str:
    """A number of tokens: `812`, `12.3k`, `4.1M`."""
    if not is_number(value) or value <= 0:
        return DASH
    if value < 1000:
        return str(int(value))
    return f"{value / 1000:.1f}k" if value < 999_950 else f"{value / 1e6:.1f}M"


def duration(seconds: Any) -> str:
    """`42 s`, `11 min`, `2 h 05 min`."""
    if not is_number(seconds):
        return DASH
    value = int(seconds)
    if value < 60:
        return f"{value} s"
    if value < 600:
        return f"{value // 60} min {value % 60:02d} s"
    if value < 3600:
        return f"{value // 60} min"
    return f"{value // 3600} h {value % 3600 // 60:02d} min"


def capital(text: str) -> str:
    """The text with a capital letter at its beginning, and otherwise as it is."""
    return text[:1].upper() + text[1:]


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`."""
    return f"{whole(count)} {noun if count == 1 else many or noun + 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """`a, b and c`; what is beyond `most` is counted."""
    if not names:
        return "none"
    shown = names[:most]
    rest = len(names) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def ranged(value: Any, low: Any, high: Any) -> str:
    """A rate with its interval behind it: `3.11 % (1.4–5.9 %)`; the rate alone where the interval is not known."""
    shown = percent(value)
    return shown if interval(low, high) == DASH else f"{shown} ({interval(low, high)})"


def lines_of(text: str) -> list[str]:
    """The lines of a file of JSON lines, which end with a line feed alone.

    A text in JSON may hold other signs that `splitlines` takes for a line's end, such as U+2028.
    """
    return text.removesuffix("\n").split("\n") if text else []


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; a line that is none, or is cut off, is missed."""
    for line in lines_of(text):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
