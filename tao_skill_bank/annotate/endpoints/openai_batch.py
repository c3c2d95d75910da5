"""OpenAI's Batch interface: a file of chat completions, answered within a day for half the price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tao_skill_bank.annotate.endpoints.base import Ask, BatchLook, FaultError, Reply, kind_of_status

if TYPE_CHECKING:
    from tao_skill_bank.annotate.endpoints.openai import OpenAIEndpoint

_PATH: Final = "/v1/chat/completions"
_TICKET = "ticket"
_EARLIER = 86_400.0
"""How much a vendor's clock may lie behind ours before a batch of ours is overlooked in its list. Seconds."""


class OpenAIBatches:
    """Batches of chat completions; each carries its ticket as metadata, by which it is found again."""

    def __init__(self, endpoint: OpenAIEndpoint) -> None:
        self._endpoint = endpoint

    @property
    def form(self) -> str:
        """How the server is asked now."""
        return self._endpoint.form

    def adapted(self, message: str, ask: Ask) -> bool:
        """Whether a refusal was met by leaving something out or calling it otherwise."""
        return self._endpoint.adapted(message, ask)

    def line(self, name: str, ask: Ask) -> bytes:
        """The very body that a direct call would send, with its name."""
        request = {"custom_id": name, "method": "POST", "url": _PATH, "body": self._endpoint.body(ask)}
        return json.dumps(request, ensure_ascii=False).encode() + b"\n"

    async def submit(self, path: Path, ticket: str) -> str:
        """Upload the file, then make a batch of it."""
        client = self._endpoint.connected()
        try:
            file = await client.files.create(file=path, purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint=_PATH, completion_window="24h", metadata={_TICKET: ticket}
            )
        except Exception as error:
            raise self._endpoint.fault(error) from None
        return batch.id

    async def find(self, ticket: str, since: float) -> str | None:
        """Look through the vendor's list, newest first."""
        try:
            async for batch in self._endpoint.connected().batches.list(limit=100):
                if (batch.metadata or {}).get(_TICKET) == ticket:
                    return batch.id
                if batch.created_at < since - _EARLIER:
                    return None
        except Exception as error:
            raise self._endpoint.fault(error) from None
        return None

    async def look(self, batch: str) -> BatchLook:
        """An expired or cancelled batch keeps the answers it has."""
        try:
            found = await self._endpoint.connected().batches.retrieve(batch)
        except Exception as error:
            raise self._endpoint.fault(error) from None
        if found.status == "failed":
            errors = (found.errors.data if found.errors else None) or []
            said = "; ".join(f"{e.code or ''} {e.message or ''}".strip() for e in errors[:2]) or "no reason given"
            # More tokens are waiting at the vendor than it lets this account have there: smaller batches, later.
            full = any("limit" in (e.code or "") for e in errors)
            said = self._endpoint.redact(f"batch refused: {said}")
            return BatchLook("failed", FaultError("throttled" if full else "refused", said))
        if found.status == "cancelled":
            return BatchLook("ended", FaultError("cancelled", f"batch {batch} was cancelled at the vendor"))
        if found.status in ("completed", "expired"):
            return BatchLook("ended", FaultError("server", f"batch {batch} ended without an answer ({found.status})"))
        return BatchLook("working")

    async def results(self, batch: str) -> list[tuple[str, Reply | FaultError]]:
        """The file of answers and the file of errors, whichever there are."""
        client = self._endpoint.connected()
        found: list[tuple[str, Reply | FaultError]] = []
        try:
            known = await client.batches.retrieve(batch)
            for file in (known.output_file_id, known.error_file_id):
                if file:
                    content = await client.files.content(file)
                    found += [self._result(entry) for entry in entries(content.text)]
        except FaultError:
            raise
        except Exception as error:
            raise self._endpoint.fault(error) from None
        return found

    def _result(self, entry: dict[str, Any]) -> tuple[str, Reply | FaultError]:
        from openai.types.chat import ChatCompletion

        from tao_skill_bank.annotate.endpoints.openai import reply_of

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


def entries(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; what cannot be read is missed, and its call asked again."""
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
