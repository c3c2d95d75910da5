"""Yes/no questions about videos to an OpenAI-compatible server: journaled before they are used, within a budget.

Every answer is kept as it came, an empty one or a refusal too: it was paid for. A call that brought no answer is none
of these; the next run asks for what is missing only.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate import video as av_video
from tao_skill_bank.annotate.calls import Call, Caller, CallFailedError
from tao_skill_bank.annotate.config import OpenAIOptions, Workflow
from tao_skill_bank.annotate.endpoints.base import Ask, FaultError, Reply
from tao_skill_bank.annotate.endpoints.openai import OpenAIEndpoint, reply_of
from tao_skill_bank.annotate.gate import Gate, Policy
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.ledger import Ledger
from tao_skill_bank.annotate.media import Library, View
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.secrets import Redactor
from tao_skill_bank.core.errors import BankError, StageFailedError
from tao_skill_bank.core.seal import identity_of

TOP = 20
_STRIPPED = " \t\n\r\"'`.,!?:;()[]*▁Ġ"


@dataclass(frozen=True)
class Server:
    """Who is asked; `api_key_env` names a variable."""

    base_url: str
    model: str
    api_key_env: str | None = None
    max_tokens: int = 16
    system: str = ""
    logprobs: bool = True
    labelled: bool = False
    max_workers: int = 4


@dataclass(frozen=True)
class Question:
    """One question: its id, the video, what is asked, which frames; `schema` of the answer, None for free text."""

    id: str
    video: Path
    prompt: str
    frames: int
    later: bool = False
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Told:
    """One answer.

    Attributes:
        text: What was said.
        score: p(yes) / (p(yes) + p(no)) at the first answer token, None where it is not known.
        bounded: Whether one side was not listed, so that the least listed probability stood in for it.
        cut_off: Whether it ended at the length limit.
        blocked: Whether the server refused.
    """

    text: str
    score: float | None = None
    bounded: bool = False
    cut_off: bool = False
    blocked: bool = False


@dataclass(frozen=True)
class Spent:
    """What a folder's journal has used: calls, tokens, USD, and how many answers were known already."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float
    known: int

    def plain(self) -> dict[str, Any]:
        """For results."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": round(self.cost, 6),
        }


class YesNoEndpoint(OpenAIEndpoint):
    """Chat completions with frames that carry no times, a system prompt, and the chances of the first tokens."""

    def __init__(self, server: Server, secret: str, redact: Redactor) -> None:
        options = OpenAIOptions.model_validate(
            {
                "base_url": server.base_url,
                "model_name": server.model,
                "temperature": 0.0,
                "max_tokens": server.max_tokens,
            }
        )
        super().__init__(options, secret, redact)
        self._server = server
        self._logprobs = server.logprobs
        self.parameters |= {"system": server.system, "logprobs": TOP if server.logprobs else 0}
        self.parameters |= {"labelled": server.labelled}

    def adapted(self, fault: FaultError, ask: Ask, form: str) -> bool:
        """As any such server; one that gives no chances is asked without them."""
        if fault.kind == "refused" and self._logprobs and "logprob" in fault.whole.lower():
            self._logprobs = False
            return True
        return super().adapted(fault, ask, form)

    def body(self, ask: Ask) -> dict[str, Any]:
        """A chat completion."""
        body = super().body(ask)
        if not self._server.labelled and ask.frames:
            content = body["messages"][0]["content"]
            pictures = [part for part in content if part["type"] == "image_url"]
            body["messages"][0]["content"] = [*pictures, {"type": "text", "text": ask.prompt}]
        if self._server.system:
            body["messages"].insert(0, {"role": "system", "content": self._server.system})
        if self._logprobs:
            body |= {"logprobs": True, "top_logprobs": TOP}
        return body

    async def ask(self, ask: Ask) -> Reply:
        """One chat completion; the reply's text is JSON of a `Told`, so that an empty answer is kept as well."""
        try:
            body = self.body(ask)
            model, messages = body.pop("model"), body.pop("messages")
            response = await self.connected().chat.completions.create(model=model, messages=messages, extra_body=body)
        except Exception as error:
            raise self.fault(error) from None
        reply = reply_of(response)
        score, bounded = score_of(response) if self._logprobs else (None, False)
        told = {
            "text": reply.text,
            "score": score,
            "bounded": bounded,
            "cut_off": reply.finish == "length",
            "blocked": reply.finish == "blocked",
        }
        finish = "stop" if reply.finish == "blocked" else reply.finish
        return replace(reply, text=json.dumps(told, ensure_ascii=False), finish=finish, aside="")


