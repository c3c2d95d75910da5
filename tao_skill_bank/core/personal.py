"""What belongs to a person rather than to a workspace: the configuration folder, and the folders that tools may touch.

A person's roots are lines of one text file in that folder, read at every call, so that what a person adds counts
at once. No tool can add to them: a path in the configuration folder is refused whatever the roots are.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.roots import config_folder, is_personal

MOST_BYTES = 1 << 20
_HEAD = "# Folders that the tools of tao-skill-bank may read and write in. Change it by `tao-skills roots`, or by hand."


def roots_path() -> Path:
    """The file of a person's roots: an absolute folder a line, `#` before a comment."""
    return config_folder() / "roots"


def personal_roots() -> list[Path]:
    """The folders that a person set for tools, links resolved; those that are not there now are left out.

    Raises:
        InputError: The file cannot be read, or another user may write to it.
    """
    return [path.resolve() for path in _listed() if path.is_dir()]


def listed_roots() -> list[tuple[Path, bool]]:
    """Every folder of the file as it was written, and whether it is there.

    Raises:
        InputError: As for `personal_roots`.
    """
    return [(path, path.is_dir()) for path in _listed()]


def add_root(folder: Path) -> Path:
    """Let tools read and write in a folder; returns it, links resolved. One that is listed stays listed once.

    Raises:
        InputError: It is no folder, or too much: the whole file system, a home or what holds it, the user's settings.
    """
    path = Path(os.path.abspath(folder.expanduser())).resolve()
    if not path.is_dir():
        raise InputError("no such folder", where=path, fix="name the folder that holds your workspaces")
    if not str(path).isprintable():
        raise InputError("a name with control characters cannot stand in a list", where=path, fix="rename the folder")
    if str(path) != str(path).strip():
        raise InputError("a name that ends in a blank cannot stand in a list", where=path, fix="rename the folder")
    _refuse_too_much(path)
    with _editing() as lines:
        if path not in _folders(lines):
            lines.append(str(path))
    return path


def remove_root(folder: Path) -> Path:
    """Take a folder off the list; returns it as it stood there.

    Raises:
        InputError: It is not listed.
    """
    given = Path(os.path.abspath(folder.expanduser()))
    with _editing() as lines:
        held = _folders(lines)
        found = next((path for path in held if path in (given, given.resolve())), None)
        if found is None:
            fix = did_you_mean(str(given), map(str, held)) if held else "the list is empty"
            raise InputError("not one of your roots", where=given, fix=fix)
        lines[:] = [line for line in lines if found not in _folders([line])]
    return found


def virtualenv_path() -> Path:
    """The file that names the folder with TAO's commands: one absolute path, written by `platforms install`."""
    return config_folder() / "virtualenv"


def virtualenv_bin() -> Path | None:
    """The folder of TAO's commands that a person registered; None where none is.

    Raises:
        InputError: The file cannot be read, or another user may write to it, or it names no absolute folder.
    """
    lines = [line.strip() for line in _read(virtualenv_path(), "TAO environment") or () if line.strip()]
    named = [line for line in lines if not line.startswith("#")]
    if named and (len(named) > 1 or not os.path.isabs(named[0]) or "\0" in named[0]):
        raise InputError("names no absolute folder", where=virtualenv_path(), fix="write one, or remove the file")
    return Path(named[0]) if named else None


def register_virtualenv(folder: Path) -> None:
    """Take `folder` for `--platform virtualenv` wherever a run names none."""
    path = virtualenv_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (
        "# Where TAO's own commands lie for --platform virtualenv; written by tao-skills platforms install virtualenv."
    )
    write_text(path, f"{head}\n{folder}\n", mode=0o600)


def _refuse_too_much(path: Path) -> None:
    home = Path.home().resolve()
    if path == Path(path.anchor):
        raise InputError("that is the whole file system", where=path, fix="name the folder that holds your workspaces")
    if path == home or path in home.parents:
        raise InputError(
            "a home as a whole holds keys and start-up files", where=path, fix="name a folder of workspaces in it"
        )
    if is_personal(path):
        raise InputError("that folder holds your own settings", where=path, fix="name a folder of workspaces")


def _listed() -> list[Path]:
    return _folders(_lines())


def _lines() -> list[str]:
    lines = _read(roots_path(), "roots")
    return [_HEAD] if lines is None else lines


def _read(path: Path, what: str) -> list[str] | None:
    """The lines of a file of the person's own, None where there is none."""
    try:
        with path.open("rb") as handle:
            facts, data = os.fstat(handle.fileno()), handle.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"your {what} cannot be read: {error.strerror}", where=path, fix="fix its permissions"
        ) from None
    if facts.st_uid not in (0, os.getuid()) or facts.st_mode & 0o022:
        fix = f"make the file yours alone: chmod 600 {shlex.quote(str(path))}"
        raise InputError(f"others may write to your {what}", where=path, fix=fix)
    try:
        return [line.decode() for line in data.splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"your {what} are not UTF-8 text", where=path, fix="write an absolute folder a line") from None


def _folders(lines: list[str]) -> list[Path]:
    """The folders that the lines name, each once."""
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for text in named:
        if not os.path.isabs(text) or "\0" in text:
            fix = "write an absolute folder a line"
            raise InputError(f"not an absolute folder: {text!r}", where=roots_path(), fix=fix)
    return list(dict.fromkeys(Path(text) for text in named))


@contextlib.contextmanager
def _editing() -> Iterator[list[str]]:
    """The file's lines, to change in place; written when the block ends well, a person's comments included."""
    from filelock import FileLock

    path = roots_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        lines = _lines()
        before = list(lines)
        yield lines
        if lines != before:
            write_text(path, "".join(f"{line}\n" for line in lines), mode=0o600)
