"""What the doors call: estimate, run, start, status, stop, merge. Each is one function with plain arguments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tao_skill_bank.annotate.allow import VARIABLE, NotAllowedError, Source, allowed, find
from tao_skill_bank.annotate.asked import Request as Request
from tao_skill_bank.annotate.config import SECTION, AnnotationConfig, read_config, schema
from tao_skill_bank.annotate.estimate import Estimate, estimate_sealed
from tao_skill_bank.annotate.holder import START_LOCK, desk, folder_lock
from tao_skill_bank.annotate.journal import Journal, journal_path
from tao_skill_bank.annotate.layout import REVIEW_FILE, STATUS_FILE, shard_folders, whole_of
from tao_skill_bank.annotate.output import Written
from tao_skill_bank.annotate.parts import Parts, parts_of
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.prompts import is_own
from tao_skill_bank.annotate.quality.error_rate import Measured
from tao_skill_bank.annotate.results import check as check_results
from tao_skill_bank.annotate.results import error_rate, opened
from tao_skill_bank.annotate.run import (
    ADVANCE,
    Advance,
    Outcome,
    Progress,
    clear_stop,
    request_stop,
    run_sealed,
)
from tao_skill_bank.annotate.scope import Limits, check
from tao_skill_bank.annotate.sealed import STARTED_BY, Sealed, refuse_unpriced, seal
from tao_skill_bank.annotate.secrets import PRIVATE_VARIABLES, environment_with
from tao_skill_bank.annotate.shards import Merged, merge_journals, shard_config
from tao_skill_bank.core import guard, lifecycle
from tao_skill_bank.core.consent import started
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_bytes
from tao_skill_bank.core.lifecycle import Holder
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.core.text import json_objects
from tao_skill_bank.platforms.base import ENDED, read_records
from tao_skill_bank.platforms.jobs import cancel, job_state

REQUEST_FILE = "annotation_request.json"
LOG_FILE = "annotation.log"
ARRAY_KEY = "annotate."
"""How the key of an array of shards begins."""
_WORKER = "tao_skill_bank.annotate.worker"


class StatusView(BaseModel):
    """A run at a glance.

    Attributes:
        status: working, held (by one elsewhere who gives no sign of life), interrupted, complete, halted, or never run.
        message: How the last run ended.
        approval: How the last run was approved; None in the journal of an earlier version.
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
        parts: What its shards have in journals of their own; None once the whole has come to its end with it.
    """

    results_dir: str
    status: str
    message: str | None = None
    working: Holder | None = None
    approval: str | None = None
    videos: int | None = None
    done: int | None = None
    left_sec: int | None = None
    answers: int = 0
    calls: int = 0
    failed_tries: dict[str, int] = Field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    may_cost: float = 0.0
    unknown: int = 0
    in_flight: int = 0
    rows: dict[str, int] = Field(default_factory=dict)
    items: dict[str, int] = Field(default_factory=dict)
    rejected: int = 0
    open_batches: dict[str, int] = Field(default_factory=dict)
    failure_count: int = 0
    left_out: int = 0
    failures: list[str] = Field(default_factory=list)
    parts: Parts | None = None
    ask_again_sec: int | None = None
    next_step: str


def resolve(request: Request) -> AnnotationConfig:
    """The configuration of a request; with a shard, that of the shard's own folder.

    Raises:
        InputError: It cannot be used.
    """
    line = parse_command_line(request.arguments, schema())
    config = read_config(line.config, line.spec_path or "command line")
    return shard_config(config, *request.shard) if request.shard else config


def seal_run(request: Request) -> Sealed:
    """What a request comes to, resolved once: what is shown, approved and started from here on is this object.

    Reads the spec, the price table, the lists and the videos' beginnings; runs nobody's Python, writes nothing.

    Raises:
        InputError: It cannot be used, or there are no videos.
    """
    return seal_config(request, resolve(request))


def seal_config(request: Request, config: AnnotationConfig) -> Sealed:
    """The same, of a request that is resolved already; its spec is not read again."""
    prices = load_prices(request.prices, request.price)
    if request.max_cost is not None:
        # Said before anybody approves: without its price a limit in USD could not be kept.
        refuse_unpriced(config, prices)
    limits = Limits(request.max_calls, request.max_cost, request.shard)
    return seal(config, prices, limits, batch=request.batch)


def estimate_run(asked: Request | Sealed, *, general_prompts: bool = False) -> Estimate:
    """What the request will take. Calls nobody, writes nothing.

    `general_prompts` are reckoned with instead of the request's own, which are not run then.
    """
    return estimate_sealed(_sealed(asked), general_prompts=general_prompts)


def not_allowed(asked: Request | Sealed) -> Source | None:
    """The prompts module of a request that nobody has allowed to run yet; None where there is none. Runs nothing.

    Raises:
        InputError: The module is not there.
    """
    name = (asked.config if isinstance(asked, Sealed) else resolve(asked)).prompts_module
    source = None if is_own(name) else find(name)
    return None if source is None or allowed(source) else source


def run_here(
    asked: Request | Sealed,
    *,
    approve: str | None = None,
    by: str = "annotate run",
    progress: Progress | None = None,
) -> Outcome:
    """Run the request in this process.

    Where anything else than the digest `approve` was approved, nothing starts.

    Raises:
        InputError: The request cannot be met.
        NeedsApprovalError: Something else was approved.
        BusyError: Somebody works on the folder.
        BankError: The run was halted; what is answered is kept.
    """
    if isinstance(asked, Request):
        # Bad prompts are named before a hundred thousand videos are listed.
        check(resolve(asked))
    sealed = _sealed(asked)
    # A worker is handed a request that says already how it was approved.
    how = sealed.how if sealed.how != Sealed.how else "flag" if approve else "command"
    sealed = sealed.approved(approve, how)
    if by != lifecycle.WORKER:
        _begun_by_hand(sealed.config.results_dir)
    with folder_lock(sealed.config.results_dir, by):
        return run_sealed(sealed, progress=progress)


def start_detached(asked: Request | Sealed, *, approve: str | None = None, how: str | None = None) -> tuple[Path, int]:
    """Start a worker that outlives the caller with what was sealed; returns the results folder and its process id.

    The worker gets the object through a file without a name: nothing that it was approved with is read again. Its keys
    go to it in its environment; the results folder keeps a copy without keys for people. Where anything else than the
    digest `approve` was approved, nothing starts.

    Raises:
        InputError: The request cannot be met.
        NotAllowedError: It names a prompts module that nobody allowed.
        NeedsApprovalError: Something else was approved.
        BusyError: Somebody works on the folder.
    """
    if isinstance(asked, Request):
        check(resolve(asked))
    sealed = _sealed(asked).approved(approve, how or ("flag" if approve else "command"))
    check(sealed.config)
    folder = sealed.config.results_dir
    guard.make_folder(folder)
    _begun_by_hand(folder)
    with lifecycle.starting(desk(folder), folder / START_LOCK):
        _, keys = keep_request(sealed)
        clear_stop(folder)
        # Whoever asks from now on finds a run, however long the worker takes to begin.
        Journal(folder).close()
        with tempfile.TemporaryFile() as handed:
            handed.write(sealed.dumps())
            handed.seek(0)
            env = environment_with(keys)
            return folder, lifecycle.start(desk(folder), _WORKER, log=folder / LOG_FILE, env=env, given=handed)


def _begun_by_hand(folder: Path) -> None:
    """Forget what somebody asked of the whole where that was killed: whoever begins one of its shards now wants it."""
    whole = whole_of(folder)
    with suppress(OutsideError):
        if whole is not None and lifecycle.announced(desk(whole)) is None:
            clear_stop(whole)


def keep_request(sealed: Sealed) -> tuple[Path, dict[str, str]]:
    """Put what was sealed, without keys, into its results folder, where a worker of a shard finds it by its digest.

    Returns:
        The file, and the keys by the variables in which the worker expects them; the digest of an allowed prompts
        module goes with them.

    Raises:
        NotAllowedError: It names a prompts module that nobody allowed, or that has changed.
        BusyError: Somebody works on the folder.
    """
    config = sealed.config
    if lifecycle.holder(desk(config.results_dir)) is not None:
        raise lifecycle.busy(desk(config.results_dir))
    guard.make_folder(config.results_dir)
    keys = {variable: getattr(config, name).secret(variable) for name, variable in PRIVATE_VARIABLES.items()}
    if sealed.module:
        module = find(config.prompts_module)
        if module.sha256 != sealed.module or not allowed(module):
            # It was when it was checked: somebody has changed the file since.
            raise NotAllowedError(module)
        keys[VARIABLE] = module.sha256
    path = config.results_dir / REQUEST_FILE
    write_bytes(path, sealed.dumps())
    return path, {name: value for name, value in keys.items() if value}


def _sealed(asked: Request | Sealed) -> Sealed:
    return asked if isinstance(asked, Sealed) else seal_run(asked)


def status(results_dir: Path) -> StatusView:
    """A run at a glance; never waits for whoever works on it.

    Raises:
        InputError: There is none.
    """
    # One elsewhere that has fallen silent may live or not: neither "working" nor "interrupted" is known of it.
    said, unread = None, None
    try:
        said = lifecycle.announced(desk(results_dir))
    except InputError as error:
        # A link or a pipe, which is not followed: the run itself can be told all the same.
        unread = error.line()
    working = lifecycle.living(said)
    last = _last_status(results_dir)
    parts = parts_of(results_dir)
    if parts is not None and not guard.exists(journal_path(results_dir)):
        # The whole has a journal once its shards are brought together.
        shown = "working" if working or parts.working else "held" if said or unread else "interrupted"
        return StatusView(
            results_dir=str(results_dir),
            status=shown,
            message=unread,
            working=said,
            parts=parts,
            ask_again_sec=10 if shown == "working" else None,
            next_step=_next_step(shown, results_dir, 0),
        )
    with Journal(results_dir, read_only=True) as journal:
        totals = journal.totals()
        failures = [
            f"{Path(video).name} {unit}: {reason}" for video, unit, reason in journal.failures(5, left_out=False)
        ]
        rows, tries, (count, left_out) = journal.row_counts(), journal.tries(), journal.failure_count()
        advance = _advance(journal)
        how = journal.meta(STARTED_BY)
        open_batches = journal.open_batches()
    batches = {batch.id or batch.ticket: len(batch.calls) for batch in open_batches}
    # Where nobody works, what was sent and stands in no batch is what a killed process left.
    lost, lost_cost = (0, 0.0) if said else (totals.in_flight, totals.in_flight_cost)
    if not said:
        lost -= sum(batches.values())
        lost_cost -= sum(call.worst for batch in open_batches for call in batch.calls)
    ended = {"SUCCESS": "complete", "FAILURE": "halted"}
    shown = (
        "working"
        if working or (parts and parts.working)
        else ended.get(last.get("status", ""), "held" if said else "interrupted")
    )
    data = last.get("data") or {}
    return StatusView(
        results_dir=str(results_dir),
        status=shown,
        message=unread or (last.get("message") if shown in ("complete", "halted") else None),
        working=said,
        approval=None if how is None else started(how),
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
        parts=None if shown == "complete" else parts,
        ask_again_sec=(300 if batches else 10) if shown == "working" else None,
        next_step=_next_step(shown, results_dir, count),
    )


def stop(results_dir: Path) -> bool:
    """Ask whoever works on the folder, or on shards of it, to stop; calls in flight are waited for.

    Whoever works on the whole begins no further shard, and a shard looks into the folder of the whole, too. Shards
    whose array waits for its turn, while nobody waits for them any more, are taken out of the queue.

    Returns:
        False if nobody works on it, and no array of it is there.

    Raises:
        EngineUnreachableError: The cluster that has an array of it does not answer.
    """
    asked = [
        folder for folder in (results_dir, *shard_folders(results_dir)) if lifecycle.holder(desk(folder)) is not None
    ]
    for folder in asked:
        request_stop(folder)
    arrays = [] if results_dir in asked else [r for r in read_records(results_dir) if r.key.startswith(ARRAY_KEY)]
    left = [record for record in arrays if job_state(record) not in ENDED]
    if asked and left:
        # Its tasks that begin later look there; those at work wait for their calls.
        request_stop(results_dir)
    for record in left if not asked else ():
        cancel(record)
    return bool(asked or left)


def check_items(results_dir: Path) -> Written:
    """Every question of a folder by the rules as they are now; writes step 4 anew and calls nobody.

    Raises:
        InputError: It holds no questions.
        BusyError: Somebody works on the folder.
    """
    with _locked_results(results_dir, "annotate check"):
        return check_results(results_dir)


def judge_items(request: Request, *, approve: str | None = None) -> Outcome:
    """The checks that ask a model (`quality.checks`) of a folder that has its questions; then step 4 anew.

    What the folder says of itself (videos, licence, order of choices) stays. Raises as `run_here`.
    """
    return run_here(judge_sealed(request), approve=approve, by="annotate check")


def judge_sealed(request: Request) -> Sealed:
    """What `judge_items` would start, to be estimated or approved.

    Raises:
        InputError: No check is named, or the folder holds no questions.
    """
    config = resolve(request)
    if not config.quality.checks:
        raise InputError("names no check", where=f"{SECTION}.quality.checks", fix="name blind, judge or time")
    with opened(config.results_dir) as results:
        said = results.made
    files = {"video_root": said.video_root, "input_jsonl_files": said.input_files}
    letters = "keep_order" if said.keep_order else "refuse"
    changed = {
        "workflow": config.workflow.model_copy(update={"steps": ("4",), "mode": "anomaly"}),
        "data": config.data.model_copy(update=files),
        "quality": config.quality.model_copy(update={"choice_letters": letters}),
        "license": said.license,
        "description_extra": said.description_extra,
    }
    return seal_config(request, config.model_copy(update=changed))


def measure_errors(results_dir: Path) -> Measured:
    """The error rate that the verdicts on the drawn sample give; the task files carry it from then on.

    Raises:
        InputError: No sample was drawn.
        BusyError: Somebody works on the folder.
    """
    with _locked_results(results_dir, "annotate error-rate"):
        return error_rate(results_dir)


@contextmanager
def _locked_results(results_dir: Path, by: str) -> Iterator[None]:
    if not guard.is_folder(results_dir):
        raise InputError("no such folder", where=results_dir, fix="name a results folder")
    with folder_lock(results_dir, by):
        yield


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
        return f"look at {review}" if guard.exists(review) else f"tao-skills annotate review {results_dir}"
    return "fix the cause, then run the same command again; every answer is kept"


def _last_status(results_dir: Path) -> dict[str, Any]:
    path = results_dir / STATUS_FILE
    data = guard.read_bytes(path) if guard.exists(path) else b""
    said = json_objects(data.decode("utf-8", errors="replace"))
    return next((value for value in reversed([*said]) if isinstance(value.get("data") or {}, dict)), {})
