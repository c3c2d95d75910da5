"""Reading predictions in blocks: a JSON array or JSON Lines, plain, gzip or zstd, of any size in bounded memory.

A block of an array is cut where one item ends and the next begins, as far as a look at the bytes can tell, and decoded
with types by msgspec. A cut at the wrong place (inside a string or a nested list) can never decode, because the text
before it is then incomplete; such a block, and one with a faulty item, is taken apart item by item instead.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

BLOCK = 1 << 20
# One item may not be larger: whoever forgets a closing quote gets an answer instead of a full memory.
LARGEST_ITEM = 64 << 20
DEEPEST_ITEM = 1000
FIELDS = ("gt", "response", "video_id")

_SPACE = b" \t\n\r"
# The last alternative is also a quote whose string does not end in the data.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}\[{\"]+")
_GAP = re.compile(rb"[ \t\n\r]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BORDER = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Prediction(msgspec.Struct, gc=False):
    """One item of the input; other fields are passed over."""

    video_id: str
    response: str
    gt: str
    question: str = ""


_ARRAY = msgspec.json.Decoder(list[Prediction])
_ITEM = msgspec.json.Decoder(Prediction)


@dataclass(frozen=True)
class Block:
    """Some items in input order; `first` is the number of the first, counted from 0; `share` of the file is read."""

    first: int
    items: list[Prediction]
    share: float


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Source:
    """The decompressed bytes of a file, and how much of the file has been read."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path = path
        self._raw = raw
        self._size = max(1, raw.seek(0, 2))
        raw.seek(0)
        magic = raw.read(4)
        raw.seek(0)
        self._stream: _Readable = raw
        if magic[:2] == b"\x1f\x8b":
            self._stream = gzip.GzipFile(fileobj=raw, mode="rb")
        elif magic == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            self._stream = pa.CompressedInputStream(raw, "zstd")

    @property
    def share(self) -> float:
        return min(1.0, self._raw.tell() / self._size)

    def read(self, size: int = BLOCK) -> bytes:
        """At most `size` bytes; empty at the end only."""
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, OSError) as error:  # a bad gzip and a bad zstd are an OSError
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(
                f"damaged compressed file: {error}", where=self.path, fix="compress or copy it again"
            ) from None


def read_predictions(path: Path, *, block: int = BLOCK) -> Iterator[Block]:
    """The items of a predictions file, block by block, in input order.

    Args:
        path: A JSON array of objects or JSON Lines; gzip and zstd are recognised by their first bytes.
        block: Bytes to read at a time.

    Raises:
        InputError: No such file; not a JSON array; an item that is no object, lacks a field or holds a value that is
            no string (`item 3: missing 'gt'`, counted from 0); text that is not JSON or not UTF-8.
    """
    if guard.is_folder(path):
        raise InputError("is a folder", where=path, fix="name the predictions file: predictions_json=FILE")
    try:
        raw = guard.open_read(path)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check predictions_json=") from None
    with raw:
        source = _Source(path, raw)
        head = source.read(block).removeprefix(b"\xef\xbb\xbf")
        blank = 0
        while not (text := head.lstrip(_SPACE)):
            blank += len(head)
            _refuse_blanks(path, blank)
            head = source.read(block)
            if not head:
                raise _no_array(path, "the file is empty")
        if text[:1] == b"[":
            yield from _array_blocks(source, text[1:], block)
        elif text[:1] == b"{" and _is_json_lines(path, text):
            yield from _line_blocks(source, text, block)
        else:
            found = {b"{": "a single object", b'"': "a string"}.get(text[:1], "something else")
            raise _no_array(path, f"found {found}")


def _refuse_blanks(path: Path, blank: int) -> None:
    """A few compressed bytes can stand for hours of blanks."""
    if blank > LARGEST_ITEM:
        raise InputError(f"holds more than {LARGEST_ITEM >> 20} MiB of blanks", where=path, fix="export it again")


def _no_array(path: Path, found: str) -> InputError:
    return InputError(
        f"must be a JSON array of objects or JSON Lines: {found}", where=path, fix="wrap the predictions in [...]"
    )


