"""Tools of jobs: TAO command lines and mining in the background, which outlives the call, server and client."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver import ElicitationResult as Answer
from pydantic import BaseModel, ConfigDict, Field

from mcp_server import consent
from mcp_server.asked import with_request, within
from mcp_server.consent import Approve, approved, refusal
from mcp_server.door import END, READ, WRITE, Held, add, clip, errors_shown
from mcp_server.roots import Allowed, Roots
from mcp_server.words import in_own_words, program
from tao_skill_bank.actions.mining.config import ImageEmbeddingsConfig, NearestNeighborsConfig
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.tasks.asked import ActionAsked

if TYPE_CHECKING:
    from tao_skill_bank.platforms.base import JobRecord

SHORT_WAIT_SEC = 15.0
"""A command that ends within this is answered with its outcome, not only with its job."""
_POLL_SEC = 0.2
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
Folder = Annotated[str, Field(description="The folder that has the job (run or results folder).")]
JobName = Annotated[str, Field(description="The job's id.")]
Category = Literal["visual_changenet", "gap_analysis", "embedding", "tmm", "anomalygen"]
Overrides = dict[str, str | int | float | bool] | None


class JobResult(BaseModel):
    """A job: its state, and the last lines it printed once it has ended."""

    job: str | None = None
    results_dir: str
    state: str
    output: list[str] | None = None
    ask_again_sec: int | None = None


class Jobs(BaseModel):
    """Id → state and command, newest first; of one job the end of its output too."""

    jobs: dict[str, str]
    output: list[str] | None = None
    ask_again_sec: int | None = None


class JobLog(BaseModel):
    """The end of a job's output."""

    job: str
    lines: list[str]


class Canceled(BaseModel):
    """The job's state after it was asked to end."""

    job: str
    state: str


class PlannedAction(Held):
    """An action with its plan; no plan where it runs on this machine's CPU, which needs nobody's approval."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    request: Any
    overrides: dict[str, str]
    plan: Any = None


@with_request(ActionAsked)
def action_of(category: Category, allowed: Allowed, overrides: Overrides = None, **asked: Any) -> PlannedAction:
    """Resolve and check what is asked for; reads only."""
    from tao_skill_bank.platforms import own_name, platform_class
    from tao_skill_bank.tasks.action import ActionRequest, check_action, command_line, plan_action

    wish = ActionAsked(category=category, **within(ActionAsked, asked, allowed))
    out = wish.results_dir
    values = {key: _confined(value, key, allowed, out) for key, value in (overrides or {}).items()}
    command = command_line(category, wish.action, wish.spec, values, out)
    root = next(root for root in allowed.folders if root == out or root in out.parents)
    request = ActionRequest(command, out, root, wish.platform, tuple(wish.settings), wish.spec)
    here = not platform_class(own_name(wish.platform)).asks and not wish.settings
    if here:
        check_action(request)
    return PlannedAction(
        folders=allowed.folders, request=request, overrides=values, plan=None if here else plan_action(request)
    )


planned_action = errors_shown(action_of)


async def action_gate(
    plan: Annotated[PlannedAction, Resolve(planned_action)], ctx: Context
) -> Elicit[Approve] | Approve:
    """Ask the person, except for this machine's CPU."""
    if plan.plan is None:
        return Approve(approve=True)
    return consent.asked(ctx, "\n".join(["Start this job?", "", *plan.plan.lines()]))


@with_request(ActionAsked)
async def start_action(
    plan: Annotated[PlannedAction, Resolve(planned_action)],
    answer: Annotated[Answer[Approve], Resolve(action_gate)],
    category: Category,
    overrides: Annotated[Overrides, Field(description="key: value")] = None,
    **asked: Any,
) -> JobResult:
    """Run a TAO command line in the background; returns its job at once."""
    from tao_skill_bank.tasks import action as actions

    request = plan.request
    if plan.plan is None:
        key = f"manual.{category}.{asked['action']}"
        return await _run(key, list(request.command), request.folder, request.folder, wait=0.0)
    if not approved(answer):
        state = refusal(answer)
        shown = [*(clip(_said(x.strip()), 300) for x in plan.plan.lines()), _typed(plan)]
        lines = [] if state == "declined" else shown
        return JobResult(results_dir=str(request.folder), state=state, output=lines)
    record = await anyio.to_thread.run_sync(actions.start_action, request, plan.plan.digest, "elicitation")
    return JobResult(job=record.uid, results_dir=record.results_dir, state="pending", ask_again_sec=5)


