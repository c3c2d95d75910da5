"""What the doors call: estimate, run, start, status, stop, merge. Each is one function with plain arguments."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tao_skill_bank.annotate.allow import VARIABLE, NotAllowedError, Source, allowed, find
from tao_skill_bank.annotate.config import SECTION, AnnotationConfig, read_config, schema
from tao_skill_bank.annotate.estimate import Estimate, estimate
from tao_skill_bank.annotate.holder import WORKER, Holder, busy, folder_lock, holder, start_lock, write_holder
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.layout import REVIEW_FILE, STATUS_FILE
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.prompts import is_own
from tao_skill_bank.annotate.run import (
    ADVANCE,
    Advance,
    Limits,
    Outcome,
    Progress,
    annotate,
    check,
    clear_stop,
    request_stop,
)
from tao_skill_bank.annotate.secrets import PRIVATE_VARIABLES, environment_with
from tao_skill_bank.annotate.shards import Merged, merge_journals, shard_config
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.process import process_identity

REQUEST_FILE = "annotation_request.json"
LOG_FILE = "annotation.log"
_STARTED: list[subprocess.Popen[bytes]] = []


class Request(BaseModel):
    """What is asked for: the arguments of `auto_label generate`, and what only this door has."""

    arguments: list[str] = []
    prices: str | None = None
    max_calls: int | None = None
    max_cost: float | None = None
    shard: tuple[int, int] | None = None
    batch: bool = False


class StatusView(BaseModel):
    """A run at a glance.

    Attributes:
        status: working, interrupted, complete, halted, or never run.
        message: How the last run ended.
        videos, done: Listed, and gone through by the last run; None where none has begun.
        left_sec: Seconds to go at the present pace, while somebody works.
        rows: Rows of each step's file in the journal.
        open_batches: Batches at a vendor as its name and the number of their calls.
        items: Items of each task file.
        calls: Everything that was sent, answered or not.
        may_cost, unknown: USD that calls of an unknown outcome may have cost beside, and how many those are.
        in_flight: Calls that are sent and not settled yet, those in open batches among them.
        left_out: Videos that are not to be annotated: too long.
        failures: The first few of what could not be done.
    """

    results_dir: str
    status: str
    message: str | None
    working: Holder | None
    videos: int | None
    done: int | None
    left_sec: int | None
    answers: int
    calls: int
    failed_tries: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost: float
    unpriced: int
    may_cost: float
    unknown: int
    in_flight: int
    rows: dict[str, int]
    items: dict[str, int]
    rejected: int
    open_batches: dict[str, int]
    failure_count: int
    left_out: int
    failures: list[str]
    ask_again_sec: int | None
    next_step: str


def resolve(request: Request) -> AnnotationConfig:
    """The configuration of a request; with a shard, that of the shard's own folder.

    Raises:
        InputError: It cannot be used.
    """
    line = parse_command_line(request.arguments, schema())
    config = read_config(line.config, line.spec_path or "command line")
    return shard_config(config, *request.shard) if request.shard else config


def estimate_run(request: Request, *, general_prompts: bool = False) -> Estimate:
    """What the request will take. Calls nobody, writes nothing.

    Args:
        request: What is asked for.
        general_prompts: Reckon with the general prompts instead of the request's own, which are not run then.
    """
    config = resolve(request)
    if general_prompts:
        config = config.model_copy(update={"prompts_module": ""})
    return estimate(config, load_prices(_own_prices(request)), _limits(request), batch=request.batch)


def not_allowed(request: Request) -> Source | None:
    """The prompts module of a request that nobody has allowed to run yet; None where there is none. Runs nothing.

    Raises:
        InputError: The module is not there.
    """
    name = resolve(request).prompts_module
    source = None if is_own(name) else find(name)
    return None if source is None or allowed(source) else source


def run_here(request: Request, *, by: str = "annotate run", progress: Progress | None = None) -> Outcome:
    """Run the request in this process.

    Raises:
        InputError: The request cannot be met.
        BusyError: Somebody works on the folder.
        BankError: The run was halted; what is answered is kept.
    """
    config = resolve(request)
    prices = load_prices(_own_prices(request))
    with folder_lock(config.results_dir, by):
        return annotate(config, prices, _limits(request), batch=request.batch, progress=progress)


def start_detached(request: Request) -> tuple[Path, int]:
    """Check the request, then start a worker that outlives the caller; returns the results folder and its process id.

    The request is kept without keys in the results folder; keys go to the worker in its environment.
    """
    asked = resolve(request)
    check(asked)
    folder = asked.results_dir
    folder.mkdir(parents=True, exist_ok=True)
    # Looking who works, writing the request and saying that somebody works is one step: of starts at once, one starts.
    with start_lock(folder):
        config, path, keys = keep_request(request)
        clear_stop(folder)
        # Whoever asks from now on finds a run, however long the worker takes to begin.
        Journal(folder).close()
        with (config.results_dir / LOG_FILE).open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "tao_skill_bank.annotate.worker", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment_with(keys),
            )
        write_holder(folder, worker.pid, process_identity(worker.pid), WORKER)
    # Workers that have ended meanwhile are reaped; those that live are kept, so that they can be.
    _STARTED[:] = [started for started in _STARTED if started.poll() is None] + [worker]
    return config.results_dir, worker.pid


def keep_request(request: Request) -> tuple[AnnotationConfig, Path, dict[str, str]]:
    """Check a request and put it, without keys, into its results folder, for a worker to read.

    Returns:
        Its configuration, the file, and the keys by the variables in which the worker expects them; the digest of an
        allowed prompts module goes with them.

    Raises:
        InputError: The request cannot be met.
        NotAllowedError: It names a prompts module that nobody allowed.
        BusyError: Somebody works on the folder.
    """
    config = resolve(request)
    check(config)
    found = holder(config.results_dir)
    if found is not None:
        raise busy(config.results_dir, found)
    config.results_dir.mkdir(parents=True, exist_ok=True)
    keys = {variable: getattr(config, name).secret(variable) for name, variable in PRIVATE_VARIABLES.items()}
    if not is_own(config.prompts_module):
        module = find(config.prompts_module)
        if not allowed(module):
            # It was when it was checked: somebody has changed the file since.
            raise NotAllowedError(module)
        keys[VARIABLE] = module.sha256
    path = config.results_dir / REQUEST_FILE
    kept = request.model_copy(update={"arguments": _absolute_arguments(request, config)})
    write_text(path, kept.model_dump_json(indent=2) + "\n")
    return config, path, {name: value for name, value in keys.items() if value}


def status(results_dir: Path) -> StatusView:
    """A run at a glance; never waits for whoever works on it.

    Raises:
        InputError: There is none.
    """
    working = holder(results_dir)
    last = _last_status(results_dir)
    with Journal(results_dir, read_only=True) as journal:
        totals = journal.totals()
        failures = [
            f"{Path(video).name} {unit}: {reason}" for video, unit, reason in journal.failures(5, left_out=False)
        ]
        rows, tries, (count, left_out) = journal.row_counts(), journal.tries(), journal.failure_count()
        advance = _advance(journal)
        open_batches = journal.open_batches()
    batches = {batch.id or batch.ticket: len(batch.calls) for batch in open_batches}
    # Where nobody works, what was sent and stands in no batch is what a killed process left.
    lost, lost_cost = (0, 0.0) if working else (totals.in_flight, totals.in_flight_cost)
    if not working:
        lost -= sum(batches.values())
        lost_cost -= sum(call.worst for batch in open_batches for call in batch.calls)
    ended = {"SUCCESS": "complete", "FAILURE": "halted"}
    shown = "working" if working else ended.get(last.get("status", ""), "interrupted")
    data = last.get("data") or {}
    return StatusView(
        results_dir=str(results_dir),
        status=shown,
        message=last.get("message") if shown in ("complete", "halted") else None,
        working=working,
        videos=advance and advance.videos,
        done=advance and advance.done,
        left_sec=advance.left_sec if advance and working and not batches else None,
        answers=totals.answers,
        calls=totals.calls,
        failed_tries=tries,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cost=round(totals.cost, 6),
        unpriced=totals.unpriced,
        may_cost=round(totals.may_cost + lost_cost, 6),
        unknown=totals.unknown + lost,
        in_flight=totals.in_flight - lost,
        rows=rows,
        items=data.get("items") or {},
        rejected=data.get("rejected") or 0,
        open_batches=batches,
        failure_count=count,
        left_out=left_out,
        failures=failures,
        ask_again_sec=(300 if batches else 10) if working else None,
        next_step=_next_step(shown, results_dir, count),
    )


def stop(results_dir: Path) -> bool:
    """Ask whoever works on the folder to stop; calls in flight are waited for. False if nobody works on it."""
    if holder(results_dir) is None:
        return False
    request_stop(results_dir)
    return True


def merge(results_dir: Path) -> Merged:
    """Bring the answers of the shards together in the folder's own journal."""
    with folder_lock(results_dir, "annotate merge"):
        return merge_journals(results_dir)


