#!/usr/bin/env python3
"""Write a fresh deft_state.json for a run that nobody has approved yet."""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.commands.scripted import add_request
    from tao_skill_bank.loop.request import Request
    from tao_skill_bank.runs import init_state
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


SETTINGS = {
    "--num-gpus": (int, "num_gpus"),
    "--num-epochs": (int, "num_epochs"),
    "--batch-size": (int, "batch_size"),
    "--num-sdg": (int, "anomalygen.num_SDG"),
    "--project": (str, "anomalygen.project"),
    "--step": (int, "anomalygen.step"),
}
"""NVIDIA's flags that mean the same as a setting."""


def main() -> int:
    """Parse, resolve, write, print the file's path."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_request(parser, Request, required=("results_dir", "workspace", "kpi_target", "max_iterations"))
    for flag, (kind, setting) in SETTINGS.items():
        parser.add_argument(flag, type=kind, dest=setting, help=f"the same as --set {setting}=VALUE")
    parser.add_argument("--force", action="store_true", help="replace a state that is there")
    args = vars(parser.parse_args())
    force, own = args.pop("force"), {setting: args.pop(setting) for _, setting in SETTINGS.values()}
    given = [f"{name}={value}" for name, value in own.items() if value is not None]
    print(init_state(Request(**{**args, "settings": [*given, *args["settings"]]}), force=force))
    return 0


if __name__ == "__main__":
    sys.exit(run_script("init_deft_state", main))
