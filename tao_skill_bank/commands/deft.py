"""`tao-skills deft …`: plan, run, step, status, stop, watch, compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tao_skill_bank.commands.options import JSON, PATH, request_options, together
from tao_skill_bank.commands.out import echo, print_json, tell
from tao_skill_bank.core.errors import BankError, InputErrors, NeedsApprovalError
from tao_skill_bank.loop.asked import Request

if TYPE_CHECKING:
    from tao_skill_bank.loop.api import StatusView
    from tao_skill_bank.loop.foreign import Foreign
    from tao_skill_bank.loop.request import PreFlight

_REPORT = "DEFT_Loop_Report.html"
_REQUEST = together(request_options(Request), JSON)
_APPROVAL = together(
    click.option("--yes", is_flag=True, help="Approve the plan as it is now."),
    click.option("--approve", metavar="DIGEST", help="Approve exactly this plan."),
    click.option("--accept", multiple=True, metavar="WORD", help="What the plan asks a word of its own for."),
)


@click.group()
def cli() -> None:
    """Plan, run and watch the DEFT improvement loop."""


@cli.command()
@_REQUEST
def plan(as_json: bool, **given: Any) -> None:
    """Check everything and show what a run would do, with the digest to approve. Writes nothing."""
    from tao_skill_bank.runs import plan_run

    summary = _guarded(as_json, lambda: plan_run(Request(**given)))
    own = "".join(f" --accept {word.name}" for word in summary.words)
    how = f"\nTo run it: the same command with `run` and --approve {summary.digest}{own} (or --yes{own})"
    tell(summary, [*summary.lines(), how], as_json)


@cli.command()
@_REQUEST
@_APPROVAL
@click.option("--detach", is_flag=True, help="Start it in the background and return.")
def run(**given: Any) -> None:
    """Run the loop to its end; the report's path is the last line."""
    _work(once=False, **given)


@cli.command()
@_REQUEST
@_APPROVAL
def step(**given: Any) -> None:
    """Run the next stage only."""
    _work(once=True, detach=False, **given)


@cli.command()
@click.argument("run_dir", type=PATH)
@click.option("--workspace", "-w", type=PATH, help="Where its workspace lies now.")
@_APPROVAL
@JSON
def adopt(
    run_dir: Path, workspace: Path | None, yes: bool, approve: str | None, accept: tuple[str, ...], as_json: bool
) -> None:
    """Let a run go on whose folder or workspace was moved or renamed."""
    from tao_skill_bank import runs

    def approved() -> Path:
        digest, how = approve, "flag"
        if digest is None:
            shown = runs.plan_adoption(run_dir, workspace)
            if not as_json:
                echo("\n".join(shown.lines()) + "\n")
            asks = not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
            if yes or (asks and click.confirm("Let it go on here with this plan?", default=False)):
                digest, how = shown.digest, "flag" if yes else "tty"
        return runs.adopt(run_dir, workspace, approve=digest, how="tty" if how == "tty" else "flag", words=accept)

    folder = _guarded(as_json, approved)
    tell(runs.status(folder), [f"adopted; it goes on with: tao-skills deft run --results-dir {folder}"], as_json)


@cli.command("import")
@click.argument("run_dir", type=PATH)
@click.argument("folder", type=PATH)
@JSON
def import_(run_dir: Path, folder: Path, as_json: bool) -> None:
    """Copy a run of the published loop into FOLDER, so that it can be reported and compared; RUN_DIR is only read."""
    from tao_skill_bank import runs

    done = _guarded(as_json, lambda: runs.import_run(run_dir, folder))
    tell({"results_dir": str(done.folder), "left": done.left}, [*done.lines(), str(done.folder / _REPORT)], as_json)


@cli.command()
@click.argument("run_dir", required=False, type=PATH)
@click.option("--results-dir", type=PATH, help="The run folder.")
@click.option("--workspace", "-w", type=PATH, help="Show its newest run.")
@click.option("--after", default=0, help="Show log lines behind this sequence number.")
@JSON
def status(run_dir: Path | None, results_dir: Path | None, workspace: Path | None, after: int, as_json: bool) -> None:
    """Show where a run stands; never waits."""
    from tao_skill_bank.loop.foreign import Foreign

    folder = _run_folder(run_dir or results_dir, workspace)
    view = _guarded(as_json, lambda: _seen(folder, after))
    if isinstance(view, Foreign):
        return tell(asdict(view), view.lines(), as_json)
    if as_json:
        return print_json(view)
    from tao_skill_bank.commands.progress import print_status

    print_status(view)


