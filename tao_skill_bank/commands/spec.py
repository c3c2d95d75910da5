"""`tao-skills spec check`: whether a TAO release takes a spec, before it is run."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import JSON, request_options
from tao_skill_bank.commands.out import tell
from tao_skill_bank.tasks.asked import SpecAsked


@click.group()
def cli() -> None:
    """Check TAO specs."""


@cli.command()
@request_options(SpecAsked)
@click.argument("overrides", nargs=-1)
@JSON
def check(
    spec: Path, overrides: tuple[str, ...], release: str | None, command: str, action: str | None, as_json: bool
) -> None:
    """Check SPEC, with OVERRIDES (key=value) on top. One line a fault: key, what is wrong, what to do; ends with 2."""
    from tao_skill_bank.actions.spec_check import check_spec
    from tao_skill_bank.bank.versions import default_release

    checked = check_spec(spec, overrides, release or default_release(), command, action)
    taken = f"TAO {checked.release} takes it for {checked.command} {checked.action}"
    notes = [f"note: {line}" for line in [*checked.unchecked, *checked.elsewhere]]
    tell(checked, [*(checked.faults or [taken]), *notes], as_json)
    if checked.faults:
        raise SystemExit(2)
