"""Token alignment: windows, messages once, nothing lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.bank.transcripts import project_dir, read_usage
from tao_skill_bank.core.clock import log_time
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.log import LOG_FILE, LogLine, append_stage, read_log
from tao_skill_bank.loop.tokens import NothingMatchedError, align_tokens

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return log_time(START + timedelta(seconds=seconds))


def log_of(folder: Path, *ends: float) -> Path:
    lines = [
        LogLine(seq=n, ts=at(end), iter="baseline", stage="train", status="error", summary="x", duration_sec=1)
        for n, end in enumerate(ends, start=1)
    ]
    path = folder / LOG_FILE
    path.write_text("".join(line.json_line() + "\n" for line in lines))
    return path


def message(seconds: float, identity: str, **usage: Any) -> str:
    used = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 10, **usage}
    body = {"id": identity, "model": "m-1", "usage": used}
    return json.dumps({"type": "assistant", "timestamp": at(seconds), "message": body})


def transcript(folder: Path, *lines: str) -> Path:
    path = folder / "t.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_message_belongs_to_the_window_that_ends_at_or_after_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10, 20)
    found = align_tokens(
        log, [transcript(tmp_path, message(10, "a"), message(10.1, "b"), message(20, "c"), message(21, "d"))]
    )
    assert (found.matched, found.unmatched, found.stages) == (3, 1, 2)
    first, second = read_log(log)
    assert first.tokens is not None and second.tokens is not None
    assert first.tokens["n_messages"] == 1 and second.tokens["n_messages"] == 2
    assert first.context_tokens == 11 and second.tokens["output"] == 4


def test_a_message_that_stands_in_many_lines_counts_once_with_its_last_figures(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    path = transcript(tmp_path, message(1, "a", output_tokens=1), message(2, "a", output_tokens=7))
    align_tokens(log, [path, path])
    tokens = read_log(log)[0].tokens
    assert tokens is not None and tokens["n_messages"] == 1 and tokens["output"] == 7


def test_cache_lifetimes_and_models_are_told_apart(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    created = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    align_tokens(log, [transcript(tmp_path, message(1, "a", cache_creation_input_tokens=7, cache_creation=created))])
    tokens = read_log(log)[0].tokens
    assert tokens == {
        "n_messages": 1,
        "input": 1,
        "output": 2,
        "cache_read": 10,
        "cache_create": 7,
        "cache_create_5m": 3,
        "cache_create_1h": 4,
        "context_size_end": 18,
        "models": ["m-1"],
    }


def test_nothing_matched_is_exit_three_and_rewrites_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    before = log.read_bytes()
    with pytest.raises(NothingMatchedError) as caught:
        align_tokens(log, [transcript(tmp_path, message(11, "late"))])
    assert caught.value.exit_code == 3
    assert log.read_bytes() == before


def test_a_dry_run_counts_and_rewrites_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    before = log.read_bytes()
    assert align_tokens(log, [transcript(tmp_path, message(1, "a"))], dry_run=True).matched == 1
    assert log.read_bytes() == before


def test_a_corrupt_last_line_is_refused_and_not_dropped_by_the_rewrite(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    with log.open("a") as handle:
        handle.write('{"seq": 2')
    before = log.read_bytes()
    with pytest.raises(InputError, match="corrupt"):
        align_tokens(log, [transcript(tmp_path, message(1, "a"))])
    assert log.read_bytes() == before


def test_an_aligned_log_takes_further_lines(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10)
    align_tokens(log, [transcript(tmp_path, message(1, "a"))])
    append_stage(log, iter_label="iter1", stage="rca", status="ok", summary="x", duration_sec=0)
    lines = read_log(log)
    assert [line.seq for line in lines] == [1, 2] and lines[0].tokens is not None


@pytest.mark.parametrize(
    "junk", ["", "[1]", "nonsense", '{"type": "assistant"}', '{"type":"assistant","message":{"usage":7}}', "\x00" * 50]
)
def test_junk_in_a_transcript_is_passed_over(tmp_path: Path, junk: str) -> None:
    assert [u.message_id for u in read_usage([transcript(tmp_path, junk, message(1, "a"), junk)])] == ["a"]


def test_the_transcripts_of_a_folder_lie_under_its_flattened_name(tmp_path: Path) -> None:
    assert project_dir(Path("/home/me/my_app.v2"), tmp_path) == tmp_path / ".claude" / "projects" / "-home-me-my-app-v2"
