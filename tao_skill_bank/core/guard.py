"""The one guard for paths: what a job or a tool call may open, and how.

Somebody who works for another (the MCP server for its client, a job for the server) is held to *roots*: folders that a
person named. A path from anywhere, an argument, a spec, a cell of a CSV, a link, is opened by the functions here:

- for reading, links are followed as far as a root holds where they lead;
- for writing, no link is followed at all beneath the root, and a file of several names (hard links) is not changed;
- a pipe, a device or a socket is refused at once, and never waited for;
- what is refused is not opened: no byte of it can stand in a message.

Looking where a path leads and opening it are one step (`core.beneath`): what is swapped in between is refused. A
person's own command line has no roots: it opens what it names, as ever, except pipes and the like (`core.roots`).
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import itertools
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from tao_skill_bank.core.beneath import open_beneath
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.roots import OutsideError, Roots, held, holding, is_personal, refusal

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe without a writer must not be waited for; a terminal must not become ours.
_LOOK = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC
_AT_ONCE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_fence: ContextVar[Callable[[], None] | None] = ContextVar("fence", default=None)


@contextlib.contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Ask `check` before anything is written, made, renamed or removed in the block; what it raises prevents that."""
    token = _fence.set(check)
    try:
        yield
    finally:
        _fence.reset(token)


def is_fenced() -> bool:
    """Whether somebody else may take this one's place and sweep away what it has half written."""
    return _fence.get() is not None


def ask_the_fence() -> None:
    """Raise what the fence raises, if there is one: before what a `place` was opened for is done."""
    if (check := _fence.get()) is not None:
        check()


def open_read(path: Path | str, what: str = "file") -> io.BufferedReader:
    """A regular file for reading.

    `what`: what it is called in an error.

    Raises:
        OutsideError: It leads out of the roots.
        InputError: It is no regular file, a link that leads to itself or changed meanwhile, or a text that is no path.
        OSError: As `open(2)`; `filename` is the path.
    """
    try:
        return open(path, "rb", opener=lambda _path, _flags: _read_fd(Path(path), what))
    except ValueError as error:
        raise InputError(f"is no path: {error}", where=repr(str(path)), fix="write it in plain text") from None


def open_text(
    path: Path | str,
    what: str = "file",
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    newline: str | None = None,
) -> IO[str]:
    """The same, as text."""
    return io.TextIOWrapper(open_read(path, what), encoding=encoding, errors=errors, newline=newline)


def reopening(handle: IO[bytes], path: Path | str) -> str:
    """A name by which a library that takes none but names opens the very file that `handle` has open (on Linux)."""
    through = f"/proc/self/fd/{handle.fileno()}"
    return through if held() is not None and os.path.exists(through) else str(path)


def read_bytes(path: Path | str, what: str = "file") -> bytes:
    """The whole content of a regular file."""
    with open_read(path, what) as handle:
        return handle.read()


