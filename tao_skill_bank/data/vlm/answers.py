r"""Where in a response its answer stands: anywhere, behind the thinking, in a tag, in a box, as the last word."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.vlm.labels import Labels

MODES = ("anywhere", "after_think", "answer_tag", "boxed", "last")
_OPENING = ("<think>", "<thinking>", "[think]", "◁think▷")
_CLOSING = ("</think>", "</thinking>", "[/think]", "◁/think▷")
_FIRSTS = {tag[0] for tag in (*_OPENING, *_CLOSING)}
_OPEN, _CLOSE = (re.compile("|".join(map(re.escape, tags)), re.IGNORECASE) for tags in (_OPENING, _CLOSING))
_ANSWER = re.compile(r"<answer>", re.IGNORECASE)
_ANSWER_END = re.compile(r"</answer>", re.IGNORECASE)
_BOX = re.compile(r"\\boxed\s*\{")
_PEEL = re.compile(r"\\[a-zA-Z]+\s*\{([^{}]*)\}")


def modes_of(value: object) -> tuple[str, ...]:
    """The modes that a person named, one or a list.

    Raises:
        InputError: An unknown one, none at all.
    """
    named = value if isinstance(value, (list, tuple)) else str(value).split(",")
    modes = tuple(str(v).strip().lower() for v in named if str(v).strip())
    for mode in modes:
        if mode not in MODES:
            raise InputError(f"unknown mode {mode!r}", where="answer_in", fix=did_you_mean(mode, MODES))
    if not modes:
        raise InputError("names no mode", where="answer_in", fix="one of " + ", ".join(MODES))
    return modes


def look(text: str) -> tuple[bool, str | None]:
    """Whether a think tag stands in a text, and what stands behind its thinking.

    The latter is the text behind the last closing tag, the whole text where there is none, and None where thinking
    opens behind the last close: the response was cut off before its answer.
    """
    lowered = text.lower()
    if "think" not in lowered:
        return False, text
    if len(lowered) != len(text):
        # A letter that becomes two in lower case: places in the one are not places in the other.
        return _behind_thinking(text)
    end = 0
    for tag in _CLOSING:
        at = lowered.rfind(tag)
        if at >= 0 and at + len(tag) > end:
            end = at + len(tag)
    for tag in _OPENING:
        if lowered.find(tag, end) >= 0:
            return True, None
    return end > 0, text[end:]


def _behind_thinking(text: str) -> tuple[bool, str | None]:
    ends = [m.end() for m in _CLOSE.finditer(text)]
    rest = text[ends[-1] :] if ends else text
    cut_off = _OPEN.search(rest) is not None
    return cut_off or bool(ends), None if cut_off else rest


def may_think(texts: Sequence[str]) -> bool:
    """Whether one of some texts may hold a think tag; a quick look."""
    joined = "\0".join(texts)
    if not any(first in joined for first in _FIRSTS):
        return False
    joined = joined.lower()
    return "think" in joined and any(tag in joined for tag in (*_OPENING, *_CLOSING))


def taken_by(modes: Sequence[str], labels: Labels) -> Callable[[str], str | None]:
    """What takes the answer out of a response: by the first mode that finds something, None where none does."""
    ways = [_WAYS[mode] for mode in modes]

    def take(text: str) -> str | None:
        for way in ways:
            found = way(text, labels)
            if found is not None and found.strip():
                return found
        return None

    return take


def _anywhere(text: str, labels: Labels) -> str | None:
    return text


def _after_think(text: str, labels: Labels) -> str | None:
    return look(text)[1]


def _answer_tag(text: str, labels: Labels) -> str | None:
    start = None
    for found in _ANSWER.finditer(text):
        start = found.end()
    if start is None:
        return None
    end = _ANSWER_END.search(text, start)
    return text[start : end.start() if end else len(text)]


def _boxed(text: str, labels: Labels) -> str | None:
    start = None
    for found in _BOX.finditer(text):
        start = found.end()
    if start is None:
        return None
    depth = 1
    for at in range(start, len(text)):
        if text[at] == "{" and text[at - 1] != "\\":
            depth += 1
        elif text[at] == "}" and text[at - 1] != "\\":
            depth -= 1
            if depth == 0:
                return _peeled(text[start:at])
    return None


def _peeled(text: str) -> str:
    r"""A text without `\text{…}` and the like around its parts."""
    while (peeled := _PEEL.sub(r"\1", text)) != text:
        text = peeled
    return text


def _last(text: str, labels: Labels) -> str | None:
    rest = _after_think(text, labels)
    return None if rest is None else labels.last(rest)


_WAYS: dict[str, Callable[[str, Labels], str | None]] = {
    "anywhere": _anywhere,
    "after_think": _after_think,
    "answer_tag": _answer_tag,
    "boxed": _boxed,
    "last": _last,
}
