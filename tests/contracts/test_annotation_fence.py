"""Workers of one annotation that locks do not keep apart: one goes on, the other learns it and writes nothing more."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from scripted_endpoint import Request, ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.holder import desk, folder_lock
from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.core import guard, lifecycle
from tao_skill_bank.core.errors import LostRunError

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def worker(server: ScriptedEndpoint, folder: Path, videos: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, str(SUPPORT / "annotate_once.py"), server.url, str(folder), str(videos)]
    return subprocess.Popen(
        [*command, "workflow.max_workers=4"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def stop_between_commits(one: subprocess.Popen[str], folder: Path) -> None:
    """Stop it where it does not hold the database: its locks are the kernel's own, and keep everybody out."""
    while True:
        one.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(journal_path(folder), timeout=0.05, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                one.send_signal(signal.SIGCONT)


def cut_off(folder: Path) -> None:
    """Whoever works looks like one on another machine that fell silent, and its locks are not seen here."""
    said = json.loads(desk(folder).announcement.read_text())
    desk(folder).announcement.write_text(json.dumps({**said, "host": "elsewhere"}))
    os.utime(desk(folder).announcement, (0, 0))
    desk(folder).lock.unlink()


def contents(folder: Path) -> dict[str, object]:
    """Files, and what the journal holds; how the database keeps it may change when a reader leaves."""
    files: dict[str, object] = {
        p.name: p.read_bytes() for p in folder.rglob("*") if not p.name.startswith("journal.") and p.is_file()
    }
    with Journal(folder, read_only=True) as journal:
        return {**files, "answers": list(journal.answers()), "ledger": list(journal.ledger())}


@pytest.mark.parametrize("stopped", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_that_was_stopped_and_lost_its_annotation_buys_and_writes_nothing_more(
    stopped: int, tmp_path: Path
) -> None:
    make_videos(tmp_path / "v", 3, seconds=1.0, fps=2)
    out = tmp_path / "out"
    slow = True

    def latency(request: Request) -> float:
        return 0.4 if slow else 0.0

    with ScriptedEndpoint(latency=latency) as server:
        lost = []
        for number in range(stopped):
            if number:
                cut_off(out)
            one = worker(server, out, tmp_path / "v")
            before = server.calls
            while server.calls < before + 2 + number:
                assert one.poll() is None
                time.sleep(0.01)
            stop_between_commits(one, out)
            lost.append(one)
        cut_off(out)
        slow = False
        heir = worker(server, out, tmp_path / "v")
        assert heir.wait(120) == 0, heir.stderr
        assert heir.stderr is not None
        heir.stderr.close()
        before, calls = contents(out), server.calls
        view = api.status(out)
        assert view.status == "complete" and calls <= view.calls, "what the others had sent is counted"
        for one in lost:
            one.send_signal(signal.SIGCONT)
            said = one.communicate(timeout=120)[1]
            assert one.returncode != 0 and "LostRunError" in said.strip().splitlines()[-1], said
        assert contents(out) == before
        # What was written down and had not left when it was stopped may leave now: it is counted already.
        assert server.calls <= view.calls


def test_who_has_lost_the_folder_is_told_by_whom_before_anything_is_written(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "annotate run"):
        guard.open_write(tmp_path / "mine", "wb").close()
        said = json.loads(desk(tmp_path).announcement.read_text())
        for other in ({"host": "node7"}, {"identity": "b:1", "pid": 1, "host": "node7"}):
            desk(tmp_path).announcement.write_text(json.dumps({**said, **other}))
            with pytest.raises(LostRunError, match=r"taken this over: held by annotate run .* on host node7"):
                guard.open_write(tmp_path / "theirs", "wb")
        desk(tmp_path).announcement.unlink()
        with pytest.raises(LostRunError, match="somebody else has taken this over"):
            guard.remove(tmp_path / "mine")
        assert (tmp_path / "mine").exists() and not (tmp_path / "theirs").exists()


def test_a_worker_that_its_starter_names_again_has_not_lost_anything(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "worker"):
        lifecycle.announce(desk(tmp_path), *lifecycle.own_identity(), "worker")
        guard.open_write(tmp_path / "mine", "wb").close()
