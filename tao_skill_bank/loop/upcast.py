"""States of earlier versions as today's: one function, so that every reader of a state sees one form of it."""

from __future__ import annotations

from typing import Any

FORMAT = "tao-skill-bank"
VERSION = 4
# What every run of version 3 went through, whatever the order is today.
_ORDER_OF_3 = {
    "baseline": ["train", "evaluate"],
    "iteration": ["routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate"],
    "between": ["rca"],
    "ending": "loop_stop",
}


def upcast(raw: dict[str, Any]) -> dict[str, Any] | None:
    """A state's JSON as today's version has it; `raw` is not changed.

    Version 3 had no `format`, and is this project's. Others write states of the same name: a version 2, 4 or 5
    without a format is theirs.

    Returns:
        The state; None where it is of a format that this version does not read.
    """
    version, written_by = raw.get("version"), raw.get("format")
    if isinstance(version, bool):
        return None
    if version == VERSION and written_by == FORMAT:
        return raw
    if version == 3 and written_by is None:
        return {**raw, "format": FORMAT, "version": VERSION, "order": _ORDER_OF_3}
    return None
