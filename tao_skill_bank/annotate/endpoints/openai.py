"""Any OpenAI-compatible server: the vendor's own, vLLM, NIM. Videos go as frames with their times."""

from __future__ import annotations

import base64
import json
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tao_skill_bank.annotate.config import OpenAIOptions, Tuning
from tao_skill_bank.annotate.endpoints.base import (
    Ask,
    BatchLook,
    FaultError,
    Reply,
    Upload,
    details,
    faults,
    kind_of_status,
    label,
    never_left,
    redirected,
    retry_after_seconds,
    tokens,
)
from tao_skill_bank.annotate.endpoints.forms import JSON_OBJECT, Forms
from tao_skill_bank.annotate.secrets import Redactor
from tao_skill_bank.core.text import json_objects

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_VENDOR = "https://api.openai.com/v1"
_NO_KEY = "none"
_PATH: Final = "/v1/chat/completions"
_TICKET = "ticket"
_EARLIER = 86_400.0
"""How much a vendor's clock may lie behind ours before a batch of ours is overlooked in its list. Seconds."""
_ASIDE = ("reasoning_content", "reasoning")
"""Where servers put a model's thinking."""


class OpenAIEndpoint:
    """Chat completions. What a server does not know (a schema, a parameter's name) is left out from then on."""

    takes_video = False
    token_setting = "openai.max_tokens"

    def __init__(self, options: OpenAIOptions, secret: str, redact: Redactor, tuning: Tuning | None = None) -> None:
        tuning = tuning or Tuning()
        self._options = options
        self._secret = secret
        self.redact = redact
        self._client: AsyncOpenAI | None = None
        self._tuning = tuning
        self.forms = Forms(tuning.structured)
        self.name = f"openai {options.base_url.rstrip('/') or _VENDOR}"
        self.model = options.model_name
        self.timeout = options.timeout
        self.parameters: dict[str, Any] = {"temperature": options.temperature, "max_tokens": options.max_tokens}
        self.parameters |= tuning.set

    async def ask(self, ask: Ask) -> Reply:
        """One chat completion."""
        with faults(self.fault):
            body = self.body(ask)
            # What goes beside the two is put into the request as it stands: servers know more than the SDK does.
            model, messages = body.pop("model"), body.pop("messages")
            response = await self.connected().chat.completions.create(model=model, messages=messages, extra_body=body)
        return reply_of(response)

    async def upload(self, name: str, file: BufferedReader) -> Upload:
        """Not taken: such a server gets frames."""
        raise FaultError("refused", f"{self.name} takes no videos: {name}")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    @property
    def batches(self) -> OpenAIBatches:
        """Its Batch interface; servers of one's own mostly have none."""
        return OpenAIBatches(self)

    def adapted(self, fault: FaultError, ask: Ask, form: str) -> bool:
        """Whether the server refused something that can be left out or called otherwise."""
        return self.forms.step(fault, ask, form)

    def body(self, ask: Ask) -> dict[str, Any]:
        """A chat completion as the vendor takes it."""
        tuning = self._tuning
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": _content(ask)}]}
        body[self.forms.limit_name] = self._options.max_tokens
        if self.forms.tempered:
            body["temperature"] = self._options.temperature
        if tuning.top_p is not None:
            body["top_p"] = tuning.top_p
        if tuning.seed is not None:
            body["seed"] = tuning.seed
        body |= self._thinking()
        if (schema := self.forms.schema(ask)) is not None:
            shape = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif self.forms.level(ask) == JSON_OBJECT:
            body["response_format"] = {"type": "json_object"}
        return body | tuning.extra_body

    def _thinking(self) -> dict[str, Any]:
        """How much a model thinks; servers of one's own take it for the template of the chat."""
        wanted = self._tuning.thinking
        if wanted == "auto":
            return {}
        if wanted in ("low", "medium", "high"):
            return {"reasoning_effort": wanted}
        if not self._options.base_url:
            return {"reasoning_effort": "none"}
        asked: dict[str, Any] = {"enable_thinking": wanted != "off"}
        if isinstance(wanted, int):
            asked["thinking_budget"] = wanted
        return {"chat_template_kwargs": asked}

    def fault(self, error: Exception) -> FaultError:
        """The SDK's error as ours. What nobody foresaw stays what it is."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return FaultError("timeout", f"no answer within {self.timeout:g} s", sent=not never_left(error))
        if isinstance(error, openai.APIStatusError):
            message = self.redact(details(error.body) or str(error.message))
            if (moved := redirected(error.status_code, error.response.headers, self.redact)) is not None:
                return moved
            after = retry_after_seconds(error.response.headers.get("retry-after"))
            kind = kind_of_status(error.status_code, f"{message} {error.code or ''}")
            return FaultError(kind, message, status=error.status_code, retry_after=after)
        if isinstance(error, openai.APIConnectionError):
            return FaultError("network", self.redact(f"{error} {error.__cause__ or ''}"), sent=not never_left(error))
        if isinstance(error, (openai.OpenAIError, ValueError)):
            return FaultError("malformed", self.redact(f"unreadable answer: {error}"))
        raise error

    def connected(self) -> AsyncOpenAI:
        """The SDK's client, made when it is first needed."""
        if self._client is None:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient

            self._client = AsyncOpenAI(
                # Frames and texts go where the settings say, and every request is counted: no redirect is followed.
                http_client=DefaultAsyncHttpxClient(follow_redirects=False, timeout=self.timeout),
                api_key=self._secret or _NO_KEY,
                base_url=self._options.base_url or _VENDOR,
                timeout=self.timeout,
                max_retries=0,
            )
        return self._client


