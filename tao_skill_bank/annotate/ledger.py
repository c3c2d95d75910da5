"""The money of a run: every call is written down with its worst cost before it leaves, and settled by what comes back.

A call whose outcome nobody knows (no answer in time, a cut connection, a failing server, a killed process) keeps its
worst cost, in both limits and in every later run. A call that does not fit under a limit waits while others are in
flight; the run stops for a limit only when none is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tao_skill_bank.annotate.endpoints.base import FREE, FaultError
from tao_skill_bank.annotate.gate import BudgetReachedError, Gate
from tao_skill_bank.annotate.records import Entry, OpenBatch, Recorded, Settled

if TYPE_CHECKING:
    from tao_skill_bank.annotate.journal import Journal

_ROUNDING = 1e-9
"""USD: sums of many small numbers are not exact."""


class Ledger:
    """Counts what a results folder has spent, earlier runs included, and keeps its limits.

    Attributes:
        calls: Everything that was sent and is settled, answered or not.
        settled: USD that answers say they cost.
        unknown: USD that calls of an unknown outcome may have cost beside.
        held_calls, held: Calls in flight, and their worst cost in USD.
    """

    def __init__(
        self, journal: Journal, gate: Gate, max_calls: int | None = None, max_cost: float | None = None
    ) -> None:
        journal.resume().result()
        totals = journal.totals()
        self.max_calls = max_calls
        self.max_cost = max_cost
        self.calls = totals.calls
        self.settled = totals.cost
        # What stands in batches is moved from here to what is in flight when its batch is resumed.
        self.unknown = totals.may_cost + totals.in_flight_cost
        self.unknown_calls = totals.unknown + totals.in_flight
        self.held_calls = 0
        self.held = 0.0
        self._journal = journal
        self._gate = gate
        self._dearest = journal.dearest()

    def worst(self, endpoint: str, model: str, thought: float) -> float:
        """What a call may cost at most, in USD: as thought, or as much more as a call of this model has cost before."""
        return thought * max(1.0, self._dearest.get((endpoint, model), 1.0))

    async def hold(self, worst: float) -> None:
        """Set a call's worst cost aside; waits while that does not fit and calls in flight may still make room.

        Raises:
            BudgetReachedError: It does not fit, and none is in flight.
            BankError: What the run was halted with.
        """
        while True:
            if self._gate.halted is not None:
                raise self._gate.halted
            if (limit := self._passed(worst)) is None:
                break
            if not self.held_calls:
                reached = self._reached(worst, limit)
                self._gate.halt(reached)
                raise reached
            await self._gate.money_moved()
        self.held_calls += 1
        self.held += worst

    def let_go(self, worst: float) -> None:
        """A call that was set aside never left."""
        self._no_longer_held(worst)

    async def sent(self, key: str, endpoint: str, model: str, worst: float) -> Entry:
        """Write a call down that is held and leaves now; returns when it is on disk."""
        entry = Entry(secrets.token_hex(10), key, endpoint, model, worst)
        await asyncio.wrap_future(self._journal.send([entry]))
        return entry

    async def sent_in_batch(self, batch: OpenBatch) -> None:
        """The same for the calls of a batch, and the batch with them."""
        await asyncio.wrap_future(self._journal.send(entries_of(batch), batch))

    def resume(self, batch: OpenBatch) -> None:
        """A batch of an earlier run is waited for: its calls are in flight."""
        for call in batch.calls:
            self.unknown -= call.worst
            self.unknown_calls -= 1
            self.calls -= 1
            self.held_calls += 1
            self.held += call.worst

    async def answered(
        self, entry: Entry, outcome: str, cost: float | None, tokens: tuple[int, int], answer: Recorded | None = None
    ) -> None:
        """Settle a call by its answer, and keep the answer; returns when both are on disk."""
        await self.settle([(entry, Settled(outcome, cost, *tokens), answer)])

    async def failed(self, entry: Entry, fault: FaultError, cost: float | None = None) -> None:
        """Settle a call that brought no answer: struck where it never left, else free, or its outcome is unknown.

        `cost`: USD where the answer, useless as it is, says what was used.
        """
        if not fault.sent:
            self._no_longer_held(entry.worst)
            await asyncio.wrap_future(self._journal.unsend([entry.id]))
            return
        await self.settle([(entry, outcome_of(fault, cost), None)])

    async def settle(
        self, settled: Sequence[tuple[Entry, Settled, Recorded | None]], *, closes: str | None = None
    ) -> None:
        """Settle calls, keep their answers and close their batch, in one step on disk."""
        for entry, what, _ in settled:
            self.calls += 1
            if what.unknown:
                self.unknown += entry.worst
                self.unknown_calls += 1
            else:
                self.settled += what.cost or 0.0
                self._learn(entry, what.cost or 0.0)
            self._no_longer_held(entry.worst)
        rows = [(entry.id, what, answer) for entry, what, answer in settled]
        await asyncio.wrap_future(self._journal.settle(rows, closes=closes))

    async def strike(self, batch: OpenBatch, *, held: bool) -> None:
        """A batch was never taken on: its calls cost nothing and are no calls."""
        for call in batch.calls:
            if held:
                self._no_longer_held(call.worst)
            else:
                self.unknown -= call.worst
                self.unknown_calls -= 1
                self.calls -= 1
        ids = [entry.id for entry in entries_of(batch)]
        await asyncio.wrap_future(self._journal.unsend(ids, closes=batch.ticket))

    def _no_longer_held(self, worst: float) -> None:
        self.held_calls -= 1
        # Nothing in flight holds nothing, whatever the rounding.
        self.held = self.held - worst if self.held_calls else 0.0
        self._gate.money_moves()

    def _learn(self, entry: Entry, cost: float) -> None:
        if 0.0 < entry.worst < cost:
            name = (entry.endpoint, entry.model)
            self._dearest[name] = max(self._dearest.get(name, 1.0), cost / entry.worst)

    def _passed(self, worst: float) -> str | None:
        """The limit that a call might pass."""
        if self.max_calls is not None and self.calls + self.held_calls >= self.max_calls:
            return f"--max-calls {self.max_calls}"
        spent = self.settled + self.unknown + self.held
        if self.max_cost is not None and spent + worst > self.max_cost + _ROUNDING:
            return f"--max-cost {self.max_cost:g}"
        return None

    def _reached(self, worst: float, limit: str) -> BudgetReachedError:
        unknown = f", {may_have(self.unknown_calls, self.unknown)}" if self.unknown_calls else ""
        next_one = f"the next may cost ${worst:.4f}" if self.max_cost is not None else "the next is one too many"
        return BudgetReachedError(
            f"stopped after {self.calls} calls and ${self.settled:.4f}{unknown}: {next_one}, past {limit}",
            fix="raise the limit and run again; every answer is kept",
        )


def may_have(number: int, cost: float) -> str:
    """How calls of an unknown outcome are told."""
    return f"up to ${cost:.4f} more may have been billed ({number:,} calls without a known outcome)"


def entries_of(batch: OpenBatch) -> list[Entry]:
    """The calls of a batch as the ledger has them."""
    return [
        Entry(f"{batch.ticket}:{number}", call.key, batch.endpoint, batch.model, call.worst, batch.ticket)
        for number, call in enumerate(batch.calls)
    ]


def outcome_of(fault: FaultError, cost: float | None = None) -> Settled:
    """What a failure means for the bill: a request that was refused (4xx, a redirect) costs nothing."""
    if fault.usage is not None:
        return Settled(fault.kind, cost, *fault.usage)
    free = 300 <= fault.status < 500 if fault.status else fault.kind in FREE
    return Settled(fault.kind, 0.0 if free else None, unknown=not free)
