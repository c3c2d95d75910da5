"""What is told of a request's fields: the one place of which options, arguments of tools, scripts and help are made."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tao_skill_bank.core.overrides import REQUIRED, Schema

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


class Reads:
    """Beside a type, in `Annotated`: what a value from outside goes through before its type is looked at.

    It stands for pydantic's `BeforeValidator` where help must not wait for pydantic.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))


@dataclass(frozen=True)
class Option:
    """One field of a request, as every door offers it.

    Attributes:
        flag: As a command has it; empty: an argument without a name.
        kind: What is given: a path, a whole number, a number, a text, several texts, only that it is given, or texts
            by a name.
        value: Its type, without what is told beside it.
        default: What holds where it is not; None also where nothing does.
    """

    name: str
    flag: str
    kind: Kind
    value: Any
    required: bool
    default: Any
    said: Said

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
    """The fields of a request (a dataclass) that people are told of, in the order of its help."""
    hints = get_type_hints(model, include_extras=True)
    return tuple(
        Option(f.name, _flag(f.name, said), _kind(hints[f.name]), _plain(hints[f.name]), *_default(f), said)
        for f in fields(model)
        for said in getattr(hints[f.name], "__metadata__", ())
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


def schema_of(model: type, **more: Any) -> Schema:
    """The fields of a request as the keys of a TAO command line; what is empty by default is an empty text there."""
    plain = {option.name: "" if option.default in (None, ()) else option.default for option in options(model)}
    return Schema({o.name: REQUIRED if o.required else plain[o.name] for o in options(model)}, **more)


def keys_text(model: type) -> str:
    """The fields of a request as the help of a command that takes them as `key=value`: those that it needs first."""
    rows = [(f"{o.name}.{o.said.metavar}" if o.said.metavar else o.name, o) for o in options(model)]
    rows.sort(key=lambda row: not row[1].required)
    wide = max(len(name) for name, _ in rows) + 2
    lines = ["keys:"]
    for name, option in rows:
        default = "" if option.default in (None, (), {}, "") else f" [{option.default}]"
        text = option.said.text.removesuffix(".") + (" (required)" if option.required else default)
        lines += textwrap.wrap(text, 118, initial_indent=f"  {name:<{wide}}", subsequent_indent=" " * (wide + 2))
    return "\n".join(lines)


def _empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, Sequence, Mapping)) and not value)


def _flag(name: str, said: Said) -> str:
    return f"--{name.replace('_', '-')}" if said.flag is None else said.flag


def _default(given: Field[Any]) -> tuple[bool, Any]:
    """Whether the field must be given, and what holds where it is not."""
    made = given.default if given.default_factory is MISSING else given.default_factory()
    return (True, None) if made is MISSING else (False, made)


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