@with_request(ImageEmbeddingsConfig)
async def embed_images(allowed: Allowed, **asked: Any) -> JobResult:
    """Embed the images that a parquet file lists, as a background job. Use one model for both sides of a search."""
    return await _run_asked("embedding", "image_embeddings", ImageEmbeddingsConfig, asked, allowed)


@with_request(NearestNeighborsConfig)
async def mine_neighbors(
    allowed: Allowed,
    knn_metric: Literal["cosine", "euclidean", "manhattan"] = "cosine",
    filter_by_label: Literal["false", "after", "within"] = "false",
    **asked: Any,
) -> JobResult:
    """Find the pool images nearest to the given ones. Embed both first: start_action embedding image_embeddings."""
    values = {**asked, "knn_metric": knn_metric, "filter_by_label": filter_by_label}
    return await _run_asked("tmm", "nearest_neighbors", NearestNeighborsConfig, values, allowed)


async def _run_asked(category: str, action: str, model: type, asked: dict[str, Any], allowed: Roots) -> JobResult:
    """A command line of the bank's own, from what a tool was asked."""
    values = within(model, asked, allowed)
    command, out = [category, action, *(f"{key}={value}" for key, value in values.items())], values["output_parquet"]
    return await _run(f"manual.{category}.{action}", command, out, out.parent, wait=SHORT_WAIT_SEC)


def get_jobs(
    results_dir: Folder,
    allowed: Allowed,
    job: Annotated[str | None, Field(description="One job's id; without: the newest ten.")] = None,
    tail: Annotated[int, Field(ge=1, le=50, description="Lines of its output.")] = 12,
) -> Jobs:
    """The jobs of a folder, or one with its last lines."""
    from tao_skill_bank.platforms.jobs import job_logs, job_state

    if job is None:
        return list_jobs(results_dir, allowed)
    record = _job(results_dir, job, allowed)
    state = job_state(record)
    return Jobs(
        jobs={job: f"{state}: {' '.join(record.command[:2])}"},
        output=_last(job_logs(record, tail).splitlines(), 1500),
        ask_again_sec=5 if state in ("pending", "running") else None,
    )


def get_job_status(results_dir: Folder, job: JobName, allowed: Allowed) -> JobResult:
    """A job's state: pending, running, complete, failed, canceled or lost."""
    from tao_skill_bank.platforms.jobs import job_state

    record = _job(results_dir, job, allowed)
    return _result(record, job_state(record))


def list_jobs(results_dir: Folder, allowed: Allowed) -> Jobs:
    """The newest ten jobs of a folder."""
    from tao_skill_bank.platforms.base import read_records
    from tao_skill_bank.platforms.jobs import job_state

    folder = allowed.path(results_dir, "results_dir")
    records = [record for record in read_records(folder) if _is_of(folder, record)][-10:]
    return Jobs(jobs={r.uid: f"{job_state(r)}: {' '.join(r.command[:2])}" for r in reversed(records)})


def get_job_logs(
    results_dir: Folder,
    job: JobName,
    allowed: Allowed,
    tail: Annotated[int, Field(ge=1, le=50)] = 20,
) -> JobLog:
    """The last lines of a job's output."""
    from tao_skill_bank.platforms.jobs import job_logs

    lines = job_logs(_job(results_dir, job, allowed), tail).splitlines()
    return JobLog(job=job, lines=_last(lines, 1700))


