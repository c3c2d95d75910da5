"""`tao-skills serve-vlm …`: plan, start, status, stop."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from tao_skill_bank.commands.options import JSON, together
from tao_skill_bank.commands.out import echo, tell

if TYPE_CHECKING:
    from tao_skill_bank.annotate.serve import ServiceView


@click.group()
def cli() -> None:
    """Serve a vision-language model in a container: an endpoint for annotation."""


_PLAN = together(
    click.argument("model"),
    click.option("--port", default=8000, show_default=True, help="Port on loopback."),
    click.option("--gpus", default="all", show_default=True, help="all, or numbers such as 0,1."),
    click.option("--name", help="The container's name; default: from the model."),
    click.option("--max-model-len", type=int, help="Longest context in tokens, where memory is short."),
    JSON,
)


@cli.command()
@_PLAN
def plan(as_json: bool, **given: Any) -> None:
    """Show the command line, and what to put into the spec. Starts nothing."""
    from tao_skill_bank.annotate.serve import plan_service

    found = plan_service(**given)
    with_it = ["", "then annotate with:", *(f"  {text}" for text in found.overrides)]
    tell(found, [shlex.join(found.argv), *with_it], as_json)
    for what in [] if as_json else found.missing:
        echo(f"this machine: {what}; run the command where there is one", err=True)


@cli.command()
@_PLAN
@click.option("--wait-sec", default=900.0, show_default=True, help="Wait so long until it answers; 0 returns at once.")
def start(as_json: bool, wait_sec: float, **given: Any) -> None:
    """Start the server and wait until it answers."""
    from tao_skill_bank.annotate.serve import plan_service, start_service

    _tell(start_service(plan_service(**given), wait_sec=wait_sec), as_json)


@cli.command()
@click.argument("name")
@JSON
def status(name: str, as_json: bool) -> None:
    """Whether the server is there, runs and answers."""
    from tao_skill_bank.annotate.serve import service_status

    _tell(service_status(name), as_json)


@cli.command()
@click.argument("name")
def stop(name: str) -> None:
    """Stop and remove the server's container."""
    from tao_skill_bank.annotate.serve import stop_service

    echo(f"stopped {name}" if stop_service(name) else f"no service {name}: nothing to stop")


def _tell(view: ServiceView, as_json: bool) -> None:
    where = [f"  base_url   {view.base_url}", f"  model_name {view.model_name}"] if view.base_url else []
    tell(view, [f"{view.name}: {view.state}", *where, f"  next step  {view.next_step}"], as_json)
