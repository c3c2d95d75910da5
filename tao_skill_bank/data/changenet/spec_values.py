"""The values of a TAO experiment spec: the published keys and defaults, a spec over them, one value of it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from tao_skill_bank.core.overrides import Schema

Purpose = Literal["train", "inference", "evaluate"]


@dataclass(frozen=True)
class TaoKeys:
    """The key list of the published configuration.

    Attributes:
        schema: Keys, defaults, open mappings: what `parse_command_line` takes.
        types: Dotted key → `str`, `int`, `float`, `bool`, `list[…]`, `map[…]`.
        nullable: Keys that may be null.
        mandatory: Keys their own action cannot do without.
    """

    schema: Schema
    types: Mapping[str, str]
    nullable: frozenset[str]
    mandatory: frozenset[str]


@functools.cache
def tao_keys() -> TaoKeys:
    """The keys of TAO 7.3's `visual_changenet`, read once."""
    import yaml

    text = resources.files(__package__).joinpath("tao_schema.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    types: dict[str, str] = dict(data["types"])
    open_keys = frozenset(data["open_keys"])
    for key, value in leaves(data["defaults"], open_keys):
        types.setdefault(key, type(value).__name__)
    nullable = frozenset(data["nullable"])
    return TaoKeys(Schema(data["defaults"], open_keys), types, nullable, frozenset(data["mandatory"]))


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` over TAO's defaults: what the trainer sees. Lists are replaced, mappings merged."""
    full: dict[str, Any] = copy.deepcopy(dict(tao_keys().schema.defaults))

    def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = copy.deepcopy(value)

    merge(full, config)
    return full


def get(config: Mapping[str, Any], dotted: str, default: Any = None) -> Any:
    """The value behind a dotted key, or `default` where any part of it is missing."""
    value: Any = config
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def leaves(config: Mapping[str, Any], open_keys: frozenset[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value; the mappings of `open_keys` are values."""
    for key, value in config.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted not in open_keys:
            yield from leaves(value, open_keys, f"{dotted}.")
        else:
            yield dotted, value
