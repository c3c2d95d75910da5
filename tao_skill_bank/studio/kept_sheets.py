"""Large CSVs as they were read before, in the user's cache folder: what a page shows every morning is parsed once.

A file is known as pictures are (`data.pictures.memory`): device, inode, size, both times of its last change. This is a
help and nothing more: where the folder cannot be read or written, or holds something else, the CSV is read.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard, roots
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.data.pictures.memory import Key, cache_folder, has_settled

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_ROWS = 100_000
"""Fewer are read as quickly as they are found here."""
MOST_FILES = 8
_LEAST_ROW = 12
"""Bytes: a score, a label, a name and the commas between."""
FOLDER, _VERSION = "sheets", "1"
_ORDER, _SCORES = "\0order", "\0scores"
"""No column of a CSV has a NUL in its name."""


class Read(NamedTuple):
    """A CSV that was read: its rows as text, their order, and the scores in that order."""

    table: pa.Table
    order: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None


class KeptSheets:
    """Keeps what was read of large files.

    Args:
        folder: The user's cache folder; None keeps nothing.
        least: Files of fewer rows are not kept.
    """

    def __init__(self, folder: Path | None, least: int = LEAST_ROWS) -> None:
        self._folder = None if folder is None else folder / FOLDER
        self._least = least
        self.writing: threading.Thread | None = None

    def is_worth(self, size: int) -> bool:
        """Whether a file of so many bytes may have rows enough to be kept."""
        return self._folder is not None and size >= _LEAST_ROW * self._least

    def recall(self, key: Key, *, scored: bool) -> Read | None:
        """What was read of a file that is as it was; None where nothing is kept."""
        import pyarrow as pa

        if self._folder is None:
            return None
        path = self._folder / _name(key, scored)
        try:
            with roots.own_files(), guard.open_read(path) as handle:
                about = os.fstat(handle.fileno())
                if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    return None  # what another user may write is not believed
                table = pa.ipc.open_file(pa.memory_map(guard.reopening(handle, path))).read_all()
            order = table.column(_ORDER).to_numpy()
            scores = table.column(_SCORES).to_numpy() if scored else None
            with contextlib.suppress(OSError):
                os.utime(path)
            return Read(table.drop_columns([_ORDER, *([_SCORES] if scored else [])]), order, scores)
        except (BankError, OSError, KeyError, ValueError, pa.ArrowException):
            return None

    def keep(self, key: Key, read: Read) -> None:
        """Keep it, in the background; a file that changed a moment ago is not kept."""
        if self._folder is None or read.table.num_rows < self._least or not has_settled(key, time.time_ns()):
            return
        work = contextvars.copy_context()
        self.writing = threading.Thread(target=work.run, args=(self._keep, key, read), name="sheets")
        self.writing.start()

    def _keep(self, key: Key, read: Read) -> None:
        import pyarrow as pa

        assert self._folder is not None
        if sys.platform == "linux":
            # Of this thread alone: somebody waits for the page, and nobody for this.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        table = read.table.append_column(_ORDER, pa.array(read.order))
        if read.scores is not None:
            table = table.append_column(_SCORES, pa.array(read.scores))
        with contextlib.suppress(BankError, OSError), roots.own_files():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / _name(key, read.scores is not None)
            with fsio.atomic_file(path, 0o600) as handle, pa.ipc.new_file(handle, table.schema) as sink:
                sink.write_table(table)
            oldest = sorted(self._folder.glob("*.arrow"), key=lambda path: path.stat().st_mtime)
            for path in oldest[:-MOST_FILES]:
                path.unlink()


def kept_for(workspace: Path) -> KeptSheets:
    """What is kept on this machine, for a workspace: nothing is ever written into it for a page alone."""
    cache = cache_folder()
    return KeptSheets(None if cache.resolve().is_relative_to(workspace.resolve()) else cache)


def _name(key: Key, scored: bool) -> str:
    about: Any = (_VERSION, key, scored)
    return hashlib.sha256(repr(about).encode()).hexdigest()[:40] + ".arrow"
