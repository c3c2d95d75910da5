"""The loop's log: numbering, durability, refusals, constant cost."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop import log
from tao_skill_bank.loop.log import (
    LOG_FILE,
    LogLine,
    append_stage,
    last_seq,
    read_log,
    read_tail,
    rewrite_log,
    sync_log,
)
from tao_skill_bank.loop.state import StageRecord, save_state
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.task import TASK


def entry(path: Path, **changes: object) -> None:
    values: dict[str, object] = {
        "iter_label": "baseline",
        "stage": "train",
        "status": "ok",
        "summary": "done",
        "duration_sec": 3,
    }
    append_stage(path, stages=TASK.stage_names, **{**values, **changes})  # type: ignore[arg-type]


def run_state(folder: Path, seqs: list[int]) -> DeftState:
    stages = [
        StageRecord(
            seq=seq, ts="2026-01-01T00:00:00.000000Z", stage="train", status="error", summary=f"s{seq}", duration_sec=1
        )
        for seq in seqs
    ]
    config = {
        "workspace": str(folder),
        "specs_file": "s",
        "training_csv": "t",
        "validation_csv": "v",
        "kpi_test_csv": "k",
        "images_dir": "i",
    }
    state = DeftState.model_validate(
        {
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": "FAR < 1% at recall=99%",
            "results_dir": str(folder),
            "max_iterations": 2,
            "task": TASK.name,
            "order": TASK.order,
            "config": config,
        }
    )
    state.iterations["baseline"] = Iteration(stages=stages)
    return state


def test_entries_are_numbered_from_one_and_hold_the_fields_in_order(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    entry(log)
    entry(log, stage="evaluate", summary="FAR 3 %", context_tokens=5)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    assert list(lines[1]) == ["seq", "ts", "iter", "stage", "status", "summary", "duration_sec", "context_tokens"]
    assert lines[1]["context_tokens"] == 5 and lines[0]["context_tokens"] == 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"iter_label": "iter0"}, "--iter-label"),
        ({"iter_label": "iteration 1"}, "--iter-label"),
        ({"stage": "trian"}, "'train'"),
        ({"status": "fine"}, "--status"),
        ({"summary": "two\nlines"}, "--summary"),
        ({"iter_label": "iter1\n"}, "--iter-label"),
        ({"summary": "ended\n"}, "--summary"),
        ({"summary": "two\x0blines"}, "--summary"),
        ({"summary": "two\x85lines"}, "--summary"),
        ({"summary": "two\u2028lines"}, "--summary"),
        ({"summary": "two\u2029lines"}, "--summary"),
        ({"summary": "  "}, "--summary"),
        ({"duration_sec": -1}, "--duration-sec"),
        ({"context_tokens": -1}, "--context-tokens"),
    ],
)
def test_an_invalid_entry_is_refused_by_name_and_changes_nothing(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    log = tmp_path / LOG_FILE
    entry(log)
    before = log.read_bytes()
    with pytest.raises(InputError, match=named):
        entry(log, **changes)
    assert log.read_bytes() == before


@pytest.mark.parametrize("tail", [b'{"seq": 2, "ts": "20', b"not json\n", b'{"seq": 0}\n'])
def test_a_corrupt_last_line_is_refused_until_it_is_moved_aside(tmp_path: Path, tail: bytes) -> None:
    log = tmp_path / LOG_FILE
    entry(log)
    with log.open("ab") as handle:
        handle.write(tail)
    before = log.read_bytes()
    with pytest.raises(InputError, match="--repair"):
        entry(log)
    assert log.read_bytes() == before
    entry(log, repair=True)
    assert [line.seq for line in read_log(log)] == [1, 2]
    assert (tmp_path / f"{LOG_FILE}.corrupt-1").read_bytes() == tail


def test_records_that_a_crash_kept_from_the_log_are_written_first(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1, 2, 3])
    save_state(state)
    entry(tmp_path / LOG_FILE, stage="evaluate")
    assert [line.seq for line in read_log(tmp_path / LOG_FILE)] == [1, 2, 3, 4]


def test_a_deleted_log_is_rebuilt_from_the_state(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1, 2])
    sync_log(tmp_path, state)
    first = (tmp_path / LOG_FILE).read_bytes()
    (tmp_path / LOG_FILE).unlink()
    assert sync_log(tmp_path, state) == 2
    assert (tmp_path / LOG_FILE).read_bytes() == first


def test_a_line_torn_in_the_append_of_a_commit_is_written_anew(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1, 2])
    sync_log(tmp_path, state)
    log = tmp_path / LOG_FILE
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    sync_log(tmp_path, state)
    assert log.read_bytes() == whole


@pytest.mark.parametrize(
    "tail", [b'{"seq": 3, "ts": "2025', b"not json\n", b'{"seq": 2, "ts": "2026-01-01T00:00:00.000000Z"']
)
def test_a_corrupt_tail_that_is_no_record_of_the_state_is_refused_to_others_and_mended_by_the_engine(
    tmp_path: Path, tail: bytes
) -> None:
    state = run_state(tmp_path, [1, 2, 3])
    save_state(state)
    sync_log(tmp_path, state)
    log = tmp_path / LOG_FILE
    whole = log.read_bytes()
    torn = b"".join(whole.splitlines(keepends=True)[:2]) + tail
    log.write_bytes(torn)
    with pytest.raises(InputError, match="--repair"):
        entry(log)
    assert log.read_bytes() == torn and list(tmp_path.glob("*.corrupt-*")) == []
    sync_log(tmp_path, state)
    assert log.read_bytes() == whole


def test_a_tail_torn_off_a_record_of_the_state_is_written_anew_by_whoever_appends_next(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1, 2, 3])
    save_state(state)
    sync_log(tmp_path, state)
    log = tmp_path / LOG_FILE
    whole = log.read_bytes()
    log.write_bytes(whole[:-1])
    entry(log)
    assert log.read_bytes().startswith(whole)
    assert [line.seq for line in read_log(log)] == [1, 2, 3, 4]


def test_a_torn_tail_behind_a_corrupt_line_is_refused(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1, 2])
    save_state(state)
    sync_log(tmp_path, state)
    log = tmp_path / LOG_FILE
    log.write_bytes(b"not json\n" + log.read_bytes().splitlines(keepends=True)[1][:-9])
    before = log.read_bytes()
    with pytest.raises(InputError, match="--repair"):
        entry(log)
    assert log.read_bytes() == before


def test_a_record_whose_summary_has_line_breaks_is_one_line_in_the_log(tmp_path: Path) -> None:
    state = run_state(tmp_path, [1])
    state.iterations["baseline"].stages[0].summary = "3 pairs of bri\u2028dge"
    sync_log(tmp_path, state)
    assert [line.summary for line in read_log(tmp_path / LOG_FILE)] == ["3 pairs of bri dge"]


def _append_many(path: str, count: int) -> None:
    for _ in range(count):
        entry(Path(path))


class AlmostFull:
    """A file on a disk that has so many bytes left: it writes what fits and then refuses."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> AlmostFull:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.file.write(data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 40, 120])
