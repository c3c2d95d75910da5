"""The call journal: one SQLite file that holds every paid answer, and from which everything else is derived.

An answer is committed (with fsync) before anything is done with it. Writes come from one thread that groups what
arrives together into one commit; reads use a connection of their own, which sees whatever is committed.
"""

from __future__ import annotations

import ctypes
import json
import queue
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.journal_tables import LEDGER, TABLES, has, ledger_before
from tao_skill_bank.annotate.records import BatchedCall, Entry, OpenBatch, Recorded, Settled, Totals
from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import InputError, LostRunError
from tao_skill_bank.core.fsio import fsync_dir

FILE_NAME = "journal.sqlite3"
VERSION = 2
"""From 2 on there is a ledger; a package that knows none would spend past it, and refuses."""
LEFT_OUT = "left out"
"""The unit of a video that is not to be annotated; no run tries it again."""
_READ = ("1", str(VERSION))
_MOST_GROUPED = 256
_OF_BATCHES = ("batches", "batch_calls")
_INTO_LEDGER = "INSERT OR REPLACE INTO ledger VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_Statement = tuple[str, tuple[Any, ...]]
_Write = tuple[Sequence[_Statement], Future[None]]


def journal_path(results_dir: Path) -> Path:
    """The journal of a results folder: of several the last, which was made when the folder was taken over."""
    found = {_number(path): path for path in guard.matching(results_dir, "journal.*.sqlite3")}
    return found[max(found)] if any(found) else results_dir / FILE_NAME


def take_over(results_dir: Path) -> None:
    """Go on in a journal under another name: to be called by who took the folder over from one that may live.

    Where locks do nothing, whoever had the folder may have been stopped within a write, or within closing its journal,
    and end it at any time: in the files that it has open, and by the names that it knows. Those are nobody's from here
    on. What it commits after this is lost with them, so a call is sent only once its commit was the folder's.
    """
    old = journal_path(results_dir)
    if not guard.holds_bytes(old):
        return
    new = results_dir / f"journal.{_number(old) + 1}.sqlite3"
    try:
        with (
            Journal(results_dir, read_only=True) as journal,
            guard.temporary_folder(results_dir, ".journal.") as folder,
        ):
            with closing(sqlite3.connect(folder / new.name, isolation_level=None)) as copy:
                copy.execute("PRAGMA synchronous=FULL")
                journal.copy_to(copy)
            guard.rename(folder / new.name, new)
            fsync_dir(results_dir)
    except JustBegunError:
        return
    for name in ("", "-wal", "-shm"):
        guard.remove(old.with_name(f"{old.name}{name}"))


def _number(path: Path) -> int:
    """Of a journal, from 1; 0 for a name that is none."""
    if path.name == FILE_NAME:
        return 1
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() and path.name == f"journal.{int(number)}.sqlite3" else 0


class JustBegunError(InputError):
    """Somebody is making the journal this very moment: there is nothing in it yet."""


