#!/usr/bin/env python3
"""Write the JSON Schemas that ship, from the models they describe."""

from __future__ import annotations

import sys
from pathlib import Path

from tao_skill_bank.core import fsio
from tao_skill_bank.tasks.schemas import schemas

FOLDER = Path(__file__).resolve().parent.parent / "tao_skill_bank" / "schemas"


def main() -> int:
    """Write them all."""
    for name, schema in schemas().items():
        fsio.write_json(FOLDER / name, schema)
        print(FOLDER / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
