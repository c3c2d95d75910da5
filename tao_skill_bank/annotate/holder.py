"""One process works on a results folder at a time; the others learn who."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tao_skill_bank.annotate.journal import take_over
from tao_skill_bank.annotate.run import clear_stop
from tao_skill_bank.core import guard, lifecycle
from tao_skill_bank.core.lifecycle import Desk

_LOCK = ".annotate.lock"
START_LOCK = ".annotate-start.lock"
_HOLDER = ".annotate-worker.json"


def desk(results_dir: Path) -> Desk:
    """Where those who work on the folder tell each other."""
    fix = "wait, watch it with annotate status, or annotate stop"
    return Desk(results_dir, results_dir / _LOCK, results_dir / _HOLDER, "annotating", fix)


@contextlib.contextmanager
def folder_lock(results_dir: Path, by: str) -> Iterator[None]:
    """Be the only one who works on the folder. The kernel frees the lock when its holder dies, however it dies.

    Where locks do not work somebody else may take it over all the same: whoever had it writes nothing from then on.
    A folder that is made for it and in which nothing is written goes again.

    Raises:
        BusyError: Somebody else is, or a worker for the folder has just been started.
    """
    made = not guard.exists(results_dir)
    guard.make_folder(results_dir)
    try:
        with lifecycle.at_work(desk(results_dir), by) as first:
            if first:
                # Whoever started this process has cleared it; what was asked for since then counts.
                clear_stop(results_dir)
            try:
                with guard.fenced(lifecycle.Held(desk(results_dir)).check):
                    if (own := lifecycle.announced(desk(results_dir))) is not None and own.after_silent:
                        take_over(results_dir)
                    yield
            finally:
                # Where somebody else works by now, the request is for that one.
                if (found := lifecycle.announced(desk(results_dir))) is None or found.is_own():
                    clear_stop(results_dir)
    finally:
        if made and set(guard.names(results_dir)) <= {_LOCK}:
            # The request could not be met: nothing is left of it.
            guard.remove(results_dir / _LOCK)
            with contextlib.suppress(OSError):
                guard.remove_folder(results_dir)
