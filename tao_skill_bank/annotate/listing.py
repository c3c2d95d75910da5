"""Which videos a run has: those below a folder and those that JSONL files name, each once; and rows that are there."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.config import VIDEO_SUFFIXES, Data
from tao_skill_bank.annotate.layout import STEP_FILES, step_file
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.seal import Identity

_WHERE = "video_reasoning_annotation.data"
_MOST_STARTS = 300
_LONGEST_TORN = 4 << 20


@dataclass
class Listing:
    """Video paths in order, as written where they were found, and what could not be read.

    `known` says by what each is known, once it was looked at; None for one that was not there.
    """

    videos: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    known: dict[str, Identity | None] = field(default_factory=dict)


def list_videos(data: Data) -> Listing:
    """Every video once: the folder's in the order of their names, then those of the files in theirs.

    Two names count as one video when they mean the same path (`a/../b.mp4` and `b.mp4`).

    Raises:
        InputError: A folder or file that is not there.
    """
    listing = Listing()
    seen: set[str] = set()
    for path in _named(data, listing.problems):
        if not _writable(path):
            shown = path.encode("utf-8", "backslashreplace").decode()
            listing.problems.append(f"{shown}: its name is not UTF-8; left out")
            continue
        plain = os.path.abspath(path)
        if plain not in seen:
            seen.add(plain)
            listing.videos.append(path)
    return listing


def in_shard(video: str, index: int, count: int) -> bool:
    """Whether a video belongs to shard `index` (from 1) of `count`: by its path, so that a longer list moves none."""
    digest = hashlib.sha256(os.path.abspath(video).encode()).digest()
    return int.from_bytes(digest[:8], "big") % count == index - 1


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` as (2, 8).

    Raises:
        InputError: Anything else.
    """
    head, _, tail = text.partition("/")
    if not (head.isdecimal() and tail.isdecimal() and 1 <= int(head) <= int(tail)):
        raise InputError(f"not a shard: {text!r}", where="--shard", fix="write I/N, such as 2/8")
    return int(head), int(tail)


class StandingRows:
    """The rows that step files held before the run, on disk; a row without a digest was written by others."""

    def __init__(self, results_dir: Path) -> None:
        self.torn = 0
        self.steps: set[str] = set()
        self.digests: dict[str, str] = {}
        # An empty name is a temporary database on disk that nobody else sees.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute(
            "CREATE TABLE rows (step TEXT, video TEXT, part TEXT, number INTEGER, adopted INTEGER, body TEXT, "
            "PRIMARY KEY (step, video, part)) WITHOUT ROWID"
        )
        for step in STEP_FILES:
            path = step_file(results_dir, step)
            if guard.exists(path):
                self.steps.add(step)
                self._load(step, path)

    def of(self, step: str, video: str, *, adopted: bool) -> dict[str, dict[str, Any]]:
        """Part (the prompt key in step 3, else empty) → row. `adopted`: only rows without a digest."""
        sql = "SELECT part, body FROM rows WHERE step = ? AND video = ? AND adopted >= ?"
        found = self._db.execute(sql, (step, os.path.abspath(video), int(adopted)))
        return {part: _usable(json.loads(body)) for part, body in found}

    def made(self, step: str) -> bool:
        """Whether there are rows of a step that a run of ours made from answers."""
        sql = "SELECT 1 FROM rows WHERE step = ? AND NOT adopted LIMIT 1"
        return self._db.execute(sql, (step,)).fetchone() is not None

    def videos(self, steps: tuple[str, ...], *, adopted: bool) -> Iterator[str]:
        """Videos with rows in any of `steps`, as written, in the order of the files."""
        marks = ",".join("?" * len(steps))
        sql = f"SELECT body FROM rows WHERE step IN ({marks}) AND adopted >= ? ORDER BY step, number"
        for (body,) in self._db.execute(sql, (*steps, int(adopted))):
            yield video_of(json.loads(body))

    def bodies(self, step: str) -> Iterator[tuple[str, str, str]]:
        """(absolute path, part, row) of a step in the order of its file."""
        yield from self._db.execute("SELECT video, part, body FROM rows WHERE step = ? ORDER BY number", (step,))

    def close(self) -> None:
        """Let the temporary file go."""
        self._db.close()

    def _load(self, step: str, path: Path) -> None:
        self._db.execute("BEGIN")
        number = 0
        digest = hashlib.sha256()
        with guard.open_read(path) as handle:
            for raw in handle:
                digest.update(raw)
                line = raw.decode("utf-8", errors="replace")
                if not line.strip():
                    continue
                row = _row(line)
                if row is None:
                    self.torn += 1
                    continue
                number += 1
                part = str(row.get("prompt_key", "")) if step == "3" else ""
                values = (step, os.path.abspath(video_of(row)), part, number, int("digest" not in row))
                body = json.dumps(row, ensure_ascii=False)
                self._db.execute("INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?,?)", (*values, body))
        self._db.execute("COMMIT")
        self.digests[step] = digest.hexdigest()


