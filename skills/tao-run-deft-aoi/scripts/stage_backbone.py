#!/usr/bin/env python3
"""Put the backbone's weight file where TAO can open it: reuse the staged one, or fetch it from the Hugging Face hub.

The last line on stdout is the path of the file. The token is read from the environment variable HF_TOKEN.
Exit status 0: the file is there. 1: the download failed. 2: the folder or the arguments are wrong.
"""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.actions.upstream import repository_of
    from tao_skill_bank.data.changenet.backbone import FILE_NAME, REPOSITORY, stage_backbone
    from tao_skill_bank.data.changenet.layout import Workspace
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, stage, print the path."""
    parser = argparse.ArgumentParser(prog="stage_backbone", description="Stage the backbone's weight file.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--workspace-root", "--workspace", type=Path, help="the workspace; the file goes to augmentation/backbone/"
    )
    where.add_argument("--backbone-dir", type=Path, help="the folder itself")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--repo-id", default=REPOSITORY, help=f"hub repository (default: {REPOSITORY})")
    which.add_argument("--backbone-type", metavar="NAME", help="the same by model.backbone.type of the spec")
    parser.add_argument("--filename", default=FILE_NAME, help=f"file in it (default: {FILE_NAME})")
    parser.add_argument("--revision", help="branch, tag or commit")
    args = parser.parse_args()
    folder = args.backbone_dir or Workspace(args.workspace_root).backbone_dir
    repository = repository_of(args.backbone_type) if args.backbone_type else args.repo_id
    print(stage_backbone(folder, repository=repository, file_name=args.filename, revision=args.revision))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("stage_backbone", main))
