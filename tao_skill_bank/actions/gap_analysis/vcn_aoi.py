"""Gap analysis of a Visual ChangeNet classifier: its threshold, its weakest samples, and what they look like.

`analyze_vcn_aoi` is the one function behind the command line, the loop and the tools. PASS is a label that is PASS
when stripped and upper-cased; everything else is NO_PASS, the positive class, predicted if and only if the score lies
strictly above the threshold.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import UnreachableError
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.data.changenet.labels import judged_as_defect, near_misses, not_judged

if TYPE_CHECKING:
    from tao_skill_bank.actions.gap_analysis.vcn_read import ImageNames, Inference
    from tao_skill_bank.actions.gap_analysis.vcn_select import FloatArray, IntArray, LabelCount
    from tao_skill_bank.metrics import Curve, Threshold

GAPS = "kpi_gaps.parquet"
THRESHOLD = "threshold.txt"
METRICS = "metrics.json"
BREAKDOWN = "weak_samples_breakdown.txt"
UNREACHABLE = "unreachable_kpi.txt"
CURVE = "recall_far.csv"
HISTOGRAM = "score_histogram.png"
# In the order in which they appear: who finds the parquet finds the rest.
OUTPUTS = (THRESHOLD, METRICS, BREAKDOWN, CURVE, HISTOGRAM, UNREACHABLE, GAPS)
CURVE_POINTS = 1000


class Confusion(Frozen):
    """Counts at the threshold; NO_PASS is positive."""

    tp: int
    fp: int
    tn: int
    fn: int


class PerLabel(Frozen):
    """One upper-cased label: its samples, those misclassified, those kept as weak."""

    count: int
    misclassified: int
    kept: int


class InputDigest(Frozen):
    """Which file was analysed."""

    path: str
    sha256: str
    rows: int


class VcnMetrics(Frozen):
    """`metrics.json`.

    Attributes:
        threshold: NO_PASS is predicted above it.
        threshold_source: `sweep`, or `pinned` by the command line.
        min_recall: The floor of the sweep.
        far: FP / (FP + TN), 0..1; None without a PASS row.
        recall: TP / (TP + FN), 0..1; None without a NO_PASS row, as only a pinned threshold allows.
        recall_interval: The 95 % Clopper-Pearson interval of recall.
        far_interval: The same of FAR.
        per_label: By upper-cased label.
        input: The CSV that was read.
    """

    threshold: float
    threshold_source: Literal["sweep", "pinned"]
    min_recall: float
    precision: float
    recall: float | None
    recall_interval: tuple[float, float] | None
    f1: float
    far: float | None
    far_interval: tuple[float, float] | None
    accuracy: float
    confusion_matrix: Confusion
    per_label: dict[str, PerLabel]
    input: InputDigest


class VcnAoiResult(Frozen):
    """What an analysis found and where it stands.

    Attributes:
        results_dir: The folder of the outputs, absolute.
        metrics: What `metrics.json` holds.
        image_rows: Rows of `kpi_gaps.parquet`: one an image of a kept sample.
        files: Output name → path.
        warnings: What makes the figures doubtful: names of one defect, samples that stand twice.
        summary: The lines that the command prints.
    """

    results_dir: Path
    metrics: VcnMetrics
    kept: int
    image_rows: int
    files: dict[str, Path]
    warnings: tuple[str, ...]
    summary: tuple[str, ...]


def analyze_vcn_aoi(config: VcnAoiConfig) -> VcnAoiResult:
    """Analyse `inference.csv` and write every output, or none of them.

    Raises:
        InputError: Input that cannot be used; file and row are named and nothing is written.
        UnreachableError: No threshold keeps `min_recall` (there is no NO_PASS row); `unreachable_kpi.txt` is written.
        OSError: The results folder cannot be written; nothing of the analysis is left in it.
    """
    from tao_skill_bank.actions.gap_analysis.outputs import staged_outputs
    from tao_skill_bank.actions.gap_analysis.vcn_read import read_image_names, read_inference
    from tao_skill_bank.metrics import confusion_at, far_at_recall, optimal_threshold, thinned_curve

    names = read_image_names(config.train_config)
    inference = read_inference(config.inference_results_dir)
    _refuse_good_words(inference)
    is_pass = inference.is_pass
    results_dir = Path(os.path.abspath(config.results_dir))
    pinned = config.threshold >= 0
    point = (
        confusion_at(inference.scores, is_pass, config.threshold)
        if pinned
        else optimal_threshold(inference.scores, is_pass, config.min_recall)
    )
    if point is None:
        text = _unreachable_text(config, inference)
        with staged_outputs(results_dir, OUTPUTS) as aside:
            aside.write(UNREACHABLE, text)
        raise UnreachableError(
            f"no threshold reaches a NO_PASS recall of {config.min_recall:g}: none of {len(inference)} rows is NO_PASS",
            where=inference.path,
            fix=f"add defect samples to the test set; see {results_dir / UNREACHABLE}",
        )

    selection = _select(config, inference, point)
    metrics = _metrics(config, inference, point, selection, pinned=pinned)
    full = far_at_recall(inference.scores, is_pass, 1.0)
    corners = [point.threshold, *([full.threshold] if full else [])]
    curve = thinned_curve(inference.scores, is_pass, corners, CURVE_POINTS)
    with staged_outputs(results_dir, OUTPUTS) as aside:
        aside.write(THRESHOLD, repr(point.threshold))
        text = json.dumps(metrics.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        aside.write(METRICS, text + "\n")
        breakdown = "\n".join(_breakdown(config, inference, point, selection.counts)) + "\n"
        aside.write(BREAKDOWN, breakdown)
        _write_curve(aside, curve)
        _write_histogram(aside, inference, point.threshold)
        image_rows = _write_gaps(aside, config, inference, selection, names)
    warnings = tuple(_warnings(metrics, inference))
    return VcnAoiResult(
        results_dir=results_dir,
        metrics=metrics,
        kept=len(selection.rows),
        image_rows=image_rows,
        files={name: results_dir / name for name in OUTPUTS if name != UNREACHABLE},
        warnings=warnings,
        summary=tuple(_summary(metrics, selection.counts, image_rows, warnings, results_dir)),
    )


def _refuse_good_words(inference: Inference) -> None:
    """A good part under another word than PASS would be judged as a defect: recall, FAR and the gaps all wrong."""
    import numpy as np

    wrong = judged_as_defect(inference.label_texts)
    if not wrong:
        return
    flags = np.array([text in wrong for text in inference.label_texts], dtype=np.bool_)
    rows = np.flatnonzero(flags[inference.label_codes])
    label = inference.label_texts[int(inference.label_codes[rows[0]])]
    raise not_judged(inference.path, int(rows[0]), label, len(rows))


class _Selection:
    """The kept rows, weakest first, with the weakness of every row and the counts of every label."""

    def __init__(self, rows: IntArray, weak: FloatArray, counts: list[LabelCount]) -> None:
        self.rows = rows
        self.weak = weak
        self.counts = counts


def _select(config: VcnAoiConfig, inference: Inference, point: Threshold) -> _Selection:
    import numpy as np

    from tao_skill_bank.actions.gap_analysis import vcn_select

    is_pass = inference.is_pass
    wrong = vcn_select.misclassified(inference.scores, is_pass, point.threshold)
    weak = vcn_select.weakness(inference.scores, is_pass, point.threshold)
    names, place = vcn_select.label_groups(inference.labels)
    codes = place.astype(np.min_scalar_type(len(names)))[inference.label_codes]
    if config.top_k_per_label is None:
        rows = vcn_select.ordered(weak, np.flatnonzero(wrong))
    else:
        rows = vcn_select.weakest(weak, codes, config.top_k_per_label)
    return _Selection(rows, weak, vcn_select.count_labels(names, codes, wrong, rows))


def _metrics(
    config: VcnAoiConfig, inference: Inference, point: Threshold, selection: _Selection, *, pinned: bool
) -> VcnMetrics:
    from tao_skill_bank.metrics import clopper_pearson

    passes, defects = point.fp + point.tn, point.tp + point.fn
    return VcnMetrics(
        threshold=point.threshold,
        threshold_source="pinned" if pinned else "sweep",
        min_recall=config.min_recall,
        precision=point.precision,
        recall=point.recall if defects else None,
        recall_interval=clopper_pearson(point.tp, defects) if defects else None,
        f1=point.f1,
        far=point.far if passes else None,
        far_interval=clopper_pearson(point.fp, passes) if passes else None,
        accuracy=point.accuracy,
        confusion_matrix=Confusion(tp=point.tp, fp=point.fp, tn=point.tn, fn=point.fn),
        per_label={
            c.label: PerLabel(count=c.count, misclassified=c.misclassified, kept=c.kept) for c in selection.counts
        },
        input=InputDigest(path=os.path.abspath(inference.path), sha256=inference.sha256, rows=len(inference)),
    )


def _breakdown(
    config: VcnAoiConfig, inference: Inference, point: Threshold, counts: Iterable[LabelCount]
) -> Iterable[str]:
    """`weak_samples_breakdown.txt`: of each label, how much of the kept samples it makes up and how wrong they are."""
    counts = list(counts)
    kept = sum(c.kept for c in counts)
    rule = "every misclassified sample" if config.top_k_per_label is None else f"top {config.top_k_per_label} per label"
    yield f"Weak samples by label (threshold {point.threshold!r}, {rule})"
    yield f"Total samples: {len(inference)}"
    yield f"Kept samples: {kept}"
    yield ""
    for c in counts:
        share = 100.0 * c.kept / kept if kept else 0.0
        yield (
            f"  {c.label}: {c.kept} ({share:.1f}%), {c.kept_misclassified} misclassified, "
            f"{c.kept - c.kept_misclassified} marginal"
        )


def _warnings(metrics: VcnMetrics, inference: Inference) -> Iterable[str]:
    from tao_skill_bank.actions.gap_analysis.vcn_select import repeats
    from tao_skill_bank.core.text import plural

    for line in near_misses({label: found.count for label, found in metrics.per_label.items()}):
        yield f"one defect under two names? {line}"
    again, contrary = repeats(inference)
    if again:
        yield (
            f"{plural(again, 'row')} of a sample that stands in an earlier row: each is counted, so that the intervals "
            "are narrower than the samples bear out"
        )
    if contrary:
        yield f"{plural(contrary, 'sample')} under several labels: one of them is wrong"


def _summary(
    metrics: VcnMetrics, counts: Iterable[LabelCount], image_rows: int, warnings: Iterable[str], results_dir: Path
) -> Iterable[str]:
    source = "pinned" if metrics.threshold_source == "pinned" else f"swept, recall >= {metrics.min_recall:g}"
    recall = _rate("recall", metrics.recall, metrics.recall_interval, "NO_PASS")
    far = _rate("FAR", metrics.far, metrics.far_interval, "PASS")
    both = metrics.far is not None and metrics.recall is not None
    matrix = metrics.confusion_matrix
    flagged = matrix.tp + matrix.fp
    precision = f"{100 * metrics.precision:.2f}%" if flagged else "undefined (nothing is flagged)"
    others = f"precision: {precision}  F1: {metrics.f1:.4f}" if both else "precision, F1: undefined"
    counts = list(counts)
    yield f"threshold: {metrics.threshold!r} ({source})"
    yield f"{recall}  {far}  {others}  (95% intervals)"
    yield f"confusion: tp {matrix.tp}, fp {matrix.fp}, tn {matrix.tn}, fn {matrix.fn}"
    yield f"kept: {sum(c.kept for c in counts)} of {metrics.input.rows} samples, {image_rows} image rows"
    width = max(len(c.label) for c in counts)
    for c in counts:
        yield (
            f"  {c.label.ljust(width)}  {c.kept} kept of {c.count}: {c.kept_misclassified} misclassified, "
            f"{c.kept - c.kept_misclassified} marginal"
        )
    yield from (f"warning: {line}" for line in warnings)
    yield f"results: {results_dir}"


def _rate(name: str, value: float | None, interval: tuple[float, float] | None, needs: str) -> str:
    if value is None or interval is None:
        return f"{name}: undefined (no {needs} row)"
    return f"{name}: {100 * value:.2f}% [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def _unreachable_text(config: VcnAoiConfig, inference: Inference) -> str:
    top = float(inference.scores.max())
    return (
        f"The recall target cannot be reached.\n\n"
        f"Target: NO_PASS recall >= {config.min_recall!r}\n"
        f"Reachable NO_PASS recall: 0.0, at threshold {top!r} (and at every other)\n"
        f"NO_PASS samples: 0 of {len(inference)}\n"
        f"Input: {os.path.abspath(inference.path)} (sha256 {inference.sha256})\n\n"
        f"Recall is the share of NO_PASS samples that are flagged; with none of them in the set no operating point\n"
        f"has one. Add labelled defects to the test set, make sure that none was labelled PASS, and evaluate again.\n"
    )


def _write_curve(aside: guard.Within, curve: Curve) -> None:
    """`recall_far.csv`: the operating curve, thresholds ascending, at most 1,000 points."""
    columns = {name: column for name, column in curve.columns().items() if name != "accuracy"}
    with io.TextIOWrapper(aside.open(CURVE), encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def _write_histogram(aside: guard.Within, inference: Inference, threshold: float) -> None:
    from tao_skill_bank.data.changenet.kpi_plots import draw_scores

    marked = (f"threshold {threshold:.6g}", threshold)
    with aside.open(HISTOGRAM) as handle:
        draw_scores(
            handle, inference.scores, inference.is_pass, title="siamese_score", marked=marked, bins=60, height=460
        )


def _write_gaps(
    aside: guard.Within, config: VcnAoiConfig, inference: Inference, selection: _Selection, names: ImageNames
) -> int:
    import pyarrow.parquet as pq

    from tao_skill_bank.actions.gap_analysis.vcn_select import gaps_schema, image_rows

    root = "" if config.kpi_media_path is None else str(config.kpi_media_path)
    written = 0
    # Through a Python handle: its errors carry the number and the name that arrow's own lose.
    with aside.open(GAPS) as handle, pq.ParquetWriter(handle, gaps_schema()) as writer:
        for batch in image_rows(inference, selection.rows, selection.weak, names, root):
            writer.write_batch(batch)
            written += batch.num_rows
    return written
