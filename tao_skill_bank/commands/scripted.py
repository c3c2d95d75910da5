"""The options of a request for a skill's script, which parses with the standard library."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tao_skill_bank.core.asked import options

_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": Path},
    "number": {"type": int},
    "amount": {"type": float},
    "text": {},
    "texts": {"action": "append", "default": []},
    "flag": {"action": "store_true"},
}


def add_request(parser: argparse.ArgumentParser, model: type, required: Collection[str] = ()) -> None:
    """Add every field of a request; those named must be given."""
    for asked in options(model):
        how = {**_KINDS[asked.kind], **({"required": True} if asked.name in required else {})}
        how |= {} if asked.said.metavar is None else {"metavar": asked.said.metavar}
        parser.add_argument(asked.flag, dest=asked.name, help=asked.text.replace("%", "%%"), **how)
