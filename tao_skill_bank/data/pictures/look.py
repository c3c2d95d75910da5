"""Looking at many pictures: each file once, in parallel, and not again while it stays what it was."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.threads import ThreadPool, processors
from tao_skill_bank.data.pictures.decode import bomb_warnings_as_errors
from tao_skill_bank.data.pictures.facts import Facts, facts_of, header_facts
from tao_skill_bank.data.pictures.memory import Key, Memory, cache_folder, key_of

MOST_WORKERS = 16
MOST_BYTES = 1 << 30
"""A larger file is no picture that a loader would survive."""
_CHUNK, _KEEP = 64, 4096
_watcher: ContextVar[Callable[[int, int], None] | None] = ContextVar("watcher", default=None)


@dataclass
class Looked:
    """What was found out.

    Attributes:
        facts: Facts by path, one for every path that was asked for.
        opened: Files that were opened now.
        remembered: Files that were known from an earlier look.
        problem: Why nothing is remembered on disk; None where it is.
        keys: What each file was known by.
    """

    facts: dict[str, Facts] = field(default_factory=dict)
    opened: int = 0
    remembered: int = 0
    problem: str | None = None
    keys: dict[str, Key] = field(default_factory=dict)


def memory_for(workspace: Path | None = None) -> Memory:
    """The memory in the user's cache folder; nothing is ever written into `workspace`."""
    return Memory(cache_folder(), workspace)


@contextlib.contextmanager
def watched(progress: Callable[[int, int], None]) -> Iterator[None]:
    """Within, every look at pictures tells how far it is: files done and files to open."""
    token = _watcher.set(progress)
    try:
        yield
    finally:
        _watcher.reset(token)


def look(
    paths: Iterable[str],
    *,
    decode: bool = True,
    memory: Memory | None = None,
    workers: int | None = None,
) -> Looked:
    """Open every picture that is not known.

    Args:
        paths: Files; two names of one file are opened once.
        decode: Decode every pixel, or read headers alone. What is known of decoded pictures is taken either way.
        memory: What was found out before, and where this goes; None: nothing.
        workers: Threads; default: by the processors, and more than one for a slow disk.

    Returns:
        Facts of every path. A file that is missing, cannot be read or is none has a fault that says so.
    """
    memory = memory or Memory(None)
    progress = _watcher.get()
    looked = Looked()
    keys = looked.keys
    for path in dict.fromkeys(paths):
        try:
            found = guard.status(path)
        except (OSError, ValueError, InputError) as error:
            looked.facts[path] = Facts(fault=_said(error))
            continue
        if found is None:
            looked.facts[path] = Facts(fault="no such file")
        elif stat.S_ISREG(found.st_mode):
            keys[path] = key_of(found)
        else:
            looked.facts[path] = Facts(fault="is no file")
    known = memory.recall(keys.values())
    todo: dict[Key, str] = {}
    for path, key in keys.items():
        if key not in known:
            todo.setdefault(key, path)
    fresh: dict[Key, Facts] = {}
    unkept: dict[Key, Facts] = {}
    for key, told, facts in _opened(todo, decode, workers or default_workers()):
        fresh[key] = facts
        if told == key:  # a file that changed between the stat and the look is looked at again next time
            unkept[key] = facts
        if len(unkept) >= _KEEP:
            if decode:
                memory.keep(unkept)
            unkept = {}
        if progress is not None:
            progress(len(fresh), len(todo))
    if decode and unkept:
        memory.keep(unkept)
    for path, key in keys.items():
        looked.facts[path] = fresh.get(key) or known[key]
    looked.opened, looked.remembered = len(todo), len(set(keys.values())) - len(todo)
    looked.problem = memory.problem
    return looked


def still_known(looked: Looked, memory: Memory) -> None:
    """Remember decoded files under what they are now: whoever has linked them to another name changed their `ctime`."""
    now: dict[Key, Facts] = {}
    for path, key in looked.keys.items():
        with contextlib.suppress(OSError):
            today = key_of(os.stat(path))
            if today[:-1] == key[:-1] and today != key and looked.facts[path].decoded:
                now[today] = looked.facts[path]
    memory.keep(now)


def default_workers() -> int:
    """Threads that look: one a processor; decoding and hashing free the interpreter."""
    return min(MOST_WORKERS, processors())


def _opened(todo: dict[Key, str], decode: bool, workers: int) -> Iterator[tuple[Key, Key | None, Facts]]:
    """(Key, what the file was when it was read, its facts), as they come; few are in memory at a time."""
    items = list(todo.items())
    chunks = iter([items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)])

    def work(chunk: Sequence[tuple[Key, str]]) -> list[tuple[Key, Key | None, Facts]]:
        return [(key, *look_at(path, decode=decode)) for key, path in chunk]

    with bomb_warnings_as_errors(), ThreadPool(workers) as pool:
        running: set[Future[list[tuple[Key, Key | None, Facts]]]] = set()
        for chunk in chunks:
            running.add(pool.submit(work, chunk))
            if len(running) >= 4 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        for future in running:
            yield from future.result()


def look_at(path: str, *, decode: bool = True) -> tuple[Key | None, Facts]:
    """One file: what it was when it was read (None where it could not be, or changed meanwhile), and its facts."""
    try:
        file = guard.open_read(path, "picture")
    except (OSError, ValueError, InputError) as error:
        return None, Facts(fault=_said(error))
    with file:
        before = os.fstat(file.fileno())
        if before.st_size > MOST_BYTES:
            return key_of(before), Facts(fault=f"{before.st_size >> 20} MiB, more than any picture")
        try:
            facts = facts_of(file.read()) if decode else header_facts(file)
        except OSError as error:
            return None, Facts(fault=_said(error))
        after = os.fstat(file.fileno())
    return (key_of(before) if key_of(before) == key_of(after) else None), facts


def _said(error: Exception) -> str:
    if isinstance(error, InputError):
        return f"{error.what} ({error.fix})"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"cannot be read: {(error.strerror if isinstance(error, OSError) else None) or error}"
