"""What other packages bring: their entry points, read again only where something was installed or removed since."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tao_skill_bank.core.errors import InputError

_Seen = tuple[str, tuple[int, int, int] | None]


def points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, as the packages on `sys.path` name them now."""
    return _read(group, tuple(_seen(entry) for entry in sys.path))


def loaded(point: EntryPoint, what: str, fits: Callable[[Any], bool]) -> Any:
    """What an entry point leads to.

    Raises:
        InputError: It cannot be loaded, or is not what fits.
    """
    try:
        found = point.load()
    except Exception as error:
        # Another package's code: whatever it raises, it is that package's part that cannot be had.
        raise InputError(f"{what} cannot be loaded: {error}", where=point.value, fix="fix the package") from None
    if not fits(found):
        raise InputError(f"{what} is not what its entry point names", where=point.value, fix="fix the package")
    return found


def _seen(entry: str) -> _Seen:
    """A folder that packages lie in, and what changes when one comes or goes."""
    try:
        found = os.stat(entry or os.curdir)
    except OSError:
        return entry, None
    return entry, (found.st_dev, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _read(group: str, _: tuple[_Seen, ...]) -> tuple[EntryPoint, ...]:
    # Every installed package's files are read for it: 25 ms where 120 are installed.
    return tuple(entry_points(group=group))
