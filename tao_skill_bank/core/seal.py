"""What a person is asked about is what starts: one digest of everything that was resolved, and files known by sight.

A plan is digested when it is shown. Whatever starts later is either that very object, or its digest is compared: an
answer never carries over to something else. A file that is only used later is known by its size, its time and its
beginning, and compared when it is opened, through the handle that is then read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.core.threads import ThreadPool

HEAD_BYTES = 4096
_READERS = 8
_AT_ONCE = 4096


def digest_of(value: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the canonical JSON of something that was resolved."""
    return sha256_text(canonical_json(value))


@dataclass(frozen=True)
class Identity:
    """By what a file is known again: bytes, time of the last change (ns), and a digest of its first 4,096 bytes."""

    size: int
    mtime_ns: int
    head: str


def identity_of(path: str | Path) -> Identity | None:
    """How a file is known; None where there is none that can be read.

    Raises:
        OutsideError: It leads out of the roots.
    """
    try:
        with guard.open_read(path, "video") as handle:
            return _seen(handle)
    except OutsideError:
        raise
    except (OSError, ValueError, InputError):
        return None


def identities(paths: Sequence[str]) -> Iterator[Identity | None]:
    """The same of many files, a few at a time, in order."""
    with ThreadPool(_READERS, thread_name_prefix="identity") as pool:
        for start in range(0, len(paths), _AT_ONCE):
            yield from pool.map(identity_of, paths[start : start + _AT_ONCE])


@contextmanager
def opened(path: Path, known: Identity | None = None) -> Iterator[BufferedReader]:
    """A regular file, open for reading, that is the one known, if one is.

    Raises:
        ChangedError: It is another one.
        InputError, OSError: As `guard.open_read`.
    """
    with guard.open_read(path) as handle:
        if known is not None and _seen(handle) != known:
            raise ChangedError("has changed since the run was listed", where=path, fix="start the run again")
        yield handle


class ChangedError(InputError):
    """A file is not the one that was listed, and shown to whoever approved."""


def _seen(handle: BufferedReader) -> Identity:
    facts = os.fstat(handle.fileno())
    head = hashlib.sha256(handle.read(HEAD_BYTES)).hexdigest()[:16]
    handle.seek(0)
    return Identity(facts.st_size, facts.st_mtime_ns, head)
