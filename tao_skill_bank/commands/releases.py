"""`tao-skills releases …`: what each TAO release takes, and what changed from one to another."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from tao_skill_bank.commands.options import JSON
from tao_skill_bank.commands.out import echo, print_json


@click.group(invoke_without_command=True)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """List the TAO releases that are known, show one, or compare two."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@cli.command("list")
@JSON
def list_(as_json: bool = False) -> None:
    """The known releases, oldest first."""
    from tao_skill_bank.bank.versions import load_versions
    from tao_skill_bank.data.releases.facts import known, release_named

    named = load_versions().by_release()
    rows = [
        {
            "release": version,
            "commands": len(release_named(version).commands),
            "actions": sum(len(c["actions"]) for c in release_named(version).commands.values()),
            "images": named.get(version, {}),
        }
        for version in known()
    ]
    if as_json:
        return print_json(rows)
    for row in rows:
        images = ", ".join(row["images"]) if isinstance(row["images"], dict) and row["images"] else "none seen"
        echo(f"{row['release']}  {row['commands']} commands, {row['actions']} actions; images: {images}")


@cli.command()
@click.argument("release")
@click.argument("command", required=False)
@click.argument("action", required=False)
@JSON
def show(release: str, command: str | None, action: str | None, as_json: bool) -> None:
    """What a RELEASE has; with a COMMAND (and ACTION), its keys with types, defaults, ranges and value lists."""
    from tao_skill_bank.data.releases.facts import release_named

    found = release_named(release, "releases show")
    if command is None:
        if as_json:
            return print_json({"release": found.version, **_overview(found)})
        echo(f"TAO {found.version}")
        for name, wheel in found.raw["wheels"].items():
            echo(f"  {name}: {wheel['size'] / 1e6:.1f} MB, sha256 {wheel['sha256'][:12]}…")
        for name in found.commands:
            extra = f"; in other containers: {', '.join(found.elsewhere(name))}" if found.elsewhere(name) else ""
            echo(f"  {name}: {', '.join(found.actions(name))}{extra}")
        return
    keys = found.keys(command, action)
    facts = {} if keys is None else dict(keys.facts)
    if as_json:
        return print_json({"release": found.version, "command": command, **found.commands[command], "keys": facts})
    echo(f"TAO {found.version} {command}: {', '.join(found.actions(command))}")
    if keys is None:
        echo("  its keys could not be read from the wheel")
    for key, fact in facts.items():
        if fact["type"] != "section":
            echo(f"  {key}: {_said(fact)}")


@cli.command()
@click.argument("first")
@click.argument("second")
@click.option("--all", "everything", is_flag=True, help="Also commands other than those that a loop runs.")
@JSON
def diff(first: str, second: str, everything: bool, as_json: bool) -> None:
    """What changed from the FIRST release to the SECOND, and what did not."""
    from tao_skill_bank.bank.home import CATEGORIES
    from tao_skill_bank.data.releases.difference import difference, unchanged
    from tao_skill_bank.data.releases.facts import release_named

    old, new = release_named(first, "releases diff"), release_named(second, "releases diff")
    changes, same = difference(old, new), unchanged(old, new)
    if as_json:
        listed = [asdict(change) for change in changes]
        return print_json({"from": old.version, "to": new.version, "changes": listed, "unchanged": same})
    echo(f"From TAO {old.version} to {new.version}:")
    own = [c for c in changes if everything or any(f" {name}" in c.text for name in CATEGORIES)]
    for change in own:
        echo(f"- {change.text}")
    if not own:
        echo("- nothing")
    if len(own) < len(changes):
        echo(f"- {len(changes) - len(own)} more of other commands (--all)")
    echo("Code unchanged, byte for byte: " + (", ".join(same) or "nothing"))


def _overview(release: Any) -> dict[str, Any]:
    commands = {
        name: {"actions": release.actions(name), "elsewhere": release.elsewhere(name)} for name in release.commands
    }
    return {"wheels": release.raw["wheels"], "commands": commands, "classifier": release.classifier}


def _said(fact: Any) -> str:
    parts = [str(fact["type"])]
    if fact.get("mandatory"):
        parts.append("must be given")
    if "default" in fact:
        parts.append(f"default {json.dumps(fact['default'])}")
    if fact.get("nullable"):
        parts.append("may be null")
    if "min" in fact or "max" in fact:
        parts.append(f"{fact.get('min', '…')} to {fact.get('max', '…')}")
    if "options" in fact:
        parts.append("one of " + ", ".join(map(str, fact["options"])))
    return "; ".join(parts)
