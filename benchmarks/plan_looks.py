"""Faults planted into drawn boards: what a plan finds of each, what it misses, and what it says of the clean set.

    python benchmarks/plan_looks.py

Label flips are looked for twice: by the plan, before a model has scored, and among the suspects behind a model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from planted_facts import flips_behind_a_model, planted_in_a_plan  # noqa: E402 - it lies beside the tests


def main() -> int:
    """Print the table; 1 where the clean set is warned of."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        told, warnings = planted_in_a_plan(Path(folder) / "w")
        told.append(flips_behind_a_model(pictures))
    print(f"{'planted':<34}{'number':>8}{'found':>8}{'missed':>8}{'false alarms in the clean set':>32}")
    for one in told:
        print(f"{one.fact:<34}{one.planted:>8}{one.found:>8}{one.missed:>8}{one.false_alarms:>32}")
    print(*(f"warned of the clean set: {text}" for text in warnings), sep="\n")
    return int(bool(warnings))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.parse_args()
    raise SystemExit(main())
