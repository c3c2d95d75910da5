"""Who works on a run: one at a time, also where only signs of life tell."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tao_skill_bank.core import lifecycle
from tao_skill_bank.core.clock import SystemClock
from tao_skill_bank.core.errors import BusyError
from tao_skill_bank.core.lifecycle import (
    BEAT_SEC,
    SILENT_SEC,
    WORKER,
    Desk,
    announce,
    announced,
    at_work,
    holder,
    idle,
    namespace,
    sign_of_life,
    signs_of_life,
)
from tao_skill_bank.core.process import own_identity, process_identity


class At(SystemClock):
    """A clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, tmp_path / "lock", tmp_path / "who.json", "running", "wait")


def elsewhere(desk: Desk, seen: datetime, **more: object) -> None:
    """Somebody on another machine, or in another container, who was last seen then."""
    who = {"pid": 1, "identity": "b:1", "since": "2026-01-01T00:00:00.000000Z", "by": "worker"}
    desk.announcement.write_text(json.dumps({**who, "host": "node7", "namespace": "pid:[1]", **more}))
    os.utime(desk.announcement, (seen.timestamp(), seen.timestamp()))


@pytest.mark.parametrize("where", [{}, {"host": os.uname().nodename, "namespace": "pid:[1]"}])
def test_one_elsewhere_who_gave_a_sign_of_life_has_the_run_and_is_named(desk: Desk, where: dict[str, str]) -> None:
    elsewhere(desk, datetime.now(UTC), **where)
    before = desk.announcement.read_bytes()
    name = where.get("host", "node7")
    said = rf"held by worker \(process 1\) on host {name}.*, last sign of life 20.*from"
    with pytest.raises(BusyError, match=said), at_work(desk, "command"):
        raise AssertionError("two work on it")
    assert desk.announcement.read_bytes() == before


def test_one_elsewhere_who_fell_silent_is_never_called_dead_and_can_be_replaced(desk: Desk) -> None:
    now = datetime.now(UTC)
    elsewhere(desk, now - timedelta(seconds=SILENT_SEC + 1))
    assert holder(desk, At(now)) is None
    said = announced(desk)
    assert said is not None and "on host node7, last sign of life" in said.who()
    with at_work(desk, "command"):
        found = holder(desk)
        assert found is not None and found.is_own()
    assert announced(desk) is None


def test_a_sign_of_life_moves_the_last_one_and_touches_nobody_elses(desk: Desk) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with at_work(desk, "command"):
        sign_of_life(desk, At(later))
        found = holder(desk)
        assert found is not None and found.seen.startswith(later.strftime("%Y-%m-%dT%H:%M"))
        elsewhere(desk, datetime(2026, 1, 1, tzinfo=UTC))
        sign_of_life(desk, At(later))
        found = announced(desk)
        assert found is not None and found.seen.startswith("2026-01-01")
    assert desk.announcement.exists(), "whoever took it over stays named"


def test_signs_are_given_for_as_long_as_the_work_lasts() -> None:
    given: list[str] = []
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    with signs_of_life(lambda: given.append("sign"), wait):
        pass
    assert (given, waits) == (["sign"] * 3, [BEAT_SEC] * 4)


def test_a_worker_waits_for_whoever_started_it_to_say_so_however_long_that_takes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, worked = threading.Event(), threading.Event()
    real = lifecycle.busy

    def busy(at: Desk) -> BusyError:
        refused.set()
        return real(at)

    def work() -> None:
        with at_work(desk, WORKER):
            worked.set()

    monkeypatch.setattr(lifecycle, "busy", busy)
    monkeypatch.setattr(lifecycle, "_NAME_SEC", 0.0)
    monkeypatch.setattr(lifecycle, "_HANDOVER_SEC", 0.0)
    worker = threading.Thread(target=work)
    with idle(desk):
        worker.start()
        assert refused.wait(60), "longer than a worker is patient"
        announce(desk, *own_identity(), WORKER)
    worker.join(60)
    assert worked.is_set()


def test_a_worker_does_not_wait_for_another_that_works(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_HANDOVER_SEC", 0.0)
    with idle(desk):
        announce(desk, os.getppid(), process_identity(os.getppid()), WORKER)
        with pytest.raises(BusyError, match=f"process {os.getppid()}"), at_work(desk, WORKER):
            raise AssertionError("two work on it")


def test_an_announcement_of_an_earlier_version_is_of_this_machine(desk: Desk) -> None:
    who = {"pid": 2**22 + 7, "identity": "gone", "since": "2026-01-01T00:00:00.000000Z", "by": "worker"}
    desk.announcement.write_text(json.dumps(who))
    assert announced(desk) is None
    with at_work(desk, "command"):
        assert json.loads(desk.announcement.read_text())["namespace"] == namespace()
