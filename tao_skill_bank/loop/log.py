"""`loop_log.jsonl`: one line a stage, numbered 1, 2, 3 …, appended by any number of processes at once.

An append takes the log's lock, reads the tail (not the file), writes one line and syncs it: it costs the same at
line 10 and at line 100,000. Where a `deft_state.json` lies beside the log, its records that the log lacks (a crash
between the commit and the append) are written first. A log that was deleted is rebuilt from those records alone: lines
that others had appended are lost with the file, and their `seq` are missing from the new one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.appended import (
    append_bytes,
    last_line,
    last_line_in,
    move_last_line_aside,
    size_of,
    write_at_the_end,
)
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.models import Strict
from tao_skill_bank.core.text import is_number
from tao_skill_bank.loop.asked import StageAsked
from tao_skill_bank.loop.state import (
    STAGE_PATTERN,
    STATE_FILE,
    AnyState,
    Header,
    LogTime,
    StageName,
    StageRecord,
    is_iteration_label,
    read_header,
)

LOG_FILE = "loop_log.jsonl"
LOCK_TIMEOUT_SEC = 60.0


class LogLine(Strict):
    """One line of the log. `context_tokens` is 0, and `tokens` absent, until token alignment."""

    seq: int = Field(ge=1)
    ts: LogTime
    iter: str
    stage: StageName
    status: str = Field(pattern="^(ok|error)$")
    summary: str
    duration_sec: int = Field(ge=0)
    context_tokens: int = Field(default=0, ge=0)
    tokens: dict[str, Any] | None = None

    @field_validator("iter")
    @classmethod
    def _label(cls, value: str) -> str:
        if not is_iteration_label(value):
            raise ValueError("must be 'baseline' or 'iter<N>' with N >= 1")
        return value

    @field_validator("summary")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not _is_one_line(value):
            raise ValueError("must be one line of text")
        return value

    @property
    def token_total(self) -> int:
        """Everything read and written: input, output, cache reads and cache writes."""
        known = {key: number for key, number in (self.tokens or {}).items() if is_number(number)}
        return sum(int(known.get(key, 0)) for key in ("input", "output", "cache_read", "cache_create"))

    def json_line(self) -> str:
        """The line as written, without its newline."""
        return json.dumps(self.model_dump(exclude_none=True), ensure_ascii=False, allow_nan=False)


def log_path(results_dir: Path) -> Path:
    """Where a run's log lies."""
    return results_dir / LOG_FILE


@contextmanager
def log_lock(path: Path) -> Iterator[None]:
    """Hold the log's lock: at most one process appends or rewrites at a time."""
    with guard.locked(path.with_name(f"{path.name}.lock"), timeout=LOCK_TIMEOUT_SEC, make=True):
        yield


def append_stage(path: Path, *, repair: bool = False, stages: Collection[str] = (), **asked: Any) -> LogLine:
    """Append one line to the log at `path` and return it.

    Args:
        path: The log; its folder is made if it is not there.
        repair: Move a torn or corrupt last line to `loop_log.jsonl.corrupt-<n>` instead of refusing to append. A tail
            that a crash tore off a record of the state is moved there in any case, and the line is written anew.
        stages: The names a stage may have; whoever knows the run's task hands them in.
        asked: The fields of `StageAsked`.

    Raises:
        InputError: A value is invalid or the last line is corrupt; the file's bytes are then unchanged.
    """
    said = StageAsked(**asked)
    _check(said, stages)
    with log_lock(path):
        seq = _sync_locked(path, _sibling_state(path), repair=repair) + 1
        values = asdict(said)
        line = LogLine(seq=seq, ts=log_time(SystemClock().now()), iter=values.pop("iter_label"), **values)
        append_bytes(path, (line.json_line() + "\n").encode())
    return line


def _check(said: StageAsked, stages: Collection[str]) -> None:
    """Refuse values that cannot stand in a log line; each refusal names its argument."""
    label, stage, summary = said.iter_label, said.stage, said.summary
    if not is_iteration_label(label):
        raise InputError(f"{label!r} is no iteration", where="--iter-label", fix="use baseline or iter<N>, N >= 1")
    if stages and stage not in stages:
        raise InputError(f"unknown stage {stage!r}", where="--stage", fix=did_you_mean(stage, stages))
    if not re.fullmatch(STAGE_PATTERN, stage):
        raise InputError(f"{stage!r} is no stage's name", where="--stage", fix="use small letters, digits and '_'")
    if said.status not in ("ok", "error"):
        raise InputError(f"unknown status {said.status!r}", where="--status", fix="use ok or error")
    if not _is_one_line(summary) or "\x00" in summary:
        raise InputError("must be one line of text", where="--summary", fix="write the outcome in one line")
    if any("\ud800" <= c <= "\udfff" for c in summary):
        raise InputError("is not valid text", where="--summary", fix="write it in UTF-8")
    for value, name in ((said.duration_sec, "--duration-sec"), (said.context_tokens, "--context-tokens")):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{value!r} is not a whole number >= 0", where=name, fix="give whole seconds or tokens")


def sync_log(results_dir: Path, state: AnyState | Header | None = None) -> int:
    """Bring the log up to the state: write the records it lacks, fix a torn tail. Returns the last `seq`."""
    path = log_path(results_dir)
    with log_lock(path):
        return _sync_locked(path, state, repair=True)


