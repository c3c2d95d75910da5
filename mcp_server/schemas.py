"""Schemas as clients get them: the same meaning, without what only repeats a name."""

from __future__ import annotations

import json
from typing import Any


def slim(schema: Any) -> Any:
    """A JSON Schema without generated titles, null defaults and "or null": what is not given is left out."""
    if isinstance(schema, list):
        return [slim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs") and isinstance(value, dict):
            out[key] = {name: slim(inner) for name, inner in value.items()}
        elif not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None):
            out[key] = value if key in ("enum", "const", "default", "required") else slim(value)
    return _without_null(out)


def slim_output(schema: Any) -> Any:
    """The same for a result, without docstrings (the tool says what it is) and without saying what is never empty."""
    out = slim(schema)
    if isinstance(out, dict):
        for model in (out, *out.get("$defs", {}).values()):
            model.pop("description", None)
            model.pop("required", None)
        out = _inlined(out)
    return out


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Models that are used once stand where they are used."""
    models: dict[str, Any] = schema.get("$defs", {})
    once = {f"#/$defs/{name}": name for name in models if json.dumps(schema).count(f'"#/$defs/{name}"') == 1}

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = once.get(value.get("$ref", ""))
        return put(models[name]) if name is not None else {key: put(inner) for key, inner in value.items()}

    out = {key: put(value) for key, value in schema.items() if key != "$defs"}
    kept = {name: put(model) for name, model in models.items() if name not in once.values()}
    return {"$defs": kept, **out} if kept else out


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices or len(choices) != 2:
        return schema
    other = next(choice for choice in choices if choice != {"type": "null"})
    return {**other, **{key: value for key, value in schema.items() if key != "anyOf"}}
