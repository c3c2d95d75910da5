"""Calls in batches: half the price, answered within a day, behind the same journal.

Calls that the journal cannot answer are written to a file; when nothing moves any more without their answers, the file
goes to the vendor. What is to be sent is journaled before it is sent, under a ticket that the vendor's batch carries:
a process killed at any moment finds its batches again, by their names or by their tickets, and sends none twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from tao_skill_bank.annotate.calls import (
    Call,
    CallFailedError,
    DeniedError,
    NotInBatchError,
    denial,
    emptiness,
    form_of,
    no_room_left,
)
from tao_skill_bank.annotate.endpoints.base import PASSING, Ask, BatchLook, FaultError, Reply
from tao_skill_bank.annotate.endpoints.endpoint import Endpoint
from tao_skill_bank.annotate.gate import BudgetReachedError, EndpointDownError, Gate
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.ledger import Ledger, entries_of, outcome_of
from tao_skill_bank.annotate.prices import Prices
from tao_skill_bank.annotate.records import BatchedCall, Entry, OpenBatch, Recorded, Settled
from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import plural

if TYPE_CHECKING:
    from tao_skill_bank.annotate.media import Video

FOLDER = ".batches"
_NAME_LENGTH = 40
"""How much of a call's key names its line; vendors take 64 letters at most."""
_ROUNDS_OF_EMPTY = 2
T = TypeVar("T")


@dataclass(frozen=True)
class BatchPolicy:
    """How batches are made. Seconds.

    Attributes:
        settle: Nothing may have come in for so long before a file is sent that is not full.
        poll: Between two looks at the open batches.
        look: Between two looks at what is to be sent.
        most_calls, most_bytes: A file this large is full; vendors take 50,000 calls and 200 MB.
        rounds: Batches that a call may go into before it counts as failed.
    """

    settle: float = 3.0
    poll: float = 30.0
    look: float = 0.25
    most_calls: int = 20_000
    most_bytes: int = 150_000_000
    rounds: int = 4


def left_open(journal: Journal, used: Collection[tuple[str, str]]) -> list[str]:
    """What stays open at a vendor when a run is over that asked these endpoints and models."""
    batches = journal.open_batches()
    own = [batch for batch in batches if (batch.endpoint, batch.model) in used]
    found = [
        f"batch {b.id or b.ticket} is still open at the vendor; a later run fetches its {len(b.calls)} answers"
        for b in own
    ]
    if len(batches) > len(own):
        # Of a model that the run does not use, or had not come to when it was halted.
        more = plural(len(batches) - len(own), "open batch", "open batches")
        found.append(f"{more} of a model or an address that this run did not ask")
    return found


@dataclass
class _File:
    """Lines that wait to be sent."""

    ticket: str
    path: Path
    handle: IO[bytes]
    calls: list[BatchedCall] = field(default_factory=list)
    sources: set[Video] = field(default_factory=set)
    size: int = 0


@dataclass
class _Counter:
    """What stands at one endpoint and model: files in the order they go, of which the last is being filled.

    `serial` from when the vendor has said that too much waits there: one batch at a time.
    """

    endpoint: Endpoint
    most_calls: int
    files: list[_File] = field(default_factory=list)
    serial: bool = False


