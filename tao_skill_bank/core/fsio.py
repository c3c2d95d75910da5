"""Writing that a crash cannot half do: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20


def fsync_dir(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary sibling, as `atomic_path` makes them."""
    return name.startswith(".") and ".tmp" in name


@contextlib.contextmanager
def atomic_path(path: Path, mode: int | None = None) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; it takes the place of `path` when the block ends well.

    For writers that want a file name (parquet, PNG). The suffix of `path` is kept, because some of them
    choose the format by it. On an error the temporary file is removed and `path` is as it was.
    `mode`: the permissions; by default those of a new file of the user's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.stem[:60]}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(fd)
    temp = Path(name)
    try:
        yield temp
        fd = os.open(temp, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.chmod(temp, 0o666 & ~_umask() if mode is None else mode)
        os.replace(temp, path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


@contextlib.contextmanager
def atomic_open(path: Path, *, newline: str = "\n") -> Iterator[IO[str]]:
    """A UTF-8 text handle whose content replaces `path` when the block ends well."""
    with atomic_path(path) as temp, temp.open("w", encoding="utf-8", newline=newline) as handle:
        yield handle


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Replace `path` by `text` (UTF-8), atomically and durably; `mode`: its permissions, where they matter."""
    with atomic_path(path, mode) as temp:
        temp.write_bytes(text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, atomically and durably."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON (UTF-8, no NaN), atomically and durably."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces, so that equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """SHA-256 of UTF-8 text, as hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    """The process's umask. Reading it means setting it, so it is read once, when this module loads."""
    return _UMASK


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()
