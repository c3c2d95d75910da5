"""The items of a JSON file's parts in blocks: of an array, of lines, of objects in a row, of an object by id."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm import source as bytes_of
from tao_skill_bank.data.vlm.json_scan import (
    BORDER,
    DECODE_ERRORS,
    ENTRY_BORDER,
    ROW_BORDER,
    STRING,
    TOKEN,
    border_of,
    item_name,
    keys_of,
    last_border,
    loose,
    refuse_blanks,
    skip_space,
    value_end,
)
from tao_skill_bank.data.vlm.source import SPACE, Source

T = TypeVar("T")
ID_KEY = "@id"
"""Where the key of an object by id stands in it."""


@dataclass(frozen=True)
class Block(Generic[T]):
    """Some items in input order; `first` is the number of the first, counted from 0; `share` of the file is read."""

    first: int
    items: Sequence[T]
    share: float


class Decoder(Protocol[T]):
    """Makes items of bytes."""

    def many(self, body: bytes | memoryview) -> list[T] | None:
        """The items of an array's body; None where anything is wrong with them."""

    def lines(self, body: bytes) -> list[T] | None:
        """The items of some lines; None where anything is wrong with them."""

    def one(self, text: bytes, where: str) -> list[T]:
        """One item, or none where its fault was noted for later.

        Raises:
            InputError: It is none.
        """

    def by_id(self, items: dict[str, Any], first: int, path: Path) -> list[T]:
        """The items of objects by id.

        Raises:
            InputError: One of them is none.
        """


# --- arrays ---------------------------------------------------------------------------------------------------------


def array_blocks(source: Source, data: bytes, decoder: Decoder[T]) -> Generator[Block[T], None, bytes]:
    """The blocks of an array whose opening bracket has been read; returns what was read behind its end."""
    block = bytes_of.BLOCK
    count, misses = 0, 0
    border = border_of(data)
    while more := source.read(block):
        data += more
        # Cutting has failed over and over: this is a text whose borders bytes do not show.
        cut = (last_border(data, border) or last_border(data, BORDER)) if misses < 3 else None
        items = decoder.many(memoryview(data)[: cut[0]]) if cut else None
        if cut and items is not None:
            misses = 0
            yield Block(count, items, source.share)
            count += len(items)
            data = data[cut[1] :]
            continue
        misses += bool(cut)
        if cut or misses >= 3 or len(data) > 4 * block:
            taken, items, data, ended = _carve(source, data, count, decoder)
            yield Block(count, items, source.share)
            count += taken
            if ended:
                return data
    body = data.rstrip(SPACE)
    items = decoder.many(body[:-1]) if body[-1:] == b"]" and (count == 0 or body[:-1].strip(SPACE)) else None
    if items is not None:
        yield Block(count, items, 1.0)
        return b""
    taken, items, data, ended = _carve(source, data, count, decoder)
    if not ended:
        where = item_name(source.path, count + taken)
        raise InputError("the array has no end", where=where, fix="copy the file again")
    yield Block(count, items, source.share)
    return data


def _carve(source: Source, data: bytes, first: int, decoder: Decoder[T]) -> tuple[int, list[T], bytes, bool]:
    """The whole items at the start of `data` one by one.

    At least one item is read where the array goes on, whatever its size.

    Returns:
        How many items there were, those without a fault, the bytes behind them, whether the array's end was met.
    """
    items: list[T] = []
    at = blank = taken = 0
    while True:
        at = skip_space(data, at)
        where = item_name(source.path, first + taken)
        if data[at : at + 1] == b"]":
            if first + taken:
                raise InputError("a comma stands before the closing ]", where=where, fix="remove it")
            return taken, items, data[at + 1 :], True
        end = value_end(data, at, where)
        if end is None or skip_space(data, end) == len(data):
            # Cut off, or cut off right behind a value: the comma or bracket that must follow is not here yet.
            if taken:
                return taken, items, data[at:], False
            blank += len(data) if at == len(data) else 0
            refuse_blanks(source.path, blank)
            more = source.read(max(bytes_of.BLOCK, len(data) - at))
            if more:
                data, at = data[at:] + more, 0
                if len(data) > bytes_of.LARGEST_ITEM + bytes_of.BLOCK:
                    raise InputError(f"larger than {bytes_of.LARGEST_ITEM >> 20} MiB", where=where, fix="fix it")
                continue
            if end is None:
                raise InputError("ends in the middle", where=where, fix="copy the file again")
            where = item_name(source.path, first + taken + 1)
            raise InputError("the array has no end", where=where, fix="copy the file again")
        items += decoder.one(data[at:end], where)
        taken += 1
        at = skip_space(data, end)
        if data[at : at + 1] == b"]":
            return taken, items, data[at + 1 :], True
        if data[at : at + 1] != b",":
            raise InputError("is followed by neither a comma nor ]", where=where, fix="fix the JSON")
        at += 1


