"""Values behind dotted keys of nested mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get(config: Any, dotted: str, default: Any = None) -> Any:
    """The value behind a dotted key, or `default` where any part of it is missing."""
    value = config
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def put(config: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a dotted key, making the mappings above it."""
    *above, last = dotted.split(".")
    for part in above:
        inner = config.get(part)
        if not isinstance(inner, dict):
            inner = config[part] = {}
        config = inner
    config[last] = value
