"""The ledger on a journal of its own: what is set aside, what a call is billed, and when a limit stops the run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.annotate.endpoints.base import FaultError
from tao_skill_bank.annotate.gate import BudgetReachedError, Gate, Policy
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.ledger import Ledger, entries_of, may_have, outcome_of
from tao_skill_bank.annotate.records import BatchedCall, OpenBatch, Recorded, Settled
from tao_skill_bank.core.errors import InputError

BATCH = OpenBatch("t", "e", "m", "b", 1.0, (BatchedCall("k0", "mcq", "/v", 0.5), BatchedCall("k1", "mcq", "/v", 0.25)))


def figures(ledger: Ledger) -> tuple[int, float, float, int, int, float]:
    return (
        *(ledger.calls, round(ledger.settled, 9), round(ledger.unknown, 9)),
        *(ledger.unknown_calls, ledger.held_calls, round(ledger.held, 9)),
    )


def told(folder: Path, work: Any, **limits: Any) -> Any:
    """What some work with a ledger of this folder comes to."""

    async def run() -> Any:
        with Journal(folder) as journal:
            done: Coroutine[Any, Any, Any] = work(Ledger(journal, Gate(4, Policy()), **limits))
            return await done

    return asyncio.run(run())


def answer(key: str, cost: float) -> Recorded:
    return Recorded(key, "mcq", "/v", "e", "m", "text", "stop", 10, 5, cost, 0.25, "2026-01-01T00:00:00Z")


def test_a_call_is_held_until_its_answer_says_what_it_cost_and_a_later_run_reads_that(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> list[Any]:
        await ledger.hold(0.5)
        await ledger.hold(0.25)
        seen = [figures(ledger)]
        one = await ledger.sent("k", "e", "m", 0.5)
        assert (one.key, one.endpoint, one.model, one.worst, one.batch) == ("k", "e", "m", 0.5, None)
        assert one.id != (await ledger.sent("k2", "e", "m", 0.25)).id
        await ledger.answered(one, "answered", 0.125, (10, 5), answer("k", 0.125))
        return [*seen, figures(ledger)]

    assert told(tmp_path, work) == [(0, 0, 0, 0, 2, 0.75), (1, 0.125, 0, 0, 1, 0.25)]

    async def later(ledger: Ledger) -> Any:
        return figures(ledger)

    # The other one's outcome nobody knows: it keeps its worst cost.
    assert told(tmp_path, later) == (2, 0.125, 0.25, 1, 0, 0)
    with Journal(tmp_path) as journal:
        assert journal.tries() == {"killed": 1}
        assert journal.answer("k") == answer("k", 0.125)


def test_what_never_left_is_free_and_no_call(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> Any:
        await ledger.hold(0.5)
        ledger.let_go(0.5)
        await ledger.hold(0.3)
        await ledger.failed(await ledger.sent("k", "e", "m", 0.3), FaultError("timeout", "no host", sent=False))
        return figures(ledger)

    assert told(tmp_path, work) == (0, 0, 0, 0, 0, 0)
    with Journal(tmp_path) as journal:
        assert journal.totals().calls == 0


@pytest.mark.parametrize(
    ("fault", "cost", "after"),
    [
        (FaultError("timeout", ""), None, (1, 0, 0.5, 1, 0, 0)),
        (FaultError("server", "", status=500), None, (1, 0, 0.5, 1, 0, 0)),
        (FaultError("server", "", status=299), None, (1, 0, 0.5, 1, 0, 0)),
        (FaultError("denied", "", status=499), None, (1, 0, 0, 0, 0, 0)),
        (FaultError("redirected", "", status=300), None, (1, 0, 0, 0, 0, 0)),
        (FaultError("throttled", ""), None, (1, 0, 0, 0, 0, 0)),
        (FaultError("empty", "", usage=(7, 3)), 0.125, (1, 0.125, 0, 0, 0, 0)),
    ],
)
def test_a_failure_is_billed_as_its_kind_and_status_say(tmp_path: Path, fault: Any, cost: Any, after: Any) -> None:
    async def work(ledger: Ledger) -> Any:
        await ledger.hold(0.5)
        await ledger.failed(await ledger.sent("k", "e", "m", 0.5), fault, cost)
        return figures(ledger)

    assert told(tmp_path, work) == after
    # What is free costs 0 and what nobody knows costs nothing that can be said.
    settled = {
        0.125: Settled("empty", 0.125, 7, 3),
        None: Settled(fault.kind, None if after[3] else 0.0, unknown=after[3] == 1),
    }
    assert outcome_of(fault, cost) == settled[cost]


def test_the_last_call_under_a_limit_goes_and_the_next_stops_the_run_with_what_was_spent(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> str:
        for key in "ab":
            await ledger.hold(0.1)
            await ledger.answered(await ledger.sent(key, "e", "m", 0.1), "answered", 0.1, (1, 1))
        with pytest.raises(BudgetReachedError) as caught:
            await ledger.hold(0.1)
        with pytest.raises(BudgetReachedError):
            await ledger.hold(0.0)
        return str(caught.value)

    said = told(tmp_path / "calls", work, max_calls=2)
    assert "after 2 calls and $0.2000: the next is one too many, past --max-calls 2" in said
    said = told(tmp_path / "cost", work, max_cost=0.2)
    assert "after 2 calls and $0.2000: the next may cost $0.1000, past --max-cost 0.2" in said


def test_what_nobody_knows_counts_against_a_limit_and_is_told(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> str:
        await ledger.hold(0.3)
        await ledger.failed(await ledger.sent("k", "e", "m", 0.3), FaultError("timeout", ""))
        with pytest.raises(BudgetReachedError) as caught:
            await ledger.hold(0.3)
        return str(caught.value)

    said = told(tmp_path, work, max_cost=0.5)
    assert f"$0.0000, {may_have(1, 0.3)}: the next" in said
    assert may_have(1200, 0.3) == "up to $0.3000 more may have been billed (1,200 calls without a known outcome)"


@pytest.mark.parametrize("end", ["let_go", "answered"])
def test_a_call_that_does_not_fit_waits_for_those_in_flight(tmp_path: Path, end: str) -> None:
    async def work(ledger: Ledger) -> list[Any]:
        await ledger.hold(0.4)
        entry = await ledger.sent("k", "e", "m", 0.4)
        waiting = asyncio.create_task(ledger.hold(0.4))
        await asyncio.sleep(0)
        seen = [waiting.done()]
        if end == "let_go":
            ledger.let_go(0.4)
        else:
            await ledger.answered(entry, "answered", 0.05, (1, 1))
        await waiting
        return [*seen, ledger.held_calls, round(ledger.held, 9)]

    assert told(tmp_path, work, max_cost=0.5) == [False, 1, 0.4]


def test_calls_in_flight_count_against_a_limit_of_calls(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> list[bool]:
        await ledger.hold(0.1)
        waiting = asyncio.create_task(ledger.hold(0.1))
        await asyncio.sleep(0)
        seen = [waiting.done()]
        ledger.let_go(0.1)
        await waiting
        return [*seen, waiting.done()]

    assert told(tmp_path, work, max_calls=1) == [False, True]


def test_a_run_that_was_halted_sets_nothing_aside(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> Any:
        ledger._gate.halt(InputError("denied", where="e", fix="f"))
        with pytest.raises(InputError):
            await ledger.hold(0.1)
        return figures(ledger)

    assert told(tmp_path, work) == (0, 0, 0, 0, 0, 0)


def test_a_model_that_cost_more_than_was_thought_is_thought_dearer_for_good(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> list[float]:
        for key, cost in (("a", 0.5), ("b", 0.3), ("c", 0.1)):
            await ledger.hold(0.2)
            await ledger.answered(await ledger.sent(key, "e", "m", 0.2), "answered", cost, (1, 1))
        await ledger.hold(0.0)
        await ledger.answered(await ledger.sent("d", "e", "m", 0.0), "answered", 0.1, (1, 1))
        return [ledger.worst("e", "m", 0.2), ledger.worst("e", "other", 0.2), ledger.worst("x", "m", 0.2)]

    async def later(ledger: Ledger) -> list[float]:
        return [ledger.worst("e", "m", 0.2)]

    async def cheap(ledger: Ledger) -> list[float]:
        await ledger.hold(0.2)
        await ledger.answered(await ledger.sent("free", "e", "m", 0.2), "answered", None, (1, 1))
        await ledger.hold(0.2)
        await ledger.answered(await ledger.sent("a", "e", "m", 0.2), "answered", 0.05, (1, 1))
        return [ledger.worst("e", "m", 0.2)]

    async def a_little(ledger: Ledger) -> list[float]:
        await ledger.hold(0.2)
        await ledger.answered(await ledger.sent("a", "e", "m", 0.2), "answered", 0.3, (1, 1))
        return [ledger.worst("e", "m", 0.2)]

    assert told(tmp_path / "a_little", a_little) == pytest.approx([0.3])
    assert told(tmp_path / "dear", work) == pytest.approx([0.5, 0.2, 0.2])
    assert told(tmp_path / "dear", later) == pytest.approx([0.5])
    assert told(tmp_path / "cheap", cheap) == told(tmp_path / "cheap", later) == pytest.approx([0.2])


def test_a_batch_is_in_flight_from_its_sending_and_when_a_later_run_takes_it_up(tmp_path: Path) -> None:
    async def send(ledger: Ledger) -> Any:
        for call in BATCH.calls:
            await ledger.hold(call.worst)
        await ledger.sent_in_batch(BATCH)
        return figures(ledger)

    async def take_up(ledger: Ledger) -> list[Any]:
        seen = [figures(ledger)]
        ledger.resume(BATCH)
        seen.append(figures(ledger))
        first, second = entries_of(BATCH)
        rows = [
            (first, Settled("answered", 0.1, 1, 1), answer("k0", 0.1)),
            (second, Settled("lost", None, unknown=True), None),
        ]
        await ledger.settle(rows, closes=BATCH.ticket)
        return [*seen, figures(ledger)]

    assert told(tmp_path, send) == (0, 0, 0, 0, 2, 0.75)
    assert [e.id for e in entries_of(BATCH)] == ["t:0", "t:1"]
    assert told(tmp_path, take_up) == [(2, 0, 0.75, 2, 0, 0), (0, 0, 0, 0, 2, 0.75), (2, 0.1, 0.25, 1, 0, 0)]
    with Journal(tmp_path) as journal:
        assert journal.open_batches() == []


@pytest.mark.parametrize("held", [True, False])
def test_a_batch_that_was_never_taken_on_costs_nothing_in_this_run_or_a_later_one(tmp_path: Path, held: bool) -> None:
    async def send(ledger: Ledger) -> Any:
        for call in BATCH.calls:
            await ledger.hold(call.worst)
        await ledger.sent_in_batch(BATCH)
        if held:
            await ledger.strike(BATCH, held=True)
        return figures(ledger)

    async def strike(ledger: Ledger) -> Any:
        await ledger.strike(BATCH, held=False)
        return figures(ledger)

    nothing = (0, 0, 0, 0, 0, 0)
    assert told(tmp_path, send) == (nothing if held else (0, 0, 0, 0, 2, 0.75))
    if not held:
        assert told(tmp_path, strike) == nothing
    with Journal(tmp_path) as journal:
        assert (journal.totals().calls, journal.open_batches()) == (0, [])