def read_text(path: Path | str, what: str = "file", *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The same, as text with LF at the ends of lines."""
    with open_text(path, what, encoding=encoding, errors=errors) as handle:
        return handle.read()


def status(path: Path | str) -> os.stat_result | None:
    """What is known of what a path leads to (type, size, times), None if it leads to nothing. It is not opened.

    Raises:
        OutsideError: It leads out of the roots; whether something is there is not told.
    """
    try:
        if held() is None:
            return os.stat(path)
        fd = _opened(Path(path), _LOOK)
    except OutsideError:
        raise
    except (FileNotFoundError, NotADirectoryError, InputError, ValueError):
        return None  # a text with a NUL, or half of a surrogate pair, is no path
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def mark(*paths: Path | str) -> str:
    """A text that changes when one of some files is written, replaced, made or removed.

    Raises:
        OutsideError: As `status`.
    """
    found = [status(path) for path in paths]
    return "_".join("-" if f is None else f"{f.st_ino:x}.{f.st_size:x}.{f.st_mtime_ns:x}" for f in found)


def entry(path: Path) -> os.stat_result | None:
    """What stands under a name itself, a link not followed; None if nothing does."""
    try:
        with place(path) as at:
            return os.stat(at.name, dir_fd=at.fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def exists(path: Path | str) -> bool:
    """Whether a path leads to anything; raises as `status`."""
    return status(path) is not None


def is_file(path: Path | str) -> bool:
    """Whether a path leads to a regular file; raises as `status`."""
    about = status(path)
    return about is not None and stat.S_ISREG(about.st_mode)


def holds_bytes(path: Path | str) -> bool:
    """Whether a path leads to a file that is not empty; raises as `status`."""
    about = status(path)
    return about is not None and about.st_size > 0


def is_folder(path: Path | str) -> bool:
    """Whether a path leads to a folder; raises as `status`."""
    about = status(path)
    return about is not None and stat.S_ISDIR(about.st_mode)


def real_path(path: Path | str) -> str:
    """A path, absolute, with every link resolved as far as the roots hold where it leads; beyond them its text."""
    real, roots = os.path.realpath(path), held()
    return real if roots is None or holding(real, roots) is not None else os.path.abspath(path)


@contextlib.contextmanager
def folder(path: Path | str) -> Iterator[int]:
    """A folder, open for looking at what is in it; raises as `names`."""
    fd = _opened(Path(path), _FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


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


def children(folder: Path) -> list[Path]:
    """What is in a folder, by name; raises as `names`."""
    return [folder / name for name in names(folder)]


def matching(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder and fits a pattern (`*.pth`), by name; nothing where there is no such folder."""
    try:
        return [folder / name for name in fnmatch.filter(names(folder), pattern)]
    except (FileNotFoundError, NotADirectoryError):
        return []


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
def locked(path: Path, *, timeout: float = -1, make: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; at most one process does.

    Args:
        path: The file; it is made where it is not there.
        timeout: Seconds to wait; negative: for as long as it takes.
        make: Make its folder, too.

    Raises:
        filelock.Timeout: Another process has it for longer than `timeout` seconds.
    """
    from filelock import FileLock

    with place(path, make=make) as at, FileLock(at.path, timeout=timeout):
        yield


@contextlib.contextmanager
def place(path: Path, *, make: bool = False) -> Iterator[Place]:
    """Where something is to be written, removed or renamed: its folder, open, and its name.

    With `make` the folders that lead there are made.

    Raises:
        OutsideError: It lies outside the roots, or a link leads to it.
    """
    ask_the_fence()
    roots = held()
    if roots is None:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
            ask_the_fence()
        fd = os.open(path.parent, _FOLDER)
        shown = path.parent
    else:
        root, parts = _lexically(path, roots)
        fd = _make(root, parts[:-1], path) if make else _no_link(root, parts[:-1], _FOLDER, 0, path)
        shown = _through(fd, path.parent)
    try:
        yield Place(fd, _name(path), shown)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Within:
    """A fresh folder, open: what is written is written there, whatever is put in its place meanwhile."""

    fd: int

    def open(self, name: str) -> BinaryIO:
        """A new file in it, for writing.

        Raises:
            FileExistsError: Something of that name is there.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, 0o666, dir_fd=self.fd), "wb")

    def write(self, name: str, text: str) -> None:
        """A new file of UTF-8 text."""
        with self.open(name) as handle:
            handle.write(text.encode())


@contextlib.contextmanager
def folder_within(at: Place) -> Iterator[Within]:
    """A fresh folder at a place; it and its files are gone when the block ends.

    Raises:
        FileExistsError: Something of that name is there.
    """
    os.mkdir(at.name, 0o700, dir_fd=at.fd)
    fd = open_beneath(at.fd, (at.name,), _FOLDER)
    try:
        yield Within(fd)
    finally:
        with contextlib.suppress(OSError):
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
            os.rmdir(at.name, dir_fd=at.fd)
        os.close(fd)


