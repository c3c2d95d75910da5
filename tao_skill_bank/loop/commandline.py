"""Command lines that TAO's grammar reads back as they were meant, whatever a path is called."""

from __future__ import annotations

import re
from pathlib import Path

from tao_skill_bank.core.errors import InputError

_PLAIN = re.compile(r"[A-Za-z0-9_/.@%+-]+")


def setting(key: str, value: str | Path | int | float) -> str:
    """`key=value`; a text with characters that mean something to the grammar is quoted.

    Raises:
        InputError: The text ends in a backslash, which the grammar cannot quote.
    """
    text = str(value)
    if not isinstance(value, str | Path) or _PLAIN.fullmatch(text):
        return f"{key}={text}"
    if text.endswith("\\"):
        raise InputError("a path that ends in a backslash cannot be passed on", where=text, fix="rename the folder")
    return f"{key}='" + text.replace("'", "\\'") + "'"
