"""Tools around a run: its log, its tokens, its report, its hand-off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.app import TOOL_META
from mcp_server.asked import with_request, within
from mcp_server.deft import RunFolder
from mcp_server.door import REWRITE, WRITE, Linked, add
from mcp_server.resources import report_link
from mcp_server.roots import Allowed
from tao_skill_bank.loop.asked import StageAsked

if TYPE_CHECKING:
    from tao_skill_bank.loop.evidence import Interval


class Logged(BaseModel):
    """The number the line got."""

    seq: int


class Aligned(BaseModel):
    """Messages given to a stage, messages in no stage's window, stages that got any."""

    matched: int
    unmatched: int
    stages: int


class Rendered(Linked):
    """The report's path and summary; rates in percent. `best_pct` and `acceptance_pct` are of `measure`."""

    path: str
    status: str
    verdict: str
    kpi_target: str
    measure: str
    asked: str | None = None
    best_iteration: str | None = None
    best_pct: float | None = None
    best_interval_pct: list[float] | None = None
    acceptance_pct: float | None = None
    best_far_pct: float | None = None
    best_far_interval_pct: list[float] | None = None
    acceptance_far_pct: float | None = None
    acceptance_recall_pct: float | None = None
    iterations: int
    missing: int | None = None

    def links(self) -> list[tuple[str, str, str]]:
        """The page as a resource of its run."""
        return [report_link(Path(self.path).parent)]


class HandedOff(BaseModel):
    """The hand-off's files."""

    files: list[str]


@with_request(StageAsked)
def log_stage(results_dir: RunFolder, allowed: Allowed, **asked: Any) -> Logged:
    """Append one line to a run's loop_log.jsonl, for a stage that was run by hand."""
    from tao_skill_bank.loop.log import append_stage, log_path
    from tao_skill_bank.tasks.registry import stage_names

    folder = allowed.path(results_dir, "results_dir")
    line = append_stage(log_path(folder), stages=stage_names(folder), **within(StageAsked, asked, allowed))
    return Logged(seq=line.seq)


def align_tokens(
    results_dir: RunFolder,
    transcripts: Annotated[list[str], Field(description="Agent transcripts (JSONL).")],
    allowed: Allowed,
    dry_run: Annotated[bool, Field(description="Count, change nothing.")] = False,
) -> Aligned:
    """Give each stage of a run's log the tokens that agents used while it ran."""
    from tao_skill_bank.loop.log import log_path
    from tao_skill_bank.loop.tokens import align_tokens as align

    files = [allowed.path(name, "transcripts") for name in transcripts]
    found = align(log_path(allowed.path(results_dir, "results_dir")), files, dry_run=dry_run)
    return Aligned(matched=found.matched, unmatched=found.unmatched, stages=found.stages)


def render_report(
    results_dir: RunFolder,
    allowed: Allowed,
    narrative: Annotated[str | None, Field(description="Plain text for the page, 300 words at most.")] = None,
) -> Rendered:
    """Render and summarise a run's report; a narrative becomes part of the page."""
    from tao_skill_bank.reports.renderers import summarise

    found = summarise(allowed.path(results_dir, "results_dir"), narrative)
    figures = found.model_dump(include=set(Rendered.model_fields) - {"verdict"})
    return Rendered(
        **figures,
        verdict=found.verdict.line,
        best_interval_pct=_ends(found.best_interval),
        best_far_interval_pct=_ends(found.best_far),
    )


def _ends(interval: Interval | None) -> list[float] | None:
    """Low and high in percent, to six digits."""
    return None if interval is None else [float(f"{x:.6g}") for x in (interval.low_pct, interval.high_pct)]


def write_handoff(results_dir: RunFolder, allowed: Allowed) -> HandedOff:
    """Write best_model.json and best_model_inference_spec.yaml of a run."""
    from tao_skill_bank import runs

    return HandedOff(files=[str(path) for path in runs.hand_off(allowed.path(results_dir, "results_dir"))])


def register(server: MCPServer[Any]) -> None:
    """Add the tools around a run."""
    add(server, log_stage, WRITE)
    add(server, align_tokens, REWRITE)
    add(server, render_report, REWRITE, TOOL_META)
    add(server, write_handoff, REWRITE)
