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
    "texts": {"action": "append"},
    "flag": {"action": "store_true"},
}


def add_request(parser: argparse.ArgumentParser, model: type, required: Collection[str] = ()) -> None:
    """Add every field of a request; those named must be given, beside those that it needs itself."""
    for asked in options(model):
        default = [*asked.default] if isinstance(asked.default, tuple) else asked.default
        how = {"default": default, **_KINDS[asked.kind]}
        how |= {} if asked.said.metavar is None else {"metavar": asked.said.metavar}
        text = asked.said.text.replace("%", "%%")
        if asked.flag:
            must = asked.required or asked.name in required
            parser.add_argument(asked.flag, dest=asked.name, help=text, required=must, **how)
        else:
            parser.add_argument(asked.name, help=text, **how)
