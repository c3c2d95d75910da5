"""A run: every listed video through the steps, until all are done or it is halted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tao_skill_bank.annotate.batch import BatchPolicy, Desk, left_open
from tao_skill_bank.annotate.calls import Caller
from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.endpoints import open_endpoints, open_judge
from tao_skill_bank.annotate.endpoints.endpoint import Endpoint
from tao_skill_bank.annotate.files import StatusFile, write_step_files
from tao_skill_bank.annotate.flow import Shop, VideoFlow
from tao_skill_bank.annotate.gate import Gate, Policy, RunHaltedError
from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.annotate.judge.kept import read_judged, write_judged
from tao_skill_bank.annotate.judge.work import Judging, to_judge
from tao_skill_bank.annotate.layout import OUTPUT_META, STEP_FILES, whole_of
from tao_skill_bank.annotate.ledger import Ledger, may_have
from tao_skill_bank.annotate.listing import StandingRows
from tao_skill_bank.annotate.made import made_of
from tao_skill_bank.annotate.media import Library
from tao_skill_bank.annotate.prices import Prices
from tao_skill_bank.annotate.prompts import Prompts
from tao_skill_bank.annotate.results import check as write_again
from tao_skill_bank.annotate.scope import Limits, check, effective_steps
from tao_skill_bank.annotate.sealed import STARTED_BY, Sealed, refuse_unpriced, seal
from tao_skill_bank.core import foreground, guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.roots import OutsideError

STOP_FILE = ".annotate-stop"
_GO_ON = "run again to go on; every answer is kept"
_FIRST = "stopping: calls in flight are waited for and kept; once more ends it at once"
_ENDED = "ended at once: answers that had arrived are kept, calls in flight count as billed. Run again to go on"
_EXTRA_VIDEOS = 8
"""Videos at work beyond the number of workers: while some are being decoded, others keep the slots filled."""
_MORE_JUDGED = 4
_BATCH_VIDEOS = 4000
"""Videos at work while calls go in batches: each waits for its answers most of the time, and costs some kilobytes."""
_LOOK_SEC = 0.25
_PROJECT_SEC = 20.0
_TELL_SEC = 1.0
_PACE_SEC = 120.0
"""How far back the pace is taken from: what the journal answers at the beginning of a run goes much faster."""
_LEAST_WENT = 3


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        videos: Listed (in this shard).
        failed: Videos of which something could not be done; it is tried again on the next run.
        calls: Tries of this run, answered or not.
        known: Answers taken from the journal.
        peak: Most calls in flight at one time.
        cost: USD of everything in the folder's journal that has a price.
        unpriced: Answers whose price is unknown.
        may_cost, unknown: USD that calls of an unknown outcome may have cost beside, and how many those are.
        items: Items in the task files.
        rejected: Questions refused, in `rejected.jsonl`.
        refused: What each rule refused or left out: texts of models before their use, questions after it.
        flagged: What each rule flags; those items are kept, and named in `quality.json`.
        no_item: Whether the files were asked for and hold nothing.
        halted: Why the run ended early, None if it did not.
        problems: Lines of input files that name no video, rows that could not be read.
    """

    videos: int = 0
    failed: int = 0
    calls: int = 0
    known: int = 0
    peak: int = 0
    cost: float = 0.0
    unpriced: int = 0
    may_cost: float = 0.0
    unknown: int = 0
    items: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    no_item: bool = False
    halted: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def came_to_nothing(self) -> bool:
        """Whether every video failed, or files were asked for and no item is in them."""
        return (self.videos > 0 and self.failed == self.videos) or self.no_item


ADVANCE = "advance"


class Advance(BaseModel):
    """How far a run is, as its journal has it.

    Attributes:
        done: Gone through, with or without failures.
        seconds, went: The pace: so many videos in the last so many seconds.
    """

    videos: int
    done: int
    seconds: float
    went: int

    @property
    def left_sec(self) -> int | None:
        """Seconds to go at this pace; None before a few videos have shown it."""
        return round((self.videos - self.done) * self.seconds / self.went) if self.went >= _LEAST_WENT else None


Progress = Callable[[int, int, Caller], None]


