"""Addresses of runs: the list, one, its report, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tao_skill_bank import runs
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.studio import runlist
from tao_skill_bank.studio.api_plan import looks_of
from tao_skill_bank.studio.app import Routes, Studio
from tao_skill_bank.studio.models import RunDetail, RunList

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""The report's own policy, by hashes, holds within this one; in its frame it reaches nothing of the page."""


def list_runs(studio: Studio, request: Request) -> RunList:
    """Every run of the workspace."""
    return runlist.run_list(studio.workspace)


def one_run(studio: Studio, request: Request) -> RunDetail:
    """One run whole."""
    name = str(request.path_params["run"])
    looked = [look.model_dump() for look in looks_of(studio, name)]
    return runlist.run_detail(name, studio.workspace.run(name), studio.sheets, looked)


def stop_run(studio: Studio, request: Request) -> dict[str, bool]:
    """Ask whoever works on a run to stop."""
    return {"asked": runs.stop(studio.workspace.run(str(request.path_params["run"])), "studio")}


def resume_run(studio: Studio, request: Request) -> dict[str, str]:
    """Take up an approved run that was interrupted or stopped; says who approved it."""
    folder = studio.workspace.run(str(request.path_params["run"]))
    runs.open_run(runs.Request(results_dir=folder), approve=None, how="flag")
    runs.start_detached(folder)
    return {"approval": runs.status(folder, limit=0).approval or ""}


def compare(studio: Studio, request: Request) -> dict[str, Any]:
    """Two runs side by side, with the boards that one has right and the other wrong."""
    from tao_skill_bank.reports.compare import compare_runs
    from tao_skill_bank.studio.boardsets import fixed_and_broken

    names = [name for name in request.query_params.get("runs", "").split(",") if name]
    if len(names) != 2:
        raise InputError(f"{len(names)} runs", where="runs", fix="name two")
    found: dict[str, Any] = compare_runs([studio.workspace.run(name) for name in names]).model_dump(mode="json")
    first, second = (studio.sources(name) for name in names)
    return {**found, **fixed_and_broken(studio.sheets, first, second)}


def report(studio: Studio, request: Request) -> Response:
    """The run's report as it is now."""
    from starlette.responses import HTMLResponse

    from tao_skill_bank.reports.renderers import page

    html = page(studio.workspace.run(str(request.path_params["run"])))
    return HTMLResponse(html, headers={"Content-Security-Policy": REPORT_POLICY})


ROUTES: Routes = (
    ("/runs", "GET", list_runs),
    ("/compare", "GET", compare),
    ("/runs/{run}", "GET", one_run),
    ("/runs/{run}/stop", "POST", stop_run),
    ("/runs/{run}/resume", "POST", resume_run),
    ("/runs/{run}/report", "GET", report),
)