def expect_end(source: Source, data: bytes) -> None:
    """Behind the end nothing but space may follow."""
    blank = 0
    while True:
        blank += len(data)
        refuse_blanks(source.path, blank)
        if data.strip(SPACE):
            raise InputError("text behind the array's end", where=source.path, fix="keep one JSON array in the file")
        data = source.read()
        if not data:
            return


# --- objects a line, or one behind the other ------------------------------------------------------------------------


def line_blocks(source: Source, data: bytes, decoder: Decoder[T]) -> Iterator[Block[T]]:
    """The blocks of a file that holds one object a line."""
    count, line = 0, 1
    while True:
        more = source.read(bytes_of.BLOCK)
        data += more
        cut = data.rfind(b"\n") + 1 if more else len(data)
        if more and cut == 0:
            if len(data) > bytes_of.LARGEST_ITEM:
                where = item_name(source.path, count, line)
                raise InputError(f"larger than {bytes_of.LARGEST_ITEM >> 20} MiB", where=where, fix="fix it")
            continue
        body, data = data[:cut], data[cut:]
        items = decoder.lines(body)
        taken = len(items) if items is not None else 0
        if items is None:
            items = []
            for offset, text in enumerate(body.split(b"\n")):
                if text.strip(SPACE):
                    items += decoder.one(text.strip(SPACE), item_name(source.path, count + taken, line + offset))
                    taken += 1
        if items:
            yield Block(count, items, source.share)
        count += taken
        line += body.count(b"\n")
        if not more:
            return


def row_blocks(source: Source, data: bytes, decoder: Decoder[T]) -> Iterator[Block[T]]:
    """Objects one behind the other without commas, as pretty-printing in a loop writes them."""
    count = 0
    while True:
        more = source.read(bytes_of.BLOCK)
        data += more
        cut = last_border(data, ROW_BORDER) if more else (len(data), len(data))
        items = decoder.many(ROW_BORDER.sub(b"},", data[: cut[0]])) if cut else None
        taken = 0 if items is None else len(items)
        if cut and items is not None:
            data = data[cut[1] :]
        elif cut or len(data) > 4 * bytes_of.BLOCK:
            items, at = [], 0
            while (at := skip_space(data, at)) < len(data):
                where = item_name(source.path, count + taken)
                end = value_end(data, at, where)
                if end is None:
                    break
                items += decoder.one(data[at:end], where)
                taken += 1
                at = end
            data = data[at:]
        if items:
            yield Block(count, items, source.share)
        count += taken
        where = item_name(source.path, count)
        if len(data) > bytes_of.LARGEST_ITEM + bytes_of.BLOCK:
            raise InputError(f"larger than {bytes_of.LARGEST_ITEM >> 20} MiB", where=where, fix="fix it")
        if not more:
            if data.strip(SPACE):
                raise InputError("ends in the middle", where=where, fix="copy the file again")
            return


# --- one object -----------------------------------------------------------------------------------------------------


def fill(source: Source, data: bytes, size: int) -> bytes:
    """`data` without the space before it, and at least `size` bytes of it where the file has them."""
    data = data.lstrip(SPACE)
    while len(data) < size and (more := source.read()):
        data = (data + more).lstrip(SPACE)
    return data


