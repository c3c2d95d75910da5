"""TOML files: read with a name for every fault, written plainly. Comments of a file that was read are not kept."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested mappings.

    Raises:
        InputError: It is missing, or not TOML.
    """
    try:
        return tomllib.loads(guard.read_text(path, "spec"))
    except FileNotFoundError:
        raise InputError("no such spec", where=path, fix="name one that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as TOML: {error}", where=path, fix="fix the file") from None


def write_toml(path: Path, values: dict[str, Any], head: str = "") -> None:
    """Write nested mappings as TOML; `head` stands in front as comment lines."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    fsio.write_text(path, comment + dumps(values))


def dumps(values: dict[str, Any]) -> str:
    """Nested mappings as TOML text, in their order; None is left out, which is how TOML says it."""
    lines: list[str] = []
    _table(values, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _table(values: dict[str, Any], above: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in values.items() if not isinstance(v, dict) and not _tables(v) and v is not None}
    if above and (plain or not values):
        lines += ["", f"[{'.'.join(_key(part) for part in above)}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            _table(value, (*above, key), lines)
        elif _tables(value):
            for item in value:
                lines += ["", f"[[{'.'.join(_key(part) for part in (*above, key))}]]"]
                lines += [f"{_key(k)} = {_value(v)}" for k, v in item.items() if v is not None]


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
