"""Tools on data: check a training CSV, judge an inference, route weak samples."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, REWRITE, add, clip, fitting
from mcp_server.roots import Allowed

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


def check_training_csv(
    csv: Annotated[str, Field(description="The training CSV.")],
    workspace: Annotated[str, Field(description="The workspace folder.")],
    allowed: Allowed,
    validation_csv: Annotated[str | None, Field(description="Checked too, and for leakage.")] = None,
    lights: Annotated[list[str] | None, Field(description="Lightings; default: the spec's.")] = None,
    image_ext: str | None = None,
) -> CheckResult:
    """Check a ChangeNet training CSV: columns, labels, every image of every lighting, duplicates, leakage."""
    from tao_skill_bank.data.changenet.validate import check_training, label_warnings

    reports, leaks = check_training(
        allowed.path(csv, "csv"),
        allowed.path(workspace, "workspace"),
        validation_csv=allowed.optional(validation_csv, "validation_csv"),
        lights=lights,
        image_ext=image_ext,
    )
    faults = [f"{report.path.name}: {fault}" for report in reports for fault in report.faults]
    faults += [f"leakage: {leak}" for leak in leaks]
    return CheckResult(
        ok=not faults,
        sets=[clip(report.summary(), 240) for report in reports],
        fault_count=len(faults),
        faults=[clip(fault, 160) for fault in faults[:MOST_FAULTS]],
        warnings=[clip(line, 160) for line in label_warnings(reports)[:MOST_FAULTS]],
    )


def check_spec(
    spec: Annotated[str, Field(description="The TAO spec, YAML.")],
    allowed: Allowed,
    command: str = "visual_changenet",
    action: Annotated[str | None, Field(description="Default: train, or the command's only one.")] = None,
    release: Annotated[str | None, Field(description="As 7.1.0; default: that of the images in use.")] = None,
) -> SpecResult:
    """Whether a TAO release takes a spec, before anything runs it."""
    from tao_skill_bank.actions.spec_check import check_spec as check
    from tao_skill_bank.bank.versions import default_release

    found = check(allowed.path(spec, "spec"), (), release or default_release(), command, action)
    return SpecResult(
        ok=not found.faults,
        release=found.release,
        fault_count=len(found.faults),
        faults=[clip(fault, 200) for fault in found.faults[:MOST_FAULTS]],
        notes=[clip(line, 200) for line in [*found.unchecked, *found.elsewhere][:MOST_FAULTS]],
    )


def analyze_kpi(
    csv: Annotated[str, Field(description="An inference.csv with label and siamese_score.")],
    allowed: Allowed,
    output_dir: Annotated[str | None, Field(description="Default: the CSV's folder.")] = None,
    images: Annotated[bool, Field(description="Also draw three PNGs.")] = True,
) -> KpiResult:
    """Thresholds of an inference: 100 % recall with its FAR, the best F1, a table of every threshold."""
    from tao_skill_bank.data.changenet.kpi import analyze_kpi as analyze

    found = analyze(allowed.path(csv, "csv"), allowed.optional(output_dir, "output_dir"), images=images)
    return KpiResult(
        passes=found.passes,
        no_passes=found.no_passes,
        recall_100=_point(found.recall_100),
        best_f1=_point(found.best_f1),
        files=[str(path) for path in found.files],
    )


def route_samples(
    gaps_parquet: Annotated[str, Field(description="kpi_gaps.parquet.")],
    results_dir: Annotated[str, Field(description="Where the routed files go.")],
    allowed: Allowed,
    pool_csv: Annotated[str | None, Field(description="The mining pool's CSV.")] = None,
    generator_labels: Annotated[list[str] | None, Field(description="Labels a generator can make.")] = None,
    accept_dropped: Annotated[list[str] | None, Field(description="Labels that may go without.")] = None,
) -> RoutingResult:
    """Decide for each weak label: new data from the pool, from a generator, from both, or from nobody."""
    from tao_skill_bank.tasks.changenet.routing import route_gaps

    found = route_gaps(
        allowed.path(gaps_parquet, "gaps_parquet"),
        allowed.path(results_dir, "results_dir"),
        pool_csv=allowed.optional(pool_csv, "pool_csv"),
        generator_labels=generator_labels or [],
        accept_dropped=accept_dropped or [],
    )
    return RoutingResult(
        mining_rows=len(found.mining),
        anomalygen_rows=len(found.anomalygen),
        verdicts=fitting(found.verdicts, MOST_VERDICTS),
        dropped=list(fitting(dict.fromkeys(found.dropped, ""), MOST_DROPPED)),
        results_dir=results_dir,
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
