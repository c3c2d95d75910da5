"""Values from outside as a model: the first that does not fit is named in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import shown_value

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], values: Mapping[str, Any], where: str | Path = "command line") -> M:
    """`values` as a model; the first value that does not fit is named in one line.

    Raises:
        InputError: A value of the wrong kind or outside its range.
    """
    try:
        return model.model_validate(dict(values))
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
