"""All the outputs of an analysis, or none: written aside, then moved into the results folder together."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import fsync_dir


@contextlib.contextmanager
def staged_outputs(results_dir: Path, owned: Sequence[str]) -> Iterator[Path]:
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
    aside: Path | None = None
    try:
        aside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=results_dir))
        yield aside
        names = sorted((p.name for p in aside.iterdir()), key=lambda n: (owned.index(n) if n in owned else -1, n))
        for name in names:
            _fsync(aside / name)
        for name in names:
            os.replace(aside / name, results_dir / name)
        for name in owned:
            if name not in names:
                (results_dir / name).unlink(missing_ok=True)
        aside.rmdir()
        fsync_dir(results_dir)
    except BaseException as error:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error.filename, str):
            error.filename = str(results_dir)
        raise


def _make_dirs(folder: Path) -> list[Path]:
    """Make `folder` and its missing parents; returns those made, outermost first."""
    missing: list[Path] = []
    probe = folder
    while not os.path.lexists(probe):
        missing.append(probe)
        probe = probe.parent
    if not probe.is_dir():
        raise InputError("is not a folder", where=probe, fix="name a folder for results_dir")
    missing.reverse()
    made: list[Path] = []
    try:
        for path in missing:
            path.mkdir(exist_ok=True)
            made.append(path)
    except OSError:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
    return missing


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
