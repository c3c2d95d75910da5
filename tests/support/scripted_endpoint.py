"""An OpenAI- and Gemini-compatible server on loopback, with scripted answers, latencies and faults.

It counts what reaches it and the most calls that were in flight at one time. `answers` chooses the text of an answer;
`faults` may return what goes wrong with a request instead. Batches of both vendors are in `scripted_batches`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripted_batches import ScriptedBatches

Usage = tuple[int, int]


@dataclass
class Request:
    """One request as a script sees it: `number` counts requests from 1, `tries` this very body from 1."""

    kind: str
    prompt: str
    model: str
    images: int
    clips: list[dict[str, Any]]
    schema: dict[str, Any] | None
    body: dict[str, Any]
    headers: dict[str, str]
    number: int = 0
    tries: int = 0


@dataclass
class Fault:
    """What the server does instead of answering. `status` 0 cuts the connection, 200 sends `text` as the body.

    `billed` is what it charges all the same; `twice` sends the response two times.
    """

    status: int
    text: str = '{"error": {"message": "scripted fault", "code": null}}'
    headers: dict[str, str] = field(default_factory=dict)
    billed: Usage | None = None
    twice: bool = False


# What tells a prompt of the shipped sets apart, in order.
_KINDS = (
    ("repair", "breaks rules:"),
    ("video_filtering", "sort"),
    ("video_anomaly_classification", "decide whether a video holds an anomaly"),
    ("highlight_timestamp_extraction", "Find the moment"),
    ("highlight_chunk_caption", "You see the part of a video"),
    ("chunk_caption", "You see a piece"),
    ("global_caption", "Write a caption of the whole video"),
    ("dense_caption", "List what happens"),
    ("description", "Make one account"),
    ("mcq", "multiple-choice"),
    ("bcq", "answered by yes or no"),
    ("open_qa", "two open questions"),
    ("temporal_event_desc", "names a span of time"),
    ("causal_linkage", "is connected with an event"),
    ("temporal_localization", "asks when"),
    ("scene_description", "description of the scene"),
    ("event_summary", "summary of a video"),
)


def kind_of(prompt: str) -> str:
    """Which of the shipped prompts it is."""
    return next((kind for kind, words in _KINDS if words in prompt), "other")


def mark(prompt: str) -> str:
    """Eight letters that depend on the prompt alone."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:8]


def plain_answer(request: Request) -> str:
    """A good answer of every kind; it depends on the request alone."""
    tag = mark(request.prompt + json.dumps(request.body, sort_keys=True))
    reasoning = f"First the cart is seen, then it moves, so the answer holds ({tag})."
    question = f"What about event {tag} in the scene?"
    account = "a cart rolls past a worker at the door, stops beside the rack, and waits there while the worker looks on"
    whole = {"question": question, "answer": f"In {tag} {account}.", "reasoning": reasoning}
    values: dict[str, Any] = {
        "video_filtering": {"reason": f"people at work {tag}", "suitable": True},
        "video_anomaly_classification": {"reason": f"a fall {tag}", "label": "anomaly"},
        "highlight_timestamp_extraction": {"reason": f"the fall {tag}", "timestamp_sec": 1.0},
        "mcq": {
            "items": [
                {
                    "question": f"Which cart moves in event {tag}?",
                    "choices": [f"The red one of {tag}", "The green one", "The blue one", "None of them"],
                    "answer": "A",
                    "reasoning": f"Option B stands still, so the right one is option A ({tag}).",
                }
            ]
        },
        "bcq": {
            "items": [
                {
                    "question": f"Does the cart of {tag} move?",
                    "answer": "Yes",
                    "explanation": "It rolls to the door.",
                    "reasoning": reasoning,
                }
            ]
        },
        "temporal_localization": {
            "items": [
                {"question": f"When does cart {tag} move?", "start_sec": 0.2, "end_sec": 0.9, "reasoning": reasoning}
            ]
        },
    }
    if request.kind in values:
        return json.dumps(values[request.kind])
    if request.schema is not None or request.kind in (
        *("open_qa", "temporal_event_desc", "causal_linkage", "scene_description", "event_summary"),
    ):
        return json.dumps({"items": [whole]})
    return f"A cart moves past a worker. {tag}"


