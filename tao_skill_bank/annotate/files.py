"""The step files as projections: written anew from the journal, whole, in the order of the videos."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.layout import STATUS_FILE, STEP_FILES, step_file
from tao_skill_bank.annotate.listing import StandingRows
from tao_skill_bank.core import guard
from tao_skill_bank.core.fsio import atomic_open


def write_step_files(
    results_dir: Path, steps: Collection[str], run: int, standing: StandingRows, reached: Collection[str] | None
) -> None:
    """Replace the files of `steps` by the rows of this run.

    Args:
        results_dir: Where.
        steps: The steps that were asked for; the files of others are not touched.
        run: The run whose rows count.
        standing: What the files held before.
        reached: Absolute paths of the videos that the run has gone through; rows of others that stood there stay, at
            the end. None: the run is complete, and only rows written by others stay.
    """
    with Journal(results_dir, read_only=True) as journal:
        for step in STEP_FILES:
            if step not in steps:
                continue
            path = step_file(results_dir, step)
            if (
                step not in standing.steps
                and not guard.exists(path)
                and next(journal.row_names(step, run), None) is None
            ):
                continue
            with atomic_open(path) as handle:
                for body in journal.rows(step, run):
                    handle.write(body + "\n")
                for body in _kept(journal, step, run, standing, reached):
                    handle.write(body + "\n")


def _kept(
    journal: Journal, step: str, run: int, standing: StandingRows, reached: Collection[str] | None
) -> Iterator[str]:
    """The rows of a step's file that stay though the run did not make them, one at a time."""
    if step not in standing.steps:
        return
    # Digests: the names of a hundred thousand videos and of their questions would be a quarter of a gigabyte.
    made = {_digest(os.path.abspath(video), part) for video, part in journal.row_names(step, run)}
    for video, part, body in standing.bodies(step):
        if _digest(video, part) not in made and _stays(video, body, reached):
            yield body


class StatusFile:
    """`status.json`: JSON lines, appended as the run goes, as TAO writes them."""

    def __init__(self, results_dir: Path) -> None:
        self.path = results_dir / STATUS_FILE

    def add(self, status: str, message: str, data: dict[str, Any] | None = None) -> None:
        """Append a line: status STARTED, RUNNING, SUCCESS or FAILURE."""
        now = datetime.now(UTC)
        line: dict[str, Any] = {
            "date": now.strftime("%m/%d/%Y"),
            "time": now.strftime("%H:%M:%S"),
            "status": status,
            "verbosity": "INFO" if status != "FAILURE" else "ERROR",
            "message": message,
        }
        if data is not None:
            line["data"] = data
        torn = guard.holds_bytes(self.path) and not _ends_whole(self.path)
        with guard.open_write(self.path, "ab", make=True) as handle:
            handle.write((("\n" if torn else "") + json.dumps(line, allow_nan=False) + "\n").encode())


def _digest(video: str, part: str) -> bytes:
    return hashlib.blake2b(f"{video}\0{part}".encode("utf-8", "surrogateescape"), digest_size=12).digest()


def _stays(video: str, body: str, reached: Collection[str] | None) -> bool:
    if reached is None:
        return "digest" not in json.loads(body)
    return video not in reached


def _ends_whole(path: Path) -> bool:
    with guard.open_read(path) as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) == b"\n"
