"""One limiter for every call of a run: who may be in flight, how many, and when an endpoint must be left alone.

At most `max_workers` calls are in flight in all. Each endpoint has its own allowance below that: it begins with one
call (so a wrong key costs one call), doubles with every success until it is throttled, and from then on grows by one
per round and shrinks by a quarter when it is throttled again. After a run of failures without a success its circuit
opens: nothing is sent for a while, then one probe; when several probes in a row fail, the run ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tao_skill_bank.core.errors import BankError

Priority = tuple[int, int]


class RunHaltedError(BankError):
    """The run takes no further calls: it was stopped, or its budget is used up. It can be resumed."""

    exit_code = 1


class BudgetReachedError(RunHaltedError):
    """A limit is reached. Batches that were within it are still sent and waited for."""


class EndpointDownError(BankError):
    """An endpoint fails whatever is sent. What is answered is kept; the run can be resumed."""

    exit_code = 1


@dataclass(frozen=True)
class Policy:
    """How failures are met. Seconds.

    Attributes:
        tries: Tries of one call before it counts as failed.
        base, cap: Full jitter waits between 0 and min(cap, base * 2 ** n) before try n + 1.
        longest_wait: No Retry-After is waited for longer than this.
        trip_after: Failures in a row that open an endpoint's circuit.
        cool, cool_cap: How long it stays open at first, and at most.
        give_up: Openings without a success in between that end the run.
    """

    tries: int = 8
    base: float = 0.5
    cap: float = 30.0
    longest_wait: float = 300.0
    trip_after: int = 12
    cool: float = 2.0
    cool_cap: float = 60.0
    give_up: int = 5

    def backoff(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after failed try `attempt` (from 0); never less than the server asked for."""
        jitter = rng.uniform(0, min(self.cap, self.base * 2**attempt))
        if retry_after is None:
            return jitter
        return min(self.longest_wait, retry_after) + min(jitter, 1.0)


@dataclass
class Lane:
    """What the gate knows of one endpoint."""

    name: str
    most: int
    allowance: float = 1.0
    in_flight: int = 0
    doubling: bool = True
    failures: int = 0
    openings: int = 0
    closed_until: float = 0.0
    proved: bool = False
    waiting: list[tuple[Priority, int, asyncio.Future[None]]] = field(default_factory=list)

    def room(self, now: float) -> bool:
        """Whether it may take one more call now."""
        return now >= self.closed_until and self.in_flight < max(1, int(self.allowance))


class Gate:
    """Hands out the slots of a run; the lowest priority value goes first (earlier videos before later ones)."""

    def __init__(self, max_workers: int, policy: Policy, rng: random.Random | None = None) -> None:
        self.max_workers = max_workers
        self.policy = policy
        self.rng = rng or random.Random()
        self.peak = 0
        self.halted: BankError | None = None
        self._over = asyncio.Event()
        self._in_flight = 0
        self._lanes: dict[str, Lane] = {}
        self._for_money: list[asyncio.Future[None]] = []
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def lane(self, name: str) -> Lane:
        """The lane of an endpoint; two models behind one endpoint share it."""
        return self._lanes.setdefault(name, Lane(name, self.max_workers))

    @asynccontextmanager
    async def slot(self, lane: Lane, priority: Priority) -> AsyncIterator[None]:
        """One call in flight.

        Raises:
            BankError: What the run was halted with.
        """
        await self._enter(lane, priority)
        try:
            yield
        finally:
            lane.in_flight -= 1
            self._in_flight -= 1
            self._pump()

    def halt(self, reason: BankError) -> None:
        """Let nobody in any more; calls in flight end by themselves. The first reason stays, unless it is a limit."""
        outranked = isinstance(self.halted, BudgetReachedError) and not isinstance(reason, BudgetReachedError)
        if self.halted is None or outranked:
            self.halted = reason
        self._over.set()
        for lane in self._lanes.values():
            for _, _, ticket in lane.waiting:
                if not ticket.done():
                    ticket.set_exception(self.halted)
            lane.waiting.clear()
        self._wake(self.halted)

    async def money_moved(self) -> None:
        """Wait until a call in flight has been settled.

        Raises:
            BankError: What the run was halted with.
        """
        if self.halted is not None:
            raise self.halted
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._for_money.append(ticket)
        await ticket

    def money_moves(self) -> None:
        """A call was settled: whoever waits for what it held may look again."""
        self._wake(None)

    def _wake(self, reason: BankError | None) -> None:
        waiting, self._for_money = self._for_money, []
        for ticket in waiting:
            if not ticket.done():
                ticket.set_result(None) if reason is None else ticket.set_exception(reason)

    async def pause(self, seconds: float) -> None:
        """Wait before another try, as long as the run goes on.

        Raises:
            BankError: What the run was halted with, at once.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        if self.halted is not None:
            raise self.halted

    def succeeded(self, lane: Lane) -> None:
        """A call of this lane was answered."""
        lane.proved = True
        lane.failures = lane.openings = 0
        step = lane.allowance if lane.doubling else 1.0 / lane.allowance
        lane.allowance = min(float(lane.most), lane.allowance + step)

    def failed(self, lane: Lane, *, throttled: bool, retry_after: float | None) -> None:
        """A call of this lane failed in a way that may pass.

        Opens the circuit after a run of failures; halts the run when the endpoint stays down.
        """
        if throttled:
            lane.doubling = False
            lane.allowance = max(1.0, lane.allowance * 0.75)
        lane.failures += 1
        if lane.failures < max(self.policy.trip_after, 3 * lane.in_flight) and lane.openings == 0:
            return
        lane.openings += 1
        lane.failures = 0
        lane.allowance, lane.doubling = 1.0, True
        if lane.openings > self.policy.give_up:
            self.halt(
                EndpointDownError(
                    f"no answer for {lane.openings} rounds of trying", where=lane.name, fix="see to it, then run again"
                )
            )
            return
        cool = min(self.policy.cool_cap, self.policy.cool * 2 ** (lane.openings - 1))
        pause = max(self.rng.uniform(cool / 2, cool), min(retry_after or 0.0, self.policy.longest_wait))
        lane.closed_until = asyncio.get_running_loop().time() + pause

    async def _enter(self, lane: Lane, priority: Priority) -> None:
        if self.halted is not None:
            raise self.halted
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(lane.waiting, (priority, next(self._number), ticket))
        self._pump()
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                lane.in_flight -= 1
                self._in_flight -= 1
                self._pump()
            raise

    def _pump(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._in_flight < self.max_workers:
            for lane in self._lanes.values():
                while lane.waiting and lane.waiting[0][2].done():
                    heapq.heappop(lane.waiting)
            ready = [lane for lane in self._lanes.values() if lane.waiting and lane.room(now)]
            if not ready:
                break
            lane = min(ready, key=lambda each: each.waiting[0][:2])
            _, _, ticket = heapq.heappop(lane.waiting)
            lane.in_flight += 1
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
            ticket.set_result(None)
        closed = [lane.closed_until for lane in self._lanes.values() if lane.waiting and lane.closed_until > now]
        if closed and (self._timer is None or not now < self._timer.when() <= min(closed)):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(min(closed), self._pump)