def annotate(
    config: AnnotationConfig,
    prices: Prices,
    limits: Limits | None = None,
    *,
    batch: bool = False,
    policy: Policy | None = None,
    batch_policy: BatchPolicy | None = None,
) -> Outcome:
    """Run the steps; what is there already is not done again. The caller holds the folder's lock.

    Raises:
        InputError: The request cannot be met; nothing was paid for.
        BankError: The run was halted; what is answered is kept, and the files are written from it.
    """
    prompts = check(config)
    with contextlib.closing(StandingRows(config.results_dir)) as standing:
        sealed = seal(config, prices, limits, batch=batch, standing=standing)
        return _run(sealed, prompts, standing, policy=policy, batch_policy=batch_policy)


def run_sealed(sealed: Sealed, progress: Progress | None = None) -> Outcome:
    """Run what was sealed, and nothing else. The caller holds the folder's lock.

    Raises:
        InputError: It cannot be met, or a file that it builds upon has changed; nothing was paid for.
        BankError: As `annotate`.
    """
    prompts = check(sealed.config)
    folder = sealed.config.results_dir
    with contextlib.closing(StandingRows(folder)) as standing:
        if standing.digests != sealed.rows:
            what = "the step files have changed since the run was listed"
            raise InputError(what, where=folder, fix="start the run again")
        return _run(sealed, prompts, standing, progress=progress)


def _run(
    sealed: Sealed,
    prompts: Prompts,
    standing: StandingRows,
    *,
    policy: Policy | None = None,
    batch_policy: BatchPolicy | None = None,
    progress: Progress | None = None,
) -> Outcome:
    config, listing = sealed.config, sealed.listing
    steps = effective_steps(config)
    vlm_llm = open_endpoints(config) if steps - {"4"} else None
    if sealed.limits.max_cost is not None:
        refuse_unpriced(config, sealed.prices)
    _not_bought_before(config.results_dir, steps, standing)
    with Journal(config.results_dir) as journal:
        journal.set_meta("video_root", config.data.video_root)
        journal.set_meta(OUTPUT_META, made_of(config))
        journal.set_meta(STARTED_BY, sealed.how)
        status = StatusFile(config.results_dir)
        status.add("STARTED", f"annotation of {len(listing.videos)} videos, steps {', '.join(sorted(steps))}")
        outcome = Outcome(videos=len(listing.videos), problems=listing.problems[:50])
        if standing.torn:
            outcome.problems.append(f"{standing.torn} torn rows of step files left aside")
        halted: BankError | None = None
        used: set[tuple[str, str]] = set()
        batches = batch_policy or BatchPolicy()
        if vlm_llm is not None:
            used |= {(e.name, e.model) for e in vlm_llm[:2]}
            work = _Work(sealed, steps, prompts, journal, standing, progress)
            halted = asyncio.run(work.run(*vlm_llm[:2], policy or Policy(), batches, outcome))
        if "4" in steps and config.quality.checks and halted is None:
            judge = open_judge(config)
            used.add((judge.name, judge.model))
            halted = asyncio.run(_judge(sealed, journal, judge, policy or Policy(), batches, outcome))
        outcome.problems += left_open(journal, used)
        if "4" in steps:
            written = write_again(config.results_dir, empty=True)
            outcome.items, outcome.rejected = written.items, written.rejected
            outcome.refused = dict(sorted((Counter(outcome.refused) + Counter(written.refused)).items()))
            outcome.flagged = written.flagged
            outcome.no_item = not written.items
        totals = journal.totals()
        outcome.cost, outcome.unpriced = totals.cost, totals.unpriced
        outcome.may_cost, outcome.unknown = totals.may_cost, totals.unknown
        if totals.unknown:
            outcome.problems.append(may_have(totals.unknown, totals.may_cost))
        outcome.halted = None if halted is None else halted.line()
        message = outcome.halted or f"{outcome.videos} videos, {outcome.failed} with failures"
        status.add("FAILURE" if halted else "SUCCESS", message, asdict(outcome))
    if halted is not None:
        raise halted
    return outcome


