"""JSON schemas of answers, for endpoints that can be held to one. Each is in the subset that all vendors take."""

from __future__ import annotations

from typing import Any

from tao_skill_bank.annotate.config import QA_TYPES

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}


def _record(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _items(**properties: dict[str, Any]) -> dict[str, Any]:
    return _record(items={"type": "array", "items": _record(**properties)})


_QA: dict[str, dict[str, Any]] = {
    "mcq": _items(
        question=_TEXT, choices={"type": "array", "items": _TEXT}, answer={"type": "string"}, reasoning=_TEXT
    ),
    "bcq": _items(question=_TEXT, answer={"type": "string", "enum": ["Yes", "No"]}, explanation=_TEXT, reasoning=_TEXT),
    "temporal_localization": _items(question=_TEXT, start_sec=_NUMBER, end_sec=_NUMBER, reasoning=_TEXT),
}
_PLAIN_QA = _items(question=_TEXT, answer=_TEXT, reasoning=_TEXT)
_OTHERS: dict[str, dict[str, Any]] = {
    "video_filtering": _record(reason=_TEXT, suitable={"type": "boolean"}),
    "video_anomaly_classification": _record(reason=_TEXT, label={"type": "string", "enum": ["anomaly", "normal"]}),
    "highlight_timestamp_extraction": _record(reason=_TEXT, timestamp_sec={"type": ["number", "null"]}),
}


def qa_type(prompt_key: str) -> str:
    """The question type behind a prompt key: `anomaly_mcq` is `mcq`. Unknown ones count as open questions."""
    kind = prompt_key.removeprefix("anomaly_").removeprefix("normal_")
    return kind if kind in QA_TYPES else "open_qa"


def schema_of(prompt_key: str) -> dict[str, Any] | None:
    """The schema of the answer to a prompt; None where running text is asked for."""
    if prompt_key in _OTHERS:
        return _OTHERS[prompt_key]
    kind = prompt_key.removeprefix("anomaly_").removeprefix("normal_")
    return _QA.get(kind, _PLAIN_QA) if kind in QA_TYPES else None
