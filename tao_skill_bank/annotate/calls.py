"""One way to a model: look in the journal, else wait for a slot, ask, retry what may pass, and journal the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tao_skill_bank.annotate.endpoints.base import PASSING, Ask, Clip, Endpoint, FaultError, Frame, Reply
from tao_skill_bank.annotate.gate import BudgetReachedError, Gate, Lane, Priority, RunHaltedError
from tao_skill_bank.annotate.journal import Journal, Recorded
from tao_skill_bank.annotate.media import Video, View
from tao_skill_bank.annotate.prices import Prices
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.fsio import canonical_json, sha256_text

KEY_VERSION = 1
_MEDIA_TOKENS_A_FRAME = 300
_MEDIA_TOKENS_A_SECOND = 300
_LEAST_CHARS_A_TOKEN = 2.0


class DeniedError(BankError):
    """The endpoint refuses this key, model or request for good: nothing more is sent."""

    exit_code = 1


class CallFailedError(BankError):
    """One call that brought no usable answer; its item is tried again on the next run."""


class NotInBatchError(Exception):
    """The call stood in a batch of an earlier run that did not answer it, and this run makes no batches."""


@dataclass(frozen=True)
class Call:
    """One question to one of the two models.

    Attributes:
        kind: What it is for: the key of its prompt, or `repair`.
        video: The video it belongs to, as listed.
        which: Which model.
        prompt: The whole text.
        schema: JSON schema of the answer, None for free text.
        view: What it looks at.
        source: The video behind `view`.
        priority: Lower goes first.
        attempt: Above 0 the same question is asked again, because the answers so far could not be read.
    """

    kind: str
    video: str
    which: Literal["vlm", "llm"]
    prompt: str
    priority: Priority
    schema: dict[str, Any] | None = None
    view: View | None = None
    source: Video | None = None
    attempt: int = 0


@dataclass
class Budget:
    """Hard stops over the whole results folder. None: no limit. USD."""

    max_calls: int | None = None
    max_cost: float | None = None
    calls: int = 0
    cost: float = 0.0
    held_calls: int = 0
    held_cost: float = 0.0

    def hold(self, cost: float) -> None:
        """Set a call's worst cost aside.

        Raises:
            BudgetReachedError: It might go over a limit.
        """
        if self.max_calls is not None and self.calls + self.held_calls >= self.max_calls:
            raise BudgetReachedError(
                f"stopped at {self.calls + self.held_calls} calls: --max-calls {self.max_calls}",
                fix="raise the limit and run again; nothing is paid for twice",
            )
        if self.max_cost is not None and self.cost + self.held_cost + cost > self.max_cost:
            raise BudgetReachedError(
                f"stopped at ${self.cost:.4f}: the next call might go over --max-cost {self.max_cost:g}",
                fix="raise the limit and run again; nothing is paid for twice",
            )
        self.take_over(cost)

    def take_over(self, cost: float) -> None:
        """Set the worst cost of a call aside that an earlier run has sent already."""
        self.held_calls += 1
        self.held_cost += cost

    def settle(self, held: float, cost: float) -> None:
        """Replace what was set aside by what it was."""
        self.held_calls -= 1
        self.held_cost -= held
        self.calls += 1
        self.cost += cost


class Desk(Protocol):
    """Where calls are gathered into a vendor's batches."""

    def holds(self, key: str) -> bool:
        """Whether the call goes, or went, through a batch."""

    async def answer(
        self, call: Call, key: str, endpoint: Endpoint, question: Callable[[], Awaitable[Ask]], worst: float
    ) -> Recorded:
        """The answer of a batch.

        Raises:
            NotInBatchError: The call has to be asked directly.
        """