class _Asking:
    """What a part of a run asks models with: one gate, one ledger and one desk for all of its calls."""

    def __init__(
        self, sealed: Sealed, journal: Journal, vlm: Endpoint, llm: Endpoint, policy: Policy, batches: BatchPolicy
    ) -> None:
        config, limits = sealed.config, sealed.limits
        self._endpoints = (vlm, llm)
        self.gate = Gate(config.workflow.max_workers, policy, random.Random())
        ledger = Ledger(journal, self.gate, limits.max_calls, limits.max_cost)
        self.caller = Caller(journal, self.gate, vlm, llm, sealed.prices, ledger)
        self.library = Library(journal, self.gate, vlm, config.workflow, sealed.listing.known)
        self._desk = self.caller.desk = Desk(
            *(journal, self.gate, sealed.prices, ledger, self._endpoints, config.results_dir),
            collecting=sealed.batch,
            policy=batches,
            busy=lambda: self.library.busy,
        )

    async def through(self, work: Callable[[], Awaitable[None]], watch: Coroutine[Any, Any, None]) -> None:
        """Do the work while somebody watches; what halted it stands in the gate. Asks nobody after that."""
        watching = asyncio.ensure_future(watch)
        try:
            with foreground.stops(_FIRST, lambda: _ENDED):
                try:
                    async with self._desk.at_work():
                        await work()
                except BankError as error:
                    self.gate.halt(error)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            self.library.close()
            for endpoint in dict.fromkeys(self._endpoints):
                await endpoint.close()

    def count(self, outcome: Outcome) -> None:
        """Add what was asked to an outcome."""
        outcome.calls += self.caller.made + self._desk.made
        outcome.known += self.caller.known
        outcome.peak = max(outcome.peak, self.gate.peak)


async def _judge(
    sealed: Sealed, journal: Journal, judge: Endpoint, policy: Policy, batches: BatchPolicy, outcome: Outcome
) -> BankError | None:
    """Ask the checks that a model answers, and keep what they find beside what others found; returns what halted it."""
    config = sealed.config
    asking = _Asking(sealed, journal, judge, judge, policy, batches)
    at_once = _BATCH_VIDEOS if sealed.batch else config.workflow.max_workers + _MORE_JUDGED
    work = Judging(config, asking.caller, asking.library, journal.makers())
    watch = _watched(config.results_dir, asking.gate)
    await asking.through(lambda: work.all(to_judge(config.results_dir), at_once), watch)
    journal.flush()
    halted = asking.gate.halted
    newer = read_judged(config.results_dir).with_newer(work.judged(), stopped=halted is not None)
    write_judged(config.results_dir, newer)
    asking.count(outcome)
    return halted


async def _watched(results_dir: Path, gate: Gate) -> None:
    """Look for a request to stop, for as long as it runs."""
    while True:
        _stopped(results_dir, gate)
        await asyncio.sleep(_LOOK_SEC)


def _stopped(results_dir: Path, gate: Gate) -> None:
    """Halt the run where somebody asked for it."""
    if (asked := foreground.asked()) is not None:
        gate.halt(asked.of(RunHaltedError(f"stopped by {asked.by}", fix=_GO_ON)))
    elif stop_requested(results_dir):
        gate.halt(RunHaltedError("stopped as asked", fix=_GO_ON))


