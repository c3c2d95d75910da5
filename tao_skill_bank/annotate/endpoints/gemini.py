"""Gemini: videos are uploaded once and referred to, whole or by offsets."""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
import re
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.config import GeminiOptions, Tuning
from tao_skill_bank.annotate.endpoints.base import (
    Ask,
    BatchLook,
    FaultError,
    Reply,
    Upload,
    faults,
    kind_of_status,
    label,
    never_left,
    redirected,
    retry_after_seconds,
    tokens,
)
from tao_skill_bank.annotate.endpoints.forms import NONE, Forms
from tao_skill_bank.annotate.secrets import Redactor
from tao_skill_bank.core.clock import SystemClock
from tao_skill_bank.core.text import json_objects

if TYPE_CHECKING:
    from google.genai import Client

_LIFETIME = 47 * 3600.0
"""The vendor keeps a file for 48 hours."""
_POLL = 1.0
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska"}
_FINE = frozenset({"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", ""})
_MIME = "application/jsonl"
_EARLIER = 86_400.0
_STATUS_OF_CODE = {3: 400, 5: 404, 7: 403, 8: 429, 16: 401}
"""Numbers of Google's RPC codes where a line carries those instead of an HTTP status; others count as 500."""


class GeminiEndpoint:
    """`generate_content` of the Gemini developer interface."""

    takes_video = True
    token_setting = "gemini.max_output_tokens"

    def __init__(self, options: GeminiOptions, secret: str, redact: Redactor, tuning: Tuning | None = None) -> None:
        tuning = tuning or Tuning()
        self.tuning = tuning
        self.forms = Forms(tuning.structured)
        self._options = options
        self._secret = secret
        self.redact = redact
        self._client: Client | None = None
        self.name = "gemini"
        self.model = options.model
        self.timeout = options.timeout
        self.parameters: dict[str, Any] = {
            "temperature": options.temperature,
            "max_tokens": options.max_output_tokens,
            "media_resolution": options.media_resolution,
        } | tuning.set

    @property
    def batches(self) -> GeminiBatches:
        """Its Batch interface."""
        return GeminiBatches(self)

    async def ask(self, ask: Ask) -> Reply:
        """One `generate_content`."""
        from google.genai import types

        request = self.request(ask)
        extra = types.HttpOptions(extra_body=self.tuning.extra_body) if self.tuning.extra_body else None
        config = types.GenerateContentConfig.model_validate({**request["generationConfig"], "httpOptions": extra})
        with faults(self.fault):
            response = await self.connected().aio.models.generate_content(
                model=self.model, contents=[types.Content.model_validate(c) for c in request["contents"]], config=config
            )
        return reply_of(response.model_dump(mode="json", by_alias=True, exclude_none=True))

    def request(self, ask: Ask) -> dict[str, Any]:
        """A question in the vendor's own JSON: what a direct call and a line of a batch say, word for word."""
        parts: list[dict[str, Any]] = []
        if ask.clip is not None:
            part: dict[str, Any] = {"fileData": {"fileUri": ask.clip.uri, "mimeType": ask.clip.mime}}
            if ask.clip.start is not None and ask.clip.end is not None:
                part["videoMetadata"] = {
                    "startOffset": f"{ask.clip.start:.3f}s",
                    "endOffset": f"{ask.clip.end:.3f}s",
                }
            parts.append(part)
        for frame in ask.frames:
            if ask.labelled:
                parts.append({"text": label(frame.seconds)})
            data = base64.b64encode(frame.jpeg).decode("ascii")
            parts.append({"inlineData": {"mimeType": "image/jpeg", "data": data}})
        parts.append({"text": ask.prompt})
        resolution = self._options.media_resolution if ask.clip is not None or ask.frames else None
        settings = {
            "temperature": self._options.temperature,
            "maxOutputTokens": self._options.max_output_tokens,
            "mediaResolution": resolution or None,
            "responseMimeType": "application/json" if self.forms.level(ask) < NONE else None,
            "responseJsonSchema": self.forms.schema(ask),
            "topP": self.tuning.top_p,
            "seed": self.tuning.seed,
            "thinkingConfig": self._thinking() or None,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        return {"contents": [{"role": "user", "parts": parts}], "generationConfig": settings}

    def adapted(self, fault: FaultError, ask: Ask, form: str) -> bool:
        """Whether the server refused something of the schema that can be left out."""
        return self.forms.step(fault, ask, form, names=False)

    def _thinking(self) -> dict[str, Any]:
        """How much the model thinks, in the vendor's own words; empty where it decides itself."""
        wanted = self.tuning.thinking
        if wanted == "auto":
            return {}
        if isinstance(wanted, int) or wanted == "off":
            return {"thinkingBudget": wanted if isinstance(wanted, int) else 0}
        return {"thinkingLevel": wanted.upper()}

    async def upload(self, name: str, file: BufferedReader) -> Upload:
        """Upload a video and wait until the vendor has read it."""
        from google.genai import types

        mime = _TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or "video/mp4"
        files = self.connected().aio.files
        with faults(self.fault):
            found = await files.upload(file=file, config=types.UploadFileConfig(mime_type=mime))
            while found.state == types.FileState.PROCESSING and found.name:
                await asyncio.sleep(_POLL)
                found = await files.get(name=found.name)
        if found.state == types.FileState.FAILED or not found.uri:
            raise FaultError("refused", f"the endpoint could not read {name}")
        now = SystemClock().now().timestamp()
        expires = found.expiration_time.timestamp() - 3600 if found.expiration_time else now + _LIFETIME
        return Upload(uri=found.uri, mime=mime, expires=expires)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()
            await self._http.aclose()

    def connected(self) -> Client:
        """The SDK's client, made when it is first needed."""
        if self._client is None:
            import httpx2
            from google.genai import Client, types

            # Videos and texts go to the vendor, and every request is counted: no redirect is followed (where aiohttp is
            # installed, which the SDK would take otherwise, it follows those of uploads), and nothing asked again.
            self._http = httpx2.AsyncClient(follow_redirects=False, timeout=self.timeout)
            options = types.HttpOptions(
                timeout=int(self.timeout * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=self._http,
            )
            self._client = Client(vertexai=False, api_key=self._secret, http_options=options)
        return self._client

    @staticmethod
    def file_gone(fault: FaultError) -> bool:
        """Whether an upload is meant that the vendor no longer keeps."""
        return fault.status in (403, 404) and bool(re.search(r"\bfiles?\b", fault.message, re.IGNORECASE))

    def fault(self, error: Exception) -> FaultError:
        """The SDK's error, or that of its HTTP library, as ours. What nobody foresaw stays what it is."""
        from google.genai import errors

        if isinstance(error, errors.APIError):
            message = self.redact(str(error.message or error))
            headers = getattr(error.response, "headers", None) or {}
            if (moved := redirected(error.code, headers, self.redact)) is not None:
                return moved
            kind = kind_of_status(error.code, f"{message} {error.details}")
            after = retry_after_seconds(headers.get("retry-after")) or _retry_info(error.details)
            fault = FaultError(kind, message, status=error.code, retry_after=after)
            return FaultError("upload_gone", message, status=error.code) if self.file_gone(fault) else fault
        names = {cls.__name__ for cls in type(error).__mro__}
        sent = not never_left(error)
        if "TimeoutException" in names or isinstance(error, TimeoutError):
            return FaultError("timeout", f"no answer within {self.timeout:g} s", sent=sent)
        if names & {"TransportError", "ClientConnectionError"} or isinstance(error, OSError):
            return FaultError("network", self.redact(f"{type(error).__name__}: {error}"), sent=sent)
        if isinstance(error, (ValueError, KeyError, errors.UnknownApiResponseError)):
            return FaultError("malformed", self.redact(f"unreadable answer: {error}"))
        raise error


def reply_of(response: dict[str, Any]) -> Reply:
    """A response in the vendor's own JSON as a reply, which may be empty; one of another form is a fault."""
    try:
        return _reply_of(response)
    except (AttributeError, KeyError, TypeError):
        raise FaultError("malformed", "the answer has not the vendor's form") from None


def _reply_of(response: dict[str, Any]) -> Reply:
    usage = response.get("usageMetadata") or {}
    read = tokens(usage.get("promptTokenCount"))
    # Thinking is billed as output.
    wrote = tokens(usage.get("candidatesTokenCount")) + tokens(usage.get("thoughtsTokenCount"))
    candidates = response.get("candidates")
    if not candidates:
        if (response.get("promptFeedback") or {}).get("blockReason"):
            return Reply("", "blocked", read, wrote)
        used = (read, wrote) if read or wrote else None
        raise FaultError("malformed", "the answer holds no candidate", usage=used)
    reason = str(candidates[0].get("finishReason") or "")
    parts = (candidates[0].get("content") or {}).get("parts") or []
    text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
    if reason not in _FINE:
        return Reply("", "blocked", read, wrote)
    aside = "thought" if any(part.get("thought") for part in parts) else ""
    return Reply(text, "length" if reason == "MAX_TOKENS" else "stop", read, wrote, aside)


def _retry_info(details: Any) -> float | None:
    """`retryDelay: "17s"` of an error's details."""
    match = re.search(r"['\"]retryDelay['\"]:\s*['\"](\d+(?:\.\d+)?)s['\"]", str(details))
    return float(match[1]) if match else None


class GeminiBatches:
    """Batches of `generateContent`; each carries its ticket as display name, by which it is found again."""

    def __init__(self, endpoint: GeminiEndpoint) -> None:
        self._endpoint = endpoint

    def line(self, name: str, ask: Ask) -> bytes:
        """A request in the vendor's own JSON, with its name: what a direct call says, word for word."""
        request = self._endpoint.request(ask) | self._endpoint.tuning.extra_body
        return json.dumps({"key": name, "request": request}, ensure_ascii=False).encode() + b"\n"

    async def submit(self, path: Path, ticket: str) -> str:
        """Upload the file, then make a batch of it."""
        from google.genai import types

        client = self._endpoint.connected().aio
        with faults(self._endpoint.fault):
            file = await client.files.upload(
                file=path, config=types.UploadFileConfig(mime_type=_MIME, display_name=ticket)
            )
            job = await client.batches.create(
                model=self._endpoint.model,
                src=types.BatchJobSource(file_name=file.name),
                config=types.CreateBatchJobConfig(display_name=ticket),
            )
        if not job.name:
            raise FaultError("malformed", "the endpoint gave the batch no name")
        return job.name

    async def find(self, ticket: str, since: float) -> str | None:
        """Look through the vendor's list, newest first."""
        from google.genai import types

        with faults(self._endpoint.fault):
            jobs = await self._endpoint.connected().aio.batches.list(config=types.ListBatchJobsConfig(page_size=100))
            async for job in jobs:
                if job.display_name == ticket and job.name:
                    return job.name
                if job.create_time is not None and job.create_time.timestamp() < since - _EARLIER:
                    return None
        return None

    async def look(self, batch: str) -> BatchLook:
        """An expired batch has no answers; they are asked for again."""
        with faults(self._endpoint.fault):
            job = await self._endpoint.connected().aio.batches.get(name=batch)
        state = job.state.value.removeprefix("JOB_STATE_") if job.state is not None else ""
        if state in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
            return BatchLook("ended", FaultError("server", f"{batch} ended without an answer"))
        if state == "EXPIRED":
            return BatchLook("failed", FaultError("expired", f"{batch} expired"))
        if state == "CANCELLED":
            return BatchLook("failed", FaultError("cancelled", f"{batch} was cancelled at the vendor"))
        if state == "FAILED":
            said = self._endpoint.redact(str((job.error.message if job.error else None) or "no reason given"))
            return BatchLook("failed", FaultError("refused", f"batch refused: {said}"))
        return BatchLook("working")

    async def results(self, batch: str) -> list[tuple[str, Reply | FaultError]]:
        """The file of answers."""
        client = self._endpoint.connected().aio
        with faults(self._endpoint.fault):
            job = await client.batches.get(name=batch)
            if job.dest is None or not job.dest.file_name:
                raise FaultError("malformed", f"{batch} ended without a file of answers")
            content = await client.files.download(file=job.dest.file_name)
        return [self._result(entry) for entry in json_objects(content.decode("utf-8", errors="replace"))]

    def _result(self, entry: dict[str, Any]) -> tuple[str, Reply | FaultError]:

        name = str(entry.get("key") or "")
        response = entry.get("response")
        if isinstance(response, dict):
            try:
                return name, reply_of(response)
            except FaultError as fault:
                return name, fault
        error = entry.get("error") or entry.get("status") or {}
        if not isinstance(error, dict):
            error = {"message": str(error)}
        message = self._endpoint.redact(str(error.get("message") or "no reason given"))
        code = int(error.get("code") or 500)
        status = code if code >= 100 else _STATUS_OF_CODE.get(code, 500)
        found = FaultError(kind_of_status(status, message), message, status=status)
        return name, FaultError("upload_gone", message, status=status) if self._endpoint.file_gone(found) else found
