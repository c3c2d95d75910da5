#!/usr/bin/env python3
"""Write best_model.json and best_model_inference_spec.yaml: which model to deploy, at which threshold, with which spec.

With --best-model, only the spec is written, for the model that file names.
Exit status 0: written. 2: the run has no complete iteration with a checkpoint, or a file cannot be used.
"""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.data.changenet.inference_spec import write_inference_spec
    from tao_skill_bank.loop.run import Run
    from tao_skill_bank.platforms import platform_named
    from tao_skill_bank.tasks.changenet.handoff import INFERENCE_SPEC, write_handoff
    from tao_skill_bank.tasks.registry import load_state
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, write, print the paths."""
    parser = argparse.ArgumentParser(prog="prepare_inference_spec", description="Hand over the best model of a run.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--results-dir", type=Path, help="the run folder")
    source.add_argument("--state-path", type=Path, help="its deft_state.json")
    source.add_argument("--best-model", type=Path, help="a best_model.json: write the spec for it")
    parser.add_argument("--output", type=Path, help="with --best-model: the spec; default: beside it")
    args = parser.parse_args()
    if args.best_model:
        output = args.output or args.best_model.parent / INFERENCE_SPEC
        write_inference_spec(args.best_model, output)
        print(f"wrote: {output}")
        return 0
    folder = args.results_dir or args.state_path.parent
    state = load_state(folder)
    written = write_handoff(Run.of(state, platform_named(state.config)))
    if not written:
        raise InputError("no complete iteration with a checkpoint", where=folder, fix="let the run go on first")
    for path in written:
        print(f"wrote: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("prepare_inference_spec", main))
