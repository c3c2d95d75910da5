"""One way to a model: look in the journal, else wait for a slot, ask, retry what may pass, and journal the answer."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tao_skill_bank.annotate.endpoints.base import PASSING, Ask, Clip, FaultError, Frame, Reply
from tao_skill_bank.annotate.endpoints.endpoint import Endpoint
from tao_skill_bank.annotate.gate import Gate, Lane, Priority
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.ledger import Ledger
from tao_skill_bank.annotate.media import Video, View
from tao_skill_bank.annotate.parse import without_thinking
from tao_skill_bank.annotate.prices import Prices
from tao_skill_bank.annotate.records import Entry, Recorded
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.fsio import canonical_json, sha256_text

KEY_VERSION = 1
_MEDIA_TOKENS_A_FRAME = 1200
_MEDIA_TOKENS_A_SECOND = 300
_LEAST_BYTES_A_TOKEN = 2.0
_OVERHEAD_TOKENS = 64
_TRIES_OF_EMPTY = 2
_MOST_TOO_LARGE = 3
_TOO_LARGE = re.compile(
    r"context length|context window|context size|too many tokens|token count .*exceeds|at most \d+ image|"
    r"too long|too large",
    re.IGNORECASE,
)
"""How servers say that a request does not fit."""
_MOST_SPENT = 3
"""A model whose first answers are all spent on thinking is not paid for more of them."""


class DeniedError(BankError):
    """The endpoint refuses this key, model or request for good: nothing more is sent."""

    exit_code = 1


class _OtherFormError(Exception):
    """A request was refused for its form, and the next one goes in another form."""


class CallFailedError(BankError):
    """One call that brought no usable answer; its item is tried again on the next run."""


class NotInBatchError(Exception):
    """The call stood in a batch of an earlier run that did not answer it, and this run makes no batches."""


@dataclass(frozen=True)
class Call:
    """One question to one of the models.

    Attributes:
        kind: What it is for: the key of its prompt, or `repair`.
        video: The video it belongs to, as listed.
        which: Which model; `judge` in a caller that has a judge alone, in the place of both.
        schema: JSON schema of the answer, None for free text.
        view: What it looks at.
        source: The video behind `view`.
        priority: Lower goes first.
        attempt: Above 0 the same question is asked again, because the answers so far could not be read.
    """

    kind: str
    video: str
    which: Literal["vlm", "llm", "judge"]
    prompt: str
    priority: Priority
    schema: dict[str, Any] | None = None
    view: View | None = None
    source: Video | None = None
    attempt: int = 0


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
        self, journal: Journal, gate: Gate, vlm: Endpoint, llm: Endpoint, prices: Prices, ledger: Ledger
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.endpoints = {"vlm": vlm, "llm": llm, "judge": vlm}
        self.prices = prices
        self.ledger = ledger
        self.made = 0
        self.known = 0
        self.desk: Desk | None = None
        self._running: dict[str, asyncio.Future[Recorded]] = {}
        self._too_large: set[str] = set()
        self._spent: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._answered = answered = journal.answered_endpoints()
        first: dict[str, Endpoint] = {}
        for endpoint in self.endpoints.values():
            # One model at one address is asked in one form.
            endpoint.forms = first.setdefault(form_of(endpoint), endpoint).forms
        for endpoint in first.values():
            endpoint.forms.loads(journal.meta(form_of(endpoint)))
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

    def keep_form(self, endpoint: Endpoint) -> None:
        """Remember for later runs how a model at its address is asked."""
        self.journal.set_meta(form_of(endpoint), endpoint.forms.dumps())

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
        if no_room_left(recorded):
            raise self._all_thought(call, recorded)
        self._answered.add((recorded.endpoint, recorded.model))
        return recorded

    def _all_thought(self, call: Call, recorded: Recorded) -> BankError:
        """An answer that holds nothing but thinking; where a model gives no other, the run is over."""
        endpoint = self.endpoints[call.which]
        setting = f"{call.which}.{endpoint.token_setting}"
        what = f"{call.kind}: all {max_tokens(endpoint):,} tokens of {setting} went into thinking, none into an answer"
        fix = f"raise {setting}, or turn the model's thinking off; asked unchanged it would be paid again for nothing"
        name = (recorded.endpoint, recorded.model)
        self._spent[name].add(recorded.key)
        if name not in self._answered and len(self._spent[name]) >= _MOST_SPENT:
            halted = DeniedError(what, where=f"{endpoint.name}, model {endpoint.model}", fix=fix)
            self.gate.halt(halted)
            return halted
        return CallFailedError(what, where=call.video, fix=fix)

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
        return await self._retried(call, key)

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
            return Ask(call.prompt, frames, clip, call.schema, call.kind, call.view is None or call.view.labelled)
        raise self._unanswered(call, fault)

    async def _retried(self, call: Call, key: str) -> Recorded:
        endpoint = self.endpoints[call.which]
        lane = self.gate.lane(endpoint.name)
        fault: FaultError | None = None
        tries = 0
        while tries < (_TRIES_OF_EMPTY if fault is not None and fault.kind == "empty" else self.gate.policy.tries):
            if fault is not None:
                await self.gate.pause(self.gate.policy.backoff(tries - 1, fault.retry_after, self.gate.rng))
            try:
                frames, clip = await self._shown(call)
                return await self._once(call, key, endpoint, lane, frames, clip)
            except _OtherFormError:
                # The server knows less than was asked of it, and is asked otherwise at once: that is no failed try.
                fault = None
            except FaultError as error:
                fault = error
                tries += 1
        raise self._unanswered(call, fault)

    def _unanswered(self, call: Call, fault: FaultError | None) -> CallFailedError:
        assert fault is not None
        return CallFailedError(
            f"{call.kind}: {fault.message}, {_TRIES_OF_EMPTY} times"
            if fault.kind == "empty"
            else f"{call.kind}: no answer in {self.gate.policy.tries} tries, last: {fault.message}",
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
        ask = Ask(call.prompt, frames, clip, call.schema, call.kind, call.view is None or call.view.labelled)
        endpoint.connected()
        async with self.gate.slot(lane, call.priority):
            worst = self._worst_cost(call, endpoint)
            await self.ledger.hold(worst)
            entry = await self.ledger.sent(key, endpoint.name, endpoint.model, worst)
            self.made += 1
            loop = asyncio.get_running_loop()
            began = loop.time()
            form = endpoint.forms.of(ask)
            try:
                async with asyncio.timeout(endpoint.timeout):
                    reply = await endpoint.ask(ask)
            except TimeoutError:
                late = FaultError("timeout", f"no answer within {endpoint.timeout:g} s")
                await self._failed(call, endpoint, lane, entry, late)
                raise late from None
            except FaultError as fault:
                if not _too_large(fault) and endpoint.adapted(fault, ask, form):
                    self.keep_form(endpoint)
                    await self.ledger.failed(entry, fault)
                    raise _OtherFormError from None
                # Before the slot is given back: nobody may follow into an endpoint that denies.
                await self._failed(call, endpoint, lane, entry, fault)
                raise
            return await self._taken(call, endpoint, lane, entry, reply, loop.time() - began)

    async def _failed(self, call: Call, endpoint: Endpoint, lane: Lane, entry: Entry, fault: FaultError) -> None:
        """Settle a call that brought no answer; returns if another try may help."""
        cost = None if fault.usage is None else self.prices.cost(endpoint.model, *fault.usage)
        await self.ledger.failed(entry, fault, cost)
        self._judge(call, endpoint, lane, fault)

    async def _taken(
        self, call: Call, endpoint: Endpoint, lane: Lane, entry: Entry, reply: Reply, seconds: float
    ) -> Recorded:
        """Settle a call by its reply, and keep what is an answer; one without text is billed like any other."""
        lane.proved = True
        read, wrote = self._used(call, endpoint, reply)
        cost = self.prices.cost(endpoint.model, read, wrote)
        fault = emptiness(reply)
        if fault is not None:
            await self.ledger.answered(entry, fault.kind, cost, (read, wrote))
            raise fault
        recorded = Recorded(
            key=entry.key,
            kind=call.kind,
            video=call.video,
            endpoint=endpoint.name,
            model=endpoint.model,
            text=reply.text,
            finish=reply.finish,
            input_tokens=read,
            output_tokens=wrote,
            cost=cost,
            seconds=round(seconds, 4),
            at=log_time(SystemClock().now()),
        )
        spent = no_room_left(recorded)
        await self.ledger.answered(entry, "empty" if spent else "answered", cost, (read, wrote), recorded)
        if spent:
            # Before the slot is given back: nobody may follow where a model gives no other answer.
            self._all_thought(call, recorded)
        else:
            self._answered.add((endpoint.name, endpoint.model))
            self.gate.succeeded(lane)
        return recorded

    def _judge(self, call: Call, endpoint: Endpoint, lane: Lane, fault: FaultError) -> None:
        """Return if another try may help."""
        if fault.kind == "upload_gone" and call.view is not None:
            if call.source is not None:
                call.source.library.forget_upload(call.view.sha256)
            return
        if fault.kind in PASSING:
            self.gate.failed(lane, throttled=fault.kind == "throttled", retry_after=fault.retry_after)
            if self.gate.halted is not None:
                raise self.gate.halted
            return
        if _too_large(fault):
            raise self._does_not_fit(call, endpoint, lane, fault)
        if fault.kind in ("denied", "redirected") or not lane.proved:
            denied = denial(endpoint, fault)
            self.gate.halt(denied)
            raise denied
        raise CallFailedError(f"{call.kind}: {_said(fault)}", where=call.video)

    def _does_not_fit(self, call: Call, endpoint: Endpoint, lane: Lane, fault: FaultError) -> BankError:
        """A video that is too large for the model fails by itself; where the first three are, the run is over."""
        settings = f"workflow.long_video_max_frames or {call.which}.{endpoint.token_setting}"
        what = f"{call.kind}: {_said(fault)}; lower {settings}, or give the server a larger context"
        self._too_large.add(call.video)
        if not lane.proved and len(self._too_large) >= _MOST_TOO_LARGE:
            halted = DeniedError(what, where=call.video, fix=f"lower {settings}")
            self.gate.halt(halted)
            return halted
        return CallFailedError(what, where=call.video)

    def _used(self, call: Call, endpoint: Endpoint, reply: Reply) -> tuple[int, int]:
        """Tokens in and out. Where a server counts none, generous counts: else no limit would be reached."""
        read, wrote = reply.input_tokens, reply.output_tokens
        if read or wrote:
            return read, wrote
        # What was thought beside the answer is not seen, and may have gone up to the end.
        told = reply.finish == "stop" and reply.text.strip() and not reply.aside
        wrote = tokens_at_most(len(reply.text.encode("utf-8", "replace"))) if told else max_tokens(endpoint)
        return self._read_at_most(call), wrote

    def _worst_cost(self, call: Call, endpoint: Endpoint) -> float:
        """What a call can cost at most, with generous counts of tokens. 0 where the price is unknown."""
        thought = self.prices.cost(endpoint.model, self._read_at_most(call), max_tokens(endpoint)) or 0.0
        return self.ledger.worst(endpoint.name, endpoint.model, thought)

    def _read_at_most(self, call: Call) -> int:
        """Tokens that a call sends, generously counted."""
        frames, seconds = 0, 0.0
        if call.view is not None and call.view.times:
            frames = len(call.view.times)
        elif call.view is not None and call.source is not None:
            seconds = (call.view.end or call.source.duration) - (call.view.start or 0.0)
        text = call.prompt if call.schema is None else call.prompt + canonical_json(call.schema)
        return tokens_at_most(len(text.encode("utf-8", "replace")), frames=frames, seconds=seconds)


def form_of(endpoint: Endpoint) -> str:
    """Under what name the journal keeps how a model at its address is asked."""
    return f"form {endpoint.name} {endpoint.model} {endpoint.forms.structured}"


def _too_large(fault: FaultError) -> bool:
    """Whether a request does not fit into the model."""
    return (fault.kind == "refused" and _TOO_LARGE.search(fault.whole) is not None) or fault.status == 413


def max_tokens(endpoint: Endpoint) -> int:
    """How long an answer may be, in tokens."""
    return int(endpoint.parameters.get("max_tokens", 4096))


def emptiness(reply: Reply) -> FaultError | None:
    """The fault of an answer that ended by itself without any text; None where it has some, or had no room for it."""
    if reply.text.strip() or reply.finish != "stop":
        return None
    where = f"; the server put its text into {reply.aside}, where no answer is looked for" if reply.aside else ""
    return FaultError("empty", f"the answer is empty{where}")


def no_room_left(answer: Recorded) -> bool:
    """Whether an answer was cut off at the token limit before it had begun: all tokens went into thinking."""
    return answer.finish == "length" and not without_thinking(answer.text)


def tokens_at_most(text_bytes: float, *, frames: int = 0, seconds: float = 0.0) -> int:
    """Tokens of a text of so many bytes (UTF-8) with frames or so many seconds of native video, generously counted."""
    media = frames * _MEDIA_TOKENS_A_FRAME + seconds * _MEDIA_TOKENS_A_SECOND
    return _OVERHEAD_TOKENS + int(text_bytes / _LEAST_BYTES_A_TOKEN + media)


def denial(endpoint: Endpoint, fault: FaultError, *, where: str | None = None) -> DeniedError:
    """The one line that a refusal for good ends a run with."""
    fix = {"denied": "check the key", "redirected": "name that address as base_url if it is the right one"}.get(
        fault.kind, "check the model's name, the address and the settings"
    )
    return DeniedError(_said(fault), where=where or f"{endpoint.name}, model {endpoint.model}", fix=fix)


def _said(fault: FaultError) -> str:
    return f"the endpoint answers {f'{fault.status} ' if fault.status else ''}{fault.message}"
