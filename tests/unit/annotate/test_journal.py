"""The journal: an answer that was recorded is there, whatever happens to the process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.annotate.batch import left_open
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.ledger import entries_of
from tao_skill_bank.annotate.records import BatchedCall, Entry, OpenBatch, Recorded, Settled
from tao_skill_bank.annotate.shards import merge_journals, shard_folder
from tao_skill_bank.core.errors import InputError


def recorded(key: str, text: str = "text", cost: float | None = 0.5) -> Recorded:
    return Recorded(key, "mcq", "/v/a.mp4", "openai x", "m", text, "stop", 10, 5, cost, 0.25, "2026-01-01T00:00:00Z")


def test_the_first_answer_to_a_key_stays(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.record(recorded("k", "first")).result()
        journal.record(recorded("k", "second")).result()
        assert journal.answer("k") == recorded("k", "first")
        assert journal.answer("other") is None


def test_totals_count_answers_calls_tokens_and_what_has_no_price_or_no_known_outcome(tmp_path: Path) -> None:
    entries = [Entry(name, name, "openai x", "m", 1.5) for name in "abcdef"]
    with Journal(tmp_path) as journal:
        journal.send(entries)
        journal.settle([("a", Settled("answered", 0.5, 10, 5), recorded("a"))])
        journal.settle([("b", Settled("answered", None, 10, 5), recorded("b", cost=None))])
        journal.settle([("c", Settled("empty", 0.25, 100, 50), None), ("d", Settled("throttled"), None)])
        journal.settle([("e", Settled("timeout", None, unknown=True), None)]).result()
        totals = journal.totals()
        assert (totals.answers, totals.calls, totals.input_tokens, totals.cost, totals.unpriced) == (2, 6, 120, 0.75, 1)
        assert (totals.unknown, totals.may_cost, totals.in_flight, totals.in_flight_cost) == (1, 1.5, 1, 1.5)
        assert journal.tries() == {"empty": 1, "throttled": 1, "timeout": 1}


def test_what_a_killed_process_sent_may_have_been_billed(tmp_path: Path) -> None:
    batch = OpenBatch("t", "openai x", "m", "b", 1.0, (BatchedCall("k", "mcq", "/v", 0.5),))
    with Journal(tmp_path) as journal:
        journal.send([Entry("a", "a", "openai x", "m", 1.5)])
        journal.send(entries_of(batch), batch).result()
    with Journal(tmp_path) as journal:
        journal.resume().result()
        totals = journal.totals()
        assert (totals.unknown, totals.may_cost, totals.in_flight, totals.in_flight_cost) == (1, 1.5, 1, 0.5)
        assert journal.tries() == {"killed": 1}


def test_of_an_open_batch_that_a_run_had_not_come_to_is_not_said_that_the_run_does_not_use_its_model(
    tmp_path: Path,
) -> None:
    batch = OpenBatch("t", "openai x", "judge", "b", 1.0, (BatchedCall("k", "mcq", "/v", 0.5),))
    with Journal(tmp_path) as journal:
        journal.send(entries_of(batch), batch).result()
        assert left_open(journal, {("openai x", "writer")}) == [
            "1 open batch of a model or an address that this run did not ask"
        ]
        (own,) = left_open(journal, {("openai x", "judge")})
        assert own.startswith("batch b is still open at the vendor")


def test_an_answer_that_was_committed_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from test_journal import recorded\n"
        "from tao_skill_bank.annotate.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for i in range(10000):\n"
        "    journal.record(recorded(str(i))).result(); print(i, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    seen = [int(child.stdout.readline()) for _ in range(25)]
    child.send_signal(signal.SIGKILL)
    seen += [int(line) for line in child.stdout.read().splitlines() if line.endswith(tuple("0123456789"))]
    child.stdout.close()
    child.wait()
    with Journal(tmp_path, read_only=True) as journal:
        assert all(journal.answer(str(i)) is not None for i in seen)


def test_rows_come_back_in_order_and_only_those_of_the_run(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.put_row("3", "/v/b", "anomaly_mcq", 1, 2, "b-mcq")
        journal.put_row("3", "/v/a", "anomaly_mcq", 0, 2, "a-mcq")
        journal.put_row("3", "/v/a", "anomaly_bcq", 0, 2, "a-bcq")
        journal.put_row("3", "/v/old", "anomaly_bcq", 9, 1, "old").result()
        assert list(journal.rows("3", 2)) == ["a-bcq", "a-mcq", "b-mcq"]
        journal.keep_only(2).result()
        assert list(journal.rows("3")) == ["a-bcq", "a-mcq", "b-mcq"]


def test_a_folder_without_a_journal_and_a_file_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotation run here"):
        Journal(tmp_path, read_only=True)
    (tmp_path / "journal.sqlite3").write_bytes(b"something else entirely" * 100)
    with pytest.raises(InputError, match="cannot be used"):
        Journal(tmp_path)


def test_a_journal_that_is_only_being_made_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").touch()
    with pytest.raises(InputError, match="only just begun"):
        Journal(tmp_path, read_only=True)


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_journal_that_cannot_be_opened_is_one_line_and_no_thread_that_nobody_hears_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    with Journal(tmp_path):
        pass
    real = sqlite3.connect
    opened = 0

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        nonlocal opened
        opened += 1
        if opened == failing:
            raise sqlite3.OperationalError("unable to open database file")
        return real(*args, **more)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(InputError, match="cannot be used: unable to open database file"):
        Journal(tmp_path)
    assert opened == failing


def test_damage_inside_the_file_is_one_line_where_it_is_read(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    path = tmp_path / "journal.sqlite3"
    content = bytearray(path.read_bytes())
    for page in range(2 * 4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be used"), Journal(tmp_path, read_only=True) as journal:
        journal.totals()


def test_merging_names_the_parts_that_are_not_there(tmp_path: Path) -> None:
    for part in (1, 3):
        Journal(shard_folder(tmp_path, part, 3)).close()
    assert merge_journals(tmp_path).missing == ["0002-of-0003"]