def test_an_append_that_the_disk_has_no_room_for_leaves_the_log_as_it_was(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / LOG_FILE
    entry(log)
    before, real = log.read_bytes(), guard.open_write
    with monkeypatch.context() as patched:
        patched.setattr(guard, "open_write", lambda *a, **k: AlmostFull(real(*a, **k), room))
        with pytest.raises(OSError, match="No space left"):
            entry(log, summary="a line that does not fit " * 4)
    assert log.read_bytes() == before
    entry(log)
    assert [line.seq for line in read_log(log)] == [1, 2]


def test_fifty_processes_at_once_leave_fifty_numbers_and_no_torn_line(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(str(log), 1)) for _ in range(50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 50
    assert [line.seq for line in read_log(log)] == list(range(1, 51))


def test_an_append_behind_100_000_lines_costs_what_it_costs_behind_ten(tmp_path: Path) -> None:
    def with_lines(count: int) -> Path:
        log = tmp_path / f"log-{count}.jsonl"
        entry(log)
        template = json.loads(log.read_text())
        with log.open("w") as handle:
            handle.writelines(json.dumps({**template, "seq": n}) + "\n" for n in range(1, count + 1))
        return log

    def cost(log: Path) -> float:
        began = time.perf_counter()
        entry(log)
        return time.perf_counter() - began

    few, many = with_lines(10), with_lines(100_000)
    # In turns, so that what else the machine does falls on both alike; the quicker half is the work itself.
    pairs = [(cost(few), cost(many)) for _ in range(41)]
    assert (last_seq(few), last_seq(many)) == (51, 100_041)
    short, long = (sorted(side)[10] for side in zip(*pairs, strict=True))
    assert long <= 2 * short, f"{long / short:.2f} times"


@pytest.mark.parametrize("torn", [b"", b'{"seq": 41, "ts'])
def test_the_tail_holds_the_newest_lines_behind_a_cursor_and_nothing_torn(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "loop_log.jsonl"
    for _ in range(40):
        append_stage(path, iter_label="iter1", stage="train", status="ok", summary="x", duration_sec=1)
    with path.open("ab") as handle:
        handle.write(torn)
    assert [line.seq for line in read_tail(path, limit=3)] == [38, 39, 40]
    assert [line.seq for line in read_tail(path, after=38)] == [39, 40]
    assert [line.seq for line in read_tail(path, after=5, limit=100)] == list(range(6, 41))
    assert read_tail(path, after=40) == []
    assert read_tail(tmp_path / "none.jsonl") == []
    assert read_tail(path, limit=100) == read_log(path)


@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("longer", [True, False], ids=["longer", "shorter"])
def test_whoever_reads_the_tail_while_the_log_is_written_anew_gets_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, longer: bool
) -> None:
    """A run's last act gives the stages their tokens, which changes the length of every line under a watcher's eyes."""
    path, real, parsed = tmp_path / "loop_log.jsonl", log._parse_last, []

    def given(lines: list[LogLine], more: bool) -> list[LogLine]:
        return [line.model_copy(update={"tokens": {"input": 10**20} if more else None}) for line in lines]

    def parse(where: Path, raw: bytes) -> LogLine:
        parsed.append(raw)
        if len(parsed) == at:
            monkeypatch.setattr(log, "_parse_last", real)
            rewrite_log(path, lambda lines: given(lines, longer))
        return real(where, raw)

    for _ in range(5):
        append_stage(path, iter_label="iter1", stage="train", status="ok", summary="x", duration_sec=1)
    rewrite_log(path, lambda lines: given(lines, not longer))
    monkeypatch.setattr(log, "_parse_last", parse)
    assert [line.seq for line in read_tail(path, limit=100)] == [1, 2, 3, 4, 5]
    assert (read_log(path)[0].tokens is not None) is longer


def test_a_line_in_the_tail_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop_log.jsonl"
    for _ in range(3):
        append_stage(path, iter_label="iter1", stage="train", status="ok", summary="x", duration_sec=1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    assert [line.seq for line in read_tail(path, limit=1)] == [3]
    with pytest.raises(InputError, match="corrupt"):
        read_tail(path, limit=3)
