"""The batch interfaces of both vendors, scripted: files, batches, lists. A batch is paid for when it is taken on."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripted_endpoint import ScriptedEndpoint

Answered = tuple[int, bytes, dict[str, str]]
_OPENAI = {"working": "in_progress", "ended": "completed", "failed": "failed"}
_GEMINI = {"working": "RUNNING", "ended": "SUCCEEDED", "failed": "FAILED"}


@dataclass
class Batch:
    """A batch that was taken on. `looks` left until it ends; `fate` is how it ends in the vendor's word."""

    name: str
    ticket: str
    lines: list[dict[str, Any]]
    model: str
    looks: int
    fate: str = ""
    code: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    at: int = field(default_factory=lambda: int(time.time()))


class ScriptedBatches:
    """`looks`: how often a batch is looked at before it has ended. `taken` may delay or cut the answer to a creation.

    `fates` gives a batch another end: ("expired", "") or ("failed", "token_limit_exceeded"). `skip` leaves lines
    without an answer.
    """

    def __init__(self, server: ScriptedEndpoint) -> None:
        self.server = server
        self.offered = True
        self.looks = 1
        self.taken: Callable[[Batch], float] = lambda batch: 0.0
        self.fates: Callable[[Batch], tuple[str, str]] = lambda batch: ("", "")
        self.skip: Callable[[Batch, int], bool] = lambda batch, number: False
        self.nameless = False
        self.reset()

    def reset(self) -> None:
        """Forget all files and batches."""
        self.all: list[Batch] = []
        self.files: dict[str, bytes] = {}
        self.listed = 0
        self.fetched = 0

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered | None:
        """The response to a request of a batch interface; None where it is none, status 0 to cut the connection."""
        plain = path.split("?")[0]
        if "x-goog-api-key" in headers or plain.startswith("/upload"):
            return await self._gemini(method, plain, body)
        if plain.startswith(("/v1/files", "/v1/batches")):
            if not self.offered:
                return _json({"error": {"message": "Not Found"}}, 404)
            return await self._openai(method, plain, headers, body)
        return None

    async def _openai(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
        if method == "POST" and path == "/v1/files":
            name = f"file-{len(self.files)}"
            self.files[name] = _part(headers, body)
            return _json(
                {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}
            )
        if path.endswith("/content"):
            self.fetched += 1
            return 200, self.files[path.split("/")[3]], {}
        if method == "POST":
            asked = json.loads(body)
            lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
            return await self._take(lines, asked["metadata"]["ticket"], "", self._shown_openai)
        if path == "/v1/batches":
            self.listed += 1
            shown = [self._shown_openai(batch) for batch in reversed(self.all)]
            return _json({"object": "list", "data": shown, "has_more": False})
        found = self._looked_at(path.split("/")[-1])
        return (
            _json({"error": {"message": "no such batch"}}, 404) if found is None else _json(self._shown_openai(found))
        )

    async def _gemini(self, method: str, path: str, body: bytes) -> Answered | None:
        if ":batchGenerateContent" in path:
            asked = json.loads(body)["batch"]
            name = asked["inputConfig"]["fileName"].split("/")[-1]
            lines = [json.loads(line) for line in self.files[name].splitlines()]
            model = re.search(r"models/([^:]+):", path)
            return await self._take(lines, asked["displayName"], model[1] if model else "", self._shown_gemini)
        if path.startswith("/upload") and body.startswith(b'{"key"'):
            name = f"in{len(self.files)}"
            self.files[name] = body
            found = {"name": f"files/{name}", "uri": f"{self.server.url}/v1/files/{name}", "state": "ACTIVE"}
            return _json({"file": found}, 200, {"x-goog-upload-status": "final"})
        if path.endswith(":download"):
            self.fetched += 1
            return 200, self.files[path.split("/")[-1].split(":")[0]], {}
        if path.endswith("/batches"):
            self.listed += 1
            return _json({"operations": [self._shown_gemini(batch) for batch in reversed(self.all)]})
        if "/batches/" in path:
            batch = self._looked_at(path.split("/")[-1])
            return (
                _json({"error": {"message": "no such batch"}}, 404)
                if batch is None
                else _json(self._shown_gemini(batch))
            )
        return None

    async def _take(
        self, lines: list[dict[str, Any]], ticket: str, model: str, shown: Callable[[Batch], dict[str, Any]]
    ) -> Answered:
        batch = Batch(f"batch_{len(self.all)}", ticket, lines, model, self.looks)
        batch.fate, batch.code = self.fates(batch)
        if batch.fate != "failed":
            batch.results = [found for i, line in enumerate(lines) if (found := self._worked(batch, i, line))]
        self.all.append(batch)
        delay = self.taken(batch)
        if delay < 0:
            return 0, b"", {}
        await asyncio.sleep(delay)
        return _json(shown(batch))

    def _worked(self, batch: Batch, number: int, line: dict[str, Any]) -> dict[str, Any] | None:
        from scripted_endpoint import answer_of, gemini_request, openai_request

        gemini = "request" in line
        body = line["request"] if gemini else line["body"]
        if self.skip(batch, number):
            return None
        request = gemini_request(f"models/{batch.model}:x", body, {}) if gemini else openai_request(body, {})
        same = self.server.number(request)
        named = {} if self.nameless else {"key": line.get("key")} if gemini else {"custom_id": line["custom_id"]}
        fault = self.server.faults(request)
        if fault is not None and fault.billed is not None:
            self.server.bill.append((0.5, *fault.billed))
        if fault is not None and fault.status == 200:
            try:
                body = json.loads(fault.text)
            except ValueError:
                body = {"cut": True}
            return named | ({"response": body} if gemini else _openai_line(200, body))
        if fault is not None:
            error = json.loads(fault.text)["error"] | {"code": fault.status}
            return named | ({"error": error} if gemini else _openai_line(fault.status, {"error": error}))
        text = self.server.answers(request)
        self.server.answered[same] += 1
        usage = self.server.usage(request, text)
        self.server.bill.append((0.5, *usage))
        answer = answer_of(text, usage, gemini)
        return named | ({"response": answer} if gemini else _openai_line(200, answer))

    def _looked_at(self, name: str) -> Batch | None:
        found = next((batch for batch in self.all if batch.name == name), None)
        if found is not None:
            found.looks -= 1
        return found

    def _state(self, batch: Batch) -> str:
        return "working" if batch.looks >= 0 else batch.fate or "ended"

    def _file(self, batch: Batch, good: bool | None) -> str | None:
        lines = [r for r in batch.results if good is None or (r["response"]["status_code"] == 200) is good]
        if not lines or self._state(batch) in ("working", "failed"):
            return None
        name = f"out-{batch.name}-{good}"
        self.files[name] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return name

    def _shown_openai(self, batch: Batch) -> dict[str, Any]:
        state = self._state(batch)
        errors = {"data": [{"code": batch.code, "message": "too much"}]} if state == "failed" else None
        return {
            "id": batch.name,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "in",
            "completion_window": "24h",
            "created_at": batch.at,
            "status": _OPENAI.get(state, state),
            "metadata": {"ticket": batch.ticket},
            "output_file_id": self._file(batch, True),
            "error_file_id": self._file(batch, False),
            "errors": errors,
        }

    def _shown_gemini(self, batch: Batch) -> dict[str, Any]:
        state = self._state(batch)
        file = self._file(batch, None)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch.at))
        metadata: dict[str, Any] = {"displayName": batch.ticket, "createTime": moment, "model": batch.model}
        metadata["state"] = f"BATCH_STATE_{_GEMINI.get(state, state.upper())}"
        if file is not None:
            metadata["output"] = {"responsesFile": f"files/{file}"}
        return {"name": f"batches/{batch.name}", "metadata": metadata}


def _openai_line(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"response": {"status_code": status, "body": body}, "error": None}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answered:
    return status, json.dumps(value).encode(), headers or {}


def _part(headers: dict[str, str], body: bytes) -> bytes:
    """The file of a form with one."""
    boundary = headers["content-type"].split("boundary=")[1].encode()
    part = next(p for p in body.split(b"--" + boundary) if b'name="file"' in p)
    return part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
