"""Looking at bytes of JSON: where values end, where items border, which keys an object has. Nothing is read here."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm import source as bytes_of

DEEPEST_ITEM = 1000

# The last alternative is also a quote whose string does not end in the data.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}\[{\"]+")
_GAP = re.compile(rb"[ \t\n\r]*")
BORDER = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")
ENTRY_BORDER = re.compile(rb'\}[ \t\n\r]*,[ \t\n\r]*(?="(?:[^"\\]++|\\.)*+"[ \t\n\r]*:[ \t\n\r]*\{)', re.DOTALL)
# A line break cannot stand in a string of JSON, so this is a border wherever it stands.
ROW_BORDER = re.compile(rb"\}[ \t\r]*\n[ \t\r\n]*(?=\{)")
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def loose(text: bytes) -> Any:
    """A value of JSON, NaN allowed; None where it is none."""
    try:
        return msgspec.json.decode(text)
    except DECODE_ERRORS:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None


def value_end(data: bytes, at: int, where: str) -> int | None:
    """Where the JSON value that begins at `at` ends; None where `data` does not hold all of it.

    Raises:
        InputError: It is nested too deeply.
    """
    kind = data[at : at + 1]
    if kind in (b"{", b"["):
        depth = 0
        for token in TOKEN.finditer(data, at):
            text = token.group()
            if text == b'"':
                return None
            if text in (b"{", b"["):
                depth += 1
                if depth > DEEPEST_ITEM:
                    raise InputError("is nested too deeply", where=where, fix="keep items flat")
            elif text in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return token.end()
        return None
    found = (STRING if kind == b'"' else _SCALAR).match(data, at)
    if found:
        return found.end()
    return None if kind in (b"", b'"') else at + 1


def skip_space(data: bytes, at: int) -> int:
    """Where what is no space begins, from `at` on."""
    found = _GAP.match(data, at)
    return found.end() if found else at


def border_of(data: bytes) -> re.Pattern[bytes]:
    """Where an item ends and the next begins, if all begin with the key that the first begins with.

    Such a border cannot stand inside a string of well-formed JSON, so only nested objects with the same first key can
    be mistaken for items.
    """
    first = re.match(rb"[ \t\n\r]*\{[ \t\n\r]*(\"[^\"\\]*\")", data)
    if not first:
        return BORDER
    return re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{[ \t\n\r]*" + re.escape(first[1]) + rb"[ \t\n\r]*:)")


def last_border(data: bytes, border: re.Pattern[bytes]) -> tuple[int, int] | None:
    """The end of the last whole item of `data` and the start of the one behind it."""
    window = 1 << 16
    while True:
        start = max(0, len(data) - window)
        found = deque(border.finditer(data, start), maxlen=1)
        if found:
            return found[0].start() + 1, found[0].end()
        if start == 0:
            return None
        window *= 8


def keys_of(data: bytes, at: int, path: Path) -> Iterator[tuple[str, int]]:
    """The keys of an object from `at` on, each with where its value begins, as far as `data` holds them whole."""
    while True:
        at = skip_space(data, at)
        if data[at : at + 1] == b",":
            at = skip_space(data, at + 1)
        found = STRING.match(data, at)
        if not found:
            return
        at = skip_space(data, found.end())
        if data[at : at + 1] != b":":
            return
        at = skip_space(data, at + 1)
        if at >= len(data):
            return
        yield str(loose(found.group())), at
        end = value_end(data, at, str(path))
        if end is None:
            return
        at = end


def refuse_blanks(path: Path, blank: int) -> None:
    """A few compressed bytes can stand for hours of blanks."""
    if blank > bytes_of.LARGEST_ITEM:
        raise InputError(
            f"holds more than {bytes_of.LARGEST_ITEM >> 20} MiB of blanks", where=path, fix="export it again"
        )


def no_array(path: Path, found: str) -> InputError:
    """Why a file holds no items."""
    return InputError(
        f"must be a JSON array of objects or JSON Lines: {found}", where=path, fix="wrap the predictions in [...]"
    )


def item_name(path: Path, number: int, line: int | None = None) -> str:
    """How messages name an item."""
    return f"{path} item {number}" + ("" if line is None else f" (line {line})")
