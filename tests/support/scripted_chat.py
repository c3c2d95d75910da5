"""The chat-completions API of the scripted model, as opencode speaks it to a server of one's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scripted_model import Call, Say, ScriptedModel, text_of


@dataclass(frozen=True)
class ChatAsked:
    """One request: what the model would see."""

    body: dict[str, Any]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """Name → the function as it is offered."""
        return {tool["function"]["name"]: tool["function"] for tool in self.body.get("tools") or ()}

    @property
    def results(self) -> list[str]:
        """The text of every result of a function so far, in order."""
        return [text_of(m["content"]) for m in self.body["messages"] if m["role"] == "tool"]


class ScriptedChat(ScriptedModel[ChatAsked]):
    """The server; a client's base address is `url` with /v1."""

    seen_as = ChatAsked

    def respond(self, path: str, raw: bytes) -> tuple[bytes, str]:
        """The body of the answer to a request, and its kind."""
        if not path.endswith("/chat/completions"):
            return b'{"data": []}', "application/json"
        body = json.loads(raw)
        turn = self.answer(body)
        head = {"id": f"chat_{len(self.seen)}", "created": 0, "model": body["model"]}
        said: dict[str, Any]
        if isinstance(turn, Say):
            said, stop = {"role": "assistant", "content": turn.text}, "stop"
        else:
            said, stop = (
                {"role": "assistant", "tool_calls": [_called(turn, ChatAsked(body), len(self.seen))]},
                "tool_calls",
            )
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not body.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": stop}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return json.dumps(whole).encode(), "application/json"
        chunk = {**head, "object": "chat.completion.chunk"}
        chunks = (
            {**chunk, "choices": [{"index": 0, "delta": said, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": stop}], "usage": usage},
        )
        lines = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks)
        return f"{lines}data: [DONE]\n\n".encode(), "text/event-stream"


def _called(turn: Call, asked: ChatAsked, number: int) -> dict[str, Any]:
    name = next((name for name in asked.tools if name.endswith(turn.tool)), turn.tool)
    function = {"name": name, "arguments": json.dumps(turn.arguments)}
    return {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
