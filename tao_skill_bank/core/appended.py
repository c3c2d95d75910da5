"""Files that several processes append lines to: whole lines or none, and a torn end is moved aside, never lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, BinaryIO

from tao_skill_bank.core import fsio, guard

_TAIL_BLOCK = 8192


def append_bytes(path: Path, data: bytes) -> None:
    """Append whole lines and sync them; on an error the file is as it was. The caller holds the file's lock."""
    with guard.open_write(path, "ab") as handle:
        _write(path, handle, data, handle.seek(0, os.SEEK_END))


def write_at_the_end(path: Path, data: bytes, since: int) -> None:
    """The same, at the place that is the end now: for lines that anybody who is due writes in just these bytes.

    Where locks do not work, one that was stopped before it wrote finds that it stands there already, or writes it over
    itself; no second line. `since`: where the file ended when the lines were found to be missing.
    """
    with guard.open_write(path, "ab"):
        pass
    with guard.open_write(path, "r+b") as handle:
        # The end first: what comes behind it meanwhile is seen, or is written over by the same bytes.
        start = handle.seek(0, os.SEEK_END)
        handle.seek(since)
        if handle.read(len(data)) != data:
            handle.seek(start)
            _write(path, handle, data, start)


def _write(path: Path, handle: BinaryIO, data: bytes, start: int) -> None:
    guard.ask_the_fence()
    written = 0
    try:
        while written < len(data):
            written += handle.write(data[written:]) or 0
        os.fsync(handle.fileno())
    except OSError:
        # A full disk must not leave half a line behind; what others wrote behind it meanwhile stays.
        if handle.seek(0, os.SEEK_END) == start + written:
            handle.truncate(start)
        raise
    if start == 0:
        fsio.fsync_dir(path.parent)


def size_of(path: Path, what: str) -> int:
    """Bytes of a file; `what` is what it is called in an error."""
    with guard.open_read(path, what) as handle:
        return handle.seek(0, os.SEEK_END)


def last_line(path: Path, what: str, before: int | None = None) -> bytes | None:
    """The bytes behind the last line break but one; without a final line break the line is torn and kept as it is.

    Of the first `before` bytes, if given. None where there is no line.
    """
    try:
        handle: IO[bytes] = guard.open_read(path, what)
    except FileNotFoundError:
        return None
    with handle:
        return last_line_in(handle, before)


def last_line_in(handle: IO[bytes], before: int | None = None) -> bytes | None:
    """As `last_line`, in a file that is open: several lines are of one file, whatever takes its place meanwhile."""
    end = handle.seek(0, os.SEEK_END) if before is None else before
    if end == 0:
        return None
    blocks: list[bytes] = []
    position = end
    while position > 0:
        step = min(_TAIL_BLOCK, position)
        position -= step
        handle.seek(position)
        block = handle.read(step)
        # The line's own end is not the one before it; each block is looked at once, however long the line.
        cut = block.rfind(b"\n", 0, len(block) if blocks else len(block) - 1)
        blocks.append(block[cut + 1 :])
        if cut >= 0:
            break
    return b"".join(reversed(blocks))


def move_last_line_aside(path: Path, what: str) -> None:
    """Cut the last line off and keep its bytes in `<name>.corrupt-<n>`: nothing written is lost."""
    line = last_line(path, what)
    if line is None:
        return
    number = 1
    while guard.status(aside := path.with_name(f"{path.name}.corrupt-{number}")) is not None:
        number += 1
    fsio.write_bytes(aside, line)
    with guard.open_write(path, "r+b") as handle:
        handle.truncate(handle.seek(0, os.SEEK_END) - len(line))
        os.fsync(handle.fileno())
