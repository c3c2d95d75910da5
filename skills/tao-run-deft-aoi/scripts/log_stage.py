#!/usr/bin/env python3
"""Append one stage to a run's loop_log.jsonl."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.commands.scripted import add_request
    from tao_skill_bank.loop.asked import StageAsked
    from tao_skill_bank.loop.log import append_stage
    from tao_skill_bank.tasks.registry import stage_names
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, append, print the number the line got."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log-path", type=Path, required=True)
    add_request(parser, StageAsked)
    parser.add_argument("--repair", action="store_true", help="move a corrupt last line aside")
    args = vars(parser.parse_args())
    log_path = args.pop("log_path")
    line = append_stage(log_path, stages=stage_names(log_path.parent), **args)
    print(f"seq {line.seq}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script("log_stage", main))
