"""`tao-skills jobs …`: the jobs of a run folder, on whatever platform they run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tao_skill_bank.commands.options import JSON, PATH, request_options
from tao_skill_bank.commands.out import echo, print_json, tell
from tao_skill_bank.tasks.asked import ActionAsked

_FOLDER = click.argument("folder", type=PATH)
_JOB = click.argument("job")


@click.group()
def cli() -> None:
    """Look at the jobs of a run folder, and end them."""


@cli.command(name="list")
@_FOLDER
@JSON
def list_jobs(folder: Path, as_json: bool) -> None:
    """Every job of a folder, oldest first: its state, platform and command."""
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.platforms.base import jobs_dir, read_records
    from tao_skill_bank.platforms.jobs import job_state

    folder = folder.absolute()
    if not jobs_dir(folder).is_dir():
        raise InputError("no jobs are here", where=folder, fix="name a run folder")
    rows = [(r.uid, job_state(r), r.platform, " ".join(r.command[:2]), r.submitted_at) for r in read_records(folder)]
    if as_json:
        names = ("job", "state", "platform", "command", "submitted_at")
        return print_json([dict(zip(names, row, strict=True)) for row in rows])
    for uid, state, platform, command, _ in rows:
        echo(f"{state:<9} {platform:<10} {uid}  {command}")


@cli.command()
@_FOLDER
@_JOB
@JSON
def status(folder: Path, job: str, as_json: bool) -> None:
    """One job: its state, and how it ended."""
    from tao_skill_bank.core.consent import approved
    from tao_skill_bank.platforms.base import read_exit
    from tao_skill_bank.platforms.jobs import job_state, read_job

    record = read_job(folder.absolute(), job)
    ended = read_exit(record)
    state = job_state(record)
    value = {"state": state, "exit": None if ended is None else ended.model_dump(), "record": record.model_dump()}
    lines = [f"{state}: {' '.join(record.command)}"]
    lines.append(f"  platform   {record.platform}" + (f", image {record.image}" if record.image else ""))
    lines.append(f"  submitted  {record.submitted_at}" + (f", {approved(record.approved)}" if record.approved else ""))
    if ended is not None:
        because = f": {ended.error}" if ended.error else ""
        lines.append(f"  ended      {ended.ended_at}, exit status {ended.exit_code}{because}")
    tell(value, lines, as_json)


@cli.command()
@_FOLDER
@_JOB
@click.option("--tail", type=click.IntRange(min=1), default=200, show_default=True, help="So many of the last lines.")
def logs(folder: Path, job: str, tail: int) -> None:
    """The end of a job's output."""
    from tao_skill_bank.platforms.jobs import job_logs, read_job

    echo(job_logs(read_job(folder.absolute(), job), tail))


@cli.command()
@_FOLDER
@_JOB
def cancel(folder: Path, job: str) -> None:
    """End a job; one that has ended stays as it is. To end a whole run: deft stop."""
    from tao_skill_bank.platforms.jobs import cancel as end
    from tao_skill_bank.platforms.jobs import read_job

    echo(f"{job}: {end(read_job(folder.absolute(), job))}")


@cli.command()
@request_options(ActionAsked)
@click.argument("overrides", nargs=-1)
@click.option("--root", type=PATH, help="What jobs may see at most; default: here.")
@click.option("--approve", metavar="DIGEST", help="The plan that was shown, approved.")
def start(overrides: tuple[str, ...], root: Path | None, approve: str | None, **asked: Any) -> None:
    """Run one TAO command line as a job, on any platform; without --approve its plan is shown."""
    from tao_skill_bank.core import foreground
    from tao_skill_bank.tasks.action import ActionRequest, command_line, plan_action, start_action, values_of

    wish = ActionAsked(**asked)
    folder, top = wish.results_dir.absolute().resolve(), (root or Path(os.getcwd())).absolute().resolve()
    spec = None if wish.spec is None else wish.spec.absolute().resolve()
    command = command_line(wish.category, wish.action, spec, values_of(overrides), folder)
    request = ActionRequest(command, folder, top, wish.platform, tuple(wish.settings), spec)
    if approve is None:
        plan = plan_action(request)
        echo("\n".join([*plan.lines(), "", f"start it with --approve {plan.digest}"]))
        return
    with foreground.stops(
        "it is being submitted, and named in a moment; once more ends this at once",
        lambda: f"ended at once; whether it was submitted: tao-skills jobs list {folder}",
    ):
        record = start_action(request, approve)
        told = foreground.asked()
    echo(f"{record.uid}: submitted; tao-skills jobs status {folder} {record.uid}")
    if told is not None:
        echo(f"it goes on by itself; end it with: tao-skills jobs cancel {folder} {record.uid}", err=True)
        raise SystemExit(told.status)
