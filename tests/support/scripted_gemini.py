"""The Gemini API of the scripted model, as Gemini CLI speaks it: one streamed candidate a turn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scripted_model import Say, ScriptedModel


@dataclass(frozen=True)
class GeminiAsked:
    """One request: what the model would see."""

    body: dict[str, Any]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """Name → the function as it is offered."""
        declared = [f for tool in self.body.get("tools") or () for f in tool.get("functionDeclarations", ())]
        return {function["name"]: function for function in declared}

    @property
    def results(self) -> list[str]:
        """The text of every result of a function so far, in order."""
        parts = [part for content in self.body["contents"] for part in content.get("parts", ())]
        return [json.dumps(p["functionResponse"]["response"]) for p in parts if "functionResponse" in p]


class ScriptedGemini(ScriptedModel[GeminiAsked]):
    """The server; Gemini CLI finds it by GOOGLE_GEMINI_BASE_URL."""

    seen_as = GeminiAsked

    def respond(self, path: str, raw: bytes) -> tuple[bytes, str]:
        """The body of the answer to a request, and its kind."""
        if path.endswith(":countTokens"):
            return b'{"totalTokens": 1}', "application/json"
        if not path.endswith("enerateContent"):  # generateContent, streamGenerateContent
            return b"{}", "application/json"
        body = json.loads(raw)
        turn = self.answer(body)
        part: dict[str, Any]
        if isinstance(turn, Say):
            part = {"text": turn.text}
        else:
            offered = next((name for name in GeminiAsked(body).tools if name.endswith(turn.tool)), turn.tool)
            part = {"functionCall": {"name": offered, "args": turn.arguments}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        whole = json.dumps({"candidates": [candidate], "usageMetadata": usage})
        if path.endswith(":streamGenerateContent"):
            return f"data: {whole}\r\n\r\n".encode(), "text/event-stream"
        return whole.encode(), "application/json"
