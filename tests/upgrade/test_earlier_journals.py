"""A journal of an earlier version is read and written to; one of a later version is refused and left as it was.

`journal_before_batches.sql` is an annotation of one video, as the version before batches wrote it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tao_skill_bank.annotate.journal import FILE_NAME, Journal
from tao_skill_bank.annotate.records import Settled
from tao_skill_bank.core.errors import InputError

HERE = Path(__file__).parent


@pytest.fixture
def old_journal(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.executescript((HERE / "journal_before_batches.sql").read_text())
    return tmp_path


def test_a_journal_of_an_earlier_version_is_read_with_every_answer_and_changed_by_no_reader(old_journal: Path) -> None:
    with Journal(old_journal, read_only=True) as journal:
        assert (journal.totals().answers, len(list(journal.answers()))) == (16, 16)
        assert list(journal.open_batches()) == []
    with closing(sqlite3.connect(old_journal / FILE_NAME)) as db:
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone() is None


def test_a_journal_of_an_earlier_version_is_written_to_and_loses_nothing(old_journal: Path) -> None:
    with Journal(old_journal, read_only=True) as journal:
        before = list(journal.answers())
        rows = dict(journal.row_counts())
    with Journal(old_journal) as journal:
        journal.settle([("answer nobody", Settled("throttled"), None)]).result()
        assert list(journal.open_batches()) == []
        assert list(journal.answers()) == before
        assert dict(journal.row_counts()) == rows


@pytest.mark.parametrize("read_only", [True, False])
def test_the_money_of_a_journal_of_an_earlier_version_is_in_the_ledger(old_journal: Path, read_only: bool) -> None:
    with closing(sqlite3.connect(old_journal / FILE_NAME)) as db, db:
        db.execute("UPDATE calls SET cost = 0.25")
        db.execute("INSERT INTO tries VALUES ('openai x', 'throttled', 2), ('openai x', 'timeout', 3)")
        db.executescript(
            "CREATE TABLE batches (ticket TEXT PRIMARY KEY, endpoint TEXT, model TEXT, id TEXT, at REAL);"
            "CREATE TABLE batch_calls (ticket TEXT, number INTEGER, key TEXT, kind TEXT, video TEXT, worst REAL);"
            "INSERT INTO batches VALUES ('t', 'openai x', 'm', 'b', 1.0);"
            "INSERT INTO batch_calls VALUES ('t', 0, 'k', 'mcq', '/v', 0.5);"
        )
    for _ in range(2):
        with Journal(old_journal, read_only=read_only) as journal:
            totals = journal.totals()
            assert (totals.calls, totals.cost, totals.unknown, totals.in_flight) == (16 + 5 + 1, 4.0, 3, 1)
            assert totals.in_flight_cost == 0.5
            assert journal.tries() == {"throttled": 2, "timeout": 3}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_journal_of_a_later_version_is_refused_with_the_reason_and_left_alone(
    old_journal: Path, read_only: bool
) -> None:
    with closing(sqlite3.connect(old_journal / FILE_NAME)) as db:
        db.execute("UPDATE meta SET value = '3' WHERE name = 'version'")
        db.commit()

    def content() -> list[str]:
        with closing(sqlite3.connect(old_journal / FILE_NAME)) as db:
            return list(db.iterdump())

    before = content()
    with pytest.raises(InputError, match=r"journal version 3, this package reads 2 \(it is left as it is"):
        Journal(old_journal, read_only=read_only)
    assert content() == before
