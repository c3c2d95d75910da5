#!/usr/bin/env python3
"""Give each stage of a loop_log.jsonl the tokens that agents used while it ran."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.bank.transcripts import project_dir, transcripts_in
    from tao_skill_bank.loop.tokens import align_tokens
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, align, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    log = parser.add_mutually_exclusive_group(required=True)
    log.add_argument("--log-path", type=Path)
    log.add_argument("--state-path", type=Path, help="the run's deft_state.json; the log lies beside it")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--cwd", type=Path, help="the folder the agent was started in; default: this one")
    source.add_argument("--project-dir", type=Path, help="a folder of transcripts")
    source.add_argument("--transcript", type=Path, nargs="+", action="extend", help="transcript files")
    parser.add_argument("--dry-run", action="store_true", help="count, change nothing")
    args = parser.parse_args()
    files = args.transcript or transcripts_in(args.project_dir or project_dir(args.cwd or Path.cwd()))
    log_path = args.log_path or args.state_path.with_name("loop_log.jsonl")
    found = align_tokens(log_path, files, dry_run=args.dry_run)
    print(f"{found.matched} messages given to {found.stages} stages, {found.unmatched} in no window")
    return 0


if __name__ == "__main__":
    sys.exit(run_script("align_token_usage", main))
