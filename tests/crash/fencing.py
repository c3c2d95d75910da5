"""Workers that were stopped (SIGSTOP) at a call, lost their run to another one meanwhile, and go on.

Locks are had by everybody, and whoever was stopped looks like a worker on another machine that fell silent. Every trial
must end as one worker alone would have ended, with each stage once in the log, and the worker that lost the run must
change nothing any more.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from harness import Ended, ForkServer, Harness, Point, _committed, _difference, _log_fault, masked, snapshot

_LIMIT_SEC = 60


class Stopped:
    """A worker in a process of its own, stopped at one of its calls.

    Args:
        server: Which forks it.
        harness: The run.
        point: Where.
        number: Of the worker, in its trial.
    """

    def __init__(self, server: ForkServer, harness: Harness, point: str, number: int) -> None:
        self.server = server
        self.met = harness.folder / f"stopped-{number}"
        self.met.unlink(missing_ok=True)
        told = {"FAULT_AT": point, "FAULT_DO": "stop", "FAULT_DONE": str(self.met), "FAULT_LOCKS": "1"}
        argv, env = harness.asked(told)
        server.ask(argv, env)
        self.pid = self._pid()
        self.ended: Ended | None = None if self.pid else server.answer()

    def _pid(self) -> int | None:
        limit = time.monotonic() + _LIMIT_SEC
        while time.monotonic() < limit:
            if self.met.exists() and (text := self.met.read_text()).endswith("\n"):
                pid = int(text.split("\t")[-1])
                while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                    time.sleep(0.001)
                return pid
            if self.server.has_answered():
                return None
            time.sleep(0.002)
        raise AssertionError("the worker neither stopped nor ended")

    def go_on(self) -> Ended:
        """Let it go on to its end."""
        if self.ended is None:
            assert self.pid is not None
            os.kill(self.pid, signal.SIGCONT)
            self.ended = self.server.answer()
        return self.ended


class Fencing:
    """Trials with one or more stopped workers.

    Args:
        harness: A clean run, kept stage by stage.
        workers: How many are stopped, before one works to the end.
    """

    def __init__(self, harness: Harness, workers: int) -> None:
        self.harness = harness
        self.servers = [ForkServer(harness.folder, harness.library, f"stderr-{n}") for n in range(workers)]

    def close(self) -> None:
        """End the fork servers."""
        for server in self.servers:
            server.close()

    def trial(self, point: Point, later: Sequence[int] = ()) -> str | None:
        """Why a run that was taken from stopped workers did not end well; None where it did.

        Args:
            point: Where the first one is stopped.
            later: At which of their calls the next ones are.
        """
        run = self.harness.run
        stage = self.harness.stages[point.stage]
        self.harness._from_before(stage)
        stopped = [Stopped(self.servers[0], self.harness, f"{point.role}:{point.number}", 0)]
        for number, at in enumerate(later, start=1):
            _elsewhere(run)
            stopped.append(Stopped(self.servers[number], self.harness, f"engine:{at}", number))
        if stopped[0].pid is None:
            return f"the call was not made again: {stopped[0].ended}"
        wanted = _committed(stage.before) + 1
        taken_over = False
        last = Ended(1, "")
        for _ in range(4):
            if _committed(run) >= wanted and (last.code == 0 or stage is not self.harness.stages[-1]):
                break
            _elsewhere(run)
            last = self.harness._step({"FAULT_LOCKS": "1"})
            taken_over = True
        self.harness._settle()
        before = _bytes(run)
        ended = [worker.go_on() for worker in stopped]
        self.harness._settle()
        if any("Traceback" in one.stderr for one in (*ended, last)):
            return f"a traceback: {[one.stderr.strip().splitlines()[-1:] for one in (*ended, last)]}"
        if (later and not taken_over) or not all(self._held(point.stage, at) for at in (point.number, *later)):
            # One that had not begun yet, or that began when the stage was committed and from which nobody took the run,
            # did not lose anything: it goes on with the next stage.
            stage = self.harness.stages[min(_committed(run), len(self.harness.stages)) - 1]
        elif _committed(run) != wanted:
            return f"{_committed(run)} stages ended well, not {wanted}: {last.stderr.strip()[-300:]}"
        elif taken_over and (changed := _changed(before, _bytes(run), point.path)):
            return f"a worker that lost the run changed {changed}: {[one.stderr for one in ended]}"
        return _difference(stage.after, snapshot(run)) or _log_fault(run)

    def _held(self, stage: int, number: int) -> bool:
        """Whether a worker that is stopped at this call had taken the run."""
        calls = [p for p in self.harness.points if p.stage == stage and p.role == "engine"]
        return number > next(p.number for p in calls if p.call == "rename" and p.path.endswith("/deft_state.json"))


def _elsewhere(run: Path) -> None:
    """Whoever announced itself is on another machine, and fell silent some time ago."""
    path = run / "jobs" / ".engine.json"
    if path.exists():
        said = json.loads(path.read_text())
        path.write_text(json.dumps({**said, "host": "elsewhere"}))
        os.utime(path, (0, 0))


def _bytes(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def _changed(before: dict[str, bytes], after: dict[str, bytes], path: str) -> list[str]:
    """What differs, but for locks and what the one call at `path` that it was stopped in did to what nobody reads."""
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    names = {name for name in names if after.get(name) is None or not masked(path).endswith("/" + masked(name))}
    return sorted(n for n in names if not n.endswith(".lock") and ".tmp" not in n and "/abandoned/" not in n)
