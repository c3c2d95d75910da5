#!/usr/bin/env python3
"""Print the image that a key of versions.yaml names: images.tao_toolkit.data_services."""

import argparse
import os
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.bank.versions import resolve_image
except ImportError:
    launcher = str(Path(__file__).resolve().with_name("launch.py"))
    os.execv(sys.executable, [sys.executable, launcher, "script", *sys.argv])


def main() -> int:
    """Parse, print."""
    parser = argparse.ArgumentParser(prog="resolve_versions_key", description="Print the image a key names.")
    parser.add_argument("key", help="for example images.tao_toolkit.data_services")
    parser.add_argument("--skill-bank", type=Path, help="the folder that holds versions.yaml; default: this bank's")
    args = parser.parse_args()
    print(resolve_image(args.key, args.skill_bank))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("resolve_versions_key", main))
