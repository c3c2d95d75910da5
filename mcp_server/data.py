"""Tools on data: check a training CSV, judge an inference, route weak samples."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.asked import with_request, within
from mcp_server.door import READ, REWRITE, add, clip, fitting
from mcp_server.roots import Allowed
from tao_skill_bank.tasks.asked import KpiAsked, RouteAsked, SpecAsked, TrainingCheck

MOST_FAULTS = 10
MOST_VERDICTS, MOST_DROPPED = 900, 500
"""Characters; the whole table is in Routing_Report.md."""


class CheckResult(BaseModel):
    """What was found: a line a set, the faults by row (the first ten), and defect names that are probably one."""

    ok: bool
    sets: list[str]
    fault_count: int
    faults: list[str]
    warnings: list[str] = []


class SpecResult(BaseModel):
    """Whether the release takes it; a line a fault, and what was not looked at or means something else elsewhere."""

    ok: bool
    release: str
    fault_count: int
    faults: list[str]
    notes: list[str] = []


class Point(BaseModel):
    """An operating point; shares from 0 to 1 with 95 % Clopper-Pearson intervals; a rate of no rows is missing."""

    threshold: float
    far: float | None = None
    far_interval: list[float] | None = None
    recall: float
    recall_interval: list[float] | None = None
    precision: float | None = None
    f1: float


class KpiResult(BaseModel):
    """What an inference is worth; a point is missing without a NO_PASS row."""

    passes: int
    no_passes: int
    recall_100: Point | None = None
    best_f1: Point | None = None
    files: list[str]


class RoutingResult(BaseModel):
    """How many rows go where, and each label's verdict. `dropped` labels have no taker."""

    mining_rows: int
    anomalygen_rows: int
    verdicts: dict[str, str]
    dropped: list[str]
    results_dir: str


@with_request(TrainingCheck)
def check_training_csv(allowed: Allowed, **asked: Any) -> CheckResult:
    """Check a training CSV: columns, labels, every image of every lighting, duplicates, leakage."""
    from tao_skill_bank.data.changenet.validate import check_training, label_warnings

    reports, leaks = check_training(**within(TrainingCheck, asked, allowed))
    faults = [f"{report.path.name}: {fault}" for report in reports for fault in report.faults]
    faults += [f"leakage: {leak}" for leak in leaks]
    return CheckResult(
        ok=not faults,
        sets=[clip(report.summary(), 240) for report in reports],
        fault_count=len(faults),
        faults=[clip(fault, 160) for fault in faults[:MOST_FAULTS]],
        warnings=[clip(line, 160) for line in label_warnings(reports)[:MOST_FAULTS]],
    )


@with_request(SpecAsked)
def check_spec(allowed: Allowed, **asked: Any) -> SpecResult:
    """Whether a TAO release takes a spec, before anything runs it."""
    from tao_skill_bank.actions.spec_check import check_spec as check
    from tao_skill_bank.bank.versions import default_release

    wish = SpecAsked(**within(SpecAsked, asked, allowed))
    found = check(wish.spec, (), wish.release or default_release(), wish.command, wish.action)
    return SpecResult(
        ok=not found.faults,
        release=found.release,
        fault_count=len(found.faults),
        faults=[clip(fault, 200) for fault in found.faults[:MOST_FAULTS]],
        notes=[clip(line, 200) for line in [*found.unchecked, *found.elsewhere][:MOST_FAULTS]],
    )


@with_request(KpiAsked)
def analyze_kpi(
    allowed: Allowed, images: Annotated[bool, Field(description="Also draw three PNGs.")] = True, **asked: Any
) -> KpiResult:
    """Thresholds of an inference: 100 % recall with its FAR, the best F1, a table of all."""
    from tao_skill_bank.data.changenet.kpi import analyze_kpi as analyze

    found = analyze(**within(KpiAsked, asked, allowed), images=images)
    return KpiResult(
        passes=found.passes,
        no_passes=found.no_passes,
        recall_100=_point(found.recall_100),
        best_f1=_point(found.best_f1),
        files=[str(path) for path in found.files],
    )


@with_request(RouteAsked)
def route_samples(allowed: Allowed, **asked: Any) -> RoutingResult:
    """Decide for each weak label: new data from the pool, from a generator, from both, or from nobody."""
    from tao_skill_bank.tasks.changenet.routing import route_gaps

    found = route_gaps(**within(RouteAsked, asked, allowed))
    return RoutingResult(
        mining_rows=len(found.mining),
        anomalygen_rows=len(found.anomalygen),
        verdicts=fitting(found.verdicts, MOST_VERDICTS),
        dropped=list(fitting(dict.fromkeys(found.dropped, ""), MOST_DROPPED)),
        results_dir=asked["results_dir"],
    )


def register(server: MCPServer[Any]) -> None:
    """Add the tools on data."""
    add(server, route_samples, REWRITE)
    add(server, check_training_csv, READ)
    add(server, check_spec, READ)
    add(server, analyze_kpi, REWRITE)


def _point(point: Any) -> Point | None:
    if point is None:
        return None
    return Point(
        threshold=point.threshold,
        far=point.far if point.fp + point.tn else None,
        far_interval=_interval(point.fp, point.fp + point.tn),
        recall=point.recall,
        recall_interval=_interval(point.tp, point.tp + point.fn),
        precision=point.precision if point.tp + point.fp else None,
        f1=point.f1,
    )


def _interval(successes: int, trials: int) -> list[float] | None:
    from tao_skill_bank.metrics import clopper_pearson

    return list(clopper_pearson(successes, trials)) if trials else None
