"""Faults at every call by which a run changes files or starts processes, found by tracing one clean run.

    python tests/crash/harness.py [--faults kill,ENOSPC,…] [--sample N] [--once] [--part I/N] [--loop L] …

The loop is traced stage by stage. A trial starts from what the disk held before a stage, lets one call of the engine,
of a job's worker or of a job's command fail (or kills that process in its place), takes the run up until the stage is
done, and compares everything on disk with the clean run, but for times, ids and what was logged as an error.

Its processes are forked from one that has imported everything (`forkserver.py`), or started as real ones (`--real`):
the same calls, a tenth of the time, as a test shows.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ran import ran

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
if __name__ == "__main__":
    sys.path.insert(0, str(SUPPORT))

import bcq  # noqa: E402
import tiny  # noqa: E402
import toy_task  # noqa: E402

from tao_skill_bank.core.process import is_alive  # noqa: E402
from tao_skill_bank.loop.log import LOG_FILE, read_log, sync_log  # noqa: E402
from tao_skill_bank.loop.machine import next_stage  # noqa: E402
from tao_skill_bank.loop.request import Request  # noqa: E402
from tao_skill_bank.platforms.base import read_exit, read_process, read_records  # noqa: E402
from tao_skill_bank.platforms.worker import beside  # noqa: E402
from tao_skill_bank.tasks.registry import load_state  # noqa: E402

SETTINGS = ("mining.budget=8", "anomalygen.num_SDG=2")
ROLES = "engine=drive_step.py;worker:@=platforms.worker;action:@=tao_skill_bank.actions;model:@=fake_tao.py"
# Fault -> what the library is told, and the calls at which it can happen (None: at every one).
FAULTS: dict[str, tuple[str, frozenset[str] | None]] = {
    "kill": ("kill", None),
    "ENOSPC": (str(errno.ENOSPC), frozenset({"open", "write", "pwrite", "writev", "mkdir", "rename", "link", "fsync"})),
    "EIO": (str(errno.EIO), frozenset({"write", "pwrite", "writev", "fsync", "fdatasync", "rename", "ftruncate"})),
    "EMFILE": (str(errno.EMFILE), frozenset({"open", "spawn"})),
    "EROFS": (str(errno.EROFS), frozenset({"open", "mkdir", "rename", "link", "unlink", "rmdir", "symlink"})),
    "clock set back": ("back", None),
}
# What the tasks hand on.
HANDED_ON = ("best_model.json", "best_model_inference_spec.yaml", "best_model_evaluate.toml", "serve.txt")
_TAKE_UPS = 4
_LIMIT_SEC = 60


def boards(workspace: Path) -> Request:
    """One iteration of the first loop."""
    made = tiny.make_workspace(workspace)
    return tiny.request(made, target="FAR < 0.001% at recall=100%", iterations=1, settings=SETTINGS)


def answers(workspace: Path) -> Request:
    """One iteration of the second loop."""
    return bcq.request(bcq.few(workspace))


def numbers(workspace: Path) -> Request:
    """One iteration of a loop that starts no process: every call of the engine alone, in a tenth of the time."""
    made = toy_task.make_workspace(workspace)
    return Request(task="toy", workspace=made, kpi_target="error < 0.001%", max_iterations=1)


LOOPS: dict[str, Callable[[Path], Request]] = {"boards": boards, "answers": answers}
ENGINE_ALONE = {"numbers": numbers}


@dataclass(frozen=True)
class Point:
    """One call: the stage it is in, the process it is made by, its number there, what it does."""

    stage: int
    role: str
    number: int
    call: str
    path: str


@dataclass
class Stage:
    """What the disk held before a stage and after it."""

    name: str
    before: Path
    after: dict[str, str]


@dataclass(frozen=True)
class Ended:
    """How a process ended; `code` None where it had to be killed because it did not."""

    code: int | None
    stderr: str


class LimitReachedError(Exception):
    """A process did not end by itself within the harness's own limit, in seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"did not end within {limit:g} s: it hangs, or the machine is slow; --limit tells which")


