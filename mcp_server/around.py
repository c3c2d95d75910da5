"""Tools around runs: a workspace from folders of pictures, its runs, two of them compared, a platform looked at."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, WRITE, add, clip
from mcp_server.roots import Allowed

MOST_RUNS = 12


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
    """Lay out a workspace from folders of good and bad pictures: sets, spec, links. Pictures stay as they are."""
    from tao_skill_bank.data.changenet.lay_out import lay_out

    made = lay_out(
        allowed.path(pictures, "pictures"),
        allowed.path(goldens, "goldens"),
        allowed.path(workspace, "workspace"),
        lightings=lightings or [],
        board=board,
    )
    return Laid(workspace=str(made.workspace), lines=[clip(_as_arguments(line), 300) for line in made.lines()[:14]])


def list_runs(workspace: Annotated[str, Field(description="The workspace.")], allowed: Allowed) -> RunList:
    """The runs of a workspace: to continue, compare, stop or read one."""
    from tao_skill_bank import runs
    from tao_skill_bank.core import guard
    from tao_skill_bank.core.errors import BankError
    from tao_skill_bank.loop.state import read_header, state_path

    home = allowed.path(workspace, "workspace")
    folder = home / "results"
    found = [run for run in guard.children(folder) if guard.is_file(state_path(run))] if guard.is_folder(folder) else []
    lines: list[tuple[str, str]] = []
    for run in found:
        try:
            view = runs.status(run, limit=0)
            lines.append((read_header(run).started_at, f"{run}: {view.status}; {clip(view.verdict.line, 160)}"))
        except BankError as error:
            lines.append(("", f"{run}: cannot be read: {clip(error.what, 120)}"))
    return RunList(runs=[line for _, line in sorted(lines, reverse=True)[:MOST_RUNS]])


def compare_runs(
    runs: Annotated[list[str], Field(description="Two run folders or more.")], allowed: Allowed
) -> RunsCompared:
    """Which of some runs is better: verdicts with intervals, what differs in their plans, cost."""
    from tao_skill_bank.reports.compare import compare_runs as compared
    from tao_skill_bank.reports.compare import lines

    found = compared([allowed.path(run, "runs") for run in runs])
    return RunsCompared(
        lines=[clip(line, 200) for line in lines(found) if line.strip()][:40],
        cautions=[clip(text, 200) for text in found.cautions[:5]],
    )


def check_platform(platform: Annotated[str, Field(description="local, docker, slurm …")]) -> PlatformChecked:
    """Whether a platform is ready here: client, engine or login node, GPU; and what mends it."""
    from tao_skill_bank.commands.doctor_checks import Looks, diagnose

    found = [f for f in diagnose(Looks(platforms=(platform,))).findings if f.group == "platforms"]
    lines = [clip(f"{f.outcome} {f.text}" + (f" -> {f.fix}" if f.fix else ""), 300) for f in found[:12]]
    return PlatformChecked(ready=all(f.outcome in ("ok", "note") for f in found), lines=lines)


def _as_arguments(line: str) -> str:
    """A line that names an option of the command, in the words of the tool."""
    return line.replace("say --board PATTERN", "name it with board").replace("with --board", "with board")


def register(server: MCPServer[Any]) -> None:
    """Add the tools around runs."""
    add(server, make_workspace, WRITE)
    for look in (list_runs, compare_runs, check_platform):
        add(server, look, READ)