class Desk:
    """Takes calls, sends them in batches, and hands the answers out once they are journaled."""

    def __init__(
        self,
        journal: Journal,
        gate: Gate,
        prices: Prices,
        ledger: Ledger,
        endpoints: Iterable[Endpoint],
        results_dir: Path,
        *,
        collecting: bool,
        policy: BatchPolicy,
        busy: Callable[[], bool],
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.prices = prices
        self.ledger = ledger
        self.collecting = collecting
        self.policy = policy
        self.made = 0
        self._folder = results_dir / FOLDER
        self._busy = busy
        self._counters = {(e.name, e.model): _Counter(e, policy.most_calls) for e in endpoints}
        self._open: dict[str, OpenBatch] = {}
        self._standing: set[str] = set()
        self._waiting: dict[str, asyncio.Future[Recorded]] = {}
        self._preparing = 0
        self._touched = 0.0
        self._broken: BaseException | None = None

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Within it batches of earlier runs are resumed, and calls are sent and fetched.

        Raises:
            BankError: The endpoint denies, or cannot be reached.
        """
        work: asyncio.Future[None] | None = None
        try:
            await self._resume()
            work = asyncio.ensure_future(self._work())
            yield
        finally:
            if work is not None:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
            self._close()

    async def _resume(self) -> None:
        """Resume the batches of earlier runs: those with a name, and those that were being sent at a kill.

        Raises:
            BankError: The endpoint denies, or cannot be reached.
        """
        for batch in self.journal.open_batches():
            counter = self._counters.get((batch.endpoint, batch.model))
            if counter is None:
                continue
            known = batch if batch.id is not None else await self._found(counter, batch)
            if known is not None:
                self._took(known)
                self.ledger.resume(known)
        for left in guard.matching(self._folder, "*.jsonl"):
            guard.remove(left)

    def holds(self, key: str) -> bool:
        """Whether a call is this desk's: it makes batches, or one of an earlier run has the call in it."""
        return self.collecting or key in self._standing

    async def answer(
        self, call: Call, key: str, endpoint: Endpoint, ask: Callable[[], Awaitable[Ask]], worst: float
    ) -> Recorded:
        """The journaled answer to a call, out of this batch or a later one.

        `worst`: USD that a direct call may cost at most.

        Raises:
            CallFailedError: No usable answer.
            NotInBatchError: It is to be asked directly.
            BankError: The run is over.
        """
        fault: FaultError | None = None
        form = endpoint.forms.of(Ask(call.prompt, schema=call.schema, kind=call.kind))
        rounds = empty = 0
        while rounds < self.policy.rounds:
            recorded = self.journal.answer(key)
            if recorded is not None:
                return recorded
            self._stop_if_over()
            if key not in self._standing:
                if not self.collecting:
                    raise NotInBatchError
                form = await self._accepted(call, key, endpoint, ask, worst * self.prices.batch)
            try:
                return await self._waiting.setdefault(key, asyncio.get_running_loop().create_future())
            except FaultError as found:
                fault = found
            self._judge(call, endpoint, fault, form)
            rounds += fault.kind != "throttled"
            if fault.kind == "empty" and (empty := empty + 1) >= _ROUNDS_OF_EMPTY:
                break
        assert fault is not None
        raise CallFailedError(
            f"{call.kind}: no answer in {rounds} batches, last: {fault.message}", where=call.video, fix="run again"
        )

    async def _work(self) -> None:
        """Send and fetch until cancelled or halted. What goes wrong reaches everybody who waits."""
        loop = asyncio.get_running_loop()
        due = 0.0
        try:
            while True:
                self._stop_if_over()
                await self._send_what_is_due()
                if self._open and loop.time() >= due:
                    for batch in list(self._open.values()):
                        self._stop_if_over()
                        await self._look_at(batch)
                    due = loop.time() + self.policy.poll
                await asyncio.sleep(self.policy.look)
        except BankError as error:
            self.gate.halt(error)
            self._give_up(error)
        except BaseException as error:
            self._give_up(error)
            raise

    def _close(self) -> None:
        """Drop the lines that were not sent."""
        for counter in self._counters.values():
            for file in counter.files:
                file.handle.close()
                guard.remove(file.path)
            counter.files.clear()
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    # What comes in.

    async def _accepted(
        self, call: Call, key: str, endpoint: Endpoint, ask: Callable[[], Awaitable[Ask]], worst: float
    ) -> str:
        """Write a call to the file that goes next; returns the form in which it stands there."""
        # Whoever waits for money keeps no file from being sent: what stands in it may be what holds the money.
        await self.ledger.hold(worst)
        self._preparing += 1
        accepted = False
        try:
            asked = await ask()
            if self.gate.halted is not None:
                raise self.gate.halted
            form, line = endpoint.forms.of(asked), endpoint.batches.line(key[:_NAME_LENGTH], asked)
            file = self._file_for(self._counters[(endpoint.name, endpoint.model)], len(line))
            file.handle.write(line)
            accepted = True
            file.size += len(line)
            file.calls.append(BatchedCall(key, call.kind, call.video, worst))
            if call.source is not None:
                file.sources.add(call.source)
            self._standing.add(key)
            return form
        finally:
            if not accepted:
                self.ledger.let_go(worst)
            self._preparing -= 1
            self._touched = asyncio.get_running_loop().time()

    def _file_for(self, counter: _Counter, size: int) -> _File:
        """The file that is being filled, or a new one where the line does not fit any more."""
        last = counter.files[-1] if counter.files else None
        if last and len(last.calls) < counter.most_calls and last.size + size <= self.policy.most_bytes:
            return last
        guard.make_folder(self._folder)
        ticket = f"tao-annotate-{secrets.token_hex(12)}"
        path = self._folder / f"{ticket}.jsonl"
        counter.files.append(_File(ticket, path, guard.open_write(path, "xb")))
        return counter.files[-1]

    def _judge(self, call: Call, endpoint: Endpoint, fault: FaultError, form: str) -> None:
        """Return if another batch may help."""
        if fault.kind == "upload_gone" and call.source is not None:
            call.source.library.forget_upload(call.source.sha256)
            return
        if fault.kind in PASSING or fault.kind in ("gone", "empty"):
            return
        if endpoint.adapted(fault, Ask(call.prompt, schema=call.schema, kind=call.kind), form):
            self.journal.set_meta(form_of(endpoint), endpoint.forms.dumps())
            return
        if fault.kind == "denied" or (fault.kind == "refused" and not self.gate.lane(endpoint.name).proved):
            denied = denial(endpoint, fault)
            self.gate.halt(denied)
            raise denied
        raise CallFailedError(f"{call.kind}: {fault.message}", where=call.video, fix="run again")

    # What goes out.

    def _quiet(self) -> bool:
        """Whether nothing moves without the answers to what stands in the files."""
        if self._preparing or self._busy():
            return False
        if asyncio.get_running_loop().time() - self._touched < self.policy.settle:
            return False
        return not any(call.key in self._waiting for batch in self._open.values() for call in batch.calls)

    async def _send_what_is_due(self) -> None:
        quiet = self._quiet()
        for key, counter in self._counters.items():
            while counter.files:
                waits = counter.serial and any((b.endpoint, b.model) == key for b in self._open.values())
                if waits or not (quiet or len(counter.files) > 1):
                    break
                await self._send(counter, counter.files.pop(0))

    async def _send(self, counter: _Counter, file: _File) -> None:
        """Journal what is to be sent, send it, journal its name."""
        file.handle.close()
        now = SystemClock().now().timestamp()
        endpoint = counter.endpoint
        plan = OpenBatch(file.ticket, endpoint.name, endpoint.model, None, now, tuple(file.calls))
        await self.ledger.sent_in_batch(plan)
        tried = False

        async def submit() -> str:
            nonlocal tried
            door = endpoint.batches
            # A try that was cut off may have reached the vendor all the same.
            known = await door.find(file.ticket, now) if tried else None
            tried = True
            return known or await door.submit(file.path, file.ticket)

        try:
            name = await self._patiently(counter, submit)
        except DeniedError:
            await self.ledger.strike(plan, held=True)
            raise
        await asyncio.wrap_future(self.journal.name_batch(file.ticket, name))
        self._took(replace(plan, id=name))
        for source in file.sources:
            source.release()
        guard.remove(file.path)

    async def _found(self, counter: _Counter, batch: OpenBatch) -> OpenBatch | None:
        """A batch that was being sent at a kill, if the vendor has it; else it is forgotten, and asked for anew."""
        name = await self._patiently(counter, lambda: counter.endpoint.batches.find(batch.ticket, batch.at))
        if name is None:
            await self.ledger.strike(batch, held=False)
            return None
        await asyncio.wrap_future(self.journal.name_batch(batch.ticket, name))
        return replace(batch, id=name)

    def _took(self, batch: OpenBatch) -> None:
        self._open[batch.ticket] = batch
        self._standing.update(call.key for call in batch.calls)

    # What comes back.

    async def _look_at(self, batch: OpenBatch) -> None:
        """Fetch a batch's answers if they are there; they are handed out when all of them are journaled."""
        counter = self._counters[(batch.endpoint, batch.model)]
        door, name = counter.endpoint.batches, batch.id or ""

        async def look() -> BatchLook:
            try:
                return await door.look(name)
            except FaultError as fault:
                if fault.status != 404:
                    raise
                return BatchLook("failed", FaultError("gone", f"the endpoint does not know batch {name} any more"))

        found = await self._patiently(counter, look)
        if found.state == "working":
            return
        results = await self._patiently(counter, lambda: door.results(name)) if found.state == "ended" else []
        missing = found.fault or FaultError("server", f"batch {name} ended without an answer")
        outcomes = self._outcomes(batch, results, missing)
        settled = [self._settled(entry, outcomes[entry.key]) for entry in entries_of(batch)]
        self.made += len(batch.calls)
        await self.ledger.settle(settled, closes=batch.ticket)
        if any(isinstance(what, Recorded) for what in outcomes.values()):
            self.gate.lane(batch.endpoint).proved = True
        del self._open[batch.ticket]
        if found.state == "failed":
            self._failed_whole(counter, batch, missing)
        for call in batch.calls:
            what = outcomes[call.key]
            self._standing.discard(call.key)
            waiting = self._waiting.pop(call.key, None)
            if waiting is None or waiting.done():
                continue
            if isinstance(what, Recorded):
                waiting.set_result(what)
            else:
                waiting.set_exception(what)
        self._touched = asyncio.get_running_loop().time()

    def _failed_whole(self, counter: _Counter, batch: OpenBatch, fault: FaultError) -> None:
        """A batch that was not worked on at all: too much at once, or nothing that could be.

        Raises:
            DeniedError: Sending it again would bring nothing else.
        """
        if fault.kind == "throttled" and len(batch.calls) > 1:
            counter.most_calls = max(1, len(batch.calls) // 2)
            counter.serial = True
        elif fault.kind in ("throttled", "refused"):
            raise denial(counter.endpoint, fault)

    def _outcomes(
        self, batch: OpenBatch, results: list[tuple[str, Reply | FaultError]], missing: FaultError
    ) -> dict[str, Recorded | FaultError]:
        """Key → answer or fault, for every call of the batch."""
        by_name = {call.key[:_NAME_LENGTH]: call for call in batch.calls}
        found: dict[str, Recorded | FaultError] = {call.key: missing for call in batch.calls}
        now = log_time(SystemClock().now())
        for number, (name, what) in enumerate(results):
            # Where the vendor leaves names out, lines come in the order in which they were sent.
            nameless = batch.calls[number] if not name and number < len(batch.calls) else None
            call = by_name.get(name) or nameless
            if call is None:
                continue
            if isinstance(what, FaultError):
                found[call.key] = what
                continue
            fault = emptiness(what)
            if fault is not None:
                fault.usage = (what.input_tokens, what.output_tokens)
                found[call.key] = fault
                continue
            read, wrote = what.input_tokens, what.output_tokens
            found[call.key] = Recorded(
                key=call.key,
                kind=call.kind,
                video=call.video,
                endpoint=batch.endpoint,
                model=batch.model,
                text=what.text,
                finish=what.finish,
                input_tokens=read,
                output_tokens=wrote,
                # Where nothing is said of what was used, all that it can have been.
                cost=self.prices.cost(batch.model, read, wrote, batch=True) if read or wrote else call.worst,
                seconds=0.0,
                at=now,
            )
        return found

    def _settled(self, entry: Entry, what: Recorded | FaultError) -> tuple[Entry, Settled, Recorded | None]:
        """What became of a call of a batch, for the ledger."""
        if isinstance(what, Recorded):
            outcome = "empty" if no_room_left(what) else "answered"
            return entry, Settled(outcome, what.cost, what.input_tokens, what.output_tokens), what
        usage = what.usage
        cost = None if usage is None else self.prices.cost(entry.model, *usage, batch=True)
        return entry, outcome_of(what, cost), None

    async def _patiently(self, counter: _Counter, work: Callable[[], Awaitable[T]]) -> T:
        """Do something at the vendor's, again and again where that may help.

        Raises:
            DeniedError: It never will.
            EndpointDownError: It did not for long. What is sent stays sent.
        """
        policy, fault = self.gate.policy, None
        for attempt in range(policy.tries):
            if fault is not None:
                await asyncio.sleep(policy.backoff(attempt - 1, fault.retry_after, self.gate.rng))
            self._stop_if_over()
            try:
                return await work()
            except FaultError as found:
                fault = found
            if fault.kind not in PASSING:
                where = f"the batch interface of {counter.endpoint.name}" if fault.status == 404 else None
                raise denial(counter.endpoint, fault, where=where)
        assert fault is not None
        raise EndpointDownError(
            f"no answer in {policy.tries} tries, last: {fault.message}",
            where=counter.endpoint.name,
            fix="run again later; what was sent is fetched then",
        )

    def _stop_if_over(self) -> None:
        """Batches within a limit are still waited for; every other reason to halt ends the waiting too."""
        if self._broken is not None:
            raise self._broken
        if self.gate.halted is not None and not isinstance(self.gate.halted, BudgetReachedError):
            raise self.gate.halted

    def _give_up(self, reason: BaseException) -> None:
        if not isinstance(reason, BankError):
            self._broken = reason
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(reason)
                waiting.exception()
        self._waiting.clear()
