"""Tools of the DEFT run: plan, start, step, status, stop. The approval is a person's: a model cannot give it."""

from __future__ import annotations

import re
import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.to_thread
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver import ElicitationResult as Answer
from pydantic import BaseModel, ConfigDict, Field

from mcp_server import consent
from mcp_server.asked import with_request, within
from mcp_server.consent import Approve, ApproveAndAccept, approved, refusal
from mcp_server.door import END, READ, WRITE, Held, add, clip, errors_shown
from mcp_server.roots import Allowed, Roots
from mcp_server.words import program
from tao_skill_bank.core.asked import command_words
from tao_skill_bank.loop.asked import Request

if TYPE_CHECKING:
    from tao_skill_bank.loop.log import LogLine
    from tao_skill_bank.loop.request import PreFlight
    from tao_skill_bank.runs import PhaseView, StatusView

MOST_LOG_LINES = 10
MOST_SETTINGS = 20
MOST_WAIT_SEC = 25
"""Clients cut a call at 60 s or less; a status call answers well before that."""
_POLL_SEC = 0.5
_SHORT = {"training_rows": "rows"}
_ASIDE = re.compile(r" \([^()]*\)")

RunFolder = Annotated[str, Field(description="The run folder.")]


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
    """The baseline or an iteration: what the target limits and FAR in percent, rows, rows it added; own figures."""

    model_config = ConfigDict(extra="allow")

    phase: str
    far_pct: float | None = None
    rows: int | None = None
    mined: int | None = None
    synthetic: int | None = None


class StatusResult(BaseModel):
    """Where a run stands. `log` has what came behind the cursor; what stays the same is told at first and at last.

    `verdict` is told of a run that has ended; until then `best` says how far it is. `phases` has behind a cursor what
    the target limits and the rows alone: the log told the rest.
    """

    status: str
    stop_reason: str | None = None
    now: str | None = None
    kpi_target: str | None = None
    best: str | None = None
    verdict: str | None = None
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


