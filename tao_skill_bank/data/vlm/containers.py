"""The items of a file or folder, whatever holds them: JSON in its packings, tables, MME's text, a folder of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm.decode import PlainItems, an_object
from tao_skill_bank.data.vlm.json_blocks import Block, Decoder
from tao_skill_bank.data.vlm.json_items import JsonFile
from tao_skill_bank.data.vlm.source import LARGEST_ITEM, opened, suffix_of
from tao_skill_bank.data.vlm.tables import (
    delimited_rows,
    is_delimited,
    is_mme,
    mme_rows,
    parquet_rows,
    xlsx_rows,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Items:
    """Items that are being read.

    Attributes:
        packing: `array`, `lines`, `csv` …, for people.
        first: The first item as it stands; None where there is none, or where it cannot be read.
        is_table: Cells of a table, which are no typed values.
        plain: Reads them as objects.
        typed: Reads them by a decoder, where the packing allows it.
    """

    packing: str
    first: Any
    is_table: bool
    plain: Callable[[], Iterator[Block[Mapping[str, Any]]]]
    typed: Callable[[Decoder[Any]], Iterator[Block[Any]]] | None


@contextmanager
def items_of(path: Path, key: str, root: str | None = None) -> Iterator[Items]:
    """The items of a file or a folder.

    Args:
        path: The file, or a folder of `*.json` files or of MME's `*.txt`.
        key: The setting that names it, for messages.
        root: The key of the list in a JSON object that holds several.

    Raises:
        InputError: No such file, or none of the packings that are known.
    """
    suffix = suffix_of(path)
    if guard.is_folder(path):
        yield _of_folder(path, key)
    elif suffix in (".parquet", ".pq"):
        yield _of_rows("parquet", parquet_rows(path))
    elif suffix in (".xlsx", ".xlsm"):
        yield _of_rows("xlsx", xlsx_rows(path))
    else:
        with opened(path, key) as source:
            if is_delimited(path):
                yield _of_rows(suffix[1:], delimited_rows(source))
            elif is_mme(path):
                yield replace(_of_rows("text", mme_rows(source)), is_table=False)
            else:
                found = JsonFile(source, root)
                typed = found.blocks if found.packing != "by id" else None
                yield Items(found.packing, found.first, False, lambda: found.blocks(PlainItems()), typed)


def _of_rows(packing: str, blocks: Iterator[Block[Mapping[str, Any]]]) -> Items:
    head = next(blocks, Block(0, [], 1.0))
    first = head.items[0] if head.items else None
    return Items(packing, first, True, lambda: chain([head], blocks), None)


def _of_folder(folder: Path, key: str) -> Items:
    names = _below(folder)
    texts = [n for n in names if is_mme(n) and n.parent == folder]
    jsons = [n for n in names if suffix_of(n) in (".json", ".jsonl")]
    if not jsons and not texts:
        raise InputError("holds neither *.json nor *.txt files", where=folder, fix=f"name a file: {key}=FILE")
    return replace(_of_rows("folder", _numbered(jsons or texts, key)), is_table=False)


def _below(folder: Path) -> list[Path]:
    """The files below a folder by name, links to folders not followed."""
    found: list[Path] = []
    for name in guard.names(folder):
        path = folder / name
        if guard.is_folder(path):
            found += [] if path.is_symlink() else _below(path)
        else:
            found.append(path)
    return found


def _numbered(files: list[Path], key: str) -> Iterator[Block[Mapping[str, Any]]]:
    count = 0
    for done, path in enumerate(files, start=1):
        for items in _of_file(path, key):
            yield Block(count, items, done / len(files))
            count += len(items)


def _of_file(path: Path, key: str) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The items of one file of a folder, where one object alone is an item."""
    if suffix_of(path) == ".json":
        with opened(path, key) as source:
            text = source.read(LARGEST_ITEM)
        if text.lstrip()[:1] == b"{":
            yield [an_object(text, str(path))]
            return
    with items_of(path, key) as items:
        yield from (block.items for block in items.plain())


def all_items(path: Path, key: str) -> Iterator[Mapping[str, Any]]:
    """Every object of a file."""
    with items_of(path, key) as items:
        for block in items.plain():
            yield from block.items
