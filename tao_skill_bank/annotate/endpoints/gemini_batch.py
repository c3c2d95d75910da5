"""Gemini's Batch interface: a file of requests, answered within a day for half the price."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.config import GeminiOptions
from tao_skill_bank.annotate.endpoints.base import Ask, BatchLook, FaultError, Reply, kind_of_status, label
from tao_skill_bank.annotate.endpoints.openai_batch import entries

if TYPE_CHECKING:
    from tao_skill_bank.annotate.endpoints.gemini import GeminiEndpoint

_MIME = "application/jsonl"
_EARLIER = 86_400.0
_STATUS_OF_CODE = {3: 400, 5: 404, 7: 403, 8: 429, 16: 401}
"""Numbers of Google's RPC codes where a line carries those instead of an HTTP status; others count as 500."""


class GeminiBatches:
    """Batches of `generateContent`; each carries its ticket as display name, by which it is found again."""

    form = ""

    def __init__(self, endpoint: GeminiEndpoint, options: GeminiOptions) -> None:
        self._endpoint = endpoint
        self._options = options

    def adapted(self, message: str, ask: Ask) -> bool:
        """There is one form only."""
        return False

    def line(self, name: str, ask: Ask) -> bytes:
        """A request in the vendor's own JSON, with its name: what a direct call says, word for word."""
        return json.dumps({"key": name, "request": self._request(ask)}, ensure_ascii=False).encode() + b"\n"

    async def submit(self, path: Path, ticket: str) -> str:
        """Upload the file, then make a batch of it."""
        from google.genai import types

        client = self._endpoint.connected().aio
        try:
            file = await client.files.upload(
                file=path, config=types.UploadFileConfig(mime_type=_MIME, display_name=ticket)
            )
            job = await client.batches.create(
                model=self._endpoint.model,
                src=types.BatchJobSource(file_name=file.name),
                config=types.CreateBatchJobConfig(display_name=ticket),
            )
        except Exception as error:
            raise self._endpoint.fault(error) from None
        if not job.name:
            raise FaultError("malformed", "the endpoint gave the batch no name")
        return job.name

    async def find(self, ticket: str, since: float) -> str | None:
        """Look through the vendor's list, newest first."""
        from google.genai import types

        try:
            jobs = await self._endpoint.connected().aio.batches.list(config=types.ListBatchJobsConfig(page_size=100))
            async for job in jobs:
                if job.display_name == ticket and job.name:
                    return job.name
                if job.create_time is not None and job.create_time.timestamp() < since - _EARLIER:
                    return None
        except Exception as error:
            raise self._endpoint.fault(error) from None
        return None

    async def look(self, batch: str) -> BatchLook:
        """An expired batch has no answers; they are asked for again."""
        try:
            job = await self._endpoint.connected().aio.batches.get(name=batch)
        except Exception as error:
            raise self._endpoint.fault(error) from None
        state = job.state.value.removeprefix("JOB_STATE_") if job.state is not None else ""
        if state in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
            return BatchLook("ended", FaultError("server", f"{batch} ended without an answer"))
        if state == "EXPIRED":
            return BatchLook("failed", FaultError("server", f"{batch} expired"))
        if state == "CANCELLED":
            return BatchLook("failed", FaultError("cancelled", f"{batch} was cancelled at the vendor"))
        if state == "FAILED":
            said = self._endpoint.redact(str((job.error.message if job.error else None) or "no reason given"))
            return BatchLook("failed", FaultError("refused", f"batch refused: {said}"))
        return BatchLook("working")

    async def results(self, batch: str) -> list[tuple[str, Reply | FaultError]]:
        """The file of answers."""
        client = self._endpoint.connected().aio
        try:
            job = await client.batches.get(name=batch)
            if job.dest is None or not job.dest.file_name:
                raise FaultError("malformed", f"{batch} ended without a file of answers")
            content = await client.files.download(file=job.dest.file_name)
        except FaultError:
            raise
        except Exception as error:
            raise self._endpoint.fault(error) from None
        return [self._result(entry) for entry in entries(content.decode("utf-8", errors="replace"))]

    def _request(self, ask: Ask) -> dict[str, Any]:
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
            parts.append({"text": label(frame.seconds)})
            data = base64.b64encode(frame.jpeg).decode("ascii")
            parts.append({"inlineData": {"mimeType": "image/jpeg", "data": data}})
        parts.append({"text": ask.prompt})
        settings: dict[str, Any] = {
            "temperature": self._options.temperature,
            "maxOutputTokens": self._options.max_output_tokens,
        }
        if self._options.media_resolution and (ask.clip is not None or ask.frames):
            settings["mediaResolution"] = self._options.media_resolution
        if ask.schema is not None:
            settings |= {"responseMimeType": "application/json", "responseJsonSchema": ask.schema}
        return {"contents": [{"role": "user", "parts": parts}], "generationConfig": settings}

    def _result(self, entry: dict[str, Any]) -> tuple[str, Reply | FaultError]:
        from tao_skill_bank.annotate.endpoints.gemini import reply_of

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
