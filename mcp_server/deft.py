"""Tools of the DEFT run: plan, start, step, status, stop. The approval is a person's: a model cannot give it."""

from __future__ import annotations

import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.to_thread
from mcp.server.mcpserver import AcceptedElicitation, Context, DeclinedElicitation, Elicit, MCPServer, Resolve
from mcp.server.mcpserver import ElicitationResult as Answer
from pydantic import BaseModel, ConfigDict, Field

from mcp_server.door import END, READ, WRITE, Held, add, clip, errors_shown, program
from mcp_server.roots import Allowed, Roots

if TYPE_CHECKING:
    from tao_skill_bank.loop.request import PreFlight, Request

MOST_LOG_LINES = 10
MOST_WAIT_SEC = 25
"""Clients cut a call at 60 s or less; a status call answers well before that."""
_POLL_SEC = 0.5
_SHORT = {"training_rows": "rows"}

Workspace = Annotated[str | None, Field(description="Absolute path of the workspace; not needed with results_dir.")]
Target = Annotated[str | None, Field(description="For example: FAR < 0.5% at recall=100%")]
Iterations = Annotated[int | None, Field(description="Iterations at most; a new run needs this or time_limit.")]
TimeLimit = Annotated[str | None, Field(description="Instead of max_iterations: 6h, 90m.")]
PlatformName = Annotated[str | None, Field(description="Default local: this machine's CPU, a rehearsal.")]
Settings = Annotated[list[str] | None, Field(description="key=value each, as in references/preflight.md.")]
RunFolder = Annotated[str, Field(description="The run folder.")]
TaskName = Annotated[str | None, Field(description="What the loop improves; default: changenet, or the run's own.")]
OldRun = Annotated[str | None, Field(description="A run folder to take up; only what is given changes.")]


class PlanResult(BaseModel):
    """What a run would do. `digest` is what a person approves."""

    digest: str
    summary: list[str]
    warnings: list[str]
    estimate_minutes: float


class StartResult(BaseModel):
    """Whether the run works, or what it needs first."""

    status: Literal["started", "needs_approval", "declined"]
    digest: str
    results_dir: str | None = None
    summary: str | None = None
    command: str | None = Field(default=None, description="What a person types to approve and start it.")
    next_step: str


class StepResult(BaseModel):
    """The stage works."""

    status: Literal["started"] = "started"
    digest: str
    next_step: str = "get_deft_status with wait_sec 25"


class PhaseResult(BaseModel):
    """The baseline or an iteration: FAR in percent, training rows, rows it added; of another task its own figures."""

    model_config = ConfigDict(extra="allow")

    phase: str
    far_pct: float | None = None
    rows: int | None = None
    mined: int | None = None
    synthetic: int | None = None


class StatusResult(BaseModel):
    """Where a run stands. `log` has what came behind the cursor that was given."""

    status: str
    stop_reason: str | None = None
    now: str | None = None
    kpi_target: str
    best: str | None = None
    verdict: str
    approval: str | None = None
    phases: list[PhaseResult] | None = None
    log: list[str]
    cursor: int
    ask_again_sec: int | None = None
    remaining_sec: int | None = None
    report: str | None = None
    next_step: str | None = None


class StopResult(BaseModel):
    """Whether somebody worked on the run and was asked to stop."""

    stop_requested: bool
    next_step: str


class Approve(BaseModel):
    """The person's answer: only a true of the client is a yes, no word or number that could pass for one."""

    approve: bool = Field(strict=True, description="Start this run?")


class ApproveAndAccept(Approve):
    """The same, where the plan asks for a word of its own: the person types it."""

    accept: str = Field(default="", description="Type the word that the plan asks for, to accept what it says.")


class CannotAsk(Approve):
    """The client has no way to ask a person; kept apart from a person's no."""


