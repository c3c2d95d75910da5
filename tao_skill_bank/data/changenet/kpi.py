"""The KPI of one inference: every operating point as a table, the two that matter as text and pictures.

`analyze_kpi` reads an `inference.csv`, computes with `tao_skill_bank.metrics`, and writes six files. The 100 %-recall
point is the highest threshold at which no NO_PASS row is missed; without a NO_PASS row it is unavailable, and then no
KPI can be met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputErrors
from tao_skill_bank.core.sheets import write_columns
from tao_skill_bank.data.changenet.labels import is_pass, judged_as_defect, not_judged
from tao_skill_bank.data.changenet.tables import PairTable, coded, read_pairs
from tao_skill_bank.metrics import (
    Curve,
    Threshold,
    clopper_pearson,
    far_at_recall,
    operating_curve,
    optimal_threshold,
)

if TYPE_CHECKING:
    import pyarrow as pa

SCORE = "siamese_score"
BINS = 60
"""Bars of the score distribution."""
METRICS_FILE = "threshold_metrics.csv"
SUMMARY_FILE = "summary.txt"
MISSED_FILE = "best_f1_missed_no_pass_samples.csv"
DISTRIBUTION_FILE = "score_distribution_with_recall_100_threshold.png"
CONFUSION_100_FILE = "confusion_matrix_recall_100.png"
CONFUSION_F1_FILE = "confusion_matrix_best_f1.png"


@dataclass(frozen=True)
class Scored:
    """The rows of an inference with their scores.

    Attributes:
        table: The rows, every cell as text.
        scores: float64 [n], higher is more like a defect.
        is_pass: bool [n].
    """

    table: PairTable
    scores: npt.NDArray[np.float64]
    is_pass: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KpiAnalysis:
    """What an inference is worth.

    Attributes:
        recall_100: The operating point of 100 % recall; None without NO_PASS rows.
        best_f1: The operating point of the best F1; None without NO_PASS rows.
    """

    source: Path
    passes: int
    no_passes: int
    recall_100: Threshold | None
    best_f1: Threshold | None
    files: tuple[Path, ...]

    def lines(self) -> Iterator[str]:
        """The summary: thresholds at full precision, every rate with its 95 % interval."""
        yield f"source: {self.source}"
        yield f"rows: {self.passes + self.no_passes} ({self.passes} PASS, {self.no_passes} NO_PASS)"
        yield from self._point("100% recall", self.recall_100)
        yield from self._point("best F1", self.best_f1)

    def _point(self, name: str, point: Threshold | None) -> Iterator[str]:
        if point is None:
            yield f"{name} threshold: unavailable (no NO_PASS row, so recall is undefined and no KPI can be met)"
            return
        yield f"{name} threshold: {point.threshold!r}"
        yield f"{name} FAR: {_rate(point.fp, point.fp + point.tn, 'no PASS row')}"
        yield f"{name} precision: {_rate(point.tp, point.tp + point.fp, 'nothing is flagged')}"
        yield f"{name} measured recall: {_rate(point.tp, point.tp + point.fn, 'no NO_PASS row')}"
        yield f"{name} measured F1: {point.f1:.6f}"


def analyze_kpi(csv: Path, output_dir: Path | None = None, *, images: bool = True, bins: int = BINS) -> KpiAnalysis:
    """Write the KPI files of an inference.

    Args:
        csv: An `inference.csv` with at least `label` and `siamese_score`.
        output_dir: Where the files go, made if missing; default: the CSV's folder.
        images: Also draw the three PNGs (most of the time a small file takes).
        bins: Bars of the score distribution.

    Raises:
        InputError: The CSV cannot be read, has no rows or lacks a column.
        InputErrors: Scores that are not finite numbers, each with its row. Nothing was written.
    """
    scored = read_scored(csv)
    curve = operating_curve(scored.scores, scored.is_pass)
    recall_100 = far_at_recall(scored.scores, scored.is_pass, 1.0)
    best_f1 = None if recall_100 is None else optimal_threshold(scored.scores, scored.is_pass, 0.0)
    out = csv.parent if output_dir is None else output_dir
    names = [METRICS_FILE, SUMMARY_FILE, MISSED_FILE]
    if images:
        names += [DISTRIBUTION_FILE, CONFUSION_100_FILE, CONFUSION_F1_FILE]
    passes = int(np.count_nonzero(scored.is_pass))
    analysis = KpiAnalysis(
        csv, passes, len(scored.scores) - passes, recall_100, best_f1, tuple(out / name for name in names)
    )
    _write_metrics(out / METRICS_FILE, curve)
    fsio.write_text(out / SUMMARY_FILE, "\n".join(analysis.lines()) + "\n")
    missed = missed_no_pass(scored, best_f1)
    write_columns(out / MISSED_FILE, missed.columns)
    if images:
        from tao_skill_bank.data.changenet import kpi_plots

        kpi_plots.draw_distribution(out / DISTRIBUTION_FILE, scored.scores, scored.is_pass, recall_100, bins)
        kpi_plots.draw_confusion(out / CONFUSION_100_FILE, recall_100, "100 % recall")
        kpi_plots.draw_confusion(out / CONFUSION_F1_FILE, best_f1, "best F1")
    return analysis


def read_scored(csv: Path, first: int | None = None) -> Scored:
    """Read the labels and scores of an inference; every other column is kept as text.

    PASS is told by `label.strip().upper() == "PASS"`, everything else is NO_PASS.

    Args:
        csv: The file.
        first: As `read_pairs`.

    Raises:
        InputError: As `read_pairs`; a good part under another word than PASS.
        InputErrors: Scores that are empty, not numbers, NaN or infinite, each with its row.
    """
    table = read_pairs(csv, required=("label", SCORE), first=first)
    is_pass = told_pass(table)
    return Scored(table, finite_scores(csv, table.arrow(SCORE)), is_pass)


def told_pass(table: PairTable) -> npt.NDArray[np.bool_]:
    """Which rows are labelled PASS, by `label.strip().upper() == "PASS"`, bool [n].

    Raises:
        InputError: A good part under another word than PASS.
    """
    codes, labels = coded(table.arrow("label"))
    wrong = np.isin(codes, [code for code, label in enumerate(labels) if judged_as_defect([label])])
    if wrong.any():
        first = int(np.argmax(wrong))
        raise not_judged(table.path, first, table.label[first], int(np.count_nonzero(wrong)))
    told: npt.NDArray[np.bool_] = np.array([is_pass(label) for label in labels], dtype=bool)[codes]
    return told


def missed_no_pass(scored: Scored, point: Threshold | None) -> PairTable:
    """The NO_PASS rows that a threshold lets through (score <= threshold), lowest score first."""
    if point is None:
        return scored.table.take([])
    missed = np.flatnonzero(~scored.is_pass & (scored.scores <= point.threshold))
    order = missed[np.argsort(scored.scores[missed], kind="stable")]
    return scored.table.take([int(row) for row in order])


def metric_table(curve: Curve) -> pa.Table:
    """The 13 metric columns, a row for each candidate threshold, ascending. Rates are shares, not percent."""
    import pyarrow as pa

    return pa.table(
        {
            **curve.columns(),
            "predicted_no_pass_count": curve.tp + curve.fp,
            "actual_no_pass_count": curve.tp + curve.fn,
            "actual_pass_count": curve.fp + curve.tn,
        }
    )


def _write_metrics(path: Path, curve: Curve) -> None:
    from pyarrow import csv as arrow_csv

    table = metric_table(curve)
    with fsio.atomic_file(path) as sink:
        sink.write((",".join(table.column_names) + "\n").encode())
        options = arrow_csv.WriteOptions(include_header=False, batch_size=1 << 16)
        arrow_csv.write_csv(table, sink, options)


def finite_scores(csv: Path, texts: pa.Array, name: str = SCORE) -> npt.NDArray[np.float64]:
    """Texts as numbers, float64 [n].

    Raises:
        InputErrors: Those that are empty, not numbers, NaN or infinite, each with its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values: npt.NDArray[np.float64] = pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        values = np.array([_float(text) for text in texts.to_pylist()], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad) == 0:
        return values
    faults = [f"row {row + 1}: {name} is not a finite number: {texts[int(row)].as_py()!r}" for row in bad]
    raise InputErrors(
        f"{len(bad)} of {len(values)} scores are not finite numbers, first: {faults[0]}",
        faults,
        where=csv,
        fix="see the log of the inference that wrote it",
    )


def _float(text: str) -> float:
    try:
        return float("nan") if "_" in text else float(text)
    except ValueError:
        return float("nan")


def _rate(successes: int, trials: int, without: str) -> str:
    if trials == 0:
        return f"undefined ({without})"
    low, high = clopper_pearson(successes, trials)
    return (
        f"{100 * successes / trials:.4f} % ({successes} of {trials}; 95 % interval {100 * low:.4f} % "
        f"to {100 * high:.4f} %)"
    )


def as_json(analysis: KpiAnalysis) -> dict[str, Any]:
    """The operating points as plain values, for tools that want JSON."""
    from dataclasses import asdict

    return {
        "source": str(analysis.source),
        "passes": analysis.passes,
        "no_passes": analysis.no_passes,
        "recall_100": None if analysis.recall_100 is None else asdict(analysis.recall_100),
        "best_f1": None if analysis.best_f1 is None else asdict(analysis.best_f1),
        "files": [str(path) for path in analysis.files],
    }
