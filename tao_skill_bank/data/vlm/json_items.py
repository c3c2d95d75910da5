"""The objects of a JSON file in blocks, of any size in bounded memory, however they are packed.

An array, JSON Lines, objects one behind the other, an object that holds one list of objects among other things, or one
whose values are objects and whose keys are their ids.

A block of an array is cut where one item ends and the next begins, as far as a look at the bytes can tell, and decoded
by msgspec at once. A cut at the wrong place (inside a string or a nested list) can never decode, because the text
before it is then incomplete; such a block, and one with a faulty item, is taken apart item by item instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.vlm import source as bytes_of
from tao_skill_bank.data.vlm.json_blocks import (
    ID_KEY,
    Block,
    Decoder,
    array_blocks,
    expect_end,
    fill,
    id_blocks,
    line_blocks,
    next_key,
    row_blocks,
    skip_value,
)
from tao_skill_bank.data.vlm.json_scan import keys_of, loose, no_array, refuse_blanks, skip_space, value_end
from tao_skill_bank.data.vlm.source import SPACE, Source

# A file that is one object is looked at as a whole up to here; beyond it by its first entries.
WHOLE_OBJECT = 4 << 20
ENTRIES_SEEN = 32


T = TypeVar("T")


class JsonFile:
    """A JSON file whose packing has been told apart; `first` is its first item as it stands, None where there is none.

    Args:
        source: The bytes.
        root: The key of the list in an object that holds several.

    Raises:
        InputError: Neither of the packings that are known.
    """

    def __init__(self, source: Source, root: str | None = None) -> None:
        self._source = source
        self._root = root
        self._guessed = root is None
        self._data = self._first_bytes()
        self.packing = self._told()
        self.first = self._peek()

    def blocks(self, decoder: Decoder[T]) -> Iterator[Block[T]]:
        """The items in input order.

        Raises:
            InputError: What `decoder` raises; a file that ends early or goes on behind its end.
        """
        if self.packing == "array":
            rest = yield from array_blocks(self._source, self._data[1:], decoder)
            expect_end(self._source, rest)
        elif self.packing == "lines":
            yield from line_blocks(self._source, self._data, decoder)
        elif self.packing == "objects in a row":
            yield from row_blocks(self._source, self._data, decoder)
        else:
            yield from self._entries(decoder)

    def _first_bytes(self) -> bytes:
        head = self._source.read(bytes_of.BLOCK)
        blank = 0
        while not (text := head.lstrip(SPACE)):
            blank += len(head)
            refuse_blanks(self._source.path, blank)
            head = self._source.read(bytes_of.BLOCK)
            if not head:
                raise no_array(self._source.path, "the file is empty")
        return text

    def _told(self) -> str:
        path = self._source.path
        kind = self._data[:1]
        if kind == b"[":
            return "array"
        if kind != b"{":
            raise no_array(path, "found a string" if kind == b'"' else "found something else")
        if _is_json_lines(path, self._data):
            return "lines"
        while len(self._data) < WHOLE_OBJECT and (more := self._source.read(bytes_of.BLOCK)):
            self._data += more
        end = value_end(self._data, 0, f"{path} item 0")
        if end is not None and self._data[skip_space(self._data, end) :][:1] == b"{":
            return "objects in a row"
        return self._told_object(end)

    def _told_object(self, end: int | None) -> str:
        """`wrapped` or `by id`: what the entries of the one object are."""
        path = self._source.path
        seen: list[tuple[str, bytes]] = []
        at = 1
        for key, start in keys_of(self._data, at, path):
            kind = self._data[start : start + 1]
            if kind == b"[" and self._data[skip_space(self._data, start + 1) :][:1] == b"{":
                kind = b"[{"
            seen.append((key, kind))
            if len(seen) >= ENTRIES_SEEN and end is None:
                break
        lists = [key for key, kind in seen if kind == b"[{"]
        if self._root is not None:
            if end is not None and self._root not in dict(seen):
                raise InputError(
                    f"has no key {self._root!r}", where=path, fix=did_you_mean(self._root, [k for k, _ in seen])
                )
            return "wrapped"
        if len(lists) > 1:
            raise _several(path, lists)
        if lists:
            self._root = lists[0]
            return "wrapped"
        if seen and all(kind == b"{" for _, kind in seen) and not self._named_lines():
            return "by id"
        shown = ", ".join(key[:40] for key, _ in seen[:8])
        raise no_array(path, "found a single object" + (f" (its keys: {shown})" if shown else ""))

    def _named_lines(self) -> bool:
        return bytes_of.suffix_of(self._source.path) in (".jsonl", ".ndjson", ".jl")

    def _peek(self) -> Any:
        """The first item, decoded; None where there is none or where it cannot be read."""
        while True:
            at = self._first_at()
            end = None if at is None else value_end(self._data, at, f"{self._source.path} item 0")
            if at is not None and end is not None:
                found = loose(self._data[at:end])
                return {ID_KEY: "", **found} if self.packing == "by id" and isinstance(found, dict) else found
            more = self._source.read(max(bytes_of.BLOCK, len(self._data)))
            self._data += more
            if not more or len(self._data) > bytes_of.LARGEST_ITEM:
                return None

    def _first_at(self) -> int | None:
        """Where the first item begins in the data read so far."""
        if self.packing in ("lines", "objects in a row"):
            return 0
        if self.packing == "array":
            at = skip_space(self._data, 1)
            return at if at < len(self._data) else None
        for key, start in keys_of(self._data, 1, self._source.path):
            if self.packing == "by id":
                return start
            if key == self._root and self._data[start : start + 1] == b"[":
                at = skip_space(self._data, start + 1)
                return at if at < len(self._data) else None
        return None

    def _entries(self, decoder: Decoder[T]) -> Iterator[Block[T]]:
        """The items of an object: those of its one list, or its values."""
        source, path = self._source, self._source.path
        if self.packing == "by id":
            yield from id_blocks(source, self._data[1:], decoder)
            return
        data, found = self._data[1:], False
        while True:
            key, data = next_key(source, data)
            if key is None:
                break
            data = fill(source, data, 1)
            opens = data[:1] == b"["
            inner = fill(source, data[1:], 1) if opens else b""
            data = data[:1] + inner if opens else data
            if opens and key == self._root and not found:
                found = True
                data = yield from array_blocks(source, inner, decoder)
            elif inner[:1] == b"{" and self._guessed:
                raise _several(path, [str(self._root), key])
            else:
                data = skip_value(source, data)
        expect_end(source, data)
        if not found:
            raise InputError(f"has no list under {self._root!r}", where=path, fix="name it: fields.root=KEY")


_LIKELY = ("results", "predictions", "samples", "responses", "outputs", "answers", "items", "records", "data")
"""What the list of answers is mostly called, the likeliest first."""


def _several(path: Path, lists: list[str]) -> InputError:
    shown = ", ".join(key[:40] for key in lists[:8])
    likely = min(lists, key=lambda name: _LIKELY.index(name.lower()) if name.lower() in _LIKELY else len(_LIKELY))
    return InputError(f"holds several lists of objects: {shown}", where=path, fix=f"name one: fields.root={likely}")


def _is_json_lines(path: Path, text: bytes) -> bool:
    """Whether a text that begins with an object holds one object a line.

    One object alone is taken for JSON Lines only where the file's name says so.
    """
    first, _, rest = text.partition(b"\n")
    if bytes_of.suffix_of(path) in (".jsonl", ".ndjson", ".jl"):
        # Whatever its name, a file whose first line is no object does not hold one a line.
        return first.rstrip(SPACE)[-1:] == b"}" or not rest.strip(SPACE)
    return bool(rest.strip(SPACE)) and first.rstrip(SPACE)[-1:] == b"}" and isinstance(loose(first), dict)
