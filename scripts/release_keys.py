#!/usr/bin/env python3
"""Print, as JSON, the keys of configuration classes: `release_keys.py FOLDER`, `module:Class` lines on standard input.

Runs in a process of its own: it imports the unpacked wheel's configuration modules, which need OmegaConf and nothing
else. What OmegaConf makes of a class is what TAO merges a spec over, so types, defaults and what may be null are read
from there; ranges and value lists are the fields' metadata, which TAO's merge does not look at.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import typing
from typing import Any

from omegaconf import DictConfig, OmegaConf

_PLAIN = {int: "int", float: "float", str: "str", bool: "bool", Any: "any", dict: "map[any]", list: "list[any]"}


def main() -> int:
    """Read every class."""
    sys.path.insert(0, sys.argv[1])
    out: dict[str, Any] = {}
    for line in sys.stdin.read().split():
        module, _, name = line.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
            out[line] = keys_of(found)
        except Exception as error:  # a class that this machine cannot import is a fact, too
            out[line] = {"error": f"{type(error).__name__}"}
    json.dump(out, sys.stdout)
    return 0


def keys_of(schema: type) -> dict[str, dict[str, Any]]:
    """Dotted key → its facts, in the class's order."""
    found: dict[str, dict[str, Any]] = {}
    _walk(OmegaConf.structured(schema), schema, "", found)
    return found


def _walk(node: DictConfig, schema: Any, prefix: str, found: dict[str, dict[str, Any]]) -> None:
    fields = {f.name: f for f in dataclasses.fields(schema)}
    plain = OmegaConf.to_container(node, enum_to_str=True)
    for key in node:
        dotted = f"{prefix}{key}"
        child = node._get_node(key)
        meta = child._metadata
        section = type_name(meta.ref_type) == "section"
        fact: dict[str, Any] = {"type": "section" if section else type_name(meta.ref_type)}
        if meta.optional:
            fact["nullable"] = True
        if child._is_missing():
            fact["mandatory"] = True
        elif not section or child._is_none():
            fact["default"] = plain[key]
        fact |= _told(fields[key].metadata if key in fields else {})
        found[dotted] = fact
        if section:
            inner = OmegaConf.structured(_class(meta.ref_type)) if child._is_none() or child._is_missing() else child
            _walk(inner, inner._metadata.object_type, f"{dotted}.", found)


def _class(kind: Any) -> Any:
    """The class that an optional one stands for."""
    return next((a for a in typing.get_args(kind) if a is not type(None)), kind)


def type_name(kind: Any) -> str:
    """`int`, `list[float]`, `map[int]`, `section`."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        rest = [a for a in inside if a is not type(None)]
        return type_name(rest[0]) if len(rest) == 1 else "any"
    if origin in (list, tuple):
        return f"list[{type_name(inside[0])}]" if inside else "list[any]"
    if origin is dict:
        return f"map[{type_name(inside[1])}]" if inside else "map[any]"
    if dataclasses.is_dataclass(kind):
        return "section"
    if isinstance(kind, type) and hasattr(kind, "__members__"):
        return "one of[" + ",".join(kind.__members__) + "]"
    return _PLAIN.get(kind, "any")


def _told(meta: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, told in (("min", "valid_min"), ("max", "valid_max")):
        value = meta.get(told, "")
        if isinstance(value, int | float) and not isinstance(value, bool):
            out[name] = value
    options = meta.get("valid_options", "")
    if isinstance(options, str):
        options = [o.strip() for o in options.split(",")]
    if isinstance(options, list | tuple) and (options := [o for o in options if o not in ("", None)]):
        out["options"] = list(options)
    return out


if __name__ == "__main__":
    sys.exit(main())