def _advance(journal: Journal) -> Advance | None:
    try:
        return Advance.model_validate_json(journal.meta(ADVANCE) or "")
    except ValueError:
        return None


def _next_step(shown: str, results_dir: Path, failures: int) -> str:
    if shown == "working":
        return f"wait; tao-skills annotate stop {results_dir} lets it end early, and nothing is lost"
    if shown == "complete" and failures:
        return "run the same command again to retry what failed; then annotate review"
    if shown == "complete":
        review = results_dir / REVIEW_FILE
        return f"look at {review}" if review.exists() else f"tao-skills annotate review {results_dir}"
    return "mend the cause, then run the same command again; every answer is kept"


def _last_status(results_dir: Path) -> dict[str, Any]:
    path = results_dir / STATUS_FILE
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines() if path.exists() else []
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("data") or {}, dict):
            return value
    return {}


def _limits(request: Request) -> Limits:
    return Limits(request.max_calls, request.max_cost, request.shard)


def _own_prices(request: Request) -> Path | None:
    return None if request.prices is None else Path(request.prices)


def _absolute_arguments(request: Request, config: AnnotationConfig) -> list[str]:
    """The request's configuration as a spec file of its own, without keys; a worker may begin in another folder."""
    values = config.public()
    values.pop("results_dir")
    if values["data"]["video_root"]:
        values["data"]["video_root"] = os.path.abspath(os.path.expanduser(values["data"]["video_root"]))
    files = values["data"]["input_jsonl_files"]
    values["data"]["input_jsonl_files"] = [os.path.abspath(os.path.expanduser(name)) for name in files]
    if not is_own(config.prompts_module):
        values["prompts_module"] = str(find(config.prompts_module).path)
    spec = config.results_dir / "annotation_spec.yaml"
    import yaml

    root = config.results_dir.parents[1] if request.shard else config.results_dir
    content = {"autolabel_type": SECTION, "results_dir": str(root), SECTION: values}
    write_text(spec, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return ["-e", str(spec)]


def request_of(
    arguments: Sequence[str],
    *,
    spec: Path | None = None,
    results_dir: Path | None = None,
    video_root: Path | None = None,
    prices: Path | None = None,
    max_calls: int | None = None,
    max_cost: float | None = None,
    shard: str | None = None,
    batch: bool = False,
) -> Request:
    """A request out of a door's options.

    Raises:
        InputError: A limit below zero, a shard that is none.
    """
    from tao_skill_bank.annotate.listing import parse_shard

    if (max_calls is not None and max_calls < 0) or (max_cost is not None and not 0 <= max_cost < math.inf):
        # Nothing is larger than NaN: such a limit would never be reached.
        raise InputError("a limit is a number from 0 on", where="--max-calls, --max-cost", fix="give 0 or more")
    words = ["-e", str(spec)] if spec else []
    words += [f"results_dir={_quoted(results_dir)}"] if results_dir else []
    words += [f"{SECTION}.data.video_root={_quoted(video_root)}"] if video_root else []
    return Request(
        arguments=[*words, *arguments],
        prices=None if prices is None else os.path.abspath(prices),
        max_calls=max_calls,
        max_cost=max_cost,
        shard=None if shard is None else parse_shard(shard),
        batch=batch,
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
