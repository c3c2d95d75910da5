"""Which folders whoever is at work may touch: its *roots*, and what is said of a path that leads out of them.

Somebody who works for another (the MCP server for its client, a job for the server) is held to folders that a person
named; a person's own command line is not. Roots hold for the running context (`confined`), else for the process (the
variable `TAO_SKILLS_CONFINED`, which its children inherit). `core.guard` opens files accordingly.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from tao_skill_bank.core.errors import InputError

VARIABLE = "TAO_SKILLS_CONFINED"
"""The roots of a process and its children, as a JSON list. Set and empty or unreadable: nothing may be opened."""
Roots = tuple[Path, ...]
_context: ContextVar[Roots | Literal["process"] | None] = ContextVar("roots", default="process")


class OutsideError(InputError):
    """A path leads out of the roots. `folder` is what a person would have to add for it."""

    def __init__(self, what: str, *, where: str | Path, folder: Path, allowed: Roots) -> None:
        self.folder = folder
        shown = ", ".join(str(one) for one in allowed) or "none"
        fix = f"a person allows it with: tao-skills roots add {shlex.quote(str(folder))}; allowed now: {shown}"
        super().__init__(what, where=where, fix=fix)


def held() -> Roots | None:
    """The folders that this context may touch, links resolved, none within another; None: whatever its user may."""
    found = _context.get()
    return _of_process() if found == "process" else found


@contextlib.contextmanager
def confined(folders: Iterable[Path]) -> Iterator[None]:
    """Hold what runs in the block to `folders`. Within other roots it is held to what both allow."""
    wanted = outermost(folders)
    before = held()
    if before is not None:
        wanted = outermost([f for f in wanted if holding(f, before)] + [f for f in before if holding(f, wanted)])
    token = _context.set(wanted)
    try:
        yield
    finally:
        _context.reset(token)


@contextlib.contextmanager
def granted(folders: Iterable[Path]) -> Iterator[None]:
    """Hold what runs in the block to `folders`, in a process that may open nothing by itself (the server's).

    A process that is held to folders already hands on those alone that both allow.
    """
    if held():
        with confined(folders):
            yield
        return
    token = _context.set(outermost(folders))
    try:
        yield
    finally:
        _context.reset(token)


@contextlib.contextmanager
def own_files() -> Iterator[None]:
    """Open what the bank itself keeps (its package data, its user's key): never around a path that somebody named."""
    token = _context.set(None)
    try:
        yield
    finally:
        _context.reset(token)


def environment() -> dict[str, str]:
    """What a child process is given so that it is held to the same roots."""
    folders = held()
    return {} if folders is None else {VARIABLE: json.dumps([str(folder) for folder in folders])}


def config_folder() -> Path:
    """The user's own folder of settings: in XDG_CONFIG_HOME, else in `~/.config`."""
    given = os.environ.get("XDG_CONFIG_HOME", "")  # a relative one counts as none: it would be another in every folder
    return Path(given if os.path.isabs(given) else os.path.expanduser("~/.config")) / "tao-skills"


def is_personal(path: Path | str) -> bool:
    """Whether a resolved path lies in the user's settings, which nobody who is held to roots touches."""
    return holding(path, [Path(os.path.realpath(config_folder()))]) is not None


def outermost(folders: Iterable[Path]) -> Roots:
    """Folders, links resolved, without those that lie within another.

    One within another could be swapped for a link by who may write in the outer one.
    """
    found: list[Path] = []
    for folder in sorted({Path(os.path.realpath(folder)) for folder in folders}):
        if holding(folder, found) is None:
            found.append(folder)
    return tuple(found)


def refusal(path: Path, roots: Roots, *, is_folder: bool = False) -> InputError:
    """The refusal of a path that leads out of the roots; says no more than its text and the links within them tell."""
    text = os.path.abspath(path)
    if is_personal(text):
        return InputError(
            "leads to the user's own settings, which nobody else touches", where=path, fix="name another path"
        )
    if holding(text, roots) is None:
        return OutsideError("lies outside the allowed folders", where=path, folder=_of(text, is_folder), allowed=roots)
    # Walk as far as the roots hold the way, and no step further: what lies beyond is not looked at.
    at, rest = Path("/"), list(Path(text).parts[1:])
    for _ in range(1000):
        if not rest:
            break
        at = Path(os.path.normpath(at / rest.pop(0)))
        if holding(at, roots) is None:
            if any(holding(folder, [at]) for folder in roots):
                continue
            break
        with contextlib.suppress(OSError):
            rest = [*Path(os.path.normpath(at.parent / os.readlink(at))).parts[1:], *rest]
            at = Path("/")
    folder = _of(at, bool(rest) or is_folder)
    return OutsideError(
        "lies outside the allowed folders, where a link leads", where=path, folder=folder, allowed=roots
    )


def _of(path: Path | str, is_folder: bool) -> Path:
    """The folder to add; whether a name without a suffix is one is not looked up."""
    return Path(path) if is_folder or not Path(path).suffix else Path(path).parent


def _of_process() -> Roots | None:
    said = os.environ.get(VARIABLE)
    return None if said is None else _read(said)


@functools.lru_cache(maxsize=8)
def _read(said: str) -> Roots:
    try:
        listed = json.loads(said)
        return outermost(Path(folder) for folder in listed if os.path.isabs(folder))
    except (ValueError, TypeError):
        return ()


def holding(path: Path | str, folders: Iterable[Path]) -> Path | None:
    """The folder that holds an absolute path, by its text."""
    text = str(path)
    return next((f for f in folders if text == str(f) or text.startswith(f"{str(f).rstrip('/')}/")), None)
