"""What a kill can cost: a slot is given back when its answer is on disk, not when it has arrived."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from annotation import CANARY, config_for, run
from scripted_endpoint import ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.annotate.journal import Journal


def test_no_more_answers_are_off_the_disk_than_there_are_workers_however_slow_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = 2
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    make_videos(tmp_path / "v", 3, seconds=1.0, fps=2)
    at_once = threading.Lock()
    written = 0
    most = 0
    really = Journal.settle

    def slowly(self: Journal, settled: Any, *, closes: str | None = None) -> Future[None]:
        late: Future[None] = Future()

        def commit() -> None:
            nonlocal written
            really(self, settled, closes=closes).result()
            with at_once:
                written += 1
            late.set_result(None)

        threading.Timer(0.02, commit).start()
        return late

    def look(_request: object) -> float:
        nonlocal most
        with at_once:
            most = max(most, server.calls - written)
        return 0.0

    monkeypatch.setattr(Journal, "settle", slowly)
    with ScriptedEndpoint(latency=look) as server:
        run(config_for(server, tmp_path / "out", tmp_path / "v", f"workflow.max_workers={workers}"))
        assert server.calls == written == 3 * 16
    assert most == workers
