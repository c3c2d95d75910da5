"""The parts of the DEFT report, made ready for its template: charts drawn, rows worked out, nothing read twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.clock import log_moment
from tao_skill_bank.core.consent import approved
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import limit, listed, percent, plural, points
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.log import LogLine
from tao_skill_bank.loop.metric import Limit
from tao_skill_bank.reports import charts
from tao_skill_bank.reports.deft.checks import leakage_text, trained_text
from tao_skill_bank.reports.deft.status import rate
from tao_skill_bank.reports.deft.view import Accepted, LabelFigures, Phase, RunView, by_label, share
from tao_skill_bank.tasks.changenet.metric import FAR

STAGE_ORDER = (
    "routing",
    "anomalygen_finetune",
    "anomalygen",
    "data_mining",
    "data_merge",
    "train",
    "evaluate",
    "rca",
    "loop_stop",
)


def far_figure(view: RunView) -> Markup:
    """What the target limits, by phase on the KPI set; behind them, what the acceptance set says of the best."""
    best, many, target = view.best, len(view.measured) > 6, view.target
    measure = view.state.measure
    taken = [(p, *view.goal_of(p)) for p in view.measured]
    points = [
        charts.RatePoint(
            name="base" if p.number == 0 else str(p.number) if many else f"iter {p.number}",
            value=value,
            low=found.low_pct if found else None,
            high=found.high_pct if found else None,
            marked=p is best,
        )
        for p, found, value in taken
        if value is not None
    ]
    accepted = view.accepted("best")
    held = None if accepted is None else accepted.figures.get(measure)
    if points and accepted is not None and held is not None:
        missed = [limit for limit in target.constraints if not _keeps(accepted, limit)] if target else []
        note = ", ".join(f"{limit.name} {percent(accepted.figures[limit.name].value_pct)}" for limit in missed)
        points.append(charts.RatePoint("acceptance", held.value_pct, held.low_pct, held.high_pct, True, True, note))
    goal = (target.goal.limit_pct, target.goal.op) if target else (None, "<")
    return charts.rate_chart(points, *goal, measure=measure)


def threshold_rule(view: RunView) -> str:
    """At which threshold a model is measured: `at the recall the target asks for`."""
    measure = view.state.measure
    if measure == FAR.name:
        return "at the recall the target asks for"
    asked = view.target.constraints if view.target else ()
    held = [f"{one.name} {one.op} {limit(one.limit_pct)}" for one in asked]
    return f"at the threshold whose {measure} is best" + f" among those with {listed(held)}" * bool(held)


def _keeps(accepted: Accepted, limit: Limit) -> bool:
    found = accepted.figures.get(limit.name)
    return found is None or limit.met(found.value_pct)


@dataclass(frozen=True)
class DefectRow:
    """One label of the KPI set over the run.

    `figures` are those of the best model, `before` those of the baseline (None where they are the same).
    """

    label: str
    key: str
    figures: LabelFigures
    before: LabelFigures | None
    cost: Interval | None
    cost_before: Interval | None
    bar: Markup
    routed: str
    training: int | None
    mined: int
    synthetic: int

    @property
    def is_pass(self) -> bool:
        """Whether this is the PASS row."""
        return is_pass(self.label)

    @property
    def effect_pp(self) -> float | None:
        """What the run did to the cost of catching all of it, in percentage points; negative is better."""
        before = self.before.cost_pct if self.before else None
        after = self.figures.cost_pct
        return None if before is None or after is None else after - before


def defect_rows(view: RunView) -> list[DefectRow]:
    """Every label of the best model's KPI inference, dearest first; PASS last."""
    best, base = view.best, view.baseline
    if best is None:
        return []
    training = view.dataset("training")
    has = by_label(training.labels) if training else None
    mined, synthetic = view.added("mining"), view.added("anomalygen")
    routed: dict[str, str] = {}
    for phase in view.phases:
        routed.update({key.upper(): verdict for key, verdict in (phase.record.routing_verdicts or {}).items()})
    costs = [
        f.cost_pct or 0.0 for p in (base, best) if p is not None for f in p.figures.values() if f.cost_pct is not None
    ]
    top = max([*costs, 1e-9])
    rows = []
    for key, figures in best.figures.items():
        before = base.figures.get(key) if base is not None and base is not best else None
        bar = charts.cost_bar(before.cost_pct if before else None, figures.cost_pct, top)
        rows.append(
            DefectRow(
                label=figures.label,
                key=key,
                figures=figures,
                before=before,
                cost=_cost(best, figures),
                cost_before=_cost(base, before),
                bar=bar,
                routed=routed.get(key, ""),
                training=None if has is None else has[key],
                mined=mined[key],
                synthetic=synthetic[key],
            )
        )
    return sorted(rows, key=lambda row: row.is_pass)


