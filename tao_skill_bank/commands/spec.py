"""`tao-skills spec check`: whether a TAO release takes a spec, before it is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tao_skill_bank.commands.out import echo


@click.group()
def cli() -> None:
    """Check TAO specs."""


@cli.command()
@click.argument("path", metavar="SPEC", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--release", help="The TAO release that will run it (7.1.0); default: that of the images in use.")
@click.option("--command", default="visual_changenet", show_default=True, help="The TAO command it is for.")
@click.option("--action", help="Its action; default: train, or the command's only one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def check(
    path: Path, overrides: tuple[str, ...], release: str | None, command: str, action: str | None, as_json: bool
) -> None:
    """Check SPEC, with OVERRIDES (key=value) on top. One line a fault: key, what is wrong, what to do; ends with 2."""
    from tao_skill_bank.actions.spec_check import check_spec
    from tao_skill_bank.bank.versions import default_release

    checked = check_spec(path, overrides, release or default_release(), command, action)
    if as_json:
        click.echo(json.dumps(_value(checked), indent=2))
    else:
        for fault in checked.faults:
            echo(fault)
        if not checked.faults:
            echo(f"TAO {checked.release} takes it for {checked.command} {checked.action}")
        for line in [*checked.unchecked, *checked.elsewhere]:
            echo(f"note: {line}")
    if checked.faults:
        raise SystemExit(2)


def _value(checked: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(checked)