def _is_json_lines(path: Path, text: bytes) -> bool:
    """Whether a text that begins with an object holds one object a line.

    One object alone is taken for JSON Lines only where the file's name says so.
    """
    named = any(suffix.lower() in (".jsonl", ".ndjson", ".jl") for suffix in path.suffixes[-2:])
    first, _, rest = text.partition(b"\n")
    return named or (bool(rest.strip(_SPACE)) and first.rstrip(_SPACE)[-1:] == b"}" and _parses(first))


def _parses(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except _DECODE_ERRORS:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True


# --- arrays ---------------------------------------------------------------------------------------------------------


def _array_blocks(source: _Source, data: bytes, block: int) -> Iterator[Block]:
    """The blocks of an array whose opening bracket has been read."""
    count, misses = 0, 0
    border = _border_of(data)
    while more := source.read(block):
        data += more
        # Cutting has failed over and over: this is a text whose borders bytes do not show.
        cut = (_last_border(data, border) or _last_border(data, _BORDER)) if misses < 3 else None
        items = _decode(data[: cut[0]]) if cut else None
        if cut and items is not None:
            misses = 0
            yield Block(count, items, source.share)
            count += len(items)
            data = data[cut[1] :]
            continue
        misses += bool(cut)
        if cut or misses >= 3 or len(data) > 4 * block:
            items, data, ended = _carve(source, data, count)
            yield Block(count, items, source.share)
            count += len(items)
            if ended:
                _expect_end(source, data)
                return
    body = data.rstrip(_SPACE)
    items = _decode(body[:-1]) if body[-1:] == b"]" and (count == 0 or body[:-1].strip(_SPACE)) else None
    if items is None:
        items, data, ended = _carve(source, data, count)
        if not ended:
            raise InputError("the array has no end", where=_item(source, count + len(items)), fix="copy the file again")
        _expect_end(source, data)
    yield Block(count, items, 1.0)


def _border_of(data: bytes) -> re.Pattern[bytes]:
    """Where an item ends and the next begins, if all begin with the key that the first begins with.

    Such a border cannot stand inside a string of well-formed JSON, so only nested objects with the same first key can
    be mistaken for items.
    """
    first = re.match(rb"[ \t\n\r]*\{[ \t\n\r]*(\"[^\"\\]*\")", data)
    if not first:
        return _BORDER
    return re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{[ \t\n\r]*" + re.escape(first[1]) + rb"[ \t\n\r]*:)")


def _last_border(data: bytes, border: re.Pattern[bytes]) -> tuple[int, int] | None:
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


def _decode(body: bytes) -> list[Prediction] | None:
    """Items between brackets, or None where anything at all is wrong with them."""
    try:
        return _ARRAY.decode(b"[%b]" % body)
    except _DECODE_ERRORS:
        return None


def _carve(source: _Source, data: bytes, first: int) -> tuple[list[Prediction], bytes, bool]:
    """The whole items at the start of `data` one by one, the rest, and whether the array's end was met.

    At least one item is read where the array goes on, whatever its size.
    """
    items: list[Prediction] = []
    at = blank = 0
    while True:
        at = _skip_space(data, at)
        number = first + len(items)
        if data[at : at + 1] == b"]":
            if number:
                raise InputError("a comma stands before the closing ]", where=_item(source, number), fix="remove it")
            return items, data[at + 1 :], True
        end = _value_end(data, at, source, number)
        if end is None or _skip_space(data, end) == len(data):
            # Cut off, or cut off right behind a value: the comma or bracket that must follow is not here yet.
            if items:
                return items, data[at:], False
            blank += len(data) if at == len(data) else 0
            _refuse_blanks(source.path, blank)
            more = source.read(max(BLOCK, len(data) - at))
            if more:
                data, at = data[at:] + more, 0
                if len(data) > LARGEST_ITEM + BLOCK:
                    raise InputError(
                        f"larger than {LARGEST_ITEM >> 20} MiB", where=_item(source, number), fix="mend it"
                    )
                continue
            if end is None:
                raise InputError("ends in the middle", where=_item(source, number), fix="copy the file again")
            raise InputError("the array has no end", where=_item(source, number + 1), fix="copy the file again")
        items.append(_prediction(data[at:end], _item(source, number)))
        at = _skip_space(data, end)
        if data[at : at + 1] == b"]":
            return items, data[at + 1 :], True
        if data[at : at + 1] != b",":
            raise InputError("is followed by neither a comma nor ]", where=_item(source, number), fix="mend the JSON")
        at += 1


def _value_end(data: bytes, at: int, source: _Source, number: int) -> int | None:
    """Where the JSON value that begins at `at` ends; None where `data` does not hold all of it."""
    kind = data[at : at + 1]
    if kind in (b"{", b"["):
        depth = 0
        for token in _TOKEN.finditer(data, at):
            text = token.group()
            if text == b'"':
                return None
            if text in (b"{", b"["):
                depth += 1
                if depth > DEEPEST_ITEM:
                    raise InputError("is nested too deeply", where=_item(source, number), fix="keep items flat")
            elif text in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return token.end()
        return None
    found = (_STRING if kind == b'"' else _SCALAR).match(data, at)
    if found:
        return found.end()
    return None if kind in (b"", b'"') else at + 1


def _expect_end(source: _Source, data: bytes) -> None:
    """Behind the array's end nothing but space may follow."""
    blank = 0
    while True:
        blank += len(data)
        _refuse_blanks(source.path, blank)
        if data.strip(_SPACE):
            raise InputError("text behind the array's end", where=source.path, fix="keep one JSON array in the file")
        data = source.read()
        if not data:
            return


def _skip_space(data: bytes, at: int) -> int:
    found = _GAP.match(data, at)
    return found.end() if found else at


# --- JSON Lines -----------------------------------------------------------------------------------------------------


def _line_blocks(source: _Source, data: bytes, block: int) -> Iterator[Block]:
    count, line = 0, 1
    while True:
        more = source.read(block)
        data += more
        cut = data.rfind(b"\n") + 1 if more else len(data)
        if more and cut == 0:
            if len(data) > LARGEST_ITEM:
                raise InputError(
                    f"larger than {LARGEST_ITEM >> 20} MiB", where=_item(source, count, line), fix="mend it"
                )
            continue
        body, data = data[:cut], data[cut:]
        try:
            items = _ITEM.decode_lines(body)
        except _DECODE_ERRORS:
            items = []
            for offset, text in enumerate(body.split(b"\n")):
                if text.strip(_SPACE):
                    where = _item(source, count + len(items), line + offset)
                    items.append(_prediction(text.strip(_SPACE), where))
        if items:
            yield Block(count, items, source.share)
        count += len(items)
        line += body.count(b"\n")
        if not more:
            return


# --- one item -------------------------------------------------------------------------------------------------------


def _item(source: _Source, number: int, line: int | None = None) -> str:
    return f"{source.path} item {number}" + ("" if line is None else f" (line {line})")


def _prediction(text: bytes, where: str) -> Prediction:
    """One item, decoded leniently (NaN in a field that is not ours) or refused by name."""
    try:
        return _ITEM.decode(text)
    except _DECODE_ERRORS:
        pass
    try:
        value: Any = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=where, fix="export the predictions as UTF-8") from None
    except RecursionError:
        raise InputError("is nested too deeply", where=where, fix="keep items flat") from None
    except ValueError as error:
        raise InputError(f"is not valid JSON: {error}", where=where, fix="mend the item") from None
    if not isinstance(value, dict):
        raise InputError("is not an object", where=where, fix="write {video_id, response, gt}")
    for field in (*FIELDS, "question"):
        if field not in value:
            if field == "question":
                continue
            raise InputError(f"missing {field!r}", where=where, fix="every item needs video_id, response and gt")
        if not isinstance(value[field], str):
            shown = json.dumps(value[field])[:40]
            raise InputError(f"{field!r} is not a string: {shown}", where=where, fix="write it as text")
        if _SURROGATE.search(value[field]):
            raise InputError(f"{field!r} holds half a character (a lone surrogate)", where=where, fix="mend the text")
    return Prediction(value["video_id"], value["response"], value["gt"], value.get("question", ""))