def make_folder(path: Path, *, fresh: bool = False) -> None:
    """Make a folder and those that lead to it; one that is there is left as it is.

    Raises:
        FileExistsError: It is there, and was to be `fresh`.
    """
    if fresh:
        with place(path, make=True) as at:
            os.mkdir(at.name, dir_fd=at.fd)
        return
    ask_the_fence()
    roots = held()
    if roots is None:
        path.mkdir(parents=True, exist_ok=True)
    else:
        root, parts = _lexically(path, roots)
        os.close(_make(root, parts, path))


@contextlib.contextmanager
def folders_taken_back(path: Path) -> Iterator[None]:
    """Take back the folders that were made for `path` when the block fails, so a refused input leaves no trace."""
    missing = list(itertools.takewhile(lambda folder: not exists(folder), path.parents))
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                remove_folder(folder)
        raise


def remove(path: Path) -> None:
    """Remove a file or a link, not what it leads to; nothing there is fine."""
    with contextlib.suppress(FileNotFoundError), place(path) as at:
        os.unlink(at.name, dir_fd=at.fd)


def remove_folder(path: Path) -> None:
    """Remove an empty folder.

    Raises:
        OSError: It is not there, not empty, or no folder.
    """
    with place(path) as at:
        os.rmdir(at.name, dir_fd=at.fd)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it, no link followed; nothing there is fine."""
    with contextlib.suppress(FileNotFoundError), place(path) as at:
        shutil.rmtree(at.name, dir_fd=at.fd)


def rename(source: Path, target: Path) -> None:
    """Give a file, folder or link another name; what is there is replaced as `rename(2)` does."""
    with place(source) as one, place(target, make=True) as other:
        os.rename(one.name, other.name, src_dir_fd=one.fd, dst_dir_fd=other.fd)


@contextlib.contextmanager
def temporary_folder(within: Path, prefix: str) -> Iterator[Path]:
    """A fresh folder in a folder, which is made where it is missing; gone when the block ends."""
    path = within / f"{prefix}{secrets.token_hex(6)}"
    make_folder(path)
    try:
        yield path
    finally:
        remove_tree(path)


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
        if about.st_nlink > 1 and held() is not None:
            what = "has a second name (a hard link), which may lie outside the allowed folders"
            raise InputError(what, where=path, fix="make it a file of its own: copy it and move the copy in its place")
        if mode == "wb":
            os.ftruncate(fd, 0)
        return cast(BinaryIO, os.fdopen(fd, "r+b" if mode == "r+b" else mode, buffering=0))
    except BaseException:
        os.close(fd)
        raise


_UNLINK = "put the file itself in the link's place, or name the folder that has it"


def _through(fd: int, folder: Path) -> Path:
    """A path that means the open folder itself, for a writer that wants a name; where there is none, its own."""
    through = Path(f"/proc/self/fd/{fd}")
    return through if held() is not None and through.exists() else folder


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
    roots = held()
    if roots is None:
        return os.open(path, flags)
    real = os.path.realpath(path)
    root = holding(real, roots)
    if root is None or is_personal(real):
        raise refusal(path, roots, is_folder=bool(flags & os.O_DIRECTORY))
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


def _lexically(path: Path, roots: Roots) -> tuple[Path, tuple[str, ...]]:
    """The root that a path to be written lies in by its text, and the parts beneath it."""
    text = os.path.abspath(path)
    root = holding(text, roots)
    if is_personal(text):
        raise refusal(path, roots)
    if root is not None:
        return root, Path(text).relative_to(root).parts
    # Above its root a path may lead through links: nobody who is held to the root has made them.
    for folder in reversed(Path(text).parents):
        if (real := Path(os.path.realpath(folder))) in roots:
            return real, Path(text).relative_to(folder).parts
    raise refusal(path, roots)


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