def _content(ask: Ask) -> Any:
    if not ask.frames:
        return ask.prompt
    parts: list[dict[str, Any]] = []
    for frame in ask.frames:
        data = base64.b64encode(frame.jpeg).decode("ascii")
        if ask.labelled:
            parts.append({"type": "text", "text": label(frame.seconds)})
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
    parts.append({"type": "text", "text": ask.prompt})
    return parts


def reply_of(response: Any) -> Reply:
    """A response as a reply, which may be empty; a 200 of another form is a fault."""
    # The SDK takes any JSON for a completion: nothing in it has its type for sure.
    choices = getattr(response, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    usage = getattr(response, "usage", None)
    used = (tokens(getattr(usage, "prompt_tokens", None)), tokens(getattr(usage, "completion_tokens", None)))
    if message is None:
        raise FaultError("malformed", "the answer holds no choice", usage=used if any(used) else None)
    reason = getattr(choice, "finish_reason", None)
    blocked = reason == "content_filter" or bool(getattr(message, "refusal", None))
    text = _said(getattr(message, "content", None))
    aside = next((name for name in _ASIDE if _said(getattr(message, name, None)).strip()), "")
    return Reply(
        text="" if blocked else text,
        finish="blocked" if blocked else "length" if reason == "length" else "stop",
        input_tokens=used[0],
        output_tokens=used[1],
        aside=aside,
    )


def _said(content: Any) -> str:
    """The text of a message; some servers send it in parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


class OpenAIBatches:
    """Batches of chat completions; each carries its ticket as metadata, by which it is found again."""

    def __init__(self, endpoint: OpenAIEndpoint) -> None:
        self._endpoint = endpoint

    def line(self, name: str, ask: Ask) -> bytes:
        """The very body that a direct call would send, with its name."""
        request = {"custom_id": name, "method": "POST", "url": _PATH, "body": self._endpoint.body(ask)}
        return json.dumps(request, ensure_ascii=False).encode() + b"\n"

    async def submit(self, path: Path, ticket: str) -> str:
        """Upload the file, then make a batch of it."""
        client = self._endpoint.connected()
        with faults(self._endpoint.fault):
            file = await client.files.create(file=path, purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint=_PATH, completion_window="24h", metadata={_TICKET: ticket}
            )
        return batch.id

    async def find(self, ticket: str, since: float) -> str | None:
        """Look through the vendor's list, newest first."""
        with faults(self._endpoint.fault):
            async for batch in self._endpoint.connected().batches.list(limit=100):
                if (batch.metadata or {}).get(_TICKET) == ticket:
                    return batch.id
                if batch.created_at < since - _EARLIER:
                    return None
        return None

    async def look(self, batch: str) -> BatchLook:
        """An expired or cancelled batch keeps the answers it has."""
        with faults(self._endpoint.fault):
            found = await self._endpoint.connected().batches.retrieve(batch)
        if found.status == "failed":
            errors = (found.errors.data if found.errors else None) or []
            said = "; ".join(f"{e.code or ''} {e.message or ''}".strip() for e in errors[:2]) or "no reason given"
            # More tokens are waiting at the vendor than it lets this account have there: smaller batches, later.
            full = any("limit" in (e.code or "") for e in errors)
            said = self._endpoint.redact(f"batch refused: {said}")
            return BatchLook("failed", FaultError("throttled" if full else "refused", said))
        if found.status == "cancelled":
            return BatchLook("ended", FaultError("cancelled", f"batch {batch} was cancelled at the vendor"))
        if found.status == "expired":
            return BatchLook("ended", FaultError("expired", f"batch {batch} expired before it was answered"))
        if found.status == "completed":
            return BatchLook("ended", FaultError("server", f"batch {batch} ended without an answer"))
        return BatchLook("working")

    async def results(self, batch: str) -> list[tuple[str, Reply | FaultError]]:
        """The file of answers and the file of errors, whichever there are."""
        client = self._endpoint.connected()
        found: list[tuple[str, Reply | FaultError]] = []
        with faults(self._endpoint.fault):
            known = await client.batches.retrieve(batch)
            for file in (known.output_file_id, known.error_file_id):
                if file:
                    content = await client.files.content(file)
                    found += [self._result(entry) for entry in json_objects(content.text)]
        return found

    def _result(self, entry: dict[str, Any]) -> tuple[str, Reply | FaultError]:
        from openai.types.chat import ChatCompletion

        name = str(entry.get("custom_id") or "")
        response = entry.get("response")
        response = response if isinstance(response, dict) else {}
        status, body = response.get("status_code"), response.get("body")
        if status == 200 and isinstance(body, dict):
            try:
                return name, reply_of(ChatCompletion.construct(**body))
            except FaultError as fault:
                return name, fault
        error = entry.get("error") or (body.get("error") if isinstance(body, dict) else None) or {}
        if not isinstance(error, dict):
            error = {"message": str(error)}
        message = self._endpoint.redact(
            f"{error.get('code') or ''} {error.get('message') or 'no reason given'}".strip()
        )
        if status is None:
            return name, FaultError("server", message)
        return name, FaultError(kind_of_status(int(status), message), message, status=int(status))
