"""`tao-skills platforms [NAME]`: what a run can be sent to; `platforms install virtualenv` makes one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tao_skill_bank.commands.options import JSON, PATH
from tao_skill_bank.commands.out import echo, tell


class _Names(click.Group):
    """A group whose first word may also be a platform's name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Any word that is no command names a platform to show."""
        if args and args[0] not in self.commands:
            return "show", self.commands["show"], args
        return super().resolve_command(ctx, args)


@click.group(cls=_Names, invoke_without_command=True)
@JSON
@click.pass_context
def cli(ctx: click.Context, as_json: bool) -> None:
    """List the platforms; with a NAME, what it needs. Says what can be reached from here."""
    if ctx.invoked_subcommand is None:
        _show(None, as_json)


@cli.command()
@click.argument("name")
@JSON
def show(name: str, as_json: bool) -> None:
    """What the platform NAME needs, and whether it can be reached from here."""
    _show(name, as_json)


@cli.command()
@click.argument("name")
@click.option("--release", help="The TAO release, 7.3.0 for example; default: the newest known one.")
@click.option("--cpu", "device", flag_value="cpu", default=None, help="Without a GPU.")
@click.option("--cuda", "device", flag_value="cuda", help="With CUDA; not tested. Default: by what is here.")
@click.option("--folder", type=PATH, help="Where; default: in your data folder.")
@click.option("--python", help="The Python to take; default: a fitting one is looked for.")
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched, and how large it is.")
def install(
    name: str, release: str | None, device: Any, folder: Path | None, python: str | None, dry_run: bool
) -> None:
    """Make an environment with NVIDIA's own TAO for --platform virtualenv, check it by training, and register it."""
    from tao_skill_bank.bank.platforms_catalog import load_catalog
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.core.personal import register_virtualenv, virtualenv_path
    from tao_skill_bank.platforms.tao_environment.check import train_eight_rows
    from tao_skill_bank.platforms.tao_environment.install import alone, finish, plan_installation
    from tao_skill_bank.platforms.tao_environment.install import install as make

    known = load_catalog().named(name)
    if not known.installable:
        there = ", ".join(p.name for p in load_catalog().platforms if p.installable)
        raise InputError(f"nothing is installed for {known.name}", where="platforms install", fix=f"one of {there}")
    wanted = plan_installation(release, device, folder, python)
    echo("\n".join(wanted.lines()))
    if dry_run:
        return
    with alone(wanted):
        commands = make(wanted, lambda text: echo(f"- {text}"))
        echo("- trains eight rows to check itself")
        echo(f"- {train_eight_rows(commands)}")
        finish(wanted)
    register_virtualenv(commands)
    echo(f"registered in {virtualenv_path()}: --platform virtualenv runs TAO {wanted.release.version} from {commands}")


def _show(name: str | None, as_json: bool) -> None:
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
    value = [{**p.model_dump(mode="json", exclude_none=True), "here": here[p.name]} for p in shown]
    reached = [f"- {platform}: {text}" for platform, text in here.items()]
    tell(value, [*(shown[0] if name else catalog).lines(), "\nHere:", *reached], as_json)
