"""What was found out about picture files before, kept in the user's cache folder: a second look costs a stat a file.

A file is known by device, inode, size and both times of its last change, to the nanosecond; whoever changes it changes
one of them. A file changed so lately that a further change might carry the same time is not remembered. The memory is
a help and nothing more: where its folder cannot be read or written, is lost or damaged, pictures are opened again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tao_skill_bank.data.pictures.facts import VERSION, Facts

Key = tuple[int, int, int, int, int]
"""Device, inode, size, `mtime_ns`, `ctime_ns`."""

FILE = "pictures-3.sqlite"
VARIABLE = "TAO_CACHE_DIR"
MOST_BYTES = 1 << 30
_BATCH = 400
_WAIT_SEC = 5.0
# What a clock tick of the file system may hide: a coarse one has whole seconds.
_FINE_NS, _COARSE_NS, _SECOND_NS = 50_000_000, 2_000_000_000, 1_000_000_000
_COLUMNS = Facts._fields
_SCHEMA = f"""
create table if not exists facts (
  dev integer, ino integer, size integer, mtime integer, ctime integer, teller text, told integer,
  {", ".join(_COLUMNS)},
  primary key (dev, ino)
)
"""


def cache_folder() -> Path:
    """The user's cache folder of this project: `TAO_CACHE_DIR`, or in XDG_CACHE_HOME, else in `~/.cache`."""
    own = os.environ.get(VARIABLE)
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "tao-skills"


def key_of(found: os.stat_result) -> Key:
    """What a file is known by."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Memory:
    """Facts by file. Every method does without the disk where the disk does not answer.

    Args:
        folder: Where the file lies; None keeps facts for the life of this object alone.
        apart: A folder that nothing is written into, such as the workspace; a cache folder inside it is not used.
        now: The clock, in nanoseconds.
    """

    def __init__(self, folder: Path | None, apart: Path | None = None, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._here: dict[Key, Facts] = {}
        usable = folder is not None and (apart is None or not folder.resolve().is_relative_to(apart.resolve()))
        self._path = folder / FILE if usable and folder is not None else None
        self.problem: str | None = None

    def recall(self, keys: Iterable[Key]) -> dict[Key, Facts]:
        """The facts of those files that are known."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._here[key] for key in wanted if key in self._here}
        missing = [key for key in wanted if key not in found]
        if self._path is None or not missing or not self._path.exists():
            return found
        with self._guarded(), self._open(write=False) as base:
            if not base.execute("select 1 from sqlite_master where name = 'facts'").fetchone():
                return found  # whoever made the file was killed before its table
            for start in range(0, len(missing), _BATCH):
                found |= _read(base, missing[start : start + _BATCH])
        self._here |= found
        return found

    def keep(self, facts: Mapping[Key, Facts]) -> None:
        """Remember what was found out, but of files that changed a moment ago."""
        now = self._now()
        settled = {key: value for key, value in facts.items() if has_settled(key, now)}
        self._here |= settled
        if self._path is None or not settled:
            return
        rows = [(*map(_signed, key), teller(), now // _SECOND_NS, *value) for key, value in settled.items()]
        with self._guarded(), self._open(write=True) as base:
            base.execute("begin immediate")
            base.executemany(f"insert or replace into facts values ({','.join('?' * len(rows[0]))})", rows)
            _shrink(base)
            base.execute("commit")

    @contextlib.contextmanager
    def _open(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        assert self._path is not None
        if write:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _refuse_foreign(self._path)
        base = sqlite3.connect(self._path, timeout=_WAIT_SEC, isolation_level=None)
        try:
            if write:
                base.execute(_SCHEMA)
            yield base
        finally:
            base.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Do without the disk from the first fault on; a damaged file is taken away, so that the next call has one."""
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, read-only, full, no such table
            self._give_up(str(error))
        except sqlite3.DatabaseError as error:  # not a database, malformed
            if self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            self._give_up(str(error))
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, reason: str) -> None:
        self.problem, self._path = reason, None


def teller() -> str:
    """Who tells facts: they are found out again under another version of this module or of Pillow."""
    import PIL

    return f"{VERSION} {PIL.__version__}"


def _read(base: sqlite3.Connection, keys: list[Key]) -> dict[Key, Facts]:
    wanted = {tuple(map(_signed, key)): key for key in keys}
    of_device: dict[int, list[int]] = {}
    for key in wanted:
        of_device.setdefault(key[0], []).append(key[1])
    found: dict[Key, Facts] = {}
    for device, numbers in of_device.items():
        rows = base.execute(
            f"select dev, ino, size, mtime, ctime, {', '.join(_COLUMNS)} from facts "
            f"where teller = ? and dev = ? and ino in ({','.join('?' * len(numbers))})",
            [teller(), device, *numbers],
        )
        for row in rows:
            known = wanted.get(row[:5])
            if known is not None:
                found[known] = Facts._make(row[5:])
    return found


def _shrink(base: sqlite3.Connection) -> None:
    """Forget the older half of a memory that has grown too large."""
    pages, free, size = (base.execute(f"pragma {name}").fetchone()[0] for name in _SIZES)
    if (pages - free) * size > MOST_BYTES:
        base.execute("delete from facts where told <= (select avg(told) from facts)")


_SIZES = ("page_count", "freelist_count", "page_size")


def _refuse_foreign(path: Path) -> None:
    """What another user may write is not believed."""
    found = os.stat(path)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "another user may write to it")


def has_settled(key: Key, now: int) -> bool:
    """Whether a further change of a file would carry another time than its last one."""
    latest = max(key[3], key[4])
    coarse = key[3] % _SECOND_NS == 0 or key[4] % _SECOND_NS == 0
    return now - latest > (_COARSE_NS if coarse else _FINE_NS)


def _signed(value: int) -> int:
    """A number of 64 bits as SQLite has them."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
