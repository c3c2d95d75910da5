"""Moments as models write them: `83`, `83.5 s`, `1:23`, `00:01:23.5`, `1m 23s`."""

from __future__ import annotations

import re

# A clock time; hours only where two colons stand.
_CLOCK = re.compile(r"(?<![\d:.])(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:[.,]\d{1,3})?)(?![\d:])")
_WORDS = re.compile(
    r"(?<![\w.])(?:(\d+)\s*h(?:ours?|rs?)?\s*)?(?:(\d+)\s*m(?:in(?:ute)?s?)?\s*)?(\d+(?:\.\d+)?)\s*s(?:ec(?:ond)?s?)?\b",
    re.IGNORECASE,
)
_WORDS_DE = re.compile(
    r"(?<![\w.])(?:(\d+)\s*Stunden?\s*)?(?:(\d+)\s*Min(?:\.|uten?)?\s*(?:und\s*)?)?(\d+(?:[.,]\d+)?)\s*Sek(?:\.|unden?\b)",
    re.IGNORECASE,
)
_WORDS_ZH = re.compile(r"(?:(\d+)\s*小时)?(?:(\d+)\s*分钟?)?\s*(?<![\d.])(\d+(?:\.\d+)?)\s*秒")
_MINUTES = re.compile(r"(?<![A-Za-z0-9_.])(\d+(?:[.,]\d+)?)\s*(?:min(?:ute)?[sn]?\b|分(?:钟|(?!之)))", re.IGNORECASE)
_NO_TIME = re.compile(r"\d{10,}")
"""So many digits are no time, and may be more than a number holds."""
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"(?<![\w.:])(\d+(?:\.\d+)?)(?![\w:]|\.\d)")


def placed(text: str) -> list[tuple[int, int, float]]:
    """Every moment with a unit or a colon as (start, end, seconds), in the order written; places are of `text`."""
    found: list[tuple[int, int, float]] = []
    if not _DIGIT.search(text):
        return found
    text = _NO_TIME.sub(lambda match: "#" * len(match[0]), text)

    def add(match: re.Match[str], seconds: float) -> None:
        if not any(start < match.end() and match.start() < end for start, end, _ in found):
            found.append((*match.span(), seconds))

    for match in _CLOCK.finditer(text):
        hours, minutes, seconds = match.groups()
        add(match, int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", ".")))
    for pattern in (_WORDS, _WORDS_DE) if text.isascii() else (_WORDS, _WORDS_DE, _WORDS_ZH):
        for match in pattern.finditer(text):
            hours, minutes, seconds = match.groups()
            add(match, int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds.replace(",", ".")))
    for match in _MINUTES.finditer(text):
        add(match, float(match[1].replace(",", ".")) * 60)
    return sorted(found)


def moments(text: str) -> list[float]:
    """Every moment in `text` in seconds, in the order written. Bare numbers count where nothing clearer stands."""
    found = [seconds for _, _, seconds in placed(text)]
    return found or [float(match[1]) for match in _NUMBER.finditer(_NO_TIME.sub("#", text))]


def moment(text: str) -> float | None:
    """The first moment in `text`, in seconds; None where there is none."""
    found = moments(text)
    return found[0] if found else None


def span(text: str) -> tuple[float, float] | None:
    """The start and end that `text` names: after those words where they stand, else the first two moments."""
    text = _NO_TIME.sub("#", text)
    start = re.search(r"\bstart(?:[_ ]?time|[_ ]sec)?\b[\"']?\s*[:=]?\s*[\"']?([^,;\n]+)", text, re.IGNORECASE)
    end = re.search(r"\bend(?:[_ ]?time|[_ ]sec)?\b[\"']?\s*[:=]?\s*[\"']?([^,;\n]+)", text, re.IGNORECASE)
    if start and end:
        first, second = moment(start[1]), moment(end[1])
        if first is not None and second is not None:
            return first, second
    # `12.5 - 18 s`: the unit belongs to both numbers.
    pair = re.search(
        r"(?<![\d:.])(\d+(?:\.\d+)?)\s*s?\s*(?:-|–|—|to|until)\s*(\d+(?:\.\d+)?)\s*s?(?:ec(?:ond)?s?)?\b(?!:)",
        text,
        re.IGNORECASE,
    )
    pair = pair or re.search(r"\bbetween\s+(\d+(?:\.\d+)?)\s*s?\s+and\s+(\d+(?:\.\d+)?)(?![\d:])", text, re.IGNORECASE)
    if pair:
        return float(pair[1]), float(pair[2])
    found = moments(text)
    return (found[0], found[1]) if len(found) >= 2 else None


def clock(seconds: float) -> str:
    """Seconds as `MM:SS`, with up to three decimals where needed, and hours where there are any."""
    milliseconds = round(seconds * 1000)
    whole, rest = divmod(milliseconds, 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{minute:02d}:{second:02d}" if not hours else f"{hours:02d}:{minute:02d}:{second:02d}"
    return text + (f".{rest:03d}".rstrip("0") if rest else "")