class Planned(Held):
    """A request with its plan. `held`: an earlier approval of the same plan."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    request: Any
    plan: Any
    held: bool


@with_request(Request)
def plan_of(allowed: Allowed, **asked: Any) -> Planned:
    """Resolve and check what is asked for; reads only."""
    request = _request(allowed, asked)
    plan, held = _planned(request, allowed)
    return Planned(folders=allowed.folders, request=request, plan=plan, held=held)


planned = errors_shown(plan_of)


async def gate(plan: Annotated[Planned, Resolve(planned)], ctx: Context) -> Elicit[Approve] | Approve:
    """Ask the person. The question depends on the plan alone."""
    if plan.held:
        return Approve(approve=True)
    shown: PreFlight = plan.plan
    question = "\n".join(["Start this DEFT run?", "", *shown.lines()])
    return consent.asked(ctx, question, ApproveAndAccept if shown.words else Approve)


@with_request(Request)
def plan_deft_run(allowed: Allowed, **asked: Any) -> PlanResult:
    """Check a DEFT run and show what it would do. Changes nothing. An error lists every fault."""
    request = _request(allowed, asked)
    plan, _ = _planned(request, allowed)
    return PlanResult(
        digest=plan.digest,
        summary=_summary(plan),
        warnings=[clip(text, 200) for text in plan.warnings[:6]],
        estimate_minutes=plan.estimate_minutes,
    )


@with_request(Request, told=Request)
async def start_deft_run(
    plan: Annotated[Planned, Resolve(planned)],
    answer: Annotated[Answer[Approve], Resolve(gate)],
    *,
    one_stage: Annotated[bool, Field(description="Run only the next stage; then step_deft_run.")] = False,
    **asked: Any,
) -> StartResult:
    """Start a DEFT run as planned, once the person approved; it works on in the background."""
    from tao_skill_bank.core.errors import NeedsApprovalError
    from tao_skill_bank.runs import open_run, start_detached

    shown: PreFlight = plan.plan
    if not approved(answer) and not plan.held:
        status = refusal(answer)
        declined = status == "declined"
        return StartResult(
            status=status,
            digest=shown.digest,
            summary=_one_line(shown),
            command=None if declined else approve_command(plan.request, shown),
            next_step="ask the person what to change" if declined else "show the person the plan and the command",
        )

    told = answer.data if isinstance(answer, AcceptedElicitation) else None
    said = told.accept if isinstance(told, ApproveAndAccept) else ""

    def begin() -> Path:
        approve = None if plan.held else shown.digest
        folder = open_run(plan.request, approve=approve, how="elicitation", checked=shown, words=said.split())
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
    from tao_skill_bank.core.errors import InputError, NeedsApprovalError
    from tao_skill_bank.runs import step_detached
    from tao_skill_bank.tasks.registry import load_own_state

    folder = allowed.path(results_dir, "results_dir")
    allowed.path(load_own_state(folder).config.workspace, "the run's workspace")
    try:
        return StepResult(digest=step_detached(folder))
    except NeedsApprovalError as error:
        fix = "start_deft_run with this results_dir shows the plan to the person and asks"
        raise InputError(error.what, where=folder, fix=fix) from None


async def get_deft_status(
    results_dir: RunFolder,
    allowed: Allowed,
    ctx: Context,
    after: Annotated[int, Field(description="Cursor of the last answer.")] = 0,
    wait_sec: Annotated[int, Field(ge=0, le=MOST_WAIT_SEC, description="Answer at its end, or after so long.")] = 0,
) -> StatusResult:
    """Where a DEFT run stands, and its log behind the cursor. Ask again while it is running."""
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
    whole = ended or not after
    best = None if view.best_value is None else f"{view.best_iteration}: {view.measure} {view.best_value:.4g}%"
    return StatusResult(
        status=view.status,
        stop_reason=None if view.stop_reason is None else clip(view.stop_reason, 400),
        now=None if view.stage is None else ", ".join(x for x in (f"{view.iteration} {view.stage}", view.live) if x),
        kpi_target=view.kpi_target if whole else None,
        best=best,
        verdict=view.verdict.line if ended else None,
        approval=view.approval if whole else None,
        phases=[_phase(view, p, followed=after > 0) for p in view.phases[-6:]] if ended else None,
        log=[_logged(x, None if view.verdict is None else view.verdict.line) for x in view.log],
        cursor=view.cursor,
        ask_again_sec=view.ask_again_sec,
        remaining_sec=None if view.status == "complete" else view.remaining_sec,
        report=view.report if ended else None,
        next_step=view.next_step if ended else None,
    )


def stop_deft_run(results_dir: RunFolder, allowed: Allowed) -> StopResult:
    """Stop a run; what is committed stays, and it can be taken up again."""
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
    words = [*program(), "deft", "run", *command_words(request)]
    for own in plan.words:
        words += ["--accept", own.name]
    return shlex.join([*words, "--approve", plan.digest, "--detach"])


def _request(allowed: Roots, asked: dict[str, Any]) -> Request:
    return Request(**within(Request, asked, allowed))


def _planned(request: Request, allowed: Roots) -> tuple[PreFlight, bool]:
    """The plan, and whether it is approved already.

    Nothing outside is read for it, whatever a state that others wrote, a setting or a link names. Spec, CSVs and defect
    spec are quoted in plans and errors; images are only looked at, and may lie on another disk.
    """
    from tao_skill_bank.loop.state import state_path
    from tao_skill_bank.runs import load_own_state, plan_within

    if request.results_dir is not None and state_path(request.results_dir).exists():
        allowed.path(str(state_path(request.results_dir)), "the run's state")
        allowed.path(load_own_state(request.results_dir).config.workspace, "the run's workspace")

    def look(named: dict[str, Path]) -> None:
        for key, path in named.items():
            allowed.path(str(path), key)

    return plan_within(request, look)


def _phase(view: StatusView, phase: PhaseView, *, followed: bool) -> PhaseResult:
    """A phase's figures, what the target limits among them; what a follower has read in the log is left out."""
    from tao_skill_bank.loop.metric import figure_key

    measured = figure_key(view.measure)
    figures = {_SHORT.get(name, name): _short(x) for name, x in {measured: phase.value, **phase.figures}.items()}
    return PhaseResult(
        phase=phase.phase, **{k: x for k, x in figures.items() if not followed or k in (measured, "rows")}
    )


def _logged(line: LogLine, verdict: str | None) -> str:
    """A line of the log; asides in brackets, the `ok` of what went well and the run's verdict stay in the file."""
    ended = "" if line.status == "ok" else f" {line.status}"
    summary = line.summary if verdict is None else line.summary.removesuffix(f"; {verdict}")
    summary = _ASIDE.sub("", summary) if line.status == "ok" else summary
    return clip(f"{line.seq} {line.iter} {line.stage}{ended}: {summary}", 110)


def _short(figure: Any) -> Any:
    """A figure to six digits: its file has all of them."""
    return float(f"{figure:.6g}") if isinstance(figure, float) else figure


def _summary(plan: PreFlight) -> list[str]:
    """What a model reads of a plan; a person is shown every setting."""
    if len(plan.settings) > MOST_SETTINGS:
        more = f"and {len(plan.settings) - MOST_SETTINGS} more"
        plan = plan.model_copy(update={"settings": [*plan.settings[:MOST_SETTINGS], more]})
    lines = [line.strip().replace(f"{plan.config['workspace']}/", "") for line in plan.lines() if line.strip()]
    skipped = ("Pre-Flight Summary", "data set", "checks", "plan digest", "estimate ", "[  ok]", "[skip]", "[warn]")
    return [clip(line, 240) for line in lines if not line.startswith(skipped)]


def _one_line(plan: PreFlight) -> str:
    rows = ", ".join(f"{split.name} {split.rows} rows" for split in plan.splits)
    text = (
        f"{plan.kpi_target}; at most {plan.max_iterations} iterations on {plan.config['platform']}; "
        f"about {plan.estimate_minutes:.1f} min; {rows}"
    )
    return clip(f"{text}; {len(plan.warnings)} warnings" if plan.warnings else text, 400)
