"""`tao-skills annotate …`: estimate, run, status, review, check, sample, error-rate, export, stop, merge, allow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tao_skill_bank.annotate.asked import Estimating, Request
from tao_skill_bank.commands.cluster import cluster_of
from tao_skill_bank.commands.options import CLUSTER, JSON, PATH, request_options
from tao_skill_bank.commands.out import echo, print_json, tell

if TYPE_CHECKING:
    from tao_skill_bank.annotate.calls import Caller
    from tao_skill_bank.annotate.estimate import Estimate, Range
    from tao_skill_bank.annotate.run import Outcome


@click.group()
def cli() -> None:
    """Annotate videos: captions, descriptions, questions with reasoning; answers are kept, every call is counted."""


_FOLDER = click.argument("results_dir", type=PATH)
_APPROVE = click.option(
    "--approve", metavar="DIGEST", help="Start only what has this digest, as an estimate showed it."
)


@cli.command()
@request_options(Estimating)
@JSON
def estimate(as_json: bool, **given: Any) -> None:
    """Show calls, tokens, cost and time before the first call. Calls nobody, writes nothing."""
    from tao_skill_bank.annotate.api import estimate_run

    _print_estimate(estimate_run(Request(**given)), as_json)


def _print_estimate(found: Estimate, as_json: bool) -> None:
    if as_json:
        return print_json(found)
    echo(f"{found.videos} videos, steps {', '.join(found.steps)}; {found.unusable} of those looked at unusable")
    echo(f"  calls          {_shown(found.calls)}")
    echo(f"  input tokens   {_shown(found.input_tokens)}")
    echo(f"  output tokens  {_shown(found.output_tokens)}")
    cost = "unknown" if found.cost is None else _shown(found.cost, "$", 2 if found.cost.mid >= 1 else 4)
    echo(f"  cost           {cost}")
    echo(f"  minutes        {_shown(found.seconds, scale=60, digits=1) if found.seconds else 'the vendor decides'}")
    if found.answered:
        echo(f"  of which paid  {found.answered} answers, ${found.spent:.4f}")
    echo("  " + "; ".join(found.notes))
    echo(f"  digest         {found.digest}")


@cli.command()
@request_options(Request)
@JSON
@_APPROVE
@click.option("--detach", is_flag=True, help="Start it in the background and return.")
@click.option("--shards", type=int, help="Do all of this many parts, then bring them together.")
@CLUSTER
def run(
    as_json: bool,
    approve: str | None,
    detach: bool,
    shards: int | None,
    platform: str,
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Annotate, or take up what was begun. Stop it with Ctrl-C whenever you like: the same command goes on."""
    from tao_skill_bank.annotate import api

    request = Request(**given)
    if detach and shards is not None:
        raise click.UsageError("--shards waits for its parts; leave --detach away")
    if approve and shards is not None:
        raise click.UsageError("--approve is for one run; leave --shards away")
    cluster = cluster_of(platform, settings, shards)
    if detach:
        folder, pid = api.start_detached(request, approve=approve)
        started = f"started (process {pid}); watch it: tao-skills annotate status {folder}"
        return tell({"results_dir": str(folder), "pid": pid}, [started], as_json)
    if shards is not None:
        from tao_skill_bank.sharding.sharded import annotate_sharded

        outcome = annotate_sharded(request, shards, cluster)
    else:
        shows = not as_json and sys.stderr.isatty()
        try:
            outcome = api.run_here(request, approve=approve, progress=_progress if shows else None)
        finally:
            if shows:
                click.echo("\r\033[K", nl=False, err=True)
    if as_json:
        return print_json(outcome)
    for problem in outcome.problems:
        echo(f"note: {problem}", err=True)
    echo(f"{outcome.videos} videos, {outcome.failed} with failures, {outcome.calls} calls, {outcome.known} known")
    echo(f"items: {', '.join(f'{task} {n}' for task, n in outcome.items.items()) or 'none'}")
    echo(f"refused: {outcome.rejected}{_codes(outcome.refused)}; {_priced(outcome)}")
    if outcome.flagged:
        echo(f"flagged and kept: {sum(outcome.flagged.values())}{_codes(outcome.flagged)}")
    if outcome.came_to_nothing:
        raise SystemExit(1)