class Caller:
    """Calls of a run. The same call twice at the same time is one call."""

    def __init__(
        self, journal: Journal, gate: Gate, vlm: Endpoint, llm: Endpoint, prices: Prices, budget: Budget
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.endpoints = {"vlm": vlm, "llm": llm}
        self.prices = prices
        self.budget = budget
        self.made = 0
        self.known = 0
        self.desk: Desk | None = None
        self._running: dict[str, asyncio.Future[Recorded]] = {}
        answered = journal.answered_endpoints()
        for endpoint in (vlm, llm):
            if (endpoint.name, endpoint.model) in answered:
                gate.lane(endpoint.name).proved = True

    def key(self, call: Call) -> str:
        """The digest of everything that shapes the answer; not of where the model runs, nor of the call's purpose."""
        endpoint = self.endpoints[call.which]
        return sha256_text(
            canonical_json(
                {
                    "version": KEY_VERSION,
                    "model": endpoint.model,
                    "parameters": endpoint.parameters,
                    "prompt": call.prompt,
                    "media": None if call.view is None else call.view.descriptor,
                    "schema": call.schema,
                }
                | ({"attempt": call.attempt} if call.attempt else {})
            )
        )

    def knows(self, call: Call) -> bool:
        """Whether the answer is in the journal."""
        return self.journal.answer(self.key(call)) is not None

    async def answer(self, call: Call) -> Recorded:
        """The answer to a call: the journal's, or a new one that is journaled first.

        Raises:
            CallFailedError: No usable answer.
            DeniedError, RunHaltedError: The run is over.
        """
        key = self.key(call)
        recorded = self.journal.answer(key)
        if recorded is not None:
            self.known += 1
        else:
            running = self._running.get(key)
            if running is None:
                running = asyncio.ensure_future(self._bought(call, key))
                self._running[key] = running
                running.add_done_callback(lambda _: self._running.pop(key, None))
            recorded = await asyncio.shield(running)
        if recorded.finish == "blocked":
            raise CallFailedError(
                f"{call.kind}: the endpoint declines to answer (content filter)", where=call.video, fix="take it out"
            )
        return recorded

    async def _bought(self, call: Call, key: str) -> Recorded:
        """Through a batch where batches are made, or where one of an earlier run has the call; else directly."""
        if self.desk is not None and self.desk.holds(key):
            endpoint = self.endpoints[call.which]
            try:
                return await self.desk.answer(
                    call, key, endpoint, lambda: self._question(call), self._worst_cost(call, endpoint)
                )
            except NotInBatchError:
                pass
        return await self._paid(call, key)

    async def _question(self, call: Call) -> Ask:
        """A call with what it shows; uploads that fail are tried again."""
        fault: FaultError | None = None
        for attempt in range(self.gate.policy.tries):
            if fault is not None:
                await self.gate.pause(self.gate.policy.backoff(attempt - 1, fault.retry_after, self.gate.rng))
            try:
                frames, clip = await self._shown(call)
            except FaultError as error:
                fault = error
                continue
            return Ask(call.prompt, frames, clip, call.schema)
        raise self._unanswered(call, fault)

    async def _paid(self, call: Call, key: str) -> Recorded:
        endpoint = self.endpoints[call.which]
        lane = self.gate.lane(endpoint.name)
        fault: FaultError | None = None
        for attempt in range(self.gate.policy.tries):
            if fault is not None:
                await self.gate.pause(self.gate.policy.backoff(attempt - 1, fault.retry_after, self.gate.rng))
            try:
                frames, clip = await self._shown(call)
                return await self._once(call, key, endpoint, lane, frames, clip)
            except FaultError as error:
                fault = error
                continue
        raise self._unanswered(call, fault)

    def _unanswered(self, call: Call, fault: FaultError | None) -> CallFailedError:
        assert fault is not None
        return CallFailedError(
            f"{call.kind}: no answer in {self.gate.policy.tries} tries, last: {fault.message}",
            where=call.video,
            fix="run again",
        )

    async def _shown(self, call: Call) -> tuple[tuple[Frame, ...], Clip | None]:
        if call.view is None or call.source is None:
            return (), None
        endpoint = self.endpoints[call.which]
        try:
            return await call.source.shown(call.view, call.priority)
        except TimeoutError:
            late = FaultError("timeout", "the upload took too long")
            self._judge(call, endpoint, self.gate.lane(endpoint.name), late)
            raise late from None
        except FaultError as fault:
            self._judge(call, endpoint, self.gate.lane(endpoint.name), fault)
            raise

    async def _once(
        self, call: Call, key: str, endpoint: Endpoint, lane: Lane, frames: tuple[Frame, ...], clip: Clip | None
    ) -> Recorded:
        """Ask once. The slot is held until the answer is on disk: a kill costs no more calls than there are workers."""
        ask = Ask(call.prompt, frames, clip, call.schema)
        worst = self._worst_cost(call, endpoint)
        async with self.gate.slot(lane, call.priority):
            try:
                self.budget.hold(worst)
            except RunHaltedError as reached:
                self.gate.halt(reached)
                raise
            self.made += 1
            spent = 0.0
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                async with asyncio.timeout(endpoint.timeout):
                    reply = await endpoint.ask(ask)
                spent = self._cost(call, endpoint, reply) or 0.0
            except TimeoutError:
                late = FaultError("timeout", f"no answer within {endpoint.timeout:g} s")
                self._judge(call, endpoint, lane, late)
                raise late from None
            except FaultError as fault:
                # Before the slot is given back: nobody may follow into an endpoint that denies.
                self._judge(call, endpoint, lane, fault)
                raise
            finally:
                self.budget.settle(worst, spent)
            seconds = loop.time() - began
            self.gate.succeeded(lane)
            return await self._journaled(call, key, endpoint, reply, seconds)

    def _judge(self, call: Call, endpoint: Endpoint, lane: Lane, fault: FaultError) -> None:
        """Count a failed try; return if another one may help."""
        self.journal.count_try(endpoint.name, fault.kind)
        if fault.kind == "upload_gone" and call.view is not None:
            if call.source is not None:
                call.source.library.forget_upload(call.view.sha256)
            return
        if fault.kind in PASSING:
            self.gate.failed(lane, throttled=fault.kind == "throttled", retry_after=fault.retry_after)
            if self.gate.halted is not None:
                raise self.gate.halted
            return
        if fault.kind == "denied" or not lane.proved:
            denied = denial(endpoint, fault)
            self.gate.halt(denied)
            raise denied
        raise CallFailedError(f"{call.kind}: {_said(fault)}", where=call.video)

    async def _journaled(self, call: Call, key: str, endpoint: Endpoint, reply: Reply, seconds: float) -> Recorded:
        recorded = Recorded(
            key=key,
            kind=call.kind,
            video=call.video,
            endpoint=endpoint.name,
            model=endpoint.model,
            text=reply.text,
            finish=reply.finish,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cost=self._cost(call, endpoint, reply),
            seconds=round(seconds, 4),
            at=log_time(SystemClock().now()),
        )
        await asyncio.wrap_future(self.journal.record(recorded))
        return recorded

    def _cost(self, call: Call, endpoint: Endpoint, reply: Reply) -> float | None:
        """What an answer cost. Where a server counts no tokens, generous counts: else no limit would be reached."""
        read, wrote = reply.input_tokens, reply.output_tokens
        if not read and not wrote:
            read, wrote = self._read_at_most(call), int(len(reply.text) / _LEAST_CHARS_A_TOKEN)
        return self.prices.cost(endpoint.model, read, wrote)

    def _worst_cost(self, call: Call, endpoint: Endpoint) -> float:
        """What a call can cost at most, with generous counts of tokens. 0 where the price is unknown."""
        most = int(endpoint.parameters.get("max_tokens", 4096))
        return self.prices.cost(endpoint.model, self._read_at_most(call), most) or 0.0

    def _read_at_most(self, call: Call) -> int:
        """Tokens that a call sends, generously counted."""
        media = 0.0
        if call.view is not None and call.view.times:
            media = len(call.view.times) * _MEDIA_TOKENS_A_FRAME * 4
        elif call.view is not None and call.source is not None:
            span = (call.view.end or call.source.duration) - (call.view.start or 0.0)
            media = span * _MEDIA_TOKENS_A_SECOND
        return int(len(call.prompt) / _LEAST_CHARS_A_TOKEN + media)


def denial(endpoint: Endpoint, fault: FaultError, *, where: str | None = None) -> DeniedError:
    """The one line that a refusal for good ends a run with."""
    fix = "check the key" if fault.kind == "denied" else "check the model's name, the address and the settings"
    return DeniedError(_said(fault), where=where or f"{endpoint.name}, model {endpoint.model}", fix=fix)


def _said(fault: FaultError) -> str:
    return f"the endpoint answers {f'{fault.status} ' if fault.status else ''}{fault.message}"