def next_key(source: Source, data: bytes) -> tuple[str | None, bytes]:
    """The next key of an object and what stands behind its colon; None at the object's end, and what follows that."""
    data = fill(source, data, 1)
    if data[:1] == b",":
        data = fill(source, data[1:], 1)
    if data[:1] == b"}":
        return None, data[1:]
    found = STRING.match(data)
    while not found and data[:1] == b'"' and len(data) < bytes_of.LARGEST_ITEM and (more := source.read()):
        data += more
        found = STRING.match(data)
    rest = fill(source, data[found.end() :], 1) if found else b""
    if not found or rest[:1] != b":":
        raise InputError("the object ends in the middle", where=source.path, fix="copy the file again")
    return str(loose(found.group())), rest[1:]


def skip_value(source: Source, data: bytes) -> bytes:
    """What stands behind the value that `data` begins with; of any size in bounded memory."""
    data = fill(source, data, 1)
    if data[:1] not in (b"{", b"["):
        while (end := value_end(data, 0, str(source.path))) is None or end == len(data):
            more = source.read()
            if not more:
                return b"" if end is None else data[end:]
            data += more
        return data[end:]
    depth, at = 0, 0
    while True:
        held = len(data)
        for token in TOKEN.finditer(data, at):
            text = token.group()
            if text == b'"':
                held = token.start()
                break
            depth += (text in (b"{", b"[")) - (text in (b"}", b"]"))
            if depth == 0 and text in (b"}", b"]"):
                return data[token.end() :]
        more = source.read()
        if not more:
            raise InputError("ends in the middle", where=source.path, fix="copy the file again")
        if len(data) - held > bytes_of.LARGEST_ITEM:
            raise InputError(
                f"a text is larger than {bytes_of.LARGEST_ITEM >> 20} MiB", where=source.path, fix="fix it"
            )
        data, at = data[held:] + more, 0


def id_blocks(source: Source, data: bytes, decoder: Decoder[T]) -> Iterator[Block[T]]:
    """The values of an object whose opening brace has been read, each with its key."""
    count = 0
    while True:
        more = source.read(bytes_of.BLOCK)
        data += more
        cut = last_border(data, ENTRY_BORDER) if more else None
        found = _entries_of(b"{%b}" % data[: cut[0]]) if cut else None
        if found is None and not more:
            body = data.rstrip(SPACE)
            found = _entries_of(b"{" + body) if body[-1:] == b"}" else None
            cut = (len(data), len(data)) if found is not None else None
        if found is None and (cut or not more or len(data) > 4 * bytes_of.BLOCK):
            found, rest = _carved_entries(source, data, count)
        else:
            rest = data[cut[1] :] if cut else data
        if found:
            items = decoder.by_id(found, count, source.path)
            yield Block(count, items, source.share)
            count += len(found)
        data = rest
        if not more:
            if data.strip(SPACE):
                raise InputError("ends in the middle", where=item_name(source.path, count), fix="copy the file again")
            return


def _entries_of(text: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except DECODE_ERRORS:
        return None
    return found if isinstance(found, dict) else None


def _carved_entries(source: Source, data: bytes, first: int) -> tuple[dict[str, Any], bytes]:
    """The whole entries at the start of `data`, and the rest; behind the object's end, what follows it."""
    found: dict[str, Any] = {}
    at = 0
    for key, start in keys_of(data, 0, source.path):
        where = item_name(source.path, first + len(found))
        end = value_end(data, start, where)
        if end is None:
            break
        value = loose(data[start:end])
        if value is None:
            raise InputError("is not valid JSON", where=where, fix="fix the item")
        found[key], at = value, end
    at = skip_space(data, at)
    if data[at : at + 1] == b"}":
        return found, data[at + 1 :]
    if len(data) - at > bytes_of.LARGEST_ITEM + bytes_of.BLOCK:
        where = item_name(source.path, first + len(found))
        raise InputError(f"larger than {bytes_of.LARGEST_ITEM >> 20} MiB", where=where, fix="fix it")
    return found, data[at + 1 :] if data[at : at + 1] == b"," else data[at:]