@cli.command()
@_FOLDER
@click.option("--watch", is_flag=True, help="Show it anew every other second until nobody works any more.")
@JSON
def status(results_dir: Path, watch: bool, as_json: bool) -> None:
    """Show where a run stands: videos, time left, what was paid, what failed. Without --watch it never waits."""
    from tao_skill_bank.annotate.api import status as look
    from tao_skill_bank.commands.annotate_status import shown, watched

    if watch and as_json:
        raise click.UsageError("--watch is for people; leave --json away")
    if watch and sys.stdout.isatty():
        watched(results_dir)
        return
    view = look(results_dir)
    tell(view, [shown(view)], as_json)


@cli.command()
@_FOLDER
@click.option("--limit", default=20, show_default=True, help="Show this many videos.")
@click.option("--sample", is_flag=True, help="Show what `annotate sample` drew, and no flags.")
@JSON
def review(results_dir: Path, limit: int, sample: bool, as_json: bool) -> None:
    """Write review.html, in which a person accepts or rejects the questions of a pilot; the next run honours it."""
    from tao_skill_bank.reports.annotation.review import render_review

    path = render_review(results_dir, limit, sample=sample)
    tell({"review": str(path)}, [str(path)], as_json)


@cli.command()
@_FOLDER
@request_options(Request, without=("results_dir", "video_root", "shard"))
@_APPROVE
@click.option("--estimate", "only_estimate", is_flag=True, help="Show what checks by a model would take. Calls nobody.")
@JSON
def check(results_dir: Path, approve: str | None, only_estimate: bool, as_json: bool, **given: Any) -> None:
    """Look at every item by the rules: refused ones leave the task files, flagged ones stay. Calls nobody.

    With a spec or settings that name quality.checks, a model is asked first: blind (without the video), judge (a second
    look at it), time (which stretch shows it); journaled, and within the limits.
    """
    from tao_skill_bank.annotate import api
    from tao_skill_bank.annotate.api import check_items

    if given["overrides"] or given["spec"] is not None:
        request = Request(results_dir=results_dir, **given)
        if only_estimate:
            _print_estimate(api.estimate_run(api.judge_sealed(request)), as_json)
            return
        outcome = api.judge_items(request, approve=approve)
        if not as_json:
            echo(f"{outcome.calls} calls, {outcome.known} known, {_priced(outcome)}")
            if outcome.failed:
                echo(f"note: of {outcome.failed} of {outcome.videos} videos not every check was answered", err=True)
    written = check_items(results_dir)
    if as_json:
        return print_json(written)
    echo(f"items: {', '.join(f'{task} {n}' for task, n in written.items.items()) or 'none'}")
    echo(f"refused: {sum(written.refused.values())}{_codes(written.refused)}")
    echo(f"flagged and kept: {sum(written.flagged.values())}{_codes(written.flagged)}")
    echo(f"see {results_dir / 'step_4_output/rejected.jsonl'} and {results_dir / 'quality.json'}")


@cli.command()
@_FOLDER
@click.option("--n", "number", type=int, default=200, show_default=True, help="How many items.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which ones.")
@JSON
def sample(results_dir: Path, number: int, seed: int, as_json: bool) -> None:
    """Draw items whose verdicts tell how many are wrong; then review --sample, then error-rate."""
    from tao_skill_bank.annotate.results import sample as draw

    path, tasks = draw(results_dir, number, seed)
    drawn = f"{sum(tasks.values())} items ({', '.join(f'{task} {n}' for task, n in sorted(tasks.items()))}): {path}"
    lines = [drawn, f"next: tao-skills annotate review {results_dir} --sample"]
    tell({"sample": str(path), "items": sum(tasks.values()), "tasks": tasks}, lines, as_json)


@cli.command("error-rate")
@_FOLDER
@JSON
def error_rate(results_dir: Path, as_json: bool) -> None:
    """Show how many items are wrong, by the verdicts on the sample, with exact 95 % intervals."""
    from dataclasses import asdict

    from tao_skill_bank.annotate.api import measure_errors

    found = measure_errors(results_dir)
    if as_json:
        rates = {task: asdict(rate) for task, rate in found.rates.items()}
        return print_json({"rates": rates, "changed": found.changed, "tags": found.tags()})
    for task, rate in found.rates.items():
        echo(f"{task}: {rate.line()}")
    if found.changed:
        echo(f"{found.changed} sampled items are there no more: draw a new sample")
    elif not found.tags():
        echo("not measured: judge 20 or more")


