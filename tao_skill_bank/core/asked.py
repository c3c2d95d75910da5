"""What is told of a request's fields: the one place of which options, arguments of tools, scripts and help are made."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Kind = Literal["path", "number", "amount", "text", "texts", "flag", "table"]


@dataclass(frozen=True)
class Said:
    """Beside the type of a request's field, in `Annotated`: what people read of it.

    Attributes:
        text: Its help.
        short: Its short option, where it has one.
        flag: Its option, if it is not the field's name; empty: an argument without a name.
        metavar: How its value is written.
        tool: Whether tools offer it; a text: with this help, as short as can be, in place of the other.
    """

    text: str
    short: str | None = None
    flag: str | None = None
    metavar: str | None = None
    tool: bool | str = True


@dataclass(frozen=True)
class Option:
    """One field of a request, as every door offers it.

    Attributes:
        name: The field.
        flag: As a command has it; empty: an argument without a name.
        kind: What is given: a path, a whole number, a number, a text, several texts, only that it is given, or texts
            by a name.
        value: Its type, without what is told beside it.
        required: Whether it must be given.
        default: What holds where it is not; None also where nothing does.
        said: What people read of it.
    """

    name: str
    flag: str
    kind: Kind
    value: Any
    required: bool
    default: Any
    said: Said

    @property
    def text(self) -> str:
        """Its help."""
        return self.said.text

    def words(self, value: Any) -> list[str]:
        """The words of a command line that give the value."""
        if self.kind == "flag":
            return [self.flag]
        if self.kind == "table":
            value = [f"{key}={','.join(f'{number:g}' for number in row)}" for key, row in value.items()]
        if self.kind == "text" and isinstance(value, tuple):
            value = "/".join(map(str, value))
        several = [str(one) for one in (value if self.kind in ("texts", "table") else [value])]
        return [word for one in several for word in ([self.flag, one] if self.flag else [one])]


@cache
def options(model: type) -> tuple[Option, ...]:
    """The fields of a request (a dataclass or a pydantic model) that people are told of, in the order of its help."""
    hints = get_type_hints(model, include_extras=True)
    return tuple(
        Option(name, _flag(name, said), _kind(hints[name]), _plain(hints[name]), *_default(model, name), said)
        for name in _names(model)
        for said in getattr(hints[name], "__metadata__", ())
        if isinstance(said, Said)
    )


def given(request: Any) -> list[tuple[Option, Any]]:
    """The options of a request that say something else than nothing, and their values."""
    model: type = type(request)
    found = [(option, getattr(request, option.name)) for option in options(model)]
    return [(option, value) for option, value in found if not _empty(value)]


def command_words(request: Any) -> list[str]:
    """The words of a command line that asks for the same."""
    return [word for option, value in given(request) for word in option.words(value)]


def _empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, Sequence, Mapping)) and not value)


def _flag(name: str, said: Said) -> str:
    return f"--{name.replace('_', '-')}" if said.flag is None else said.flag


def _names(model: type) -> list[str]:
    return [field.name for field in fields(model)] if is_dataclass(model) else list(_pydantic(model))


def _pydantic(model: type) -> Mapping[str, Any]:
    known: Mapping[str, Any] = model.model_fields  # type: ignore[attr-defined]
    return known


def _default(model: type, name: str) -> tuple[bool, Any]:
    """Whether the field must be given, and what holds where it is not."""
    if is_dataclass(model):
        found = next(field for field in fields(model) if field.name == name)
        made = found.default if found.default_factory is MISSING else found.default_factory()
        return (True, None) if made is MISSING else (False, made)
    field = _pydantic(model)[name]
    return (True, None) if field.is_required() else (False, field.get_default(call_default_factory=True))


def _plain(hint: Any) -> Any:
    """The type without what is told beside it."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_plain(part) for part in get_args(hint))]  # noqa: UP007
    return hint


def _kind(hint: Any) -> Kind:
    plain = _plain(hint)
    (first, *_) = [part for part in (get_args(plain) if _is_union(plain) else [plain]) if part is not type(None)]
    kinds: dict[Any, Kind] = {Path: "path", bool: "flag", int: "number", float: "amount"}
    origin = get_origin(first) or first
    if origin is not Literal and isinstance(origin, type) and not issubclass(origin, str):
        if issubclass(origin, Mapping):
            return "table"
        if issubclass(origin, Sequence) and get_args(first)[:1] == (str,):
            return "texts"
    return kinds.get(first, "text")


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)
