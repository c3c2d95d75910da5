"""`annotate stop` of a run in shards: the whole and every shard of it, also those that have not begun."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tao_skill_bank.annotate import api
from tao_skill_bank.annotate.holder import folder_lock
from tao_skill_bank.annotate.layout import shard_folder, whole_of
from tao_skill_bank.annotate.run import STOP_FILE, stop_requested
from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import EngineUnreachableError
from tao_skill_bank.platforms.base import new_record, write_record
from tao_skill_bank.sharding.arrays import Piece, run_here


def test_who_stops_the_whole_stops_every_shard_that_is_at_work(tmp_path: Path) -> None:
    first, second, idle = (shard_folder(tmp_path, n, 3) for n in (1, 2, 3))
    idle.mkdir(parents=True)
    with folder_lock(first, "worker"), folder_lock(second, "worker"):
        assert api.stop(tmp_path) is True
        assert stop_requested(first) and stop_requested(second)
        assert not stop_requested(idle), "nobody would take it away again"
        assert not (tmp_path / STOP_FILE).exists()
    assert not stop_requested(first), "a request ends with whoever it was for"
    assert api.stop(tmp_path) is False


def test_a_shard_that_begins_once_the_whole_was_stopped_stops_too(tmp_path: Path) -> None:
    later = shard_folder(tmp_path, 2, 2)
    with folder_lock(tmp_path, "annotate run --shards"):
        assert api.stop(tmp_path) is True
        with folder_lock(later, "worker"):
            assert stop_requested(later)
    with folder_lock(later, "worker"):
        assert not stop_requested(later)


def test_an_array_that_nobody_waits_for_any_more_is_taken_out_of_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"platform": "slurm", "command": ["x"], "outputs": [], "cwd": tmp_path, "results_dir": tmp_path}
    array, other = (new_record(key=key, **made) for key in ("annotate.2", "mine.ab"))
    for record in (array, other):
        write_record(record)
    canceled: list[str] = []
    monkeypatch.setattr(api, "job_state", lambda record: "pending")
    monkeypatch.setattr(api, "cancel", lambda record: canceled.append(record.uid))
    first, second = (shard_folder(tmp_path, n, 2) for n in (1, 2))
    with folder_lock(first, "worker"):
        # Its calls are waited for; a task that begins later ends at once.
        assert api.stop(tmp_path) is True
        assert stop_requested(first) and stop_requested(second) and canceled == []
    assert api.stop(tmp_path) is True
    assert canceled == [array.uid]


def test_shards_at_work_are_asked_also_where_the_cluster_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"platform": "slurm", "command": ["x"], "outputs": [], "cwd": tmp_path, "results_dir": tmp_path}
    write_record(new_record(key="annotate.2", **made))

    def silent(record: object) -> str:
        raise EngineUnreachableError("SLURM does not answer")

    monkeypatch.setattr(api, "job_state", silent)
    first = shard_folder(tmp_path, 1, 2)
    with folder_lock(first, "worker"):
        with pytest.raises(EngineUnreachableError):
            api.stop(tmp_path)
        assert stop_requested(first)


def test_no_further_part_is_begun_once_somebody_asked_for_an_end(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    part = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); pathlib.Path(sys.argv[2]).touch()"
    pieces = [Piece(n, (sys.executable, "-c", part, str(tmp_path / n), str(stop))) for n in ("one", "two", "three")]
    assert run_here(pieces, tmp_path / "log", workers=1, stopped=stop.exists) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "one", "stop"]


@pytest.mark.parametrize("folder", ["w/shards/0001-of-0002", "w/shards/12345-of-20000"])
def test_a_shard_knows_the_whole_by_its_place(folder: str) -> None:
    assert whole_of(Path(folder)) == Path("w")
    assert whole_of(Path("w/shards/other")) is whole_of(Path("w/0001-of-0002")) is None


def test_a_shard_that_may_look_into_its_own_folder_alone_is_asked_there(tmp_path: Path) -> None:
    shard = shard_folder(tmp_path, 1, 2)
    shard.mkdir(parents=True)
    (tmp_path / STOP_FILE).touch()
    with roots.confined([shard]):
        assert not stop_requested(shard)
        (shard / STOP_FILE).touch()
        assert stop_requested(shard)
