"""Pages of yes/no answers: one file each, offline, everything foreign escaped, frames inside."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.text import percent
from tao_skill_bank.data.bcq import causes
from tao_skill_bank.reports.page import render_page
from tao_skill_bank.reports.plain import REPORT_FILE, stage_rows
from tao_skill_bank.tasks.registry import load_state, task_of
from tao_skill_bank.tasks.vlm_bcq.results import (
    AnnotateResult,
    MergeResult,
    MiningResult,
    RcaResult,
    RoutingResult,
)

RCA_PAGE = "rca.html"
TABLES = {
    "question_key": "Questions",
    "kind": "Kinds of question",
    "negation": "Negation",
    "duration": "Length of the clip, in thirds",
    "brightness": "Brightness, in thirds",
    "motion": "Motion, in thirds",
}
_MINED_SHOWN = 8


def render_rca(folder: Path, verdict: str, *, run: Path | None = None, workspace: str | None = None) -> Path:
    """Write `rca.html` from `tables.json` and the frames beside it; returns its path.

    Args:
        folder: Where they lie.
        verdict: What the page begins with.
        run: The run that it is of, if of any; the command that shows it is then named.
        workspace: Its own; the command that takes a verdict is then named.
    """
    found = json.loads(guard.read_text(folder / "tables.json", "tables"))
    for failure in found["worst"]:
        failure["frames"] = [
            {**frame, "data": _picture(folder / "rca_images" / frame["file"])} for frame in failure["frames"]
        ]
    path = folder / RCA_PAGE
    said = {"counted": causes.counted(found), "without_cause": causes.without_cause(found)}
    shown = {"name": None if run is None else run.name, "workspace": workspace}
    page = render_page("vlm_rca.html.j2", verdict=verdict, found=found, tables=TABLES, **said, **shown)
    fsio.write_text(path, page)
    return path


def render_run(results_dir: Path) -> Path:
    """Write the root-cause pages of a run and its report; returns the report's path."""
    state = load_state(results_dir)
    verdict = task_of(results_dir).verdict(state).line
    for iteration in state.iterations.values():
        found = iteration.result(RcaResult)
        if found is not None and guard.is_file(Path(found.rca_results_dir) / "tables.json"):
            home = state.config.workspace
            render_rca(Path(found.rca_results_dir), verdict, run=results_dir, workspace=home)
    path = results_dir / REPORT_FILE
    fsio.write_text(path, run_html(results_dir))
    return path


def run_html(results_dir: Path) -> str:
    """The report of a run as text."""
    state, task = load_state(results_dir), task_of(results_dir)
    phases = [_phase(results_dir, state, label, iteration) for label, iteration in state.iterations.items()]
    keys = sorted({key for phase in phases for key in phase["keys"]})
    accepted = state.acceptance or {}
    measures = sorted({name for side in ("baseline", "best") for name in accepted.get(side, {}).get("measures", {})})
    return render_page(
        "vlm_report.html.j2",
        task=task.name,
        name=results_dir.name,
        state=state,
        verdict=task.verdict(state),
        phases=phases,
        keys=keys,
        accepted=accepted,
        measures=measures,
        checks=state.checked,
        stages=stage_rows(state),
    )


def _phase(results_dir: Path, state: Any, label: str, iteration: Any) -> dict[str, Any]:
    evaluation, measured = iteration.evaluation, state.measured(iteration)
    rca, routed = iteration.result(RcaResult), iteration.result(RoutingResult)
    mined, kept = iteration.result(MiningResult), iteration.result(AnnotateResult)
    page = None
    if rca is not None and Path(rca.rca_results_dir).is_relative_to(results_dir):
        page = (Path(rca.rca_results_dir).relative_to(results_dir) / RCA_PAGE).as_posix()
    return {
        "label": label,
        "value": "" if measured is None else percent(measured.value_pct),
        "interval": measured,
        "table": {} if evaluation is None else evaluation.table,
        "unreadable": "" if evaluation is None else evaluation.unreadable,
        "keys": {} if evaluation is None else evaluation.keys,
        "causes": [] if rca is None else rca.causes,
        "doubts": 0 if rca is None else rca.doubts,
        "page": page,
        "routing": {} if routed is None else routed.routing_verdicts,
        "mined": mined,
        "mined_rows": [] if mined is None else _mined(Path(mined.mined_parquet)),
        "annotated": kept,
        "merged": iteration.result(MergeResult),
    }


def _mined(path: Path) -> list[dict[str, Any]]:
    """The most similar mined rows with a frame each."""
    from tao_skill_bank.core.arrow import read_parquet
    from tao_skill_bank.core.errors import BankError
    from tao_skill_bank.data.bcq.clips import stills

    if not guard.is_file(path):
        return []
    rows = sorted(read_parquet(path).to_pylist(), key=lambda row: (-row["similarity"], row["id"]))[:_MINED_SHOWN]
    for row in rows:
        try:
            row["data"] = _encoded(stills(Path(row["video"]), 1, 160)[0][1])
        except (BankError, OSError):
            row["data"] = None
    return rows


def _encoded(pixels: Any) -> str:
    import io

    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=80)
    return base64.b64encode(held.getvalue()).decode()


def _picture(path: Path) -> str | None:
    return base64.b64encode(guard.read_bytes(path)).decode() if guard.is_file(path) else None
