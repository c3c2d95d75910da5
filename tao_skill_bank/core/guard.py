"""The one guard for paths: what a job or a tool call may open, and how.

Somebody who works for another (the MCP server for its client, a job for the server) is held to *roots*: folders that a
person named. A path from anywhere, an argument, a spec, a cell of a CSV, a link, is opened by the functions here:

- for reading, links are followed as far as a root holds where they lead;
- for writing, no link is followed at all beneath the root, and a file of several names (hard links) is not changed;
- a pipe, a device or a socket is refused at once, and never waited for;
- what is refused is not opened: no byte of it can stand in a message.

Looking where a path leads and opening it are one step (`core.beneath`): what is swapped in between is refused.

A person's own command line has no roots: it opens what it names, as ever, except pipes and the like. Roots hold for
the running context (`confined`), else for the process (the variable `TAO_SKILLS_CONFINED`, which children inherit).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import json
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from tao_skill_bank.core.beneath import open_beneath
from tao_skill_bank.core.errors import InputError

VARIABLE = "TAO_SKILLS_CONFINED"
"""The roots of a process and its children, as a JSON list. Set and empty or unreadable: nothing may be opened."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe without a writer must not be waited for; a terminal must not become ours.
_LOOK = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC
_AT_ONCE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Roots = tuple[Path, ...]
_context: ContextVar[Roots | Literal["process"] | None] = ContextVar("roots", default="process")


class OutsideError(InputError):
    """A path leads out of the roots. `folder` is what a person would have to add for it."""

    def __init__(self, what: str, *, where: str | Path, folder: Path, allowed: Roots) -> None:
        self.folder = folder
        shown = ", ".join(str(one) for one in allowed) or "none"
        fix = f"a person allows it with: tao-skills roots add {shlex.quote(str(folder))}; allowed now: {shown}"
        super().__init__(what, where=where, fix=fix)


def roots() -> Roots | None:
    """The folders that this context may touch, links resolved, none within another; None: whatever its user may."""
    held = _context.get()
    return _of_process() if held == "process" else held


@contextlib.contextmanager
def confined(folders: Iterable[Path]) -> Iterator[None]:
    """Hold what runs in the block to `folders`. Within other roots it is held to what both allow."""
    wanted = outermost(folders)
    before = roots()
    if before is not None:
        wanted = outermost([f for f in wanted if _holding(f, before)] + [f for f in before if _holding(f, wanted)])
    token = _context.set(wanted)
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
    held = roots()
    return {} if held is None else {VARIABLE: json.dumps([str(folder) for folder in held])}


def config_folder() -> Path:
    """The user's own folder of settings: in XDG_CONFIG_HOME, else in `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "tao-skills"


def is_personal(path: Path | str) -> bool:
    """Whether a resolved path lies in the user's settings, which nobody who is held to roots touches."""
    return _holding(path, [Path(os.path.realpath(config_folder()))]) is not None


def outermost(folders: Iterable[Path]) -> Roots:
    """Folders, links resolved, without those that lie within another.

    One within another could be swapped for a link by who may write in the outer one.
    """
    found: list[Path] = []
    for folder in sorted({Path(os.path.realpath(folder)) for folder in folders}):
        if _holding(folder, found) is None:
            found.append(folder)
    return tuple(found)


def open_read(path: Path | str, what: str = "file") -> BinaryIO:
    """A regular file for reading.

    Args:
        path: The file, whoever named it.
        what: What it is called in an error.

    Raises:
        OutsideError: It leads out of the roots.
        InputError: It is no regular file, or a link that leads to itself or changed meanwhile.
        OSError: As `open(2)`; `filename` is the path.
    """
    return cast(BinaryIO, open(path, "rb", opener=lambda _path, _flags: _read_fd(Path(path), what)))


def open_text(path: Path | str, what: str = "file", *, errors: str = "strict", newline: str | None = None) -> IO[str]:
    """The same, as UTF-8 text."""
    return io.TextIOWrapper(open_read(path, what), encoding="utf-8", errors=errors, newline=newline)


def read_bytes(path: Path | str, what: str = "file") -> bytes:
    """The whole content of a regular file."""
    with open_read(path, what) as handle:
        return handle.read()


def read_text(path: Path | str, what: str = "file", *, errors: str = "strict") -> str:
    """The same, as UTF-8 text."""
    return read_bytes(path, what).decode("utf-8", errors)


