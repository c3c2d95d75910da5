"""Where a value lies in an item: `choices[0].message.content`, and columns of such values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, overload

from tao_skill_bank.core.errors import InputError


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()
Steps = tuple[str | int, ...]
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]|(\.)")


def steps_of(path: str, where: str) -> Steps:
    """`choices[0].text` as ("choices", 0, "text").

    Raises:
        InputError: No such path can be.
    """
    steps: list[str | int] = []
    at = 0
    for found in _STEP.finditer(path):
        if found.start() != at:
            break
        at = found.end()
        if found[1]:
            steps.append(found[1])
        elif found[2]:
            steps.append(int(found[2]))
    if not steps or at != len(path) or path.startswith(".") or path.endswith(".") or ".." in path:
        raise InputError(f"no path in an item: {path!r}", where=where, fix="write it as a.b[0].c")
    return tuple(steps)


def shown(steps: Steps) -> str:
    """Steps as they are written."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def value_at(item: Any, steps: Steps) -> Any:
    """The value that steps lead to, `MISSING` where they lead nowhere. A key that holds dots itself is taken too."""
    if isinstance(item, Mapping) and len(steps) > 1:
        whole = item.get(shown(steps), MISSING)
        if whole is not MISSING:
            return whole
    for step in steps:
        if isinstance(step, int):
            if not isinstance(item, Sequence) or isinstance(item, str) or step >= len(item):
                return MISSING
            item = item[step]
        elif isinstance(item, Mapping):
            item = item.get(step, MISSING)
            if item is MISSING:
                return MISSING
        else:
            return MISSING
    return item


class Table(Sequence[Mapping[str, Any]]):
    """Rows of a table, kept column by column."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._size))]
        if not -self._size <= at < self._size:
            raise IndexError(at)
        return {name: values[at] for name, values in self.columns.items()}


def column(items: Sequence[Mapping[str, Any]], paths: Sequence[Steps]) -> list[Any]:
    """Of each item the value at the first of `paths` that leads somewhere, else `MISSING`."""
    if not paths:
        return [MISSING] * len(items)
    first = paths[0]
    values: list[Any]
    if len(first) == 1 and isinstance(first[0], str):
        key = first[0]
        if isinstance(items, Table):
            values = list(items.columns.get(key, [MISSING] * len(items)))
        else:
            values = [item.get(key, MISSING) for item in items]
    elif len(first) == 2 and all(isinstance(step, str) for step in first):
        outer, inner = str(first[0]), str(first[1])
        values = [
            found.get(inner, MISSING) if type(found := item.get(outer)) is dict else value_at(item, first)
            for item in items
        ]
    else:
        values = [value_at(item, first) for item in items]
    if len(paths) > 1 and values and values.count(MISSING) == len(values):
        return column(items, paths[1:])
    if len(paths) > 1 and MISSING in values:
        for i, value in enumerate(values):
            if value is MISSING:
                found = (value_at(items[i], path) for path in paths[1:])
                values[i] = next((v for v in found if v is not MISSING), MISSING)
    return values
