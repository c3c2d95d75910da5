"""All the outputs of an analysis, or none: written aside, then moved into the results folder together."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import fsync_dir


@contextlib.contextmanager
def staged_outputs(results_dir: Path, owned: Sequence[str]) -> Iterator[guard.Within]:
    """A folder to write outputs to; they appear in `results_dir` when the block ends well.

    Files of `owned` that an earlier analysis left and this one did not write are removed, so that the folder never
    tells two stories. On an error nothing is left behind: neither a file nor a folder made for it.

    Args:
        results_dir: Made with its parents where it is missing.
        owned: The names of all files that this analysis may write; the moves happen in this order.

    Raises:
        InputError: `results_dir` exists and is no folder.
        OSError: It cannot be written, the disk is full; `filename` is set.
    """
    made = _make_dirs(results_dir)
    name = f".unfinished-{secrets.token_hex(6)}"
    try:
        with guard.place(results_dir / name) as at, guard.folder_within(at) as aside:
            yield aside
            written = sorted(os.listdir(aside.fd), key=lambda n: (owned.index(n) if n in owned else -1, n))
            for one in written:
                _fsync(one, aside.fd)
            for one in written:
                os.replace(one, one, src_dir_fd=aside.fd, dst_dir_fd=at.fd)
            for one in set(owned).difference(written):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(one, dir_fd=at.fd)
        fsync_dir(results_dir)
    except BaseException as error:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                guard.remove_folder(folder)
        if isinstance(error, OSError) and not (isinstance(error.filename, str) and os.path.isabs(error.filename)):
            error.filename = str(results_dir / (error.filename or ""))
        raise


def _make_dirs(folder: Path) -> list[Path]:
    """Make `folder` and its missing parents; returns those made, outermost first."""
    missing: list[Path] = []
    probe = folder
    while not os.path.lexists(probe):
        missing.append(probe)
        probe = probe.parent
    if not guard.is_folder(probe):
        raise InputError("is not a folder", where=probe, fix="name a folder for results_dir")
    missing.reverse()
    made: list[Path] = []
    try:
        for path in missing:
            guard.make_folder(path)
            made.append(path)
    except OSError:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                guard.remove_folder(path)
        raise
    return missing


def _fsync(name: str, folder: int) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