def status(path: Path | str) -> os.stat_result | None:
    """What is known of what a path leads to (type, size, times), None if it leads to nothing. It is not opened.

    Raises:
        OutsideError: It leads out of the roots; whether something is there is not told.
    """
    try:
        if roots() is None:
            return os.stat(path)
        fd = _opened(Path(path), _LOOK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def is_file(path: Path | str) -> bool:
    """Whether a path leads to a regular file; raises as `status`."""
    about = status(path)
    return about is not None and stat.S_ISREG(about.st_mode)


def is_folder(path: Path | str) -> bool:
    """Whether a path leads to a folder; raises as `status`."""
    about = status(path)
    return about is not None and stat.S_ISDIR(about.st_mode)


def names(folder: Path | str) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        OutsideError: It leads out of the roots.
        OSError: As `opendir(3)`.
    """
    fd = _opened(Path(folder), _FOLDER)
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Place:
    """An open folder and a name in it. `path` is what names it for a writer that takes no descriptor."""

    fd: int
    name: str
    folder: Path

    @property
    def path(self) -> Path:
        """A path that leads into the open folder, whatever was put in its place meanwhile (on Linux)."""
        return self.folder / self.name


@contextlib.contextmanager
def locked(path: Path, *, timeout: float = -1) -> Iterator[None]:
    """Hold the lock file `path`, made where it is not there; at most one process does.

    Raises:
        filelock.Timeout: Another process has it for longer than `timeout` seconds.
    """
    from filelock import FileLock

    with place(path, make=True) as at, FileLock(at.path, timeout=timeout):
        yield


@contextlib.contextmanager
def place(path: Path, *, make: bool = False) -> Iterator[Place]:
    """Where something is to be written, removed or renamed: its folder, open, and its name.

    Args:
        path: The file or folder to change.
        make: Make the folders that lead there.

    Raises:
        OutsideError: It lies outside the roots, or a link leads to it.
    """
    held = roots()
    if held is None:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path.parent, _FOLDER)
        shown = path.parent
    else:
        root, parts = _lexically(path, held)
        fd = _make(root, parts[:-1], path) if make else _no_link(root, parts[:-1], _FOLDER, 0, path)
        shown = _through(fd, path.parent)
    try:
        yield Place(fd, _name(path), shown)
    finally:
        os.close(fd)


@contextlib.contextmanager
def folder_within(at: Place) -> Iterator[tuple[int, Path]]:
    """A fresh folder at a place, open, and a path that leads into it; it and its files are gone when the block ends.

    Raises:
        FileExistsError: Something of that name is there.
    """
    os.mkdir(at.name, 0o700, dir_fd=at.fd)
    fd = open_beneath(at.fd, (at.name,), _FOLDER)
    try:
        yield fd, _through(fd, at.path)
    finally:
        with contextlib.suppress(OSError):
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
            os.rmdir(at.name, dir_fd=at.fd)
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder and those that lead to it; one that is there is left as it is."""
    held = roots()
    if held is None:
        path.mkdir(parents=True, exist_ok=True)
    else:
        root, parts = _lexically(path, held)
        os.close(_make(root, parts, path))


def remove(path: Path) -> None:
    """Remove a file or a link, not what it leads to; nothing there is fine."""
    with contextlib.suppress(FileNotFoundError), place(path) as at:
        os.unlink(at.name, dir_fd=at.fd)


def open_write(path: Path, mode: Literal["ab", "r+b", "xb", "wb"], *, make: bool = False) -> BinaryIO:
    """A regular file to change in place, never through a link: appended to, changed, made new, or written anew.

    Unbuffered. Only what several processes write to is changed in place; all else is replaced (`fsio`).

    Raises:
        OutsideError: It lies outside the roots.
        InputError: It is a link, no regular file, or (with roots) has a second name that may lie outside them.
        OSError: As `open(2)`.
    """
    flags = {
        "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
        "r+b": os.O_RDWR,
        "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        "wb": os.O_WRONLY | os.O_CREAT,
    }[mode]
    with place(path, make=make) as at:
        try:
            fd = os.open(at.name, flags | os.O_NOFOLLOW | _AT_ONCE, 0o666, dir_fd=at.fd)
        except OSError as error:
            error.filename = str(path)
            if error.errno == errno.ELOOP:
                raise InputError("is a link, and links are not written through", where=path, fix=_UNLINK) from None
            if error.errno == errno.ENXIO:
                raise _irregular(path, "file") from None
            raise
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise _irregular(path, "file")
        if about.st_nlink > 1 and roots() is not None:
            what = "has a second name (a hard link), which may lie outside the allowed folders"
            raise InputError(what, where=path, fix="make it a file of its own: copy it and move the copy in its place")
        if mode == "wb":
            os.ftruncate(fd, 0)
        return cast(BinaryIO, os.fdopen(fd, "r+b" if mode == "r+b" else mode, buffering=0))
    except BaseException:
        os.close(fd)
        raise


_UNLINK = "put the file itself in the link's place, or name the folder that has it"


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


def _holding(path: Path | str, folders: Iterable[Path]) -> Path | None:
    """The folder that holds an absolute path, by its text."""
    text = str(path)
    return next((f for f in folders if text == str(f) or text.startswith(f"{str(f).rstrip('/')}/")), None)


def _through(fd: int, folder: Path) -> Path:
    """A path that means the open folder itself, for a writer that wants a name; where there is none, its own."""
    through = Path(f"/proc/self/fd/{fd}")
    return through if roots() is not None and through.exists() else folder


def _name(path: Path | str) -> str:
    return os.path.basename(os.path.abspath(path)) or "."


def _read_fd(path: Path, what: str) -> int:
    fd = -1
    try:
        fd = _opened(path, os.O_RDONLY | _AT_ONCE)
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise _irregular(path, what)
        return fd
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        if error.errno == errno.ENXIO:
            raise _irregular(path, what) from None
        error.filename = str(path)
        raise
    except InputError:
        if fd >= 0:
            os.close(fd)
        raise


def _irregular(path: Path, what: str) -> InputError:
    return InputError(f"is neither a file nor a folder: no {what} that can be read", where=path, fix=f"name a {what}")


def _opened(path: Path, flags: int) -> int:
    """A descriptor for reading, links followed within the roots."""
    held = roots()
    if held is None:
        return os.open(path, flags)
    real = os.path.realpath(path)
    root = _holding(real, held)
    if root is None or is_personal(real):
        raise outside(path, held, is_folder=bool(flags & os.O_DIRECTORY))
    parts = Path(real).relative_to(root).parts
    return _no_link(root, parts, flags, 0, path)


def _no_link(root: Path, parts: tuple[str, ...], flags: int, mode: int, path: Path) -> int:
    at = os.open(root, _FOLDER)
    try:
        return open_beneath(at, parts, flags, mode)
    except OSError as error:
        error.filename = str(path)
        if error.errno in (errno.ELOOP, errno.EXDEV):
            what = "a link leads there that leads to itself or that may not be followed"
            raise InputError(what, where=path, fix=_UNLINK) from None
        raise
    finally:
        os.close(at)


def _lexically(path: Path, held: Roots) -> tuple[Path, tuple[str, ...]]:
    """The root that a path to be written lies in by its text, and the parts beneath it."""
    text = os.path.abspath(path)
    root = _holding(text, held)
    if is_personal(text):
        raise outside(path, held)
    if root is not None:
        return root, Path(text).relative_to(root).parts
    # Above its root a path may lead through links: nobody who is held to the root has made them.
    for folder in reversed(Path(text).parents):
        if (real := Path(os.path.realpath(folder))) in held:
            return real, Path(text).relative_to(folder).parts
    raise outside(path, held)


def _make(root: Path, parts: tuple[str, ...], path: Path) -> int:
    """The folder beneath a root, open; made where it is not there."""
    for count in range(len(parts), -1, -1):
        try:
            at = _no_link(root, parts[:count], _FOLDER, 0, path)
            break
        except FileNotFoundError:
            if count == 0:
                raise
    try:
        for part in parts[count:]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=at)
            within = open_beneath(at, (part,), _FOLDER)
            os.close(at)
            at = within
    except OSError as error:
        os.close(at)
        error.filename = str(path)
        if error.errno == errno.ELOOP:
            raise InputError("a link was put in its place", where=path, fix=_UNLINK) from None
        raise
    return at


