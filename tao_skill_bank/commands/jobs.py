"""`tao-skills jobs …`: the jobs of a run folder, on whatever platform they run."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FOLDER = click.argument("folder", type=click.Path(path_type=Path))
_JOB = click.argument("job")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group()
def cli() -> None:
    """Look at the jobs of a run folder, and end them."""


@cli.command(name="list")
@_FOLDER
@_JSON
def list_jobs(folder: Path, as_json: bool) -> None:
    """Every job of a folder, oldest first: its state, platform and command."""
    from tao_skill_bank.errors import InputError
    from tao_skill_bank.platforms.base import jobs_dir, read_records
    from tao_skill_bank.platforms.jobs import job_state

    folder = folder.absolute()
    if not jobs_dir(folder).is_dir():
        raise InputError("no jobs are here", where=folder, fix="name a run folder")
    rows = [(r.uid, job_state(r), r.platform, " ".join(r.command[:2]), r.submitted_at) for r in read_records(folder)]
    if as_json:
        names = ("job", "state", "platform", "command", "submitted_at")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return
    for uid, state, platform, command, _ in rows:
        click.echo(f"{state:<9} {platform:<10} {uid}  {command}")


@cli.command()
@_FOLDER
@_JOB
@_JSON
def status(folder: Path, job: str, as_json: bool) -> None:
    """One job: its state, and how it ended."""
    from tao_skill_bank.platforms.base import read_exit
    from tao_skill_bank.platforms.jobs import job_state, read_job

    record = read_job(folder.absolute(), job)
    ended = read_exit(record)
    state = job_state(record)
    if as_json:
        value = {"state": state, "exit": None if ended is None else ended.model_dump(), "record": record.model_dump()}
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(f"{state}: {' '.join(record.command)}")
    click.echo(f"  platform   {record.platform}" + (f", image {record.image}" if record.image else ""))
    click.echo(f"  submitted  {record.submitted_at}")
    if ended is not None:
        click.echo(f"  ended      {ended.ended_at}, exit status {ended.exit_code}" + _because(ended.error))


@cli.command()
@_FOLDER
@_JOB
@click.option("--tail", default=200, show_default=True, help="So many of the last lines.")
def logs(folder: Path, job: str, tail: int) -> None:
    """The end of a job's output."""
    from tao_skill_bank.platforms.jobs import job_logs, read_job

    click.echo(job_logs(read_job(folder.absolute(), job), tail))


@cli.command()
@_FOLDER
@_JOB
def cancel(folder: Path, job: str) -> None:
    """End a job; one that has ended stays as it is. To end a whole run: deft stop."""
    from tao_skill_bank.platforms.jobs import cancel as end
    from tao_skill_bank.platforms.jobs import read_job

    click.echo(f"{job}: {end(read_job(folder.absolute(), job))}")


def _because(error: str | None) -> str:
    return f": {error}" if error else ""
