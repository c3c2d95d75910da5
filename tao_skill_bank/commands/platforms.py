"""`tao-skills platforms [NAME]`: what a run can be sent to, and what of it can be reached from here."""

from __future__ import annotations

import json

import click

from tao_skill_bank.commands.out import echo


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def cli(name: str | None, as_json: bool) -> None:
    """List the platforms; with a NAME, what it needs. Says what can be reached from here."""
    from tao_skill_bank.bank.platforms_catalog import Platform, load_catalog
    from tao_skill_bank.platforms import platform_class
    from tao_skill_bank.platforms.registry import others

    catalog = load_catalog()
    for other in others():
        found = platform_class(other)
        listed = Platform(name=other, display_name=other, description=found.text, aliases=list(found.aliases))
        catalog.platforms.append(listed)
    shown = [catalog.named(name)] if name else catalog.platforms
    here = {platform.name: platform_class(platform.name).reach() for platform in shown}
    if as_json:
        value = [{**p.model_dump(mode="json", exclude_none=True), "here": here[p.name]} for p in shown]
        click.echo(json.dumps(value, indent=2))
        return
    echo("\n".join((shown[0] if name else catalog).lines()))
    echo("\nHere:")
    for platform, text in here.items():
        echo(f"- {platform}: {text}")