class Journal:
    """The journal of one results folder. Open it with `with`; only one process writes at a time."""

    def __init__(self, results_dir: Path, *, read_only: bool = False) -> None:
        self.path = journal_path(results_dir)
        if read_only and not guard.exists(self.path):
            raise InputError("no annotation run here", where=results_dir, fix="name the results_dir of a run")
        if not read_only:
            guard.make_folder(results_dir)
        self._no_links()
        if not read_only:
            self._prepare()
        self._read = (self._looking() if read_only else None) or self._connect()
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[_Write | None] = queue.Queue()
        try:
            if self._version(self._read) is None:
                # Somebody is making it this very moment.
                raise JustBegunError("the run has only just begun", where=self.path, fix="ask again")
            if not has(self._read, "ledger"):
                self._read.execute(f"CREATE TEMP VIEW ledger AS {ledger_before(self._read)}")
            if not read_only:
                # Opened here: a thread that cannot open it would leave everybody waiting.
                db = self._connect()
                # In the caller's context: its fence holds for what the thread writes.
                write = partial(copy_context().run, self._write_all, db)
                self._thread = threading.Thread(target=write, name="journal", daemon=True)
                self._thread.start()
        except BaseException:
            _leave(self._read)
            raise

    def _no_links(self) -> None:
        """The database opens its files by name: none of them may lead elsewhere."""
        for kind in ("", "-wal", "-shm", "-journal"):
            found = guard.entry(self._beside(kind))
            if found is not None and not stat.S_ISREG(found.st_mode):
                raise InputError("is a link or no file", where=self._beside(kind), fix="remove it")

    def _beside(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.name}{kind}")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            # Damage inside the file shows only where it is read.
            raise self._unusable(error) from None

    def close(self) -> None:
        """Commit what is queued and close the file."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        _leave(self._read)

    # Writing: every method returns a future that is done when the change is on disk.

    def record(self, answer: Recorded) -> Future[None]:
        """Keep an answer. A second answer to the same key changes nothing."""
        return self._submit_all([_kept(answer)])

    def send(self, entries: Sequence[Entry], batch: OpenBatch | None = None) -> Future[None]:
        """Write calls down before they leave, and the batch that they go with."""
        now = log_time(SystemClock().now())
        statements: list[_Statement] = [
            (_INTO_LEDGER, (e.id, e.key, e.endpoint, e.model, e.batch, "sent", "sent", e.worst, None, 0, 0, now))
            for e in entries
        ]
        if batch is not None:
            for number, call in enumerate(batch.calls):
                line = (batch.ticket, number, call.key, call.kind, call.video, call.worst)
                statements.append(("INSERT OR REPLACE INTO batch_calls VALUES (?,?,?,?,?,?)", line))
            named = (batch.ticket, batch.endpoint, batch.model, batch.id, batch.at)
            statements.append(("INSERT OR REPLACE INTO batches VALUES (?,?,?,?,?)", named))
        return self._submit_all(statements)

    def settle(
        self, settled: Sequence[tuple[str, Settled, Recorded | None]], *, closes: str | None = None
    ) -> Future[None]:
        """Say what became of calls, by their ids, and keep their answers: one step on disk.

        Args:
            settled: Id, outcome, and the answer where one is to be kept.
            closes: The ticket of a batch that is done with this.
        """
        statements: list[_Statement] = []
        for entry, what, answer in settled:
            state = "unknown" if what.unknown else "settled"
            values = (state, what.outcome, what.cost, what.input_tokens, what.output_tokens, entry)
            sql = "UPDATE ledger SET state=?, outcome=?, cost=?, input_tokens=?, output_tokens=? WHERE id=?"
            statements.append((sql, values))
            if answer is not None:
                statements.append(_kept(answer))
        return self._submit_all([*statements, *_closing(closes)])

    def unsend(self, ids: Sequence[str], *, closes: str | None = None) -> Future[None]:
        """Strike calls that never left, and the batch that they were to go with."""
        statements: list[_Statement] = [("DELETE FROM ledger WHERE id = ?", (entry,)) for entry in ids]
        return self._submit_all([*statements, *_closing(closes)])

    def resume(self) -> Future[None]:
        """What an earlier process sent and did not settle may have been billed; what stands in batches is fetched."""
        sql = (
            "UPDATE ledger SET state = 'unknown', outcome = 'killed' WHERE state = 'sent' "
            "AND (batch IS NULL OR batch NOT IN (SELECT ticket FROM batches))"
        )
        return self._submit(sql, ())

    def copy_ledger(self, rows: Sequence[tuple[Any, ...]]) -> Future[None]:
        """Bring rows of another folder's ledger in; those that are there are brought up to date."""
        return self._submit_all([(_INTO_LEDGER, row) for row in rows])

    def put_row(self, step: str, video: str, part: str, position: int, run: int, body: str) -> Future[None]:
        """Keep a row of a step's file."""
        return self._submit(
            "INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?,?)", (step, video, part, position, run, body)
        )

    def drop_rows(self, video: str) -> Future[None]:
        """Forget the rows and failures of a video that is gone through anew."""
        self._submit("DELETE FROM failures WHERE video = ?", (video,))
        return self._submit("DELETE FROM rows WHERE video = ?", (video,))

    def keep_only(self, run: int) -> Future[None]:
        """Forget the rows that this run did not make."""
        return self._submit("DELETE FROM rows WHERE run != ?", (run,))

    def fail(self, video: str, unit: str, reason: str) -> Future[None]:
        """Record what could not be done for a video."""
        values = (video, unit, reason, log_time(SystemClock().now()))
        return self._submit("INSERT OR REPLACE INTO failures VALUES (?,?,?,?)", values)

    def clear_failures(self) -> Future[None]:
        """Forget the failures of earlier runs: they are tried again."""
        return self._submit("DELETE FROM failures", ())

    def put_media(self, path: str, size: int, mtime_ns: int, sha256: str, probe: dict[str, Any]) -> Future[None]:
        """Remember a file's digest and what its probe said."""
        values = (path, size, mtime_ns, sha256, json.dumps(probe))
        return self._submit("INSERT OR REPLACE INTO media VALUES (?,?,?,?,?)", values)

    def put_upload(self, sha256: str, endpoint: str, uri: str, mime: str, expires: float) -> Future[None]:
        """Remember where an endpoint keeps a video, until when (POSIX seconds)."""
        return self._submit("INSERT OR REPLACE INTO uploads VALUES (?,?,?,?,?)", (sha256, endpoint, uri, mime, expires))

    def drop_upload(self, sha256: str, endpoint: str) -> Future[None]:
        """Forget an upload that the endpoint no longer knows."""
        return self._submit("DELETE FROM uploads WHERE sha256 = ? AND endpoint = ?", (sha256, endpoint))

    def name_batch(self, ticket: str, batch: str) -> Future[None]:
        """Note the vendor's name of a batch."""
        return self._submit("UPDATE batches SET id = ? WHERE ticket = ?", (batch, ticket))

    def set_meta(self, name: str, value: str) -> Future[None]:
        """Set a named text."""
        return self._submit("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, value))

    def flush(self) -> None:
        """Wait until everything written so far is on disk."""
        self._submit("SELECT 1", ()).result()

    # Reading.

    def answer(self, key: str) -> Recorded | None:
        """The answer to a call, if it was ever paid for."""
        row = self._read.execute("SELECT * FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else Recorded(*row)

    def answers(self) -> Iterator[Recorded]:
        """Every answer, by key."""
        for row in self._read.execute("SELECT * FROM calls ORDER BY key"):
            yield Recorded(*row)

    def answered_endpoints(self) -> set[tuple[str, str]]:
        """(endpoint, model) of everything that ever answered with text."""
        return set(self._read.execute("SELECT DISTINCT endpoint, model FROM ledger WHERE outcome = 'answered'"))

    def makers(self) -> list[str]:
        """Models whose answers are there, but for those that only judged."""
        sql = (
            "SELECT DISTINCT l.model FROM ledger l LEFT JOIN calls c ON c.key = l.key WHERE l.outcome = 'answered' "
            "AND (c.kind IS NULL OR c.kind NOT LIKE 'check!_%' ESCAPE '!') ORDER BY l.model"
        )
        return [model for (model,) in self._read.execute(sql)]

    def totals(self) -> Totals:
        """What was used so far."""
        answers, seconds = self._read.execute("SELECT COUNT(*), COALESCE(SUM(seconds), 0) FROM calls").fetchone()
        sql = (
            "SELECT COUNT(*), COALESCE(SUM(input_tokens),0), COALESCE(SUM(output_tokens),0), "
            "COALESCE(SUM(CASE WHEN state = 'settled' THEN cost END),0.0), "
            "COALESCE(SUM(state = 'settled' AND cost IS NULL),0), "
            "COALESCE(SUM(CASE WHEN state = 'unknown' THEN worst END),0.0), COALESCE(SUM(state = 'unknown'),0), "
            "COALESCE(SUM(CASE WHEN state = 'sent' THEN worst END),0.0), COALESCE(SUM(state = 'sent'),0) FROM ledger"
        )
        return Totals(answers, seconds, *self._read.execute(sql).fetchone())

    def ledger(self) -> Iterator[tuple[Any, ...]]:
        """Every row of the ledger, for another folder's."""
        yield from self._read.execute("SELECT * FROM ledger")

    def dearest(self) -> dict[tuple[str, str], float]:
        """(endpoint, model) → the most that a call has cost, as a multiple of what it was thought to cost at most."""
        sql = (
            "SELECT endpoint, model, MAX(cost / worst) FROM ledger WHERE state = 'settled' AND worst > 0 GROUP BY 1, 2"
        )
        return {(endpoint, model): ratio for endpoint, model, ratio in self._read.execute(sql) if ratio is not None}

    def usage_by_kind(self) -> dict[tuple[str, str], tuple[int, float, float, float]]:
        """(kind, model) → answers and the means of input tokens, output tokens and seconds (0: none is known)."""
        # Answers out of batches carry no time of their own: 0.
        sql = (
            "SELECT kind, model, COUNT(*), AVG(input_tokens), AVG(output_tokens), "
            "COALESCE(AVG(NULLIF(seconds, 0)), 0) FROM calls GROUP BY 1, 2"
        )
        return {(kind, model): (n, i, o, s) for kind, model, n, i, o, s in self._read.execute(sql)}

    def tries(self) -> dict[str, int]:
        """Calls that brought no answer that is kept, by outcome."""
        sql = "SELECT outcome, COUNT(*) FROM ledger WHERE outcome NOT IN ('answered', 'sent') GROUP BY 1 ORDER BY 1"
        return dict(self._read.execute(sql))

    def failures(self, limit: int = -1, *, left_out: bool = True) -> list[tuple[str, str, str]]:
        """(video, unit, reason) of what could not be done, and with `left_out` of videos that are not to be done."""
        sql = "SELECT video, unit, reason FROM failures WHERE ? OR unit != ? ORDER BY video, unit LIMIT ?"
        return list(self._read.execute(sql, (left_out, LEFT_OUT, limit)))

    def failure_count(self) -> tuple[int, int]:
        """How many units could not be done, and how many videos are not to be done."""
        sql = "SELECT COALESCE(SUM(unit != ?), 0), COALESCE(SUM(unit = ?), 0) FROM failures"
        failed, left_out = self._read.execute(sql, (LEFT_OUT, LEFT_OUT)).fetchone()
        return int(failed), int(left_out)

    def rows(self, step: str, run: int | None = None) -> Iterator[str]:
        """The rows of a step's file, in order."""
        sql = "SELECT body FROM rows WHERE step = ? AND (? IS NULL OR run = ?) ORDER BY position, part"
        for (body,) in self._read.execute(sql, (step, run, run)):
            yield body

    def row_names(self, step: str, run: int) -> Iterator[tuple[str, str]]:
        """(video, part) of the rows that a run made."""
        yield from self._read.execute("SELECT video, part FROM rows WHERE step = ? AND run = ?", (step, run))

    def row_counts(self) -> dict[str, int]:
        """How many rows every step's file has."""
        return dict(self._read.execute("SELECT step, COUNT(*) FROM rows GROUP BY step"))

    def media(self, path: str, size: int, mtime_ns: int) -> tuple[str, dict[str, Any]] | None:
        """Digest and probe of a file that has not changed since."""
        sql = "SELECT sha256, probe FROM media WHERE path = ? AND size = ? AND mtime_ns = ?"
        row = self._read.execute(sql, (path, size, mtime_ns)).fetchone()
        return None if row is None else (row[0], json.loads(row[1]))

    def content(self, path: str) -> str | None:
        """SHA-256 of a video as it was when it was last looked at; None where nobody looked."""
        row = self._read.execute("SELECT sha256 FROM media WHERE path = ?", (path,)).fetchone()
        return None if row is None else str(row[0])

    def upload(self, sha256: str, endpoint: str, now: float) -> tuple[str, str] | None:
        """(uri, MIME type) of an upload that lives on."""
        sql = "SELECT uri, mime FROM uploads WHERE sha256 = ? AND endpoint = ? AND expires > ?"
        row = self._read.execute(sql, (sha256, endpoint, now)).fetchone()
        return None if row is None else (row[0], row[1])

    def open_batches(self) -> list[OpenBatch]:
        """Batches whose answers are not here yet, the oldest first."""
        if not has(self._read, "batches"):
            return []
        found = self._read.execute("SELECT ticket, endpoint, model, id, at FROM batches ORDER BY at, ticket").fetchall()
        sql = "SELECT key, kind, video, worst FROM batch_calls WHERE ticket = ? ORDER BY number"
        batches = []
        for ticket, endpoint, model, name, at in found:
            calls = tuple(BatchedCall(*call) for call in self._read.execute(sql, (ticket,)))
            batches.append(OpenBatch(ticket, endpoint, model, name, at, calls))
        return batches

    def meta(self, name: str) -> str | None:
        """A named text."""
        row = self._read.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def last_answer_at(self) -> str | None:
        """When the newest answer came, as the log writes time."""
        found = self._read.execute("SELECT MAX(at) FROM calls").fetchone()[0]
        return None if found is None else str(found)

    def copy_to(self, other: sqlite3.Connection) -> None:
        """Copy everything that is committed, at one moment."""
        self._read.backup(other)

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        return db

    def _looking(self) -> sqlite3.Connection | None:
        """A connection that changes no file, whatever locks say; None where nobody has left or has its log open."""
        if not all(guard.is_file(self._beside(kind)) for kind in ("-wal", "-shm")):
            return None
        db = None
        try:
            name = f"{self.path.absolute().as_uri()}?mode=ro&readonly_shm=1"
            db = sqlite3.connect(name, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
            db.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.Error:
            # The log went away in between, or the file is damaged, which is said by whoever opens it next.
            if db is not None:
                db.close()
            return None
        return db

    def _unusable(self, error: sqlite3.Error) -> InputError:
        return InputError(
            f"cannot be used: {error}",
            where=self.path,
            fix="see that the folder can be written and the disk has room; restore a damaged file or name a new folder",
        )

    def _version(self, db: sqlite3.Connection) -> str | None:
        """The journal's version, None where it has none yet; another one is refused before anything is changed."""
        try:
            if not has(db, "meta"):
                return None
            row = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        if row is not None and row[0] not in _READ:
            raise InputError(
                f"journal version {row[0]}, this package reads {VERSION}",
                where=self.path,
                fix="it is left as it is; use the version that wrote it, or name a new folder",
            )
        return None if row is None else str(row[0])

    def _prepare(self) -> None:
        """Make the tables that are not there: a journal of an earlier version gets the newer ones."""
        db = self._connect()
        try:
            self._version(db)
            db.executescript(TABLES)
            db.execute("BEGIN IMMEDIATE")
            if not has(db, "ledger"):
                before = ledger_before(db)
                for statement in LEDGER:
                    db.execute(statement)
                db.execute(f"INSERT INTO ledger {before}")
                db.execute("DELETE FROM tries")
            db.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (str(VERSION),))
            db.execute("DELETE FROM batch_calls WHERE ticket NOT IN (SELECT ticket FROM batches)")
            guard.ask_the_fence()
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        finally:
            _leave(db)

    def _submit(self, sql: str, values: tuple[Any, ...]) -> Future[None]:
        return self._submit_all([(sql, values)])

    def _submit_all(self, statements: Sequence[_Statement]) -> Future[None]:
        """Statements of one commit: all of them are on disk, or none."""
        done: Future[None] = Future()
        self._queue.put((statements, done))
        return done

    def _write_all(self, connection: sqlite3.Connection) -> None:
        try:
            while (first := self._queue.get()) is not None:
                group = [first]
                last = False
                while len(group) < _MOST_GROUPED and not self._queue.empty():
                    following = self._queue.get()
                    if following is None:
                        last = True
                        break
                    group.append(following)
                _commit(connection, group)
                if last:
                    return
        finally:
            _leave(connection)


def _leave(db: sqlite3.Connection) -> None:
    """Close a connection; one to a folder that somebody else has taken over stays open until the process has ended.

    Whoever closes as the last one writes the log back and removes it, by its name. Where the database's own locks are
    given to everybody that would be the heir's log, and with it what the heir has bought. The interpreter closes every
    connection that it lets go of, at its end too: this one it never lets go of.
    """
    if db.in_transaction:
        db.rollback()
    try:
        guard.ask_the_fence()
    except LostRunError:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))
        return
    db.close()