def video_of(row: dict[str, Any]) -> str:
    """The video that a row is about; empty where it names none."""
    value = row.get("video") or row.get("video_path")
    return value if isinstance(value, str) else ""


def _usable(row: dict[str, Any]) -> dict[str, Any]:
    """A row that steps can build on: what others wrote in another form than the fields have is left out."""
    kept = dict(row)
    if kept.get("mode") not in (None, "anomaly", "normal"):
        del kept["mode"]
    for name in ("highlight_chunk", "original_captions"):
        if not isinstance(kept.get(name, {}), (dict, type(None))):
            del kept[name]
    pieces = kept.get("chunk_captions")
    if isinstance(pieces, list):
        kept["chunk_captions"] = [piece for piece in pieces if isinstance(piece, dict)]
    elif pieces is not None:
        del kept["chunk_captions"]
    times = ("timestamp_start", "timestamp_end", "anomaly_timestamp_sec")
    if (piece := kept.get("highlight_chunk")) and not all(isinstance(piece.get(t), (int, float)) for t in times):
        del kept["highlight_chunk"]
    return kept


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file that can be read."""
    with guard.open_text(path, errors="replace") as handle:
        for line in handle:
            row = _row(line)
            if row is not None:
                yield row


def _row(line: str) -> dict[str, Any] | None:
    """A line as a row. Behind a torn beginning, the whole row that was appended to it is found again."""
    start = 0
    # A row that was torn holds few objects; a line that nobody wrote may hold millions of beginnings.
    for _ in range(_MOST_STARTS if len(line) < _LONGEST_TORN else 1):
        try:
            value = json.loads(line[start:])
        except (ValueError, RecursionError):
            start = line.find('{"', start + 1)
            if start < 0:
                return None
            continue
        return value if isinstance(value, dict) and video_of(value) else None
    return None


def _writable(name: str) -> bool:
    """Whether a name can stand in a file of UTF-8; the bytes of a name on disk need not be any text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(data: Data, problems: list[str]) -> Iterator[str]:
    if data.video_root:
        root = os.path.expanduser(data.video_root)
        if not guard.is_folder(root):
            raise InputError("no such folder", where=f"{_WHERE}.video_root={root}", fix="check the path")
        yield from _below(root)
    for name in data.input_jsonl_files:
        path = Path(name).expanduser()
        if not guard.is_file(path):
            raise InputError("no such file", where=f"{_WHERE}.input_jsonl_files: {path}", fix="check the path")
        with guard.open_text(path, errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.strip():
                    continue
                row = _row(line)
                if row is None:
                    problems.append(f"{path}:{number}: names no video_path or video")
                elif not data.filter_field or bool(row.get(data.filter_field)):
                    yield video_of(row)


def _below(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield os.path.join(folder, name)