@contextmanager
def next_seq(results_dir: Path, state: AnyState) -> Iterator[int]:
    """Hold the log while the caller numbers a record and commits it to the state; the log is brought up to it then.

    Yields:
        The `seq` to give to the first new record.
    """
    path = log_path(results_dir)
    with log_lock(path):
        last = _sync_locked(path, state, repair=True)
        yield max(last, max((r.seq for r in state.records()), default=0)) + 1
        _sync_locked(path, state, repair=True)


def read_log(path: Path) -> list[LogLine]:
    """Every whole line of the log, in order; a torn last line is left out.

    Raises:
        InputError: A line before the last cannot be read; it is named.
    """
    try:
        data = guard.read_bytes(path, "log")
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")
    torn = lines.pop()
    out: list[LogLine] = []
    for number, raw in enumerate(lines, start=1):
        try:
            out.append(LogLine.model_validate_json(raw))
        except ValidationError as error:
            if number == len(lines) and not torn:
                break
            raise InputError(
                f"cannot be read: {error.errors()[0]['msg']}", where=f"{path} line {number}", fix="fix the line"
            ) from None
    return out


def read_tail(path: Path, after: int = 0, limit: int = 20) -> list[LogLine]:
    """The last `limit` whole lines with a `seq` greater than `after`, in order; reads no more than those.

    Raises:
        InputError: One of them, before the last, cannot be read.
    """
    try:
        handle = guard.open_read(path, "log")
    except FileNotFoundError:
        return []
    out: list[LogLine] = []
    # Open once: the log may be written anew meanwhile (`rewrite_log`), and its lines then begin elsewhere.
    with handle:
        end = size = handle.seek(0, os.SEEK_END)
        while end > 0 and len(out) < limit and (raw := last_line_in(handle, end)):
            end -= len(raw)
            try:
                line = _parse_last(path, raw)
            except InputError:
                if end + len(raw) != size:
                    raise
                continue
            if line.seq <= after:
                break
            out.append(line)
    return out[::-1]


def rewrite_log(path: Path, change: Callable[[list[LogLine]], list[LogLine] | None]) -> None:
    """Replace the log's lines while nobody can append: `change` gets them and returns the new ones, or None to keep."""
    with log_lock(path):
        last_seq(path)  # a corrupt last line is refused, not dropped
        lines = read_log(path)
        changed = change(lines)
        if changed is not None:
            fsio.write_text(path, "".join(line.json_line() + "\n" for line in changed))


def last_seq(path: Path, before: int | None = None) -> int:
    """`seq` of the log's last line, 0 for an empty or missing log; reads the tail only.

    Of the first `before` bytes, if given.

    Raises:
        InputError: That line is torn or corrupt.
    """
    line = last_line(path, "log", before)
    return 0 if line is None else _parse_last(path, line).seq


def line_of(label: str, record: StageRecord) -> LogLine:
    """The log line of a stage record; a summary of several lines (a label may hold anything) becomes one."""
    return LogLine(
        seq=record.seq,
        ts=record.ts,
        iter=label,
        stage=record.stage,
        status=record.status,
        summary=" ".join(record.summary.splitlines()),
        duration_sec=record.duration_sec,
    )


def _sibling_state(path: Path) -> Header | None:
    if path.name != LOG_FILE or not guard.is_file(path.parent / STATE_FILE):
        return None
    return read_header(path.parent)


def _is_one_line(text: str) -> bool:
    """Whether `text` says something and has no line break of any kind, as Unicode counts them."""
    return bool(text.strip()) and text.splitlines() == [text]


def _is_torn_record(path: Path, state: AnyState | Header | None) -> bool:
    """Whether the log's end is the beginning of a line that stands whole in the state: a crash in its append.

    Any other tail may be the only trace of what somebody else wrote.
    """
    tail = last_line(path, "log")
    if state is None or tail is None or tail.endswith(b"\n"):
        return False
    try:
        last = last_seq(path, before=size_of(path, "log") - len(tail))
    except InputError:
        return False
    lines = (line_of(label, r).json_line().encode() for label, r in state.labelled_records() if r.seq > last)
    return any(line.startswith(tail) for line in lines)


def _sync_locked(path: Path, state: AnyState | Header | None, *, repair: bool) -> int:
    end = _end(path)
    try:
        last = last_seq(path)
    except InputError:
        if not (repair or _is_torn_record(path, state)):
            raise
        move_last_line_aside(path, "log")
        end, last = _end(path), last_seq(path)
    if state is not None:
        missing = [line_of(label, r) for label, r in state.labelled_records() if r.seq > last]
        if missing:
            write_at_the_end(path, "".join(line.json_line() + "\n" for line in missing).encode(), end)
            last = missing[-1].seq
    return last


def _end(path: Path) -> int:
    about = guard.status(path)
    return 0 if about is None else about.st_size


def _parse_last(path: Path, line: bytes) -> LogLine:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("it has no end")
        return LogLine.model_validate_json(line)
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(
            f"the last line is corrupt: {reason}", where=path, fix="run log_stage.py with --repair to move it aside"
        ) from None
