"""`tao-skills serve-vlm …`: plan, start, status, stop."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tao_skill_bank.commands.out import echo

if TYPE_CHECKING:
    from tao_skill_bank.annotate.serve import ServiceView

Function = TypeVar("Function", bound=Callable[..., Any])


@click.group()
def cli() -> None:
    """Serve a vision-language model in a container: an endpoint for annotation."""


def _plan_options(function: Function) -> Function:
    options = [
        click.argument("model"),
        click.option("--port", default=8000, show_default=True, help="Port on loopback."),
        click.option("--gpus", default="all", show_default=True, help="all, or numbers such as 0,1."),
        click.option("--name", help="The container's name; default: from the model."),
        click.option("--max-model-len", type=int, help="Longest context in tokens, where memory is short."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@cli.command()
@_plan_options
def plan(as_json: bool, **given: Any) -> None:
    """Show the command line, and what to put into the spec. Starts nothing."""
    from tao_skill_bank.annotate.serve import plan_service

    found = plan_service(**given)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    echo(shlex.join(found.argv))
    echo("\n".join(["", "then annotate with:", *(f"  {text}" for text in found.overrides)]))
    for what in found.missing:
        echo(f"this machine: {what}; run the command where there is one", err=True)


@cli.command()
@_plan_options
@click.option("--wait-sec", default=900.0, show_default=True, help="Wait so long until it answers; 0 returns at once.")
def start(as_json: bool, wait_sec: float, **given: Any) -> None:
    """Start the server and wait until it answers."""
    from tao_skill_bank.annotate.serve import plan_service, start_service

    _show(start_service(plan_service(**given), wait_sec=wait_sec), as_json)


@cli.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def status(name: str, as_json: bool) -> None:
    """Whether the server is there, runs and answers."""
    from tao_skill_bank.annotate.serve import service_status

    _show(service_status(name), as_json)


@cli.command()
@click.argument("name")
def stop(name: str) -> None:
    """Stop and remove the server's container."""
    from tao_skill_bank.annotate.serve import stop_service

    echo(f"stopped {name}" if stop_service(name) else f"no service {name}: nothing to stop")


def _show(view: ServiceView, as_json: bool) -> None:
    if as_json:
        click.echo(view.model_dump_json(indent=2))
        return
    echo(f"{view.name}: {view.state}")
    if view.base_url:
        echo(f"  base_url   {view.base_url}\n  model_name {view.model_name}")
    echo(f"  next step  {view.next_step}")
