"""Any OpenAI-compatible server: the vendor's own, vLLM, NIM. Videos go as frames with their times."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tao_skill_bank.annotate.config import OpenAIOptions
from tao_skill_bank.annotate.endpoints.base import (
    Ask,
    FaultError,
    Reply,
    Upload,
    kind_of_status,
    label,
    retry_after_seconds,
    tokens,
)
from tao_skill_bank.annotate.secrets import Redactor

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from tao_skill_bank.annotate.endpoints.openai_batch import OpenAIBatches

_VENDOR = "https://api.openai.com/v1"
_NO_KEY = "none"


class OpenAIEndpoint:
    """Chat completions. What a server does not know (a schema, a parameter's name) is left out from then on."""

    takes_video = False

    def __init__(self, options: OpenAIOptions, secret: str, redact: Redactor) -> None:
        self._options = options
        self._secret = secret
        self.redact = redact
        self._client: AsyncOpenAI | None = None
        self._structured = True
        self._limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        self._tempered = True
        self.name = f"openai {options.base_url.rstrip('/') or _VENDOR}"
        self.model = options.model_name
        self.timeout = options.timeout
        self.parameters: dict[str, Any] = {"temperature": options.temperature, "max_tokens": options.max_tokens}

    async def ask(self, ask: Ask) -> Reply:
        """One chat completion."""
        while True:
            try:
                return await self._once(ask)
            except FaultError as fault:
                if fault.kind != "refused" or not self.adapted(fault.message, ask):
                    raise

    async def upload(self, path: Path) -> Upload:
        """Not taken: such a server gets frames."""
        raise FaultError("refused", f"{self.name} takes no videos: {path.name}")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    @property
    def batches(self) -> OpenAIBatches:
        """Its Batch interface; servers of one's own mostly have none."""
        from tao_skill_bank.annotate.endpoints.openai_batch import OpenAIBatches

        return OpenAIBatches(self)

    @property
    def form(self) -> str:
        """How it is asked now."""
        return f"{self._structured} {self._limit_name} {self._tempered}"

    def adapted(self, message: str, ask: Ask) -> bool:
        """Whether the server refused something that can be left out or called otherwise."""
        lower = message.lower()
        if (
            ask.schema is not None
            and self._structured
            and any(word in lower for word in ("response_format", "json_schema", "guided", "structured"))
        ):
            self._structured = False
        elif self._limit_name == "max_tokens" and "max_completion_tokens" in lower:
            self._limit_name = "max_completion_tokens"
        elif self._tempered and "temperature" in lower:
            self._tempered = False
        else:
            return False
        return True

    def body(self, ask: Ask) -> dict[str, Any]:
        """A chat completion as the vendor takes it."""
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": _content(ask)}]}
        body[self._limit_name] = self._options.max_tokens
        if self._tempered:
            body["temperature"] = self._options.temperature
        if ask.schema is not None and self._structured:
            shape = {"name": "answer", "schema": ask.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        return body

    def fault(self, error: Exception) -> FaultError:
        """The SDK's error as ours. What nobody foresaw stays what it is."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return FaultError("timeout", f"no answer within {self.timeout:g} s")
        if isinstance(error, openai.APIStatusError):
            message = self.redact(str(error.message))
            after = retry_after_seconds(error.response.headers.get("retry-after"))
            kind = kind_of_status(error.status_code, f"{message} {error.code or ''}")
            return FaultError(kind, message, status=error.status_code, retry_after=after)
        if isinstance(error, openai.APIConnectionError):
            return FaultError("network", self.redact(f"{error} {error.__cause__ or ''}"))
        if isinstance(error, (openai.OpenAIError, ValueError)):
            return FaultError("malformed", self.redact(f"unreadable answer: {error}"))
        raise error

    async def _once(self, ask: Ask) -> Reply:
        try:
            response = await self.connected().chat.completions.create(**self.body(ask))
        except Exception as error:
            raise self.fault(error) from None
        return reply_of(response)

    def connected(self) -> AsyncOpenAI:
        """The SDK's client, made when it is first needed."""
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
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
        parts.append({"type": "text", "text": label(frame.seconds)})
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
    parts.append({"type": "text", "text": ask.prompt})
    return parts


def reply_of(response: Any) -> Reply:
    """A response as a reply; a 200 that holds no answer is a fault."""
    # The SDK takes any JSON for a completion: nothing in it has its type for sure.
    choices = getattr(response, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    if message is None:
        raise FaultError("malformed", "the answer holds no choice")
    reason = getattr(choice, "finish_reason", None)
    blocked = reason == "content_filter" or bool(getattr(message, "refusal", None))
    text = _said(getattr(message, "content", None))
    if not text.strip() and not blocked:
        raise FaultError("malformed", "the answer is empty")
    usage = getattr(response, "usage", None)
    return Reply(
        text="" if blocked else text,
        finish="blocked" if blocked else "length" if reason == "length" else "stop",
        input_tokens=tokens(getattr(usage, "prompt_tokens", None)),
        output_tokens=tokens(getattr(usage, "completion_tokens", None)),
    )


def _said(content: Any) -> str:
    """The text of a message; some servers send it in parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
