"""A request's fields as the arguments of a tool, and a tool's arguments as a request."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from mcp_server.roots import Roots
from tao_skill_bank.core.asked import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from tao_skill_bank.core.asked import Option

F = TypeVar("F", bound="Callable[..., Any]")
_KINDS: dict[str, Any] = {"path": str, "texts": list[str]}


def with_request(
    model: type, *, required: Collection[str] = (), told: type | None = None, without: Collection[str] = ()
) -> Callable[[F], F]:
    """The function with the fields of a request as its arguments, in place of its `**asked`.

    Args:
        model: The request.
        required: What this tool needs beside what the request does.
        told: The request of another tool, which says already what its fields are.
        without: Fields that this tool does not take, beside those that the function has itself.
    """
    known = set() if told is None else {asked.name for asked in options(told)}

    def argument(asked: Option) -> inspect.Parameter:
        kind = _KINDS.get(asked.kind, asked.value)
        needed = asked.required or asked.name in required
        # What says nothing by default is left out of a schema, which a model reads word by word.
        default = None if asked.default in (False, (), {}, "") else asked.default
        value = kind if needed or default is not None else kind | None
        text = asked.said.text if asked.said.tool is True else asked.said.tool
        annotation = Annotated[value, Field(description=text)] if text and asked.name not in known else value
        default = inspect.Parameter.empty if needed else default
        return inspect.Parameter(asked.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def decorated(function: F) -> F:
        own = inspect.signature(function, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        last = [p for p in kept if p.kind is inspect.Parameter.KEYWORD_ONLY]
        first = [p for p in kept if p not in last]
        named = {*without, *(p.name for p in kept)}
        made = [argument(asked) for asked in options(model) if asked.said.tool is not False and asked.name not in named]
        arguments = [*first, *made, *last]
        function.__signature__ = own.replace(parameters=arguments)  # type: ignore[attr-defined]
        function.__annotations__ = {p.name: p.annotation for p in arguments} | {"return": own.return_annotation}
        return function

    return decorated


def within(model: type, asked: dict[str, Any], allowed: Roots) -> dict[str, Any]:
    """A tool's arguments as the fields of a request, every path of them held to the allowed folders.

    What is not given is the field's default: a tool's schema leaves out those that say nothing.
    """
    known = {option.name: option for option in options(model)}

    def value(key: str, given: Any) -> Any:
        if given is None:
            return known[key].default
        return allowed.path(given, key) if known[key].kind == "path" else given

    return {key: value(key, given) for key, given in asked.items()}