def cancel_job(results_dir: Folder, job: JobName, allowed: Allowed) -> Canceled:
    """End a job. To end a whole run: stop_deft_run."""
    from tao_skill_bank.platforms.jobs import cancel

    return Canceled(job=job, state=cancel(_job(results_dir, job, allowed)))


def register(server: MCPServer[Any]) -> None:
    """Add the tools of jobs."""
    for function in (start_action, embed_images, mine_neighbors):
        add(server, function, WRITE)
    for look in (get_jobs, get_job_status, list_jobs, get_job_logs):
        add(server, look, READ)
    add(server, cancel_job, END)


def _job(results_dir: str, job: str, allowed: Roots) -> JobRecord:
    """A job's record; one that leads out of its own folder (a copied run, a changed file, a link) is refused."""
    from tao_skill_bank.platforms.jobs import read_job
    from tao_skill_bank.platforms.worker import beside

    folder = allowed.path(results_dir, "results_dir")
    record = read_job(folder, job)
    if record.uid != job or not _is_of(folder, record):
        raise InputError("the job's record is that of another folder", where=record.path, fix="name its own folder")
    for kind in ("log", "exit.json"):
        allowed.path(str(beside(record.path, kind)), f"{job}.{kind}")
    return record


def _is_of(folder: Path, record: JobRecord) -> bool:
    return Path(record.results_dir).resolve() == folder


async def _run(key: str, command: list[str], output: Path, folder: Path, *, wait: float) -> JobResult:
    from tao_skill_bank.platforms.jobs import job_state, submit

    record = await anyio.to_thread.run_sync(submit, key, command, output, folder)
    until = time.monotonic() + wait
    state = await anyio.to_thread.run_sync(job_state, record)
    while state in ("pending", "running") and time.monotonic() < until:
        await anyio.sleep(_POLL_SEC)
        state = await anyio.to_thread.run_sync(job_state, record)
    return _result(record, state)


def _result(record: Any, state: str) -> JobResult:
    from tao_skill_bank.platforms.jobs import job_logs

    busy = state in ("pending", "running")
    output = None if busy else _last(job_logs(record, 12).splitlines(), 1200)
    return JobResult(
        job=record.uid, results_dir=record.results_dir, state=state, output=output, ask_again_sec=5 if busy else None
    )


def _said(line: str) -> str:
    """A check in a tool's words; a command line as it stands."""
    return in_own_words(line) if line.startswith("[") else line


def _typed(plan: PlannedAction) -> str:
    """What a person types to approve exactly this job and start it."""
    request = plan.request
    generator = request.command[0].endswith(".sh")
    category = "anomalygen" if generator else request.command[0]
    action = request.command[0].removesuffix(".sh") if generator else request.command[1]
    words = [*program(), "jobs", "start", category, action, "--results-dir", str(request.folder)]
    words += ["--root", str(request.root), "--platform", request.platform]
    words += ["-e", str(request.spec)] if request.spec is not None else []
    for setting in request.settings:
        words += ["--set", setting]
    pairs = [f"{key}={value}" for key, value in plan.overrides.items()]
    return shlex.join([*words, "--approve", plan.plan.digest, "--", *pairs])


def _last(lines: list[str], most: int) -> list[str]:
    """As many of the last lines as fit."""
    kept: list[str] = []
    for line in reversed(lines):
        most -= len(line) + 3
        if most < 0 and kept:
            break
        kept.append(clip(line, 300))
    return kept[::-1]


def _confined(value: str | int | float | bool, key: str, allowed: Roots, folder: Path) -> str:
    """An override's value; one that looks like a path, or is a link's name, has to lie inside the roots."""
    if not _KEY.fullmatch(key):
        raise InputError(f"not a key: {clip(repr(key), 80)}", where="overrides", fix="write it as train.num_epochs")
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    if "$" in value:
        raise InputError("values are taken as they stand: no ${…}", where=key, fix="write the value itself")
    if "/" in value or "\0" in value or ".." in value or value.startswith("~"):
        return str(allowed.path(value, key))
    if (folder / value).is_symlink():
        allowed.path(str(folder / value), key)
    return value
