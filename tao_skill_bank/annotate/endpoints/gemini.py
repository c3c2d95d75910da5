"""Gemini: videos are uploaded once and referred to, whole or by offsets."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.config import GeminiOptions
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
from tao_skill_bank.core.clock import SystemClock

if TYPE_CHECKING:
    from google.genai import Client

    from tao_skill_bank.annotate.endpoints.gemini_batch import GeminiBatches

_LIFETIME = 47 * 3600.0
"""The vendor keeps a file for 48 hours."""
_POLL = 1.0
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska"}
_FINE = frozenset({"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", ""})


class GeminiEndpoint:
    """`generate_content` of the Gemini developer interface."""

    takes_video = True

    def __init__(self, options: GeminiOptions, secret: str, redact: Redactor) -> None:
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
        }

    @property
    def batches(self) -> GeminiBatches:
        """Its Batch interface."""
        from tao_skill_bank.annotate.endpoints.gemini_batch import GeminiBatches

        return GeminiBatches(self, self._options)

    async def ask(self, ask: Ask) -> Reply:
        """One `generate_content`."""
        from google.genai import types

        looks = ask.clip is not None or bool(ask.frames)
        config = types.GenerateContentConfig(
            temperature=self._options.temperature,
            max_output_tokens=self._options.max_output_tokens,
            media_resolution=types.MediaResolution(self._options.media_resolution)
            if looks and self._options.media_resolution
            else None,
            response_mime_type="application/json" if ask.schema is not None else None,
            response_json_schema=ask.schema,
        )
        try:
            response = await self.connected().aio.models.generate_content(
                model=self.model, contents=[types.Content(role="user", parts=_parts(ask))], config=config
            )
        except Exception as error:
            raise self.fault(error) from None
        return reply_of(response.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def upload(self, path: Path) -> Upload:
        """Upload a video and wait until the vendor has read it."""
        from google.genai import types

        mime = _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "video/mp4"
        files = self.connected().aio.files
        try:
            found = await files.upload(file=path, config=types.UploadFileConfig(mime_type=mime))
            while found.state == types.FileState.PROCESSING and found.name:
                await asyncio.sleep(_POLL)
                found = await files.get(name=found.name)
        except Exception as error:
            raise self.fault(error) from None
        if found.state == types.FileState.FAILED or not found.uri:
            raise FaultError("refused", f"the endpoint could not read {path.name}")
        now = SystemClock().now().timestamp()
        expires = found.expiration_time.timestamp() - 3600 if found.expiration_time else now + _LIFETIME
        return Upload(uri=found.uri, mime=mime, expires=expires)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()

    def connected(self) -> Client:
        """The SDK's client, made when it is first needed."""
        if self._client is None:
            from google.genai import Client, types

            options: dict[str, Any] = {"timeout": int(self.timeout * 1000)}
            if "retry_options" in types.HttpOptions.model_fields:
                # Else the SDK asks a second time by itself after a cut connection where aiohttp is installed: a call
                # that no budget counts.
                options["retry_options"] = types.HttpRetryOptions(attempts=1)
            self._client = Client(vertexai=False, api_key=self._secret, http_options=types.HttpOptions(**options))
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
            kind = kind_of_status(error.code, f"{message} {error.details}")
            headers = getattr(error.response, "headers", None) or {}
            after = retry_after_seconds(headers.get("retry-after")) or _retry_info(error.details)
            fault = FaultError(kind, message, status=error.code, retry_after=after)
            return FaultError("upload_gone", message, status=error.code) if self.file_gone(fault) else fault
        names = {cls.__name__ for cls in type(error).__mro__}
        if "TimeoutException" in names or isinstance(error, TimeoutError):
            return FaultError("timeout", f"no answer within {self.timeout:g} s")
        if names & {"TransportError", "ClientConnectionError"} or isinstance(error, OSError):
            return FaultError("network", self.redact(f"{type(error).__name__}: {error}"))
        if isinstance(error, (ValueError, KeyError, errors.UnknownApiResponseError)):
            return FaultError("malformed", self.redact(f"unreadable answer: {error}"))
        raise error


def _parts(ask: Ask) -> list[Any]:
    from google.genai import types

    parts: list[types.Part] = []
    if ask.clip is not None:
        part = types.Part.from_uri(file_uri=ask.clip.uri, mime_type=ask.clip.mime)
        if ask.clip.start is not None and ask.clip.end is not None:
            part.video_metadata = types.VideoMetadata(
                start_offset=f"{ask.clip.start:.3f}s", end_offset=f"{ask.clip.end:.3f}s"
            )
        parts.append(part)
    for frame in ask.frames:
        parts.append(types.Part.from_text(text=label(frame.seconds)))
        parts.append(types.Part.from_bytes(data=frame.jpeg, mime_type="image/jpeg"))
    parts.append(types.Part.from_text(text=ask.prompt))
    return parts


def reply_of(response: dict[str, Any]) -> Reply:
    """A response in the vendor's own JSON as a reply; one that holds no answer, or is none, is a fault."""
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
        raise FaultError("malformed", "the answer holds no candidate")
    reason = str(candidates[0].get("finishReason") or "")
    parts = (candidates[0].get("content") or {}).get("parts") or []
    text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
    if reason not in _FINE:
        return Reply("", "blocked", read, wrote)
    if not text.strip():
        raise FaultError("malformed", "the answer is empty")
    return Reply(text, "length" if reason == "MAX_TOKENS" else "stop", read, wrote)


def _retry_info(details: Any) -> float | None:
    """`retryDelay: "17s"` of an error's details."""
    match = re.search(r"['\"]retryDelay['\"]:\s*['\"](\d+(?:\.\d+)?)s['\"]", str(details))
    return float(match[1]) if match else None