class ScriptedEndpoint:
    """Use it with `with`: `url` is its address for OpenAI clients under `/v1`, and for Gemini clients as it is."""

    def __init__(
        self,
        answers: Callable[[Request], str] = plain_answer,
        faults: Callable[[Request], Fault | None] = lambda request: None,
        latency: Callable[[Request], float] = lambda request: 0.0,
        usage: Callable[[Request, str], Usage] = lambda request, text: (100 + len(request.prompt) // 4, len(text) // 4),
    ) -> None:
        self.answers = answers
        self.faults = faults
        self.latency = latency
        self.usage = usage
        self.requests: list[Request] = []
        self.served: list[tuple[Request, float]] = []
        self.uploads: list[int] = []
        self.bill: list[tuple[float, int, int]] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = 0
        self.peak = 0
        self.keep = True
        self.batches = ScriptedBatches(self)
        self._tries: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> ScriptedEndpoint:
        self._thread.start()
        assert self._ready.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(120)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        """Requests for an answer; uploads are not counted."""
        return self._calls

    def kinds(self) -> Counter[str]:
        """Requests by kind of prompt."""
        return Counter(request.kind for request in self.requests)

    def reset(self) -> None:
        """Begin to count anew."""
        self.requests, self.served, self.uploads, self._calls, self.peak = [], [], [], 0, 0
        self.bill = []
        self.answered.clear()
        self._tries.clear()
        self.batches.reset()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._calls = 0
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._stop.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k}
        body = await _body(reader, headers)
        answered = await self.batches.answer(method, path, headers, body)
        if answered is not None:
            if answered[0] == 0:
                writer.transport.abort()
                return False
            await _send(writer, *answered)
            return True
        if "/upload" in path or "/files" in path:
            await self._upload(method, path, headers, body, writer)
            return True
        return await self._call(path, headers, json.loads(body or b"{}"), writer)

    async def _call(self, path: str, headers: dict[str, str], body: dict[str, Any], writer: Any) -> bool:
        gemini = "generateContent" in path
        request = gemini_request(path, body, headers) if gemini else openai_request(body, headers)
        same = self.number(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            delay = self.latency(request)
            if delay:
                await asyncio.sleep(delay)
            fault = self.faults(request)
        finally:
            self.in_flight -= 1
        if fault is not None and fault.billed is not None:
            self.bill.append((1.0, *fault.billed))
        if fault is not None and fault.status == 0:
            writer.transport.abort()
            return False
        if fault is not None:
            for _ in range(1 + fault.twice):
                await _send(writer, fault.status, fault.text.encode(), fault.headers)
            return True
        text = self.answers(request)
        self.answered[same] += 1
        usage = self.usage(request, text)
        self.bill.append((1.0, *usage))
        answer = answer_of(text, usage, gemini)
        if self.keep:
            self.served.append((request, delay))
        await _send(writer, 200, json.dumps(answer).encode(), {})
        return True

    def number(self, request: Request) -> str:
        """Count a request, direct or out of a batch; returns the digest of its body."""
        self._calls += 1
        same = hashlib.sha256(json.dumps(request.body, sort_keys=True).encode()).hexdigest()
        self._tries[same] += 1
        request.number, request.tries = self._calls, self._tries[same]
        if self.keep:
            self.requests.append(request)
        return same

    async def _upload(self, method: str, path: str, headers: dict[str, str], body: bytes, writer: Any) -> None:
        if headers.get("x-goog-upload-command") == "start":
            where = {"x-goog-upload-url": f"{self.url}/upload/{len(self.uploads)}", "x-goog-upload-status": "active"}
            await _send(writer, 200, b"{}", where)
            return
        self.uploads.append(len(body))
        name = f"files/{hashlib.sha256(body).hexdigest()[:12]}"
        found = {"name": name, "uri": f"{self.url}/v1beta/{name}", "state": "ACTIVE", "mimeType": "video/mp4"}
        await _send(writer, 200, json.dumps({"file": found}).encode(), {"x-goog-upload-status": "final"})


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts: list[bytes] = []
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        parts.append((await reader.readexactly(size + 2))[:-2])
        if size == 0:
            return b"".join(parts)


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} Scripted", "content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()


def openai_request(body: dict[str, Any], headers: dict[str, str]) -> Request:
    content = body["messages"][0]["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [p["text"] for p in parts if p["type"] == "text"]
    shape = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    images = sum(p["type"] == "image_url" for p in parts)
    return Request(kind_of(texts[-1]), texts[-1], body["model"], images, [], shape, body, headers)


def _as_read(value: Any, key: str = "") -> Any:
    """Gemini's JSON as the vendor reads it: both spellings of a name are the same, and both alphabets of base64."""
    if isinstance(value, dict):
        plain = {re.sub(r"_([a-z])", lambda m: m[1].upper(), k): v for k, v in value.items()}
        return {k: v if k == "responseJsonSchema" else _as_read(v, k) for k, v in plain.items()}
    if isinstance(value, list):
        return [_as_read(v) for v in value]
    return value.replace("-", "+").replace("_", "/") if key == "data" else value


def gemini_request(path: str, body: dict[str, Any], headers: dict[str, str]) -> Request:
    body = _as_read(body)
    parts = [part for content in body["contents"] for part in content["parts"]]
    text = [p["text"] for p in parts if "text" in p][-1]
    config = body.get("generationConfig", {})
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    model = re.search(r"models/([^:]+):", path)
    images = sum("inlineData" in p for p in parts)
    clips = [p for p in parts if "fileData" in p]
    return Request(kind_of(text), text, model[1] if model else "", images, clips, schema, body, headers)


def answer_of(text: str | None, usage: Usage, gemini: bool, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer in a vendor's own form; `finish` in OpenAI's word, `message` is what stands beside the text."""
    read, wrote = usage
    if gemini:
        reason = {"stop": "STOP", "length": "MAX_TOKENS"}[finish]
        parts = [] if text is None else [{"text": text}]
        return {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}],
            "usageMetadata": {
                "promptTokenCount": read,
                "candidatesTokenCount": wrote,
                "totalTokenCount": read + wrote,
            },
        }
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote},
    }
