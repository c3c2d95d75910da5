#!/usr/bin/env python3
"""List the platforms a run can be sent to; with --platform, what one of them needs."""

import argparse
import json
import os
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.bank.platforms_catalog import load_catalog
except ImportError:
    launcher = str(Path(__file__).resolve().with_name("launch.py"))
    os.execv(sys.executable, [sys.executable, launcher, "script", *sys.argv])


def main() -> int:
    """Parse, print."""
    parser = argparse.ArgumentParser(prog="list_tao_platforms", description="List the platforms a run can be sent to.")
    parser.add_argument("--skill-bank", type=Path, help="the bank's folder; this script's own bank answers in any case")
    parser.add_argument("--platform", help="name or alias of one platform")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    args = parser.parse_args()
    catalog = load_catalog()
    shown = catalog.named(args.platform) if args.platform else catalog
    if args.format == "text":
        print("\n".join(shown.lines()))
    else:
        value = catalog.as_json() if shown is catalog else shown.model_dump(mode="json", exclude_none=True)
        print(json.dumps(value, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("list_tao_platforms", main))
