"""`tao-skills doctor`: what is installed, what is lacking, and what mends it."""

from __future__ import annotations

import click

from tao_skill_bank.commands.options import JSON
from tao_skill_bank.commands.out import tell


@click.command()
@click.option("--platform", "platforms", multiple=True, help="Look at this platform only; may be repeated.")
@click.option("--index", is_flag=True, help="Also ask the Python index for TAO releases that are not known.")
@JSON
def cli(platforms: tuple[str, ...], index: bool, as_json: bool) -> None:
    """Show what is installed, what each platform lacks, and the command that mends it. Changes nothing.

    Ends with 0 unless the bank itself is broken (1): a platform that nobody uses may lack what it likes.
    """
    from tao_skill_bank.commands.doctor_checks import Looks, diagnose, lines

    found = diagnose(Looks(platforms=platforms or None, index=index))
    tell(found, lines(found), as_json)
    if not found.sound:
        raise SystemExit(1)
