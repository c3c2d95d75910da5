"""Tools around runs: a workspace from folders of pictures, its runs, two of them compared, a platform looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, WRITE, add, clip
from mcp_server.roots import Allowed

if TYPE_CHECKING:
    from tao_skill_bank.commands.doctor_checks import Finding

MOST_RUNS = 12
MOST_FOUND = 20
MOST_LINE = {"ok": 60, "note": 110, "lacks": 170, "broken": 250}


class Laid(BaseModel):
    """The sets by rows and labels, and what a person should look at."""

    workspace: str
    lines: list[str]
    next_step: str = "plan_deft_run"


class RunList(BaseModel):
    """The newest runs, newest first: folder, status, verdict."""

    runs: list[str]
    next_step: str = "get_deft_status, compare_runs, or start_deft_run with results_dir to go on"


class RunsCompared(BaseModel):
    """What differs in plans and results; `cautions` say why they may not be comparable."""

    lines: list[str]
    cautions: list[str]


class PlatformChecked(BaseModel):
    """Whether a run could start there, and what mends what is lacking."""

    ready: bool
    lines: list[str]


def make_workspace(
    pictures: Annotated[str, Field(description="Folder with a folder a label: PASS (or ok, good), and a defect each.")],
    goldens: Annotated[str, Field(description="Folder of the goldens.")],
    workspace: Annotated[str, Field(description="A folder that is new or empty.")],
    allowed: Allowed,
    lightings: Annotated[list[str] | None, Field(description="Ends of file names, several pictures a part.")] = None,
    board: Annotated[str | None, Field(description="Regular expression that finds the board in a path.")] = None,
) -> Laid:
    """Lay out a workspace from folders of good and bad pictures, which stay as they are."""
    from tao_skill_bank.data.changenet.lay_out import lay_out

    made = lay_out(
        allowed.path(pictures, "pictures"),
        allowed.path(goldens, "goldens"),
        allowed.path(workspace, "workspace"),
        lightings=lightings or [],
        board=board,
    )
    return Laid(workspace=str(made.workspace), lines=[clip(line, 300) for line in made.lines()[:14]])


def list_runs(workspace: Annotated[str, Field(description="The workspace.")], allowed: Allowed) -> RunList:
    """The runs of a workspace: to continue, compare, stop or read one."""
    from tao_skill_bank import runs
    from tao_skill_bank.core import guard
    from tao_skill_bank.core.errors import BankError
    from tao_skill_bank.loop.foreign import ForeignStateError
    from tao_skill_bank.loop.state import read_header, state_path

    home = allowed.path(workspace, "workspace")
    folder = home / "results"
    lines: list[tuple[str, str]] = []
    for run in guard.children(folder) if guard.is_folder(folder) else []:
        try:
            if not guard.is_file(state_path(run)):
                continue
            view = runs.status(run, limit=0)
            why = f" ({clip(view.stop_reason, 200)})" if view.status == "interrupted" and view.stop_reason else ""
            lines.append((read_header(run).started_at, f"{run}: {view.status}{why}; {clip(view.verdict.line, 160)}"))
        except ForeignStateError as error:
            started = error.said.facts.get("started_at", "")
            lines.append((started, f"{run}: {error.said.listed(run)}; compare_runs reads it as it is"))
        except BankError as error:
            lines.append(("", f"{run}: cannot be read: {clip(error.what, 120)}"))
    return RunList(runs=[line for _, line in sorted(lines, reverse=True)[:MOST_RUNS]])


def compare_runs(
    runs: Annotated[list[str], Field(description="Two run folders or more.")], allowed: Allowed
) -> RunsCompared:
    """Which run is better: verdicts with intervals, what differs in their plans, cost."""
    from tao_skill_bank.reports.compare import compare_runs as compared
    from tao_skill_bank.reports.compare import lines

    found = compared([allowed.path(run, "runs") for run in runs])
    return RunsCompared(
        lines=[clip(line, 200) for line in lines(found) if line.strip()][:40],
        cautions=[clip(text, 200) for text in found.cautions[:5]],
    )


def check_platform(
    platform: Annotated[str | None, Field(description="local, docker, slurm …; default: the installation.")] = None,
) -> PlatformChecked:
    """Is a platform, or the whole installation, ready: engine, login node, GPU, keys; what mends it."""
    from tao_skill_bank.bank.platforms_catalog import load_catalog
    from tao_skill_bank.commands.doctor_checks import Looks, diagnose
    from tao_skill_bank.core.roots import own_files

    with own_files():  # nothing that a caller names is opened
        found = diagnose(Looks(platforms=None if platform is None else (platform,)))
    asked = [f for f in found.findings if platform is None or f.group == "platforms"]
    lines = [clip(_looked_at(f, named=platform is None), 300 if platform else MOST_LINE[f.outcome]) for f in asked]
    if platform is None:
        return PlatformChecked(ready=found.sound, lines=lines[:MOST_FOUND])
    keys = load_catalog().named(platform).credential_lines()
    ready = all(f.outcome in ("ok", "note") for f in asked)
    return PlatformChecked(ready=ready, lines=[*lines[:8], *(clip(line, 120) for line in keys)])


def _looked_at(found: Finding, *, named: bool) -> str:
    what = f"{found.name}: {found.text}" if named else found.text
    return f"{found.outcome} {what}" + (f" -> {found.fix}" if found.fix else "")


def register(server: MCPServer[Any]) -> None:
    """Add the tools around runs."""
    add(server, make_workspace, WRITE)
    for look in (list_runs, compare_runs, check_platform):
        add(server, look, READ)
