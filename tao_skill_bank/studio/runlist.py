"""The list of runs, and one run whole: what `status` says of it, with the figures that the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tao_skill_bank import runs
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import is_number, json_objects
from tao_skill_bank.core.version import __version__
from tao_skill_bank.loop.approval import approver
from tao_skill_bank.loop.foreign import ForeignStateError
from tao_skill_bank.platforms.base import jobs_dir, read_records, tail_of
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.models import LogRow, PhaseRow, RunDetail, RunList, RunRow, SetFigures
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources
from tao_skill_bank.studio.workspace import Workspace
from tao_skill_bank.tasks.changenet.state import State

TAIL_LINES = 60
MOST_LOG = 500
_AS_STATUS_SAYS = (
    *("task", "status", "max_iterations", "kpi_target", "measure", "verdict", "approval", "best_iteration"),
    *("best_value", "stage", "iteration", "live", "elapsed_sec"),
)


def run_list(workspace: Workspace) -> RunList:
    """Every run; one that cannot be read is there with the reason."""
    return RunList(
        workspace=str(workspace.root),
        name=workspace.root.name,
        writable=workspace.why_not_writable(),
        version=__version__,
        user=approver(),
        runs=[run_row(name, folder) for name, folder in workspace.runs().items()],
        annotations=list(workspace.annotations()),
    )


def run_row(name: str, folder: Path) -> RunRow:
    """One run in the list."""
    try:
        return RunRow(**_row(name, folder))
    except ForeignStateError as error:
        return RunRow(name=name, folder=str(folder), problem=error.said.listed(folder))
    except BankError as error:
        return RunRow(name=name, folder=str(folder), problem=error.line())


def _row(name: str, folder: Path) -> dict[str, Any]:
    view = runs.status(folder, limit=0)
    state = runs.load_state(folder)
    phases = []
    for phase in view.phases:
        record = state.iterations.get(phase.phase)
        told: dict[str, Any] = {} if record is None else record.figures()
        phases.append(
            PhaseRow(
                phase=phase.phase,
                status=phase.status,
                value=phase.value,
                far=None if record is None else record.interval(view.measure),
                threshold=told.get("threshold"),
                rows=told.get("training_rows"),
                **{name: told.get(name) for name in ("mined", "synthetic", "annotated")},
            )
        )
    working = view.working is not None
    return {
        **{key: getattr(view, key) for key in _AS_STATUS_SAYS},
        "name": name,
        "folder": str(folder),
        "started_at": state.started_at,
        "platform": state.config.platform,
        "approved_by": None if state.approval is None else state.approval.by,
        "phases": phases,
        "working": working,
        "losses": _losses(folder / view.iteration / "train" / "status.json") if working else [],
        "remaining_sec": view.remaining_sec if working else None,
        "report": view.report is not None,
        "samples": isinstance(state, State),
    }


def run_detail(name: str, folder: Path, sheets: Sheets, looked: list[dict[str, Any]]) -> RunDetail:
    """One run whole.

    Raises:
        InputError: It cannot be read.
    """
    view = runs.status(folder, limit=MOST_LOG)
    state = runs.load_state(folder)
    return RunDetail(
        **_row(name, folder),
        stop_reason=view.stop_reason,
        next_step=view.next_step,
        sets=_figures(folder, sheets) if isinstance(state, State) else [],
        log=[LogRow(**line.model_dump(include=set(LogRow.model_fields))) for line in view.log],
        tail=log_tail(folder, view.job) if view.working is not None else "",
        looked=looked,
        settings=state.config.model_dump(mode="json"),
    )


def _figures(folder: Path, sheets: Sheets) -> list[SetFigures]:
    sources = RunSources(folder)
    found = []
    for name in ("acceptance", "kpi"):
        if name not in sources.sets():
            continue
        try:
            source, sheet = samples.read(sheets, sources, name, None)
        except (BankError, OSError):
            continue
        figures = samples.figures(source, sheet)
        if figures is not None:
            found.append(figures)
    return found


def log_tail(folder: Path, job: str | None) -> str:
    """The last lines of the job at work, else of the worker."""
    records = [] if job is None else read_records(folder, job)
    names = [*(f"{record.uid}.log" for record in records[-1:]), "engine.log"]
    path = next((p for n in names if guard.holds_bytes(p := jobs_dir(folder) / n)), None)
    return "" if path is None else tail_of(path, TAIL_LINES)


def _losses(path: Path) -> list[float]:
    """The training losses that `status.json` (JSON lines) has said so far."""
    said = [value.get("kpi") for value in json_objects(tail_of(path, 400))]
    losses = [kpi.get("train_loss") for kpi in said if isinstance(kpi, dict)]
    return [float(loss) for loss in losses if is_number(loss)]
