#!/usr/bin/env python3
"""Analyse an inference.csv: the 100 %-recall threshold with its false-accept rate, every other threshold, pictures.

Exit status 0: done (also when the 100 %-recall point is unavailable). 2: the CSV cannot be used.
"""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.commands.scripted import add_request
    from tao_skill_bank.data.changenet.kpi import BINS, analyze_kpi
    from tao_skill_bank.data.changenet.labels import PASS
    from tao_skill_bank.tasks.asked import KpiAsked
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, analyse, print."""
    parser = argparse.ArgumentParser(prog="analyze_kpi", description="Analyse the KPI of a ChangeNet inference.")
    add_request(parser, KpiAsked)
    parser.add_argument("--no-images", action="store_true", help="leave out the three PNGs")
    parser.add_argument("--pass-label", default=PASS, choices=[PASS], help="PASS, the only one there is")
    parser.add_argument("--bins", type=int, default=BINS, help=f"bars of the score distribution (default: {BINS})")
    args = parser.parse_args()
    if args.bins < 1:
        parser.error(f"--bins is {args.bins} (at least 1)")
    analysis = analyze_kpi(args.csv, args.output_dir, images=not args.no_images, bins=args.bins)
    for line in analysis.lines():
        print(line)
    for path in analysis.files:
        print(f"wrote: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("analyze_kpi", main))