def score_of(response: Any) -> tuple[float | None, bool]:
    """(score, whether a side was not listed) at the first token that is a yes or a no."""
    choices = getattr(response, "choices", None) or []
    held = getattr(getattr(choices[0], "logprobs", None), "content", None) if choices else None
    for token in held or []:
        if _word(getattr(token, "token", "")) not in ("yes", "no"):
            continue
        listed = [(_word(t.token), math.exp(t.logprob)) for t in getattr(token, "top_logprobs", None) or []]
        if not listed:
            return None, False
        return share(listed)
    return None, False


def share(listed: Sequence[tuple[str, float]]) -> tuple[float | None, bool]:
    """p(yes) / (p(yes) + p(no)) of listed alternatives; a side that is not listed has the least listed probability."""
    sums = {side: sum(p for word, p in listed if word == side) for side in ("yes", "no")}
    missing = [side for side, value in sums.items() if not any(word == side for word, _ in listed)]
    if len(missing) == 2:
        return None, False
    if missing:
        sums[missing[0]] = min(p for _, p in listed)
    total = sums["yes"] + sums["no"]
    return (round(sums["yes"] / total, 9) if total > 0 else None), bool(missing)


def ask_all(
    folder: Path,
    server: Server,
    questions: Sequence[Question],
    *,
    max_calls: int | None = None,
    max_cost: float | None = None,
    prices: Path | None = None,
) -> tuple[dict[str, Told], Spent]:
    """Ask every question once, through the journal in `folder`; what is in it is not asked again.

    `max_calls` and `max_cost` (USD) count what the folder has paid for before.

    Returns:
        The answers by id, and what the folder has used.

    Raises:
        StageFailedError: Some were not answered; they are asked again on the next run.
        BankError: The budget is used up, or the server refuses for good.
    """
    with Journal(folder) as journal:
        found, failed, known = asyncio.run(_asked(journal, server, questions, max_calls, max_cost, prices))
        journal.flush()
        totals = journal.totals()
    if failed:
        raise StageFailedError(
            f"{len(failed)} of {len(questions)} questions were not answered, first: {failed[0].what}",
            where=failed[0].where or folder,
            fix="run again: only what is missing is asked and paid for",
        )
    return found, Spent(totals.calls, totals.input_tokens, totals.output_tokens, totals.cost, known)


async def _asked(
    journal: Journal,
    server: Server,
    questions: Sequence[Question],
    max_calls: int | None,
    max_cost: float | None,
    prices: Path | None,
) -> tuple[dict[str, Told], list[BankError], int]:
    secret = os.environ.get(server.api_key_env, "") if server.api_key_env else ""
    endpoint = YesNoEndpoint(server, secret, Redactor([secret] if secret else []))
    gate = Gate(server.max_workers, Policy(), random.Random())
    ledger = Ledger(journal, gate, max_calls, max_cost)
    caller = Caller(journal, gate, endpoint, endpoint, load_prices(prices), ledger)
    listed = {str(question.video): None for question in questions}
    library = Library(journal, gate, endpoint, Workflow(), {name: identity_of(name) for name in listed})
    found: dict[str, Told] = {}
    failed: list[BankError] = []
    halted: list[BankError] = []

    async def one(place: int, question: Question) -> None:
        try:
            video = await library.open(str(question.video))
            times = frame_times(video.duration, question.frames, later=question.later)
            view = View(video.sha256, times=times)
            call = Call(
                kind="yes_no",
                video=str(question.video),
                which="vlm",
                prompt=question.prompt,
                priority=(place, 0),
                schema=question.schema,
                view=view,
                source=video,
            )
            recorded = await caller.answer(call)
            video.release()
            found[question.id] = Told(**json.loads(recorded.text))
        except CallFailedError as error:
            failed.append(error)
        except BankError as error:
            halted.append(error)

    try:
        for start in range(0, len(questions), 64):
            await asyncio.gather(*(one(start + i, q) for i, q in enumerate(questions[start : start + 64])))
            if halted:
                raise halted[0]
    finally:
        library.close()
        await endpoint.close()
    return found, failed, caller.known


def frame_times(duration: float, number: int, *, later: bool) -> tuple[float, ...]:
    """Spread times; half a step later for a second look, the last one clipped to the end."""
    times = av_video.spread(0.0, duration, number)
    if not later:
        return times
    half = duration / number / 2
    return tuple(dict.fromkeys(round(min(duration, time + half), 3) for time in times))


def _word(token: str) -> str:
    return str(token).strip(_STRIPPED).casefold()
