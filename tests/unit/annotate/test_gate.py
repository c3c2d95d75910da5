"""The limiter: never more than so many, earlier videos first, a careful beginning, an open circuit."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.annotate.gate import EndpointDownError, Gate, Policy, RunHaltedError


@settings(max_examples=40)
@given(st.integers(1, 8), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_never_more_than_the_workers_are_in_flight_over_both_lanes(workers: int, calls: list[tuple[bool, int]]) -> None:
    async def main() -> None:
        gate = Gate(workers, Policy(), random.Random(1))
        lanes = {True: gate.lane("one"), False: gate.lane("two")}
        now = peak = 0

        async def one(first: bool, turns: int, order: int) -> None:
            nonlocal now, peak
            async with gate.slot(lanes[first], (order, 0)):
                now += 1
                peak = max(peak, now)
                for _ in range(turns):
                    await asyncio.sleep(0)
                now -= 1
            gate.succeeded(lanes[first])

        await asyncio.gather(*(one(first, turns, i) for i, (first, turns) in enumerate(calls)))
        assert peak <= gate.peak <= workers

    asyncio.run(main())


def test_the_first_call_of_a_lane_goes_alone_and_each_success_doubles_the_allowance() -> None:
    gate = Gate(8, Policy())
    lane = gate.lane("one")
    seen = [int(lane.allowance)]
    for _ in range(4):
        gate.succeeded(lane)
        seen.append(int(lane.allowance))
    assert seen == [1, 2, 4, 8, 8]


def test_throttling_shrinks_the_allowance_and_success_lets_it_grow_by_one_a_round() -> None:
    gate = Gate(8, Policy())
    lane = gate.lane("one")
    lane.allowance = 8.0
    gate.failed(lane, throttled=True, retry_after=None)
    assert lane.allowance == 6.0
    for _ in range(6):
        gate.succeeded(lane)
    assert 6.8 < lane.allowance < 7.1


def test_waiting_calls_of_earlier_videos_go_first() -> None:
    async def main() -> list[int]:
        gate = Gate(1, Policy())
        lane, order = gate.lane("one"), []

        async def one(position: int) -> None:
            async with gate.slot(lane, (position, 0)):
                order.append(position)
                await asyncio.sleep(0)

        async with gate.slot(lane, (0, 0)):
            tasks = [asyncio.create_task(one(position)) for position in (5, 2, 9, 1)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(main()) == [1, 2, 5, 9]


def test_failures_in_a_row_open_the_circuit_and_too_many_openings_end_the_run() -> None:
    async def main() -> None:
        gate = Gate(4, Policy(trip_after=3, cool=1.0, give_up=2), random.Random(1))
        lane = gate.lane("one")
        for _ in range(3):
            gate.failed(lane, throttled=False, retry_after=None)
        assert lane.openings == 1
        assert lane.closed_until > asyncio.get_running_loop().time()
        assert not lane.room(asyncio.get_running_loop().time())
        gate.failed(lane, throttled=False, retry_after=None)
        gate.failed(lane, throttled=False, retry_after=None)
        assert isinstance(gate.halted, EndpointDownError)

    asyncio.run(main())


def test_a_halt_turns_away_whoever_waits() -> None:
    async def main() -> None:
        gate = Gate(1, Policy())
        lane = gate.lane("one")
        async with gate.slot(lane, (0, 0)):
            waiting = asyncio.create_task(gate._enter(lane, (1, 0)))
            await asyncio.sleep(0)
            gate.halt(RunHaltedError("enough"))
            with pytest.raises(RunHaltedError):
                await waiting
        with pytest.raises(RunHaltedError):
            async with gate.slot(lane, (2, 0)):
                raise AssertionError

    asyncio.run(main())


@given(st.integers(0, 12), st.none() | st.floats(0, 400), st.integers())
def test_a_wait_is_jittered_and_never_shorter_than_the_server_asks(
    attempt: int, retry_after: float | None, seed: int
) -> None:
    policy = Policy()
    wait = policy.backoff(attempt, retry_after, random.Random(seed))
    if retry_after is None:
        assert 0 <= wait <= min(policy.cap, policy.base * 2**attempt)
    else:
        assert min(retry_after, policy.longest_wait) <= wait <= policy.longest_wait + 1


def test_a_halt_ends_the_wait_before_another_try_at_once() -> None:
    async def main() -> None:
        gate = Gate(1, Policy())
        waiting = asyncio.create_task(gate.pause(300.0))
        await asyncio.sleep(0)
        gate.halt(RunHaltedError("enough"))
        async with asyncio.timeout(5):
            with pytest.raises(RunHaltedError):
                await waiting

    asyncio.run(main())


def test_a_lane_that_opens_early_does_not_wait_for_one_that_opens_late() -> None:
    async def main() -> None:
        gate = Gate(2, Policy())
        now = asyncio.get_running_loop().time()
        late, early = gate.lane("late"), gate.lane("early")
        late.closed_until, early.closed_until = now + 300.0, now + 0.02
        other = asyncio.create_task(gate._enter(late, (0, 0)))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await gate._enter(early, (1, 0))
        other.cancel()

    asyncio.run(main())