class Planned(Held):
    """A request with its plan. `held`: an earlier approval of the same plan."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    request: Any
    plan: Any
    held: bool


def plan_of(
    workspace: str | None,
    kpi_target: str | None,
    max_iterations: int | None,
    time_limit: str | None,
    platform: str | None,
    settings: list[str] | None,
    results_dir: str | None,
    task: str | None,
    allowed: Allowed,
) -> Planned:
    """Resolve and check what is asked for; reads only."""
    from tao_skill_bank.runs import approval_holds, plan_run

    request = _request(
        allowed, workspace, kpi_target, max_iterations, time_limit, platform, settings or [], results_dir, task
    )
    _confine(request, allowed)
    plan = plan_run(request)
    return Planned(folders=allowed.folders, request=request, plan=plan, held=approval_holds(request, plan.digest))


planned = errors_shown(plan_of)


async def gate(plan: Annotated[Planned, Resolve(planned)], ctx: Context) -> Elicit[Approve] | Approve:
    """Ask the person. A client that cannot ask is never taken for a yes. The question depends on the plan alone."""
    if plan.held:
        return Approve(approve=True)
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return CannotAsk(approve=False)
    shown: PreFlight = plan.plan
    question = "\n".join(["Start this DEFT run?", "", *shown.lines(), *_settings(plan.request)])
    return Elicit(question, ApproveAndAccept if shown.words else Approve)


def plan_deft_run(
    allowed: Allowed,
    workspace: Workspace = None,
    kpi_target: Target = None,
    max_iterations: Iterations = None,
    time_limit: TimeLimit = None,
    platform: PlatformName = None,
    settings: Settings = None,
    results_dir: OldRun = None,
    task: TaskName = None,
) -> PlanResult:
    """Check a DEFT run and show what it would do. Changes nothing. An error lists every fault to mend."""
    from tao_skill_bank.runs import plan_run

    request = _request(
        allowed, workspace, kpi_target, max_iterations, time_limit, platform, settings or [], results_dir, task
    )
    _confine(request, allowed)
    plan = plan_run(request)
    return PlanResult(
        digest=plan.digest,
        summary=[*_summary(plan), *_settings(request)],
        warnings=[clip(text, 200) for text in plan.warnings[:6]],
        estimate_minutes=plan.estimate_minutes,
    )


async def start_deft_run(
    plan: Annotated[Planned, Resolve(planned)],
    answer: Annotated[Answer[Approve], Resolve(gate)],
    workspace: str | None = None,
    kpi_target: str | None = None,
    max_iterations: int | None = None,
    time_limit: str | None = None,
    platform: str | None = None,
    settings: list[str] | None = None,
    results_dir: str | None = None,
    task: str | None = None,
    one_stage: Annotated[bool, Field(description="Run only the next stage; then step_deft_run.")] = False,
) -> StartResult:
    """Start a DEFT run with the arguments of its plan, once the person approved; it works on in the background."""
    from tao_skill_bank.core.errors import NeedsApprovalError
    from tao_skill_bank.runs import open_run, start_detached

    shown: PreFlight = plan.plan
    yes = isinstance(answer, AcceptedElicitation) and answer.data.approve
    if not yes and not plan.held:
        said_no = isinstance(answer, AcceptedElicitation) and not isinstance(answer.data, CannotAsk)
        declined = said_no or isinstance(answer, DeclinedElicitation)
        return StartResult(
            status="declined" if declined else "needs_approval",
            digest=shown.digest,
            summary=_one_line(shown),
            command=None if declined else approve_command(plan.request, shown),
            next_step="ask the person what to change" if declined else "show the person the plan and the command",
        )

    told = answer.data if isinstance(answer, AcceptedElicitation) else None
    said = told.accept if isinstance(told, ApproveAndAccept) else ""

    def begin() -> Path:
        approve = None if plan.held else shown.digest
        folder = open_run(plan.request, approve=approve, how="elicitation", words=said.split())
        start_detached(folder, once=one_stage)
        return folder

    try:
        folder = await anyio.to_thread.run_sync(begin)
    except NeedsApprovalError as error:
        same = error.digest == shown.digest
        next_step = clip(error.what, 600) if same else "the data changed meanwhile: plan again"
        return StartResult(status="needs_approval", digest=error.digest, next_step=next_step)
    return StartResult(
        status="started", digest=shown.digest, results_dir=str(folder), next_step="get_deft_status with wait_sec 25"
    )


def step_deft_run(results_dir: RunFolder, allowed: Allowed) -> StepResult:
    """Run the next stage of an approved run in the background; returns at once. Follow it with get_deft_status."""
    from tao_skill_bank.runs import step_detached
    from tao_skill_bank.tasks.registry import load_own_state

    folder = allowed.path(results_dir, "results_dir")
    allowed.path(load_own_state(folder).config.workspace, "the run's workspace")
    return StepResult(digest=step_detached(folder))


async def get_deft_status(
    results_dir: RunFolder,
    allowed: Allowed,
    ctx: Context,
    after: Annotated[int, Field(description="Cursor of the last answer.")] = 0,
    wait_sec: Annotated[int, Field(ge=0, le=MOST_WAIT_SEC, description="Answer at its end, or after so long.")] = 0,
) -> StatusResult:
    """Where a DEFT run stands, and its log behind the cursor. Ask again with it while it is running."""
    from tao_skill_bank import runs

    folder = allowed.path(results_dir, "results_dir")
    begun = time.monotonic()
    until = begun + wait_sec
    look = partial(runs.status, folder, after, MOST_LOG_LINES)
    view = await anyio.to_thread.run_sync(look)
    while view.status == "running" and time.monotonic() < until:
        # The protocol: a progress increases, whatever the run does meanwhile.
        await ctx.report_progress(
            round(time.monotonic() - begun, 3), wait_sec, f"{view.iteration} {view.stage or ''}".strip()
        )
        await anyio.sleep(_POLL_SEC)
        view = await anyio.to_thread.run_sync(look)
    ended = view.status != "running"
    best = None if view.best_value is None else f"{view.best_iteration}: {view.measure} {view.best_value:.4g}%"
    return StatusResult(
        status=view.status,
        stop_reason=None if view.stop_reason is None else clip(view.stop_reason, 400),
        now=None if view.stage is None else ", ".join(x for x in (f"{view.iteration} {view.stage}", view.live) if x),
        kpi_target=view.kpi_target,
        best=best,
        verdict=view.verdict.line,
        approval=view.approval if ended or not after else None,
        phases=[
            PhaseResult(phase=p.phase, **{_SHORT.get(name, name): figure for name, figure in p.figures.items()})
            for p in view.phases[-6:]
        ]
        if ended
        else None,
        log=[clip(f"{x.seq} {x.iter} {x.stage} {x.status}: {x.summary}", 110) for x in view.log],
        cursor=view.cursor,
        ask_again_sec=view.ask_again_sec,
        remaining_sec=view.remaining_sec,
        report=view.report if ended else None,
        next_step=view.next_step if ended else None,
    )


def stop_deft_run(results_dir: RunFolder, allowed: Allowed) -> StopResult:
    """Ask a run to stop: the command at work is ended, what is committed stays, and it can be taken up again."""
    from tao_skill_bank import runs

    folder = allowed.path(results_dir, "results_dir")
    asked = runs.stop(folder)
    return StopResult(
        stop_requested=asked,
        next_step="get_deft_status until it is stopped" if asked else "nobody works on it: nothing to stop",
    )


def register(server: MCPServer[Any]) -> None:
    """Add the tools of the DEFT run."""
    add(server, plan_deft_run, READ)
    add(server, start_deft_run, WRITE)
    add(server, step_deft_run, WRITE)
    add(server, get_deft_status, READ)
    add(server, stop_deft_run, END)


def approve_command(request: Request, plan: PreFlight) -> str:
    """What a person types to approve exactly this plan and start it."""
    words = [*program(), "deft", "run"]
    if request.task is not None:
        words += ["--task", request.task]
    if request.results_dir is not None:
        words += ["--results-dir", str(request.results_dir)]
    if request.workspace is not None:
        words += ["--workspace", str(request.workspace)]
    if request.kpi_target:
        words += ["--kpi-target", request.kpi_target]
    if request.max_iterations is not None:
        words += ["--max-iterations", str(request.max_iterations)]
    if request.time_limit is not None:
        words += ["--time-limit", request.time_limit]
    if request.platform is not None:
        words += ["--platform", request.platform]
    for setting in request.settings:
        words += ["--set", setting]
    for own in plan.words:
        words += ["--accept", own.name]
    return shlex.join([*words, "--approve", plan.digest, "--detach"])


def _request(
    allowed: Roots,
    workspace: str | None,
    kpi_target: str | None,
    max_iterations: int | None,
    time_limit: str | None,
    platform: str | None,
    settings: list[str],
    results_dir: str | None,
    task: str | None,
) -> Request:
    from tao_skill_bank.loop.request import Request

    return Request(
        workspace=allowed.optional(workspace, "workspace"),
        kpi_target=kpi_target,
        max_iterations=max_iterations,
        time_limit=time_limit,
        platform=platform,
        settings=tuple(settings),
        results_dir=allowed.optional(results_dir, "results_dir"),
        task=task,
    )


def _confine(request: Request, allowed: Roots) -> None:
    """Nothing outside is read for a plan, whatever a state that others wrote, a setting or a link names.

    Spec, CSVs and defect spec are quoted in plans and errors; images are only looked at, and may lie on another disk.
    """
    from tao_skill_bank.loop.state import state_path
    from tao_skill_bank.runs import load_own_state, plan_of, planned_files

    if request.results_dir is not None and state_path(request.results_dir).exists():
        allowed.path(str(state_path(request.results_dir)), "the run's state")
        allowed.path(load_own_state(request.results_dir).config.workspace, "the run's workspace")
    for key, named in planned_files(request).items():
        allowed.path(str(named), key)
    config = plan_of(request)[0].config
    allowed.path(str(Path(config.workspace) / "results"), "the workspace's results")


def _settings(request: Request) -> list[str]:
    """What was asked for beside the plan's own lines, so that a person sees everything that is approved."""
    return [f"settings: {clip(', '.join(request.settings), 600)}"] if request.settings else []


def _summary(plan: PreFlight) -> list[str]:
    lines = [line.strip() for line in plan.lines() if line.strip()]
    skipped = ("Pre-Flight Summary", "data set", "checks", "plan digest", "[  ok]", "[skip]", "[warn]")
    return [clip(line, 240) for line in lines if not line.startswith(skipped)]


def _one_line(plan: PreFlight) -> str:
    rows = ", ".join(f"{split.name} {split.rows} rows" for split in plan.splits)
    text = (
        f"{plan.kpi_target}; at most {plan.max_iterations} iterations on {plan.config['platform']}; "
        f"about {plan.estimate_minutes:.1f} min; {rows}"
    )
    return clip(f"{text}; {len(plan.warnings)} warnings" if plan.warnings else text, 400)
