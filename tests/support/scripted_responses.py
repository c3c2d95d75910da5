"""The Responses API of the scripted model, as Codex speaks it: functions, also in a namespace, one answer a turn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scripted_model import Call, Say, ScriptedModel, as_stream


@dataclass(frozen=True)
class Asked:
    """One request: what the model would see."""

    body: dict[str, Any]

    @property
    def tools(self) -> dict[str, str | None]:
        """Name of every function → the namespace it is in."""
        found: dict[str, str | None] = {}
        for tool in self.body.get("tools", []):
            inner = tool.get("tools") if tool.get("type") == "namespace" else None
            found.update({t["name"]: tool["name"] for t in inner or ()} if inner else {tool.get("name", ""): None})
        return found

    @property
    def results(self) -> list[str]:
        """The text of every result of a function so far, in order."""
        outputs = [item["output"] for item in self.body["input"] if item.get("type") == "function_call_output"]
        return [o if isinstance(o, str) else "\n".join(part.get("text", "") for part in o) for o in outputs]


class ScriptedResponses(ScriptedModel[Asked]):
    """The server; `config` is what Codex's settings say to use it."""

    seen_as = Asked

    @property
    def config(self) -> str:
        """Lines for `config.toml`."""
        head = 'model = "scripted"\nmodel_provider = "scripted"\n'
        provider = (
            f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{self.url}/v1"\nwire_api = "responses"\n'
        )
        return f"{head}\n{provider}"

    def respond(self, path: str, raw: bytes) -> tuple[bytes, str]:
        """The body of the answer to a request, and its kind."""
        if not path.endswith("/responses"):
            return b'{"models": [], "data": []}', "application/json"
        body = json.loads(raw)
        turn = self.answer(body)
        name = f"resp_{len(self.seen)}"
        done = {"id": name, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
        return as_stream(
            [
                ("response.created", {"response": {"id": name}}),
                ("response.output_item.done", {"output_index": 0, "item": _item(turn, Asked(body), len(self.seen))}),
                ("response.completed", {"response": done}),
            ]
        )


def _item(turn: Call | Say, asked: Asked, number: int) -> dict[str, Any]:
    if isinstance(turn, Say):
        content = [{"type": "output_text", "text": turn.text}]
        return {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": turn.tool}
    namespace = asked.tools.get(turn.tool)
    return {**call, "arguments": json.dumps(turn.arguments), **({"namespace": namespace} if namespace else {})}
