#!/usr/bin/env python3
"""Check the bank as a plugin: manifests, server entry, hooks, agents, and every skill. 0: no fault, 1: faults."""

import argparse
import os
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.bank.manifests import bank_faults
    from tao_skill_bank.core.text import plural
except ImportError:
    launcher = str(Path(__file__).resolve().with_name("launch.py"))
    os.execv(sys.executable, [sys.executable, launcher, "script", *sys.argv])


def main() -> int:
    """Parse, check, print."""
    parser = argparse.ArgumentParser(prog="validate_skills", description="Check the bank as a plugin.")
    parser.add_argument("root", nargs="?", type=Path, help="the bank's folder; default: this bank's")
    faults = bank_faults(parser.parse_args().root)
    for fault in faults:
        print(fault)
    print(plural(len(faults), "fault") if faults else "ok: no fault found")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(run_script("validate_skills", main))