def outside(path: Path, held: Roots, *, is_folder: bool = False) -> InputError:
    """The refusal of a path that leads out of the roots; says no more than its text and the links within them tell."""
    text = os.path.abspath(path)
    if is_personal(text):
        return InputError(
            "leads to the user's own settings, which nobody else touches", where=path, fix="name another path"
        )
    if _holding(text, held) is None:
        return OutsideError("lies outside the allowed folders", where=path, folder=_of(text, is_folder), allowed=held)
    # Walk as far as the roots hold the way, and no step further: what lies beyond is not looked at.
    at, rest = Path("/"), list(Path(text).parts[1:])
    for _ in range(1000):
        if not rest:
            break
        at = Path(os.path.normpath(at / rest.pop(0)))
        if _holding(at, held) is None:
            if any(_holding(folder, [at]) for folder in held):
                continue
            break
        with contextlib.suppress(OSError):
            rest = [*Path(os.path.normpath(at.parent / os.readlink(at))).parts[1:], *rest]
            at = Path("/")
    folder = _of(at, bool(rest) or is_folder)
    return OutsideError("lies outside the allowed folders, where a link leads", where=path, folder=folder, allowed=held)


def _of(path: Path | str, is_folder: bool) -> Path:
    return Path(path) if is_folder else Path(path).parent