def _closing(ticket: str | None) -> list[_Statement]:
    """What takes a batch out; nothing for None."""
    return [(f"DELETE FROM {table} WHERE ticket = ?", (ticket,)) for table in _OF_BATCHES] if ticket else []


def _kept(answer: Recorded) -> _Statement:
    values = (
        *(answer.key, answer.kind, answer.video, answer.endpoint, answer.model, answer.text, answer.finish),
        *(answer.input_tokens, answer.output_tokens, answer.cost, answer.seconds, answer.at),
    )
    return "INSERT OR IGNORE INTO calls VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", values


def _commit(db: sqlite3.Connection, group: list[_Write]) -> None:
    try:
        db.execute("BEGIN IMMEDIATE")
        for statements, _ in group:
            for sql, values in statements:
                db.execute(sql, values)
        guard.ask_the_fence()
        db.execute("COMMIT")
        # Whoever took the folder over since the last look has copied the journal, maybe without this.
        guard.ask_the_fence()
    except Exception as error:
        # Nobody may wait for ever for a thread that has died of a value that cannot be stored.
        if db.in_transaction:
            db.execute("ROLLBACK")
        failure: Exception = error
        if isinstance(error, sqlite3.Error):
            failure = InputError(f"the journal cannot be written: {error}", fix="make room on the disk, then run again")
        for _, done in group:
            done.set_exception(failure)
        return
    for _, done in group:
        done.set_result(None)
