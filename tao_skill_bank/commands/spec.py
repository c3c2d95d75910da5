"""`tao-skills spec check`: whether a TAO release takes a spec, before it is run."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import JSON, PATH
from tao_skill_bank.commands.out import tell


@click.group()
def cli() -> None:
    """Check TAO specs."""


@cli.command()
@click.argument("path", metavar="SPEC", type=PATH)
@click.argument("overrides", nargs=-1)
@click.option("--release", help="The TAO release that will run it (7.1.0); default: that of the images in use.")
@click.option("--command", default="visual_changenet", show_default=True, help="The TAO command it is for.")
@click.option("--action", help="Its action; default: train, or the command's only one.")
@JSON
def check(
    path: Path, overrides: tuple[str, ...], release: str | None, command: str, action: str | None, as_json: bool
) -> None:
    """Check SPEC, with OVERRIDES (key=value) on top. One line a fault: key, what is wrong, what to do; ends with 2."""
    from tao_skill_bank.actions.spec_check import check_spec
    from tao_skill_bank.bank.versions import default_release

    checked = check_spec(path, overrides, release or default_release(), command, action)
    taken = f"TAO {checked.release} takes it for {checked.command} {checked.action}"
    notes = [f"note: {line}" for line in [*checked.unchecked, *checked.elsewhere]]
    tell(checked, [*(checked.faults or [taken]), *notes], as_json)
    if checked.faults:
        raise SystemExit(2)
