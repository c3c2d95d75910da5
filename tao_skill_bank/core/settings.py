"""Values from outside as a model: the first that does not fit is named in one line; `key=value` settings of a model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, with_config

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.overrides import parse_override, shown_value
from tao_skill_bank.core.redaction import redact

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
_BY_OPTION = ("workspace", "platform")


class Frozen(BaseModel):
    """A value of several fields that does not change once it is made."""

    model_config = ConfigDict(frozen=True)


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    """What checks values as a model or a dataclass, which refuses keys that it does not know, too."""
    return TypeAdapter(model if issubclass(model, BaseModel) else with_config(ConfigDict(extra="forbid"))(model))


def validated(model: type[T], values: Mapping[str, Any], where: str | Path = "command line") -> T:
    """`values` as a model; the first value that does not fit is named in one line.

    Raises:
        InputError: A value of the wrong kind or outside its range.
    """
    try:
        asked: Any = model
        made: T = _adapter(asked).validate_python(dict(values))
        return made
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or model.__name__
        message = first["msg"].removeprefix("Value error, ")
        given = first.get("input")
        # A fault of several values together is about a mapping, which may hold anything, keys among it.
        shown = "" if isinstance(given, Mapping) else f", not {shown_value(key, given)}"
        raise InputError(
            f"{key}: {message[:1].lower()}{message[1:]}{shown}", where=where, fix=f"write {key}=VALUE"
        ) from None


def settable_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted name `--set` takes."""
    return [key for key, _ in _fields(model, prefix)]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and the type of every value."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind


def apply_settings(
    model: type[BaseModel],
    values: dict[str, Any],
    settings: Iterable[str],
    elsewhere: Mapping[str, type[BaseModel]] | None = None,
) -> dict[str, Any]:
    """`values` (nested) with `key=value` settings of `model` applied, in order; neither is changed.

    Values follow the same grammar as TAO overrides: lists `[a,b]`, numbers, `null`, quoting. `elsewhere`: settings of
    platforms of other packages by name; they stand below `platforms`.

    Raises:
        InputError: A malformed setting or an unknown key (the nearest known one is named).
    """
    known = [key for key in settable_keys(model) if key not in _BY_OPTION]
    tables = [key for key, kind in _fields(model) if get_origin(kind) is dict]
    groups = elsewhere or {}
    known += [key for name, own in groups.items() for key in settable_keys(own, f"{name}.")]
    out: dict[str, Any] = copy.deepcopy(values)
    for text in settings:
        key, value = parse_override(text)
        if key in _BY_OPTION:
            raise InputError(f"{key} is not a setting", where=f"--set {text}", fix=f"use --{key}")
        table = next((name for name in tables if key.startswith(f"{name}.")), None)
        if key not in known and table is None:
            raise InputError(f"unknown key {key!r}", where=f"--set {text}", fix=did_you_mean(key, known))
        if key.partition(".")[0] in groups:
            parts = ["platforms", *key.split(".")]
        else:
            parts = key.split(".") if table is None else [*table.split("."), key[len(table) + 1 :]]
        inner = out
        for part in parts[:-1]:
            held = inner.get(part)
            inner[part] = held = held if isinstance(held, dict) else {}
            inner = held
        inner[parts[-1]] = value
    return out


def checked_settings(model: type[M], values: dict[str, Any], where: str) -> M:
    """Check nested values into a model of settings.

    Raises:
        InputError: A value is out of range or of the wrong type; the key is named.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = first.get("input")
        raise InputError(
            f"{key}: {first['msg']} (got {redact(repr(given))})", where=where, fix=f"set it with --set {key}=VALUE"
        ) from None