def _cost(phase: Phase | None, figures: LabelFigures | None) -> Interval | None:
    """What catching all of a label costs, with its interval."""
    passes = phase.figures.get("PASS") if phase else None
    if passes is None or figures is None or figures.cost_pct is None:
        return None
    return share(round(figures.cost_pct * passes.count / 100), passes.count)


@dataclass(frozen=True)
class PoolRow:
    """One label of the mining pool: how many rows it has, and how many the run took."""

    label: str
    have: int
    taken: int
    synthetic: int
    bar: Markup

    @property
    def left(self) -> int:
        """Rows that were not taken."""
        return max(self.have - self.taken, 0)


def pool_rows(view: RunView) -> list[PoolRow]:
    """The pool by label, with what was taken of it and what was made beside it."""
    pool = view.dataset("pool")
    have = dict(pool.labels) if pool else {}
    taken, made = view.added("mining"), view.added("anomalygen")
    known = {label.upper() for label in have}
    for source in ("mining_by_label", "anomalygen_by_label"):
        for phase in view.phases:
            for label in getattr(phase.record, source) or {}:
                if label.upper() not in known:
                    known.add(label.upper())
                    have[label] = 0
    top = max([*have.values(), 1])
    rows = []
    for label, count in have.items():
        used = taken[label.upper()]
        bar = charts.spread([("taken", used), ("left", max(count - used, 0))], top)
        rows.append(PoolRow(label, count, used, made[label.upper()], bar))
    return rows


@dataclass(frozen=True)
class Lane:
    """The stages of one iteration as one bar."""

    label: str
    title: str
    seconds: int
    tokens: int
    bar: Markup
    stages: tuple[LogLine, ...]


def lanes(view: RunView) -> list[Lane]:
    """The time of the run: a bar an iteration, parted by stage; all on one scale."""
    groups: dict[str, list[LogLine]] = {}
    for line in view.lines:
        groups.setdefault(line.iter, []).append(line)
    totals = {label: sum(x.duration_sec for x in lines) for label, lines in groups.items()}
    longest = max([*totals.values(), 1])
    found = []
    for label, lines in groups.items():
        parts = [(line.stage, float(line.duration_sec)) for line in lines]
        title = "Baseline" if label == "baseline" else f"Iteration {label.removeprefix('iter')}"
        found.append(
            Lane(
                label,
                title,
                totals[label],
                sum(x.token_total for x in lines),
                charts.spread(parts, longest),
                tuple(lines),
            )
        )
    return found


def stages_seen(view: RunView) -> list[str]:
    """The stages that ran, in the loop's order: the legend of the bars."""
    seen = list(dict.fromkeys(line.stage for line in view.lines))
    known = [stage for stage in STAGE_ORDER if stage in seen]
    return known + [stage for stage in seen if stage not in STAGE_ORDER]


def elapsed_sec(view: RunView) -> int | None:
    """From the run's start to the end of its last stage, in seconds."""
    try:
        began, ended = log_moment(view.state.started_at), log_moment(view.lines[-1].ts)
    except (ValueError, IndexError):
        return None
    return max(0, int((ended - began).total_seconds()))


@dataclass(frozen=True)
class Card:
    """What one iteration did, in lines of (name, text)."""

    phase: Phase
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]


def cards(view: RunView) -> list[Card]:
    """One card a phase."""
    found = []
    for phase in view.phases:
        record = phase.record
        kind, checkpoint = (record.best_ckpt_kind or "").replace("_", " "), record.best_ckpt_path
        facts = [
            ("Routed", _grouped(record.routing_verdicts or {})),
            ("Real rows added", _by_label(record.mining_mined_count, record.mining_by_label)),
            ("Synthetic rows added", _by_label(record.anomalygen_count, record.anomalygen_by_label)),
            ("Encoder", record.mining_encoder + _similarity(view, phase) if record.mining_encoder else ""),
            ("Leakage check", leakage_text(record.leakage) if record.leakage else ""),
            ("Weak samples found", _weak(view, phase)),
            ("Validation loss", "" if record.val_loss is None else f"{record.val_loss:.4g}"),
            ("Checkpoint", f"{checkpoint.rsplit('/', 1)[-1]} ({kind})" if checkpoint else ""),
            ("Other checkpoints", _others(view, phase)),
        ]
        errors = tuple(
            f"{line.stage}: {line.summary}"
            for line in view.lines
            if line.iter == phase.label and line.status == "error"
        )
        told = tuple((name, text) for name, text in facts if text)
        found.append(Card(phase, told, tuple(record.warnings), errors))
    return found


def _others(view: RunView, phase: Phase) -> str:
    """The candidates that were not chosen, and how far each lay from the one that was."""
    record, name = phase.record, view.state.target.measure.name
    chosen = record.evaluation
    if chosen is None:
        return ""
    return "; ".join(
        f"{e.checkpoint.rsplit('/', 1)[-1]} ({e.kind.replace('_', ' ')}): "
        f"{name} {points(e.value_pct(name) - chosen.value_pct(name))}"
        for e in record.evaluations
        if e is not chosen
    )


