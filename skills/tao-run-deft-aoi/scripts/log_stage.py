#!/usr/bin/env python3
"""Append one stage to a run's loop_log.jsonl."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import report
    from tao_skill_bank.deft.log import append_stage
    from tao_skill_bank.deft.state import STAGE_NAMES
    from tao_skill_bank.errors import BankError
except ImportError:
    sys.exit("tao-skill-bank is not installed: pip install FOLDER-OR-REPOSITORY of the skill bank, then run this again")


def main() -> int:
    """Parse, append, print the number the line got."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log-path", type=Path, required=True)
    parser.add_argument("--iter-label", required=True, help="baseline or iter<N>")
    parser.add_argument("--stage", required=True, help=", ".join(STAGE_NAMES))
    parser.add_argument("--status", required=True, help="ok or error")
    parser.add_argument("--summary", required=True, help="one line")
    parser.add_argument("--duration-sec", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, default=0)
    parser.add_argument("--repair", action="store_true", help="move a corrupt last line aside")
    args = parser.parse_args()
    try:
        line = append_stage(
            args.log_path,
            iter_label=args.iter_label,
            stage=args.stage,
            status=args.status,
            summary=args.summary,
            duration_sec=args.duration_sec,
            context_tokens=args.context_tokens,
            repair=args.repair,
        )
    except BankError as error:
        return report("log_stage.py", error)
    print(f"seq {line.seq}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
