#!/usr/bin/env python3
"""Append one stage to a run's loop_log.jsonl."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
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
    parser.add_argument("--iter-label", required=True, help="baseline or iter<N>")
    parser.add_argument("--stage", required=True, help=", ".join(stage_names()))
    parser.add_argument("--status", required=True, help="ok or error")
    parser.add_argument("--summary", required=True, help="one line")
    parser.add_argument("--duration-sec", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, default=0)
    parser.add_argument("--repair", action="store_true", help="move a corrupt last line aside")
    args = parser.parse_args()
    line = append_stage(
        args.log_path,
        iter_label=args.iter_label,
        stage=args.stage,
        status=args.status,
        summary=args.summary,
        duration_sec=args.duration_sec,
        context_tokens=args.context_tokens,
        repair=args.repair,
        stages=stage_names(args.log_path.parent),
    )
    print(f"seq {line.seq}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script("log_stage", main))
