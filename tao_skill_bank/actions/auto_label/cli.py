"""`auto_label generate|default_specs …`: parse, call the engine, print."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

from tao_skill_bank.actions.console import Action, report, run_category
from tao_skill_bank.core.errors import BankError, InputError

CATEGORY = "auto_label"


def main() -> None:
    """The console command. Keys in the arguments move to the environment first: everybody can read arguments."""
    from tao_skill_bank.annotate.secrets import environment_with, keys_out_of_arguments

    args, keys = keys_out_of_arguments(sys.argv[1:])
    if keys:
        command = [sys.executable, "-P", "-m", "tao_skill_bank.actions", CATEGORY, *args]
        os.execve(sys.executable, command, environment_with(keys))
    sys.exit(run_category(CATEGORY, ACTIONS))


def _ending(action: Callable[[list[str]], bool | None]) -> Callable[[list[str]], int]:
    """An action with TAO's last line: whatever a user can cause ends with FAIL and status 1. None: only shown."""

    def run(args: list[str]) -> int:
        try:
            passed = action(args)
        except BankError as error:
            report(CATEGORY, error)
            passed = False
        if passed is not None:
            print(f"Execution status: {'PASS' if passed else 'FAIL'}")
        return 1 if passed is False else 0

    return run


def _generate(args: list[str]) -> bool | None:
    from tao_skill_bank.annotate.config import read_config, schema
    from tao_skill_bank.core.overrides import config_yaml, parse_command_line

    line = parse_command_line(args, schema())
    if line.show_config:
        print(config_yaml(_without_keys(line.config)), end="")
        return None
    for warning in line.warnings:
        print(warning, file=sys.stderr)
    config = read_config(line.config, line.spec_path or "command line")
    from tao_skill_bank.annotate.holder import folder_lock
    from tao_skill_bank.annotate.prices import load_prices
    from tao_skill_bank.annotate.run import annotate

    with folder_lock(config.results_dir, "auto_label generate"):
        outcome = annotate(config, load_prices())
    for problem in outcome.problems:
        print(f"note: {problem}", file=sys.stderr)
    items = ", ".join(f"{task} {number}" for task, number in outcome.items.items()) or "none"
    print(
        f"{outcome.videos} videos, {outcome.failed} with failures; {outcome.calls} calls, {outcome.known} known before"
    )
    print(f"items: {items}; refused: {outcome.rejected}")
    return not outcome.came_to_nothing


def _default_specs(args: list[str]) -> bool:
    from pathlib import Path

    from tao_skill_bank.annotate.config import default_text
    from tao_skill_bank.core.fsio import write_text
    from tao_skill_bank.core.overrides import REQUIRED, Schema, parse_command_line

    line = parse_command_line(args, Schema(defaults={"results_dir": REQUIRED, "module_name": CATEGORY}))
    module, folder = str(line.config["module_name"]), Path(str(line.config["results_dir"])).expanduser()
    if module != CATEGORY:
        raise InputError(f"no default spec for {module!r}", where="module_name", fix=f"write module_name={CATEGORY}")
    path = folder / "experiment.yaml"
    write_text(path, default_text())
    print(f"written: {path}")
    return True


def _without_keys(config: dict[str, object]) -> dict[str, object]:
    """The configuration with every key struck out."""

    def struck(value: object) -> object:
        if isinstance(value, dict):
            return {k: ("***" if k == "api_key" and v else struck(v)) for k, v in value.items()}
        return re.sub(r"://[^/\s]*@|\?.*", _struck_part, value) if isinstance(value, str) and "://" in value else value

    return {key: struck(value) for key, value in config.items()}


def _struck_part(match: re.Match[str]) -> str:
    return "?***" if match[0].startswith("?") else "://***@"


ACTIONS = {
    "generate": Action(
        "Annotate videos: captions, descriptions, questions with reasoning. Takes up what is there.",
        """-e SPEC.yaml [--cfg=job] [results_dir=R] [video_reasoning_annotation.KEY=VALUE …]

keys (below video_reasoning_annotation; `auto_label default_specs` writes them all with comments):
  vlm, llm                     backend gemini or openai, and below that the model, its parameters, its timeout
  workflow.steps               0 filter, 1a captions, 1b chunks, 1c highlight, 2 description, 3 questions, 4 files
  workflow.mode                auto, anomaly, normal [auto]
  workflow.max_workers         the most calls in flight in all [4]
  workflow.qa_types            which kinds of questions
  data.video_root              folder of videos; data.input_jsonl_files names more
  prompts_module               general, traffic, warehouse; your own .py needs `tao-skills annotate allow FILE`

Keys of the endpoints are taken from GOOGLE_API_KEY and OPENAI_API_KEY. Every answer is journaled in R; the same
command resumes an interrupted run and pays for nothing twice. `tao-skills annotate` estimates, limits and reviews.""",
        _ending(_generate),
    ),
    "default_specs": Action(
        "Write a commented spec: R/experiment.yaml.",
        """results_dir=R module_name=auto_label""",
        _ending(_default_specs),
    ),
}