class ForkServer:
    """A process that forks others, with the library loaded.

    Args:
        folder: Where it may write.
        library: The library of faults.
        said: The file in it that gets their standard error.
        limit: Seconds after which one is ended.
    """

    def __init__(self, folder: Path, library: Path, said: str = "stderr", limit: float = _LIMIT_SEC) -> None:
        self.said = folder / said
        self.limit = limit
        path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
        single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "forkserver.py"), str(folder / "modules")],
            env={**os.environ, "PYTHONPATH": path, "LD_PRELOAD": str(library), **single},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv: Sequence[str], env: dict[str, str]) -> Ended:
        """Run a script of this interpreter to its end."""
        self.ask(argv, env)
        return self.answer()

    def ask(self, argv: Sequence[str], env: dict[str, str]) -> None:
        """Start one; its end is the next answer."""
        asked = {"argv": list(argv), "env": env, "stderr": str(self.said), "limit": self.limit}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Ended:
        """How what was asked for ended."""
        assert self.process.stdout is not None
        return Ended(**json.loads(self.process.stdout.readline()))

    def has_answered(self) -> bool:
        """Whether it has ended."""
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def close(self) -> None:
        """End it."""
        self.process.communicate()


class Harness:
    """A clean run, kept stage by stage, and trials on it.

    Args:
        folder: A folder of its own.
        wanted: Draws a workspace below it and asks for a run there.
        real: Start every process anew, instead of forking it.
        limit: Seconds that a process may take.
    """

    def __init__(
        self, folder: Path, wanted: Callable[[Path], Request], *, real: bool = False, limit: float = _LIMIT_SEC
    ) -> None:
        self.folder = folder
        self.real = real
        self.library = compile_library(folder)
        self.server = ForkServer(folder, self.library, limit=limit)
        self.run = tiny.approved(wanted(folder / "w"))
        self.stages: list[Stage] = []
        self.points: list[Point] = []
        self._trace()

    def _trace(self) -> None:
        while (position := next_stage(load_state(self.run))) is not None:
            number = len(self.stages)
            before = self.folder / f"before-{number}"
            shutil.copytree(self.run, before, symlinks=True)
            self.points += self._traced(number)
            self.stages.append(Stage(f"{position.label} {position.stage}", before, snapshot(self.run)))

    def _traced(self, number: int) -> list[Point]:
        """Run the stage that is due, and tell its calls."""
        trace = self.folder / f"trace-{number}"
        trace.unlink(missing_ok=True)
        done = self._step({"FAULT_TRACE": str(trace)})
        assert done.code == 0, done.stderr
        lines = (line.split("\t") for line in trace.read_text(encoding="utf-8").splitlines())
        return [Point(number, role, int(count), call, path) for role, count, call, path in lines]

    def really_traced(self, number: int) -> list[Point]:
        """The calls of a stage when every process is started anew."""
        self._from_before(self.stages[number])
        with self.started_anew():
            return self._traced(number)

    @property
    def limit(self) -> float:
        """Seconds that a process may take."""
        return self.server.limit

    @contextmanager
    def started_anew(self) -> Iterator[None]:
        """Within it every process is started anew, instead of being forked."""
        before, self.real = self.real, True
        try:
            yield
        finally:
            self.real = before

    def _from_before(self, stage: Stage) -> None:
        self._settle()
        shutil.rmtree(self.run)
        shutil.copytree(stage.before, self.run, symlinks=True)

    def asked(self, fault: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of a process that runs the stage that is due."""
        path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        if fault:
            env |= {"FAULT_ROOT": str(self.run), "FAULT_ROLES": ROLES, **fault}
        return [str(SUPPORT / "drive_step.py"), str(self.run)], env

    def _step(self, fault: dict[str, str]) -> Ended:
        argv, env = self.asked(fault)
        if not self.real:
            ended = self.server.run(argv, env)
            if ended.code is None:
                raise LimitReachedError(self.limit)
            return ended
        if fault:
            env["LD_PRELOAD"] = str(self.library)
        try:
            done = ran([sys.executable, *argv], env=env, timeout=self.limit)
        except subprocess.TimeoutExpired:
            raise LimitReachedError(self.limit) from None
        return Ended(done.returncode, done.stderr)

    def close(self) -> None:
        """End the fork server. That a process hangs is for the trial to say, whose error is not hidden here."""
        with suppress(LimitReachedError):
            self._settle()
        self.server.close()

    def trial(self, point: Point, fault: str) -> str | None:
        """Why the run did not end as the clean one did; None where it did."""
        try:
            return self._trial(point, fault)
        except LimitReachedError as error:
            return str(error)

    def _trial(self, point: Point, fault: str) -> str | None:
        stage = self.stages[point.stage]
        self._from_before(stage)
        happened = self.folder / "happened"
        happened.unlink(missing_ok=True)
        told = {"FAULT_AT": f"{point.role}:{point.number}", "FAULT_DO": FAULTS[fault][0], "FAULT_DONE": str(happened)}
        ended = self._step(told)
        said = [ended.stderr]
        wanted = _committed(stage.before) + 1
        for _ in range(_TAKE_UPS):
            # Behind the last stage the run is closed: that, too, is done when a process has ended well.
            if _committed(self.run) >= wanted and (ended.code == 0 or stage is not self.stages[-1]):
                break
            ended = self._step({})
            said.append(ended.stderr)
        self._settle()
        if not happened.exists():
            return "the call was not made again: the run is not deterministic"
        if any("Traceback" in text for text in said[1:]):
            return f"a traceback while taking it up: {said[-1].strip().splitlines()[-1]}"
        if _committed(self.run) != wanted:
            return f"not taken up: {said[-1].strip()[-300:]}"
        return _difference(stage.after, snapshot(self.run)) or _log_fault(self.run)

    def _settle(self) -> None:
        """No process of this run is left: what outlived its engine ends by itself."""
        limit = time.monotonic() + self.limit
        for record in read_records(self.run):
            if read_exit(record) is not None:
                continue
            for kind in ("claim.json", "child.json"):
                who = read_process(beside(record.path, kind))
                while who is not None and who[0] and is_alive(*who):
                    if time.monotonic() > limit:
                        raise LimitReachedError(self.limit)
                    time.sleep(0.001)


def compile_library(folder: Path) -> Path:
    """The library that counts and fails calls."""
    target = folder / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("a C compiler")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(HERE / "faults.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return target


def snapshot(run: Path) -> dict[str, str]:
    """Everything on disk that a clean and a troubled run must share."""
    found = tiny.snapshot(run)
    for name in ("deft_state.json", LOG_FILE):
        found.pop(name, None)
    state = json.loads((run / "deft_state.json").read_text(encoding="utf-8"))
    for iteration in state["iterations"].values():
        iteration["stages"] = [s["stage"] for s in iteration["stages"] if s["status"] == "ok"]
    for key in ("status", "stop_reason"):
        # A fault after the commit leaves the note of the trouble; the stage is done all the same.
        state.pop(key, None)
    plain = json.dumps(state, sort_keys=True)
    found["deft_state.json"] = str(tiny.plain_text(plain, run))
    return found


def masked(path: str) -> str:
    """A path without the parts that are drawn by lot or by the clock."""
    return re.sub(
        r"[0-9a-f]{12}|\d\d\d\d-\d\d-\d\d_\d{6}|(?<=[.-])[a-z0-9_]{8}(?=\.|/|$)|(?<=\.)\d+(?=\.tmp$)", "#", path
    )


def kind_of(point: Point) -> tuple[int, str, str, str]:
    """What two calls have in common that do the same to files of one sort: stage, process, call, folder and ending.

    The 44 pictures of a root cause are one sort, written by the same lines.
    """
    folder, _, name = masked(point.path).rpartition("/")
    return point.stage, point.role, point.call, f"{folder} {re.sub(r'^[^#.]*', '', name.lstrip('.'))}"


def one_of_each_kind(points: Sequence[Point], seed: int) -> list[Point]:
    """A point of every kind, which one by chance, in the order of the run."""
    drawn = {kind_of(p): p for p in random.Random(f"{seed} kinds").sample(points, len(points))}
    return sorted(drawn.values(), key=points.index)


def _committed(run: Path) -> int:
    """How many stages have ended well."""
    return sum(1 for record in load_state(run).records() if record.status == "ok")


def _difference(expected: dict[str, str], found: dict[str, str]) -> str | None:
    # A stage that fails leaves the hand-off of what there is; the clean run has it at its end only.
    for name in HANDED_ON:
        if name not in expected:
            found.pop(name, None)
    names = sorted(set(expected) ^ set(found))
    if names:
        return f"files differ: {names[:3]}"
    wrong = [name for name in sorted(expected) if expected[name] != found[name]]
    return f"content differs: {wrong[:3]}" if wrong else None


def _log_fault(run: Path) -> str | None:
    state = load_state(run)
    # What the next command does first: a line that the fault kept from the log comes out of the state.
    sync_log(run, state)
    lines = read_log(run / LOG_FILE)
    if [line.seq for line in lines] != list(range(1, len(lines) + 1)):
        return "the log's numbers have gaps"
    ended = [(line.iter, line.stage) for line in lines if line.status == "ok"]
    if len(ended) != len(set(ended)):
        return "a stage ended well twice"
    told = [(label, r.stage, r.seq) for label, r in state.labelled_records()]
    known = {(line.iter, line.stage, line.seq) for line in lines}
    return next(
        (f"the log has lost {label} {stage}" for label, stage, seq in told if (label, stage, seq) not in known), None
    )


def chosen(points: Sequence[Point], fault: str, sample: int | None, seed: int) -> list[Point]:
    """The points at which the fault can happen; at most `sample` of them, spread by chance over the whole run."""
    calls = FAULTS[fault][1]
    able = [p for p in points if calls is None or p.call in calls]
    if sample is None or sample >= len(able):
        return able
    return sorted(random.Random(f"{seed} {fault}").sample(able, sample), key=able.index)


def trials(
    harness: Harness, faults: Sequence[str], sample: int | None, seed: int, part: tuple[int, int] = (1, 1)
) -> Iterator[tuple[Point, str, str | None]]:
    """Try the chosen points of every fault; yields (point, fault, what went wrong or None)."""
    for fault in faults:
        for point in chosen(harness.points, fault, sample, seed)[part[0] - 1 :: part[1]]:
            yield point, fault, harness.trial(point, fault)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--sample", type=int, help="points tried a fault; all if left away")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", type=int, help="the points of this stage alone, counted from 0")
    parser.add_argument(
        "--once", action="store_true", help="one point of each kind: stage, process, call, sort of file"
    )
    parser.add_argument("--part", default="1/1", help="try the I-th of N parts of the points")
    parser.add_argument("--loop", choices=LOOPS, default="boards", help="whose calls")
    parser.add_argument("--real", action="store_true", help="real processes instead of forked ones")
    parser.add_argument("--limit", type=float, default=_LIMIT_SEC, help="seconds that a process may take")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        harness = Harness(Path(name), LOOPS[given.loop], real=given.real, limit=given.limit)
        number, parts = (int(text) for text in given.part.split("/"))
        print(f"points found: {len(harness.points)}, in {len(harness.stages)} stages", flush=True)
        tried: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        if given.stage is not None:
            harness.points = [point for point in harness.points if point.stage == given.stage]
        if given.once:
            harness.points = one_of_each_kind(harness.points, given.seed)
            print(f"one of each kind: {len(harness.points)}", flush=True)
        began = time.monotonic()
        for point, fault, wrong in trials(harness, given.faults.split(","), given.sample, given.seed, (number, parts)):
            tried[fault] += 1
            if tried.total() % 100 == 0:
                print(f"{tried.total()} tried, {failed.total()} failures", file=sys.stderr, flush=True)
            if wrong is not None:
                failed[fault] += 1
                where = harness.stages[point.stage].name
                print(
                    f"{fault} at {where} · {point.role} · {point.number} {point.call} {point.path}: {wrong}", flush=True
                )
        for fault in tried:
            print(f"{fault}: {tried[fault]} points tried, {failed[fault]} failures")
        print(f"{sum(tried.values())} trials in {time.monotonic() - began:.0f} s")
        harness.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
