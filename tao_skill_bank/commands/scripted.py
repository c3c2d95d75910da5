"""The options of a run's request for a skill's script, which parses with the standard library."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tao_skill_bank.loop.asked import options

_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": Path},
    "number": {"type": int},
    "text": {},
    "texts": {"action": "append", "default": [], "metavar": "KEY=VALUE"},
    "flag": {"action": "store_true"},
}


def add_request(parser: argparse.ArgumentParser, required: Collection[str] = ()) -> None:
    """Add every field of a request; those named must be given."""
    for asked in options():
        how = {**_KINDS[asked.kind], **({"required": True} if asked.name in required else {})}
        parser.add_argument(asked.flag, dest=asked.name, help=asked.text.replace("%", "%%"), **how)
