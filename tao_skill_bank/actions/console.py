"""What the TAO command lines share: where errors go, exit statuses, `--help`, `--traceback`.

A category command (`gap_analysis`, `visual_changenet`, …) hands its actions to `run_category`. Nothing heavy is
imported before an action is known, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tao_skill_bank.core.errors import EXIT_USAGE, BankError, InputErrors, did_you_mean, system_error
from tao_skill_bank.core.system import refuse_windows

if TYPE_CHECKING:
    from tao_skill_bank.core.overrides import Schema

M = TypeVar("M")

TRACEBACK_VARIABLE = "TAO_SKILLS_TRACEBACK"


@dataclass(frozen=True)
class Action:
    """One action of a category.

    Attributes:
        summary: One line for `--help`.
        usage: The arguments, as shown by `<category> <action> --help`.
        run: Takes the arguments behind the action's name; returns the exit status.
    """

    summary: str
    usage: str
    run: Callable[[list[str]], int]


def configured(category: str, args: Sequence[str], schema: Schema, model: type[M], **more: Any) -> M | None:
    """What a command line asks for, with `more`; None where it asked to be shown, which is done then.

    Raises:
        InputError: It cannot be used.
    """
    from tao_skill_bank.core.overrides import config_yaml, parse_command_line
    from tao_skill_bank.core.settings import validated

    line = parse_command_line(args, schema)
    for text in line.warnings:
        print(f"{category}: warning: {text}", file=sys.stderr)
    if line.show_config:
        print(config_yaml(line.config), end="")
        return None
    return validated(model, {**line.config, **more}, line.spec_path or "command line")


def run_category(category: str, actions: Mapping[str, Action], argv: Sequence[str] | None = None) -> int:
    """Run `<category> <action> …` and return its exit status.

    0 done, 2 usage or bad input, 3 recall target out of reach; errors are one line on stderr (a traceback with
    `--traceback` or TAO_SKILLS_TRACEBACK=1).
    """
    args = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in args
    args = [a for a in args if a != "--traceback"]
    return run_script(category, lambda: _run_action(category, actions, args), traceback=traceback)


def _run_action(category: str, actions: Mapping[str, Action], args: list[str]) -> int:
    refuse_windows()
    if not args or args[0] in ("-h", "--help"):
        print(_category_help(category, actions))
        return 0 if args else EXIT_USAGE
    name, rest = args[0], args[1:]
    if name not in actions:
        raise BankError(f"unknown action {name!r}", where=category, fix=did_you_mean(name, actions))
    if any(a in ("-h", "--help") for a in rest):
        print(f"usage: {category} {name} {actions[name].usage}\n\n{actions[name].summary}")
        return 0
    return actions[name].run(rest)


def run_script(program: str, main: Callable[[], int], *, traceback: bool = False) -> int:
    """Run a script's `main` and return its exit status; a user's error is reported, a defect keeps its traceback."""
    traceback = traceback or os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")
    try:
        return main()
    except BrokenPipeError:
        # The reader of our output went away: not an error of ours, and stdout must not be flushed again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BankError, OSError) as error:
        if traceback:
            raise
        return report(program, error if isinstance(error, BankError) else system_error(error))


def report(program: str, error: BankError) -> int:
    """Print an error as one line on stderr (plus a line for each fault, where there are several)."""
    print(f"{program}: {error.line()}", file=sys.stderr)
    if isinstance(error, InputErrors) and len(error.faults) > 1:
        for fault in error.faults:
            print(f"  {fault}", file=sys.stderr)
    return error.exit_code


def _category_help(category: str, actions: Mapping[str, Action]) -> str:
    width = max(len(name) for name in actions)
    lines = [f"  {name.ljust(width)}  {action.summary}" for name, action in actions.items()]
    head = f"usage: {category} ACTION [-e SPEC.yaml] [key=value …] [--cfg=job] [--traceback]\n\nactions:\n"
    tail = f"\n\n`{category} ACTION --help` shows an action's keys."
    return head + "\n".join(lines) + tail