def approach(view: RunView) -> list[tuple[str, str]]:
    """How the run works, as (name, text)."""
    config, spec = view.state.config, view.spec
    model = spec.get("model") or {}
    classify = (spec.get("dataset") or {}).get("classify") or {}
    train = spec.get("train") or {}
    backbone = (model.get("backbone") or {}).get("type")
    module = (model.get("classify") or {}).get("difference_module")
    epochs = config.num_epochs or train.get("num_epochs")
    batch = config.batch_size or classify.get("batch_size")
    lights = ", ".join(view.lights[0]) if spec else ""
    mining, limits = config.mining, config.mining_filter
    budget = "no row limit" if mining.budget is None else f"at most {mining.budget} rows an iteration"
    near = plural(limits.top_k_per_target, "neighbour")
    trained = view.verdict.trained
    planned = " · ".join(str(x) for x in (backbone, module) if x)
    rows = [
        ("Platform", config.platform),
        ("Trained by", trained_text(trained) if view.measured else ""),
        ("Model", trained.network or (planned and f"{planned} (by the spec)")),
        ("Training", f"{epochs} epochs, batch {batch}, seed {config.seed}" if epochs and batch else ""),
        ("Images", _images(trained, classify, lights)),
        ("Mining", f"{mining.strategy}, {budget}, {near} a weak sample, cosine ≥ {limits.min_similarity:g}"),
        ("Synthetic defects", f"{config.anomalygen.mode}, at most {config.anomalygen.num_SDG} an iteration"),
        ("Iterations", f"at most {view.state.max_iterations}"),
    ]
    if view.state.approval is not None:
        approval = view.state.approval
        rows.append(("Approval", f"{approved(approval.how)}, {approval.approved_at[:16].replace('T', ' ')} UTC"))
        rows.append(("Plan digest", approval.digest[:16]))
    return [(name, text) for name, text in rows if text]


def _images(trained: Trained, classify: dict[str, Any], lights: str) -> str:
    """The size the network really saw; before that is known, what the spec says."""
    spec = (classify.get("image_width"), classify.get("image_height"))
    width, height = trained.image_size or spec
    size = f"{width} × {height}{'' if trained.image_size else ' (by the spec)'}" if width and height else ""
    return ", ".join(x for x in (size, f"lightings {lights}" if lights else "") if x)


def _similarity(view: RunView, phase: Phase) -> str:
    table = _parquet(view, phase.record.mining_mined_parquet, ["similarity"], f"mined rows of {phase.label}")
    values = [] if table is None else [x for x in table["similarity"] if x is not None]
    return f", median similarity {float(np.median(values)):.3f}" if values else ""


def _weak(view: RunView, phase: Phase) -> str:
    table = _parquet(view, phase.record.rca_gaps_parquet, ["filepath", "label"], f"weak samples of {phase.label}")
    if table is None:
        return ""
    lights = max(len(view.lights[0]), 1)
    labels = [str(x).strip().lower() for x in table["label"]]
    counts = {"PASS" if is_pass(label) else label: labels.count(label) // lights for label in sorted(set(labels))}
    return _by_label(len(labels) // lights, counts)


def _parquet(view: RunView, path: str | None, columns: list[str], what: str) -> dict[str, list[Any]] | None:
    if path is None:
        return None
    import pyarrow as pa

    try:
        # The path itself, not a dataset of the folder: `iter=1` in a folder's name is no partition.
        table = read_parquet(view.at(path), columns)
        return {name: table.column(name).to_pylist() for name in columns}
    except (BankError, OSError, pa.ArrowException, KeyError) as error:
        view.lacks(what, path, "not on disk" if isinstance(error, FileNotFoundError) else "not readable")
        return None


def _grouped(verdicts: dict[str, str]) -> str:
    """`mining: missing, shift; dropped (accepted): scratch`."""
    groups: dict[str, list[str]] = {}
    for label, verdict in verdicts.items():
        groups.setdefault(verdict, []).append("PASS" if is_pass(label) else label.lower())
    return "; ".join(f"{verdict.replace('+', ' + ')}: {', '.join(labels)}" for verdict, labels in groups.items())


def _by_label(total: int | None, labels: dict[str, int] | None) -> str:
    if total is None or not labels:
        return "" if total is None else str(total)
    return f"{total} ({', '.join(f'{label} {count}' for label, count in labels.items())})"


def baseline_text(view: RunView) -> str:
    """One sentence: where the run began."""
    base = view.baseline
    if base is None:
        return "The baseline has not been measured yet."
    worst = next((f for f in base.figures.values() if f.cost_pct is not None), None)
    cause = f" The defect type that costs most there is {worst.label}." if worst and worst.cost_pct else ""
    rows = f", trained on {base.rows} rows," if base.rows else ""
    return f"The baseline{rows} has {view.state.measure} {rate(*view.goal_of(base))}.{cause}"
