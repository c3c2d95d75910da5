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
    above = next(folder for folder in (results_dir, *results_dir.parents) if os.path.lexists(folder))
    if not guard.is_folder(above):
        raise InputError("is not a folder", where=above, fix="name a folder for results_dir")
    aside_dir = results_dir / f".unfinished-{secrets.token_hex(6)}"
    with guard.folders_taken_back(aside_dir):
        guard.make_folder(results_dir)
        try:
            with guard.place(aside_dir) as at, guard.folder_within(at) as aside:
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
        except OSError as error:
            if not (isinstance(error.filename, str) and os.path.isabs(error.filename)):
                error.filename = str(results_dir / (error.filename or ""))
            raise


def _fsync(name: str, folder: int) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