@dataclass
class _Work:
    """The part of a run that calls models."""

    sealed: Sealed
    steps: frozenset[str]
    prompts: Prompts
    journal: Journal
    standing: StandingRows
    progress: Progress | None

    async def run(
        self, vlm: Endpoint, llm: Endpoint, policy: Policy, batches: BatchPolicy, outcome: Outcome
    ) -> BankError | None:
        """Go through the videos; returns what halted the run."""
        config, videos = self.sealed.config, self.sealed.listing.videos
        asking = _Asking(self.sealed, self.journal, vlm, llm, policy, batches)
        gate, caller = asking.gate, asking.caller
        number = int(self.journal.meta("run") or 0) + 1
        self.journal.set_meta("run", str(number))
        self.journal.clear_failures()
        shop = Shop(config, self.steps, self.prompts, caller, self.journal, asking.library, self.standing, number)
        reached: set[str] = set()
        watch = self._watch(gate, number, reached, caller, len(videos))
        try:
            await asking.through(lambda: self._all_videos(shop, videos, gate, reached, outcome), watch)
        finally:
            self._tell(len(videos), len(reached))
        self.journal.flush()
        complete = gate.halted is None
        write_step_files(config.results_dir, self.steps, number, self.standing, None if complete else reached)
        if complete:
            self.journal.keep_only(number).result()
        asking.count(outcome)
        outcome.refused = dict(sorted(shop.codes.items()))
        return gate.halted

    async def _all_videos(self, shop: Shop, videos: list[str], gate: Gate, reached: set[str], outcome: Outcome) -> None:
        """A window of videos at work, in the order of the list."""
        most = _BATCH_VIDEOS if self.sealed.batch else self.sealed.config.workflow.max_workers + _EXTRA_VIDEOS
        working: set[asyncio.Task[None]] = set()

        async def one(position: int, video: str) -> None:
            flow = VideoFlow(shop, position, video)
            try:
                await flow.go()
            except BankError as error:
                gate.halt(error)
                return
            reached.add(os.path.abspath(video))
            outcome.failed += flow.failed

        async def some_done(limit: int) -> None:
            nonlocal working
            while len(working) > limit:
                done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()

        try:
            for position, video in enumerate(videos):
                if gate.halted is not None:
                    break
                working.add(asyncio.ensure_future(one(position, video)))
                await some_done(most - 1)
            await some_done(0)
        finally:
            for task in working:
                task.cancel()
            if working:
                await asyncio.wait(working)

    def _tell(self, videos: int, done: int, seconds: float = 0.0, went: int = 0) -> None:
        """Note in the journal how far the run is; `went` videos took the last `seconds`."""
        told = Advance(videos=videos, done=done, seconds=round(seconds, 1), went=went)
        self.journal.set_meta(ADVANCE, told.model_dump_json())

    async def _watch(self, gate: Gate, number: int, reached: set[str], caller: Caller, videos: int) -> None:
        """Look for a request to stop, tell the progress, and bring the files up to date now and then."""
        folder = self.sealed.config.results_dir
        due = time.monotonic() + _PROJECT_SEC
        pace: deque[tuple[float, int]] = deque()
        _stopped(folder, gate)
        while True:
            now_at = time.monotonic()
            if not pace or now_at >= pace[-1][0] + _TELL_SEC:
                pace.append((now_at, len(reached)))
                while pace[0][0] < now_at - _PACE_SEC:
                    pace.popleft()
                self._tell(videos, len(reached), *_pace(pace))
            await asyncio.sleep(_LOOK_SEC)
            _stopped(folder, gate)
            if self.progress is not None:
                self.progress(len(reached), videos, caller)
            if time.monotonic() >= due:
                began = time.monotonic()
                self.journal.flush()
                now = set(reached)
                await asyncio.to_thread(write_step_files, folder, self.steps, number, self.standing, now)
                due = time.monotonic() + max(_PROJECT_SEC, 30 * (time.monotonic() - began))


def _pace(samples: deque[tuple[float, int]]) -> tuple[float, int]:
    """(seconds, videos) between the oldest sample and the newest."""
    return samples[-1][0] - samples[0][0], samples[-1][1] - samples[0][1]


def _not_bought_before(results_dir: Path, steps: frozenset[str], standing: StandingRows) -> None:
    """Refuse a run whose answers were bought before, and are gone.

    Raises:
        InputError: There are rows of an earlier run of a step that is asked for, and no journal that holds its answers.
    """
    made = next((step for step in STEP_FILES if step in steps and standing.made(step)), None)
    if made is None:
        return
    path = journal_path(results_dir)
    if guard.holds_bytes(path):
        with Journal(results_dir, read_only=True) as journal:
            if journal.totals().answers:
                return
    raise InputError(
        f"holds no answers, but {STEP_FILES[made]} has rows that were made from some: everything would be bought again",
        where=path,
        fix=f"restore {path.name}, or name a new results_dir",
    )


def request_stop(results_dir: Path) -> None:
    """Ask whoever works on the folder to stop."""
    guard.open_write(results_dir / STOP_FILE, "ab").close()


def stop_requested(results_dir: Path) -> bool:
    """Whether somebody asked the run, or the whole that it is a shard of, to stop."""
    if guard.exists(results_dir / STOP_FILE):
        return True
    whole = whole_of(results_dir)
    try:
        return whole is not None and guard.exists(whole / STOP_FILE)
    except OutsideError:
        # Whoever works within the shard's folder alone is asked there.
        return False


def clear_stop(results_dir: Path) -> None:
    """Forget an earlier request to stop."""
    guard.remove(results_dir / STOP_FILE)