@cli.command()
@click.argument("run_dir", required=False, type=PATH)
@click.option("--results-dir", type=PATH, help="The run folder.")
@click.option("--workspace", "-w", type=PATH, help="Stop its newest run.")
@JSON
def stop(run_dir: Path | None, results_dir: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Ask a run to stop; what runs is ended, what is committed stays."""
    from tao_skill_bank import runs

    folder = _run_folder(run_dir or results_dir, workspace)
    asked = _guarded(as_json, lambda: runs.stop(folder))
    said = f"asked {folder} to stop" if asked else f"nobody works on {folder}: nothing to stop"
    tell({"results_dir": str(folder), "stop_requested": asked}, [said], as_json)


@cli.command()
@click.argument("run_dir", required=False, type=PATH)
@click.option("--workspace", "-w", type=PATH, help="Watch its newest run.")
@click.option("--serve", type=int, is_flag=False, flag_value=0, metavar="[PORT]", help="A page that follows the run.")
@click.option("--once", is_flag=True, help="Show it once and return.")
def watch(run_dir: Path | None, workspace: Path | None, serve: int | None, once: bool) -> None:
    """Watch a run until it ends; q or Ctrl-C leave it running."""
    from tao_skill_bank.commands.watch import watch as show

    folder = _run_folder(run_dir, workspace)
    if serve is None:
        show(folder, once=once)
        return
    from tao_skill_bank.reports.deft.live import LiveServer

    with LiveServer(folder, serve) as server:
        echo(server.address)
        show(folder, address=server.address)


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=PATH)
@JSON
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to this file instead.")
def compare(runs: tuple[Path, ...], as_json: bool, html: Path | None) -> None:
    """Runs side by side: what differs in their plans, what they limit per iteration, cost."""
    from tao_skill_bank.reports.compare import compare_runs, lines, write_page

    found = _guarded(as_json, lambda: compare_runs(runs))
    if html is not None:
        _guarded(as_json, lambda: write_page(found, html))
    tell(found, lines(found) if html is None else [str(html)], as_json)


def _work(
    as_json: bool, yes: bool, approve: str | None, accept: tuple[str, ...], *, once: bool, detach: bool, **given: Any
) -> None:
    from tao_skill_bank import runs
    from tao_skill_bank.commands.attended import work_on

    request = Request(**given)
    folder = _guarded(as_json, lambda: _approved(request, yes, approve, accept, quiet=as_json))
    if detach:
        pid = _guarded(as_json, lambda: runs.start_detached(folder))
        started = f"started (process {pid}); watch it: tao-skills deft watch {folder}"
        return tell({"results_dir": str(folder), "pid": pid}, [started], as_json)
    if not as_json:
        echo(f"run folder: {folder}")
    try:
        status = work_on(folder, quiet=as_json, once=once)
    except BankError as error:
        if as_json:
            _print_json_error(error, folder)
            raise SystemExit(error.exit_code) from None
        if (folder / _REPORT).exists():
            echo(f"report: {folder / _REPORT}")
        raise
    view = runs.status(folder)
    report = folder / _REPORT
    tell(view, [f"verdict: {view.verdict.line}", str(report if report.exists() else folder)], as_json)
    raise SystemExit(status)


def _approved(request: Request, yes: bool, approve: str | None, accept: tuple[str, ...], *, quiet: bool) -> Path:
    """The run folder with an approved plan: by flag, by digest, or by a person at the terminal."""
    from tao_skill_bank import runs

    checked: PreFlight | None = None
    if not yes or approve is not None:
        try:
            return runs.open_run(request, approve=approve, how="flag", words=accept)
        except NeedsApprovalError as error:
            if quiet or approve is not None or not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise
            checked = cast("PreFlight | None", error.checked)
    shown = checked or runs.plan_run(request)
    if not quiet:
        echo("\n".join(shown.lines()) + "\n")
    if not yes and not click.confirm("Run this plan?", default=False):
        raise NeedsApprovalError("not approved; nothing was changed", digest=shown.digest)
    said = [*accept]
    for word in shown.words if not yes else ():
        if word.name not in accept:
            echo(word.question)
            said.append(click.prompt(f"Type {word.name} to accept it", default="", show_default=False).strip())
    return runs.open_run(request, approve=shown.digest, how="flag" if yes else "tty", checked=shown, words=said)


def _run_folder(folder: Path | None, workspace: Path | None) -> Path:
    from tao_skill_bank.runs import latest_run

    if folder is not None:
        return folder.absolute()
    newest = None if workspace is None else latest_run(workspace.absolute())
    if newest is None:
        raise click.UsageError("name a run folder, or a --workspace that has a run")
    return newest


def _seen(folder: Path, after: int) -> StatusView | Foreign:
    """Where a run stands; of another program's state what it says, since looking works on nothing."""
    from tao_skill_bank import runs
    from tao_skill_bank.loop.foreign import ForeignStateError

    try:
        return runs.status(folder, after)
    except ForeignStateError as error:
        return error.said


def _guarded(as_json: bool, call: Callable[[], Any]) -> Any:
    """Call the engine; with --json an error is JSON on stdout as well as its exit status."""
    try:
        return call()
    except BankError as error:
        if not as_json:
            raise
        _print_json_error(error, None)
        raise SystemExit(error.exit_code) from None


def _print_json_error(error: BankError, folder: Path | None) -> None:
    out: dict[str, Any] = {"error": error.line(), "exit_code": error.exit_code}
    if isinstance(error, InputErrors):
        out["faults"] = error.faults
    if isinstance(error, NeedsApprovalError):
        out["needs_approval"] = error.digest
    if folder is not None:
        out["results_dir"] = str(folder)
    click.echo(json.dumps(out, ensure_ascii=False))
