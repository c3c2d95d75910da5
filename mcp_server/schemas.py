"""Schemas as clients get them: the same meaning, without what only repeats a name."""

from __future__ import annotations

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
            if key == "$defs":
                for model in out[key].values():
                    model.pop("description", None)
        elif not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None):
            out[key] = value if key in ("enum", "const", "default", "required") else slim(value)
    return _without_null(out)


def slim_output(schema: Any) -> Any:
    """The same for a result: the fields that are always there; what else it may have, and what they hold, it shows."""
    out = slim(schema)
    if not isinstance(out, dict):
        return out
    out.pop("description", None)
    models = out.pop("$defs", {})
    for model in models.values():
        model.pop("description", None)
        model.pop("required", None)
    if "required" in out:
        out["properties"] = {name: value for name, value in out["properties"].items() if name in out["required"]}
    return _shallow(out, models)


def _shallow(value: Any, models: dict[str, Any]) -> Any:
    """Models within by their kind alone."""
    if isinstance(value, list):
        return [_shallow(item, models) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        kept = models.get(value["$ref"].removeprefix("#/$defs/"), {})
        return {"enum": kept["enum"]} if "enum" in kept else {"type": kept.get("type", "object")}
    within = ("items", "additionalProperties", "default") if value.get("type") in ("array", "object") else ("default",)
    own = value if "properties" in value else {key: inner for key, inner in value.items() if key not in within}
    return {key: _shallow(inner, models) for key, inner in own.items()}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf")
    if isinstance(choices, list) and all(isinstance(c, dict) and list(c) == ["type"] for c in choices):
        kinds = [choice["type"] for choice in choices if choice["type"] != "null"]
        return {"type": kinds[0] if len(kinds) == 1 else kinds, **{k: v for k, v in schema.items() if k != "anyOf"}}
    if not isinstance(choices, list) or {"type": "null"} not in choices or len(choices) != 2:
        return schema
    other = next(choice for choice in choices if choice != {"type": "null"})
    return {**other, **{key: value for key, value in schema.items() if key != "anyOf"}}