@cli.command()
@_FOLDER
@click.option("--format", "layout", required=True, metavar="tao|llava|sharegpt|swift|hf|webdataset", help="For whom.")
@click.option("--to", type=PATH, required=True, help="A folder that is empty or an earlier export; replaced whole.")
@click.option("--split", default="80/10/10", show_default=True, help="Percent of train/val/test, by content.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split and the balance.")
@click.option("--keep-split", type=PATH, help="An earlier export whose videos stay on their sides.")
@click.option("--group-field", help="A field of the input lines: videos of one value stay together.")
@click.option("--tasks", default="", help="Only these, such as mcq,bcq.")
@click.option("--answers", type=click.Choice(["plain", "think", "think_answer"]), default="plain", show_default=True)
@click.option("--twins", type=click.Choice(["short", "long", "both"]), help="Letter, words or both; tao: both.")
@click.option("--media", type=click.Choice(["reference", "copy", "link"]), default="reference", show_default=True)
@click.option("--balance", default="", help="yes-no,letters: leave out surplus items.")
@click.option("--tar", is_flag=True, help="llava: the videos of a split as videos.tar.gz, too.")
@click.option("--parquet", is_flag=True, help="hf: parquet files instead of JSON lines.")
@JSON
def export(results_dir: Path, as_json: bool, **given: Any) -> None:
    """Write the checked items as the files that a trainer reads, split by the content of the videos."""
    from tao_skill_bank.annotate.export.build import export as write
    from tao_skill_bank.annotate.export.items import Options

    for name in ("tasks", "balance"):
        given[name] = tuple(part.strip() for part in given[name].split(",") if part.strip())
    done = write(results_dir, Options(**given))
    if as_json:
        return print_json(done)
    for warning in done.warnings:
        echo(f"note: {warning}", err=True)
    for split, counts in done.counts.items():
        echo(f"{split}: {done.videos[split]} videos, {', '.join(f'{task} {n}' for task, n in counts.items())}")
    echo(f"licence: {done.license}; refused by the checks: {sum(done.refused.values())}{_codes(done.refused)}")
    echo(done.folder)


@cli.command()
@_FOLDER
@JSON
def stop(results_dir: Path, as_json: bool) -> None:
    """Ask a run to stop; calls in flight are waited for and kept."""
    from tao_skill_bank.annotate.api import stop as ask

    asked = ask(results_dir)
    said = f"asked {results_dir} to stop" if asked else f"nobody works on {results_dir}: nothing to stop"
    tell({"results_dir": str(results_dir), "stop_requested": asked}, [said], as_json)


@cli.command()
@_FOLDER
@JSON
def merge(results_dir: Path, as_json: bool) -> None:
    """Bring the answers of all shards together. Then `run` without --shard writes the files from them."""
    from tao_skill_bank.annotate.api import merge as bring

    merged = bring(results_dir)
    if as_json:
        return print_json(merged)
    echo(f"{len(merged.shards)} shards, {merged.answers} answers, {merged.new} of them new here")
    if merged.missing:
        echo(f"note: no answers of {', '.join(merged.missing[:5])} are here; a run would pay for them", err=True)
    echo("next: the same run without --shard writes the files")


@cli.command()
@click.argument("module", metavar="FILE.py")
@click.option("--revoke", is_flag=True, help="Take it back.")
@JSON
def allow(module: str, revoke: bool, as_json: bool) -> None:
    """Allow a prompts module to run, as it is now. Read it first: it is a program."""
    from tao_skill_bank.annotate import allow as allowing

    source = allowing.find(module)
    if revoke:
        allowing.revoke(source)
    else:
        allowing.allow(source, how="command")
    if as_json:
        facts = {"path": str(source.path), "sha256": source.sha256, "lines": source.lines, "allowed": not revoke}
        return print_json(facts)
    word = "no longer allowed" if revoke else "allowed to run"
    echo(f"{word}: {source.path} ({source.lines} lines, sha256 {source.sha256[:16]})")
    if not revoke:
        echo("It is asked for again when the file changes. `--revoke` takes it back.")


def _shown(estimate: Range, unit: str = "", digits: int = 0, scale: float = 1.0) -> str:
    low, mid, high = (f"{unit}{value / scale:,.{digits}f}" for value in (estimate.low, estimate.mid, estimate.high))
    return f"{mid}  ({low} to {high})"


def _codes(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{code} {n:,}' for code, n in counts.items())})" if counts else ""


def _priced(outcome: Outcome) -> str:
    """What was paid; a sum without the answers whose price nobody knows is said to be one."""
    paid = f"${outcome.cost:.4f}"
    return f"{paid} and {outcome.unpriced} answers without a price" if outcome.unpriced else f"{paid} in all"


def _progress(done: int, videos: int, caller: Caller) -> None:
    text = f"{done:,} of {videos:,} videos, {caller.made:,} calls, {caller.known:,} known"
    click.echo(f"\r\033[K{text}", nl=False, err=True)
