"""The console door `tao-skills`: parse, call the engine, print. A group's module is imported when it is called."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib import import_module

import click

from tao_skill_bank.actions.console import TRACEBACK_VARIABLE, report
from tao_skill_bank.commands.out import echo
from tao_skill_bank.core.errors import BankError, system_error
from tao_skill_bank.core.extras import MissingExtraError
from tao_skill_bank.core.system import refuse_windows
from tao_skill_bank.core.version import __version__

# Group → (module, one line for --help).
GROUPS = {
    "deft": ("tao_skill_bank.commands.deft", "Plan, run and watch the DEFT improvement loop."),
    "workspace": ("tao_skill_bank.commands.workspace", "Lay out a workspace from folders of pictures."),
    "gaps": ("tao_skill_bank.commands.gaps", "Route weak samples and mine data like them."),
    "certify": ("tao_skill_bank.commands.certify", "What a frozen threshold is shown to do, with exact bounds."),
    "compare": ("tao_skill_bank.commands.compare", "Two models on the same parts; fails where the second is worse."),
    "recalibrate": ("tao_skill_bank.commands.recalibrate", "A new threshold from new judged scores, with proof."),
    "monitor": (
        "tao_skill_bank.commands.monitor",
        "Does production still look as it did? Drift, FAR and recall by lots.",
    ),
    "evaluate": ("tao_skill_bank.commands.evaluate", "Hold an evaluation against its annotations."),
    "rca": ("tao_skill_bank.commands.rca", "Root-cause analysis of an evaluation, as a report."),
    "labels": ("tao_skill_bank.commands.labels", "Correct labels: list, set, drop, undo, export, import."),
    "annotate": ("tao_skill_bank.commands.annotate", "Annotate videos: captions, questions with reasoning, paid once."),
    "serve-vlm": ("tao_skill_bank.commands.serve_vlm", "Serve a vision-language model on this machine's GPU."),
    "jobs": ("tao_skill_bank.commands.jobs", "The jobs of a run folder: list, status, logs, cancel."),
    "platforms": ("tao_skill_bank.commands.platforms", "What a run can be sent to, and what is reachable here."),
    "releases": ("tao_skill_bank.commands.releases", "What each TAO release takes, and what changed between two."),
    "spec": ("tao_skill_bank.commands.spec", "Check a TAO spec against the release that will run it."),
    "images": ("tao_skill_bank.commands.images", "Container images: resolve, check, pull on request."),
    "doctor": ("tao_skill_bank.commands.doctor", "What is installed, what each platform lacks, what mends it."),
    "studio": ("tao_skill_bank.commands.studio", "The page to work in: runs, boards, labels, plans, on this machine."),
    "serve": ("tao_skill_bank.commands.serve", "Start the MCP server, for agents and other clients."),
    "roots": ("tao_skill_bank.commands.roots", "The folders that an agent's tools may touch: add, list, remove."),
    "demo": ("tao_skill_bank.commands.demo", "Make the demo workspace, and run the loop on it."),
}


class LazyGroup(click.Group):
    """A group that imports a sub-command's module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The groups, in the order of `GROUPS`."""
        return list(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the group's module."""
        if cmd_name not in GROUPS:
            return None
        command = import_module(GROUPS[cmd_name][0]).cli
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in GROUPS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest group for a mistyped one."""
        from tao_skill_bank.core.errors import did_you_mean

        if args and args[0] not in GROUPS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r} ({did_you_mean(args[0], GROUPS)})")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tao-skills")
def cli() -> None:
    """Improve NVIDIA TAO vision models: the DEFT loop, gap analysis, data mining. Everything runs on a laptop first."""


def main() -> None:
    """Run `tao-skills`; a user's error is one line on stderr and its exit status."""
    if "annotate" in sys.argv[1:]:
        _hide_keys()
    try:
        refuse_windows()
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        # A group without a command is asked what it has.
        print(error.format_message())
        code = 0
    except click.UsageError as error:
        print(f"tao-skills: {error.format_message()}", file=sys.stderr)
        code = 2
    except click.ClickException as error:
        print(f"tao-skills: {error.format_message()}", file=sys.stderr)
        code = error.exit_code
    except MissingExtraError as error:
        if installed_on_request(error):
            os.execv(sys.executable, [sys.executable, "-P", "-m", "tao_skill_bank.cli", *sys.argv[1:]])
        code = report("tao-skills", error)
    except BankError as error:
        if os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0"):
            raise
        code = report("tao-skills", error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0"):
            raise
        code = report("tao-skills", system_error(error))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _hide_keys() -> None:
    """Begin again without endpoint keys in the arguments, which everybody on the machine can read."""
    from tao_skill_bank.annotate.secrets import environment_with, keys_out_of_arguments

    args, keys = keys_out_of_arguments(sys.argv[1:])
    if keys:
        command = [sys.executable, "-P", "-m", "tao_skill_bank.cli", *args]
        os.execve(sys.executable, command, environment_with(keys))


def installed_on_request(error: MissingExtraError) -> bool:
    """Ask at a terminal, then install; False where nobody is there, the answer is no, or it fails."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    echo(f"{error.what}; what installs it: {shlex.join(error.command)}", err=True)
    try:
        if not click.confirm("Install it now?", default=False, err=True):
            return False
    except click.Abort:
        # Ctrl-C or the end of what is typed is no, too.
        echo("", err=True)
        return False
    return subprocess.run(error.command, check=False).returncode == 0


if __name__ == "__main__":
    main()
