#!/usr/bin/env python3
"""Compare, defect by defect, what AnomalyGen was allotted with what it made. 0: the same, 4: not."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.tasks.changenet.generator import compare
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, compare, print a line a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="the folder with amp/, testcase.jsonl and sdg/")
    counts = compare(parser.parse_args().output_dir)
    for label, number in sorted(counts["allotted"].items()):
        blocked = counts["left out"].get(label, 0)
        note = f", {blocked} of them black or blocked by the guardrail: no training rows" if blocked else ""
        print(f"{label}: {number} allotted, {number} made and paired{note}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script("check_generated", main))
