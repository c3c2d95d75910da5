"""A Messages API on loopback whose answers come from a Python function, so that a real client runs offline.

`decide` sees a request and says what the model does next: call a tool, or say something. Every request is kept, which
shows exactly what reached the model.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, Self, TypeVar


@dataclass(frozen=True)
class Call:
    """The model calls a tool; `tool` is the end of its name."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Say:
    """The model says something and ends its turn."""

    text: str


@dataclass(frozen=True)
class Seen:
    """One request: what a model would see."""

    body: dict[str, Any]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """Name → the tool as it is offered."""
        return {tool.get("name", ""): tool for tool in self.body.get("tools", [])}

    @property
    def results(self) -> list[str]:
        """The text of every tool result so far, in order."""
        blocks = [b for m in self.body["messages"] if isinstance(m["content"], list) for b in m["content"]]
        return [text_of(b.get("content")) for b in blocks if b.get("type") == "tool_result"]

    @property
    def system(self) -> str:
        """The system prompt's text."""
        return text_of(self.body.get("system"))

    @property
    def text(self) -> str:
        """Everything in the system prompt and the messages, one text."""
        return self.system + "\n" + "\n".join(text_of(m["content"]) for m in self.body["messages"])


def text_of(content: Any) -> str:
    """The text in a content value: a string, or blocks with text, tool results and tool calls."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content or []:
        if block.get("type") == "text":
            parts.append(block["text"])
        elif block.get("type") == "tool_result":
            parts.append(text_of(block.get("content")))
    return "\n".join(parts)


AnySeen = TypeVar("AnySeen")


class ScriptedModel(Generic[AnySeen]):
    """The server; `url` is its address, `seen` every request for an answer."""

    seen_as: type = Seen

    def __init__(self, decide: Callable[[AnySeen], Call | Say]) -> None:
        self.decide = decide
        self.seen: list[AnySeen] = []
        self.faults: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any]) -> Call | Say:
        """Decide, and remember what went wrong in deciding."""
        seen = self.seen_as(body)
        if not seen.tools:
            return Say("{}")  # a side request (a title, a topic) gets a harmless answer
        self.seen.append(seen)
        try:
            return self.decide(seen)
        except Exception as error:
            self.faults.append(repr(error))
            return Say(f"fault: {error!r}")

    def respond(self, path: str, raw: bytes) -> tuple[bytes, str]:
        """The body of the answer to a POST, and its kind."""
        if path.endswith("/count_tokens"):
            return json.dumps({"input_tokens": len(raw) // 4}).encode(), "application/json"
        if not path.endswith("/v1/messages"):
            return b"{}", "application/json"
        body = json.loads(raw)
        message, events = _message(body, self.answer(body), len(self.seen))
        return as_stream(events) if body.get("stream") else (json.dumps(message).encode(), "application/json")


def as_stream(events: Iterable[tuple[str, dict[str, Any]]]) -> tuple[bytes, str]:
    """Events as a client reads them, and their kind."""
    lines = [f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n" for kind, data in events]
    return "".join(lines).encode(), "text/event-stream"


def _handler(model: ScriptedModel[Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_GET(self) -> None:
            self._send(*model.respond("GET", b""))

        do_HEAD = do_GET

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            self._send(*model.respond(self.path.partition("?")[0], raw))

        def _send(self, body: bytes, kind: str) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

    return Handler


def _message(body: dict[str, Any], turn: Call | Say, number: int) -> tuple[dict[str, Any], Iterator[Any]]:
    """The whole message, and the same as the events of a stream."""
    if isinstance(turn, Call):
        offered = [tool.get("name", "") for tool in body.get("tools", [])]
        name = next((name for name in offered if name.endswith(turn.tool)), turn.tool)
        start = {"type": "tool_use", "id": f"toolu_{number:04d}", "name": name, "input": {}}
        whole = {**start, "input": turn.arguments}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(turn.arguments)}
        stop = "tool_use"
    else:
        start, whole = {"type": "text", "text": ""}, {"type": "text", "text": turn.text}
        delta, stop = {"type": "text_delta", "text": turn.text}, "end_turn"
    head = {
        "id": f"msg_{number:04d}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    end = {"stop_reason": stop, "stop_sequence": None}
    events = iter(
        [
            ("message_start", {"message": head}),
            ("content_block_start", {"index": 0, "content_block": start}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": end, "usage": {"output_tokens": 5}}),
            ("message_stop", {}),
        ]
    )
    return {**head, "content": [whole], "stop_reason": stop}, events
