"""The pictures of a KPI analysis. Drawn without a display; equal numbers give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio
from tao_skill_bank.metrics import Threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Blue and orange are told apart by every kind of colour vision.
PASS_COLOUR = "#0072B2"
NO_PASS_COLOUR = "#D55E00"
UNAVAILABLE = "unavailable: there is no NO_PASS row"
BINS = 60


def draw_distribution(
    path: Path,
    scores: npt.NDArray[np.float64],
    is_pass: npt.NDArray[np.bool_],
    recall_100: Threshold | None,
) -> None:
    """Histogram of the scores of PASS and NO_PASS rows, with the 100 %-recall threshold.

    Args:
        path: The PNG.
        scores: float64 [n].
        is_pass: bool [n].
        recall_100: The threshold to draw; without one the title says so.
    """
    figure = _figure(8, 4.5)
    axes = figure.subplots()
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for mask, name, colour in ((is_pass, "PASS", PASS_COLOUR), (~is_pass, "NO_PASS", NO_PASS_COLOUR)):
        counts, _ = np.histogram(scores[mask], bins=edges)
        axes.stairs(counts, edges, fill=True, alpha=0.55, color=colour, label=f"{name} ({int(mask.sum())})")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("siamese_score")
    axes.set_ylabel("rows")
    if recall_100 is None:
        axes.set_title(f"100 % recall threshold {UNAVAILABLE}")
    else:
        axes.axvline(
            recall_100.threshold,
            color="black",
            linestyle="--",
            label=f"100 % recall threshold {recall_100.threshold:.6g}",
        )
        axes.set_title(f"False-accept rate at 100 % recall: {100 * recall_100.far:.4g} %")
    axes.legend(loc="upper right")
    _save(figure, path)


def draw_confusion(path: Path, point: Threshold | None, name: str) -> None:
    """The 2 x 2 counts of an operating point, shaded by the share of their actual class."""
    figure = _figure(5, 4.4)
    axes = figure.subplots()
    if point is None:
        axes.axis("off")
        axes.text(0.5, 0.5, f"{name}\n{UNAVAILABLE}", ha="center", va="center", wrap=True)
        _save(figure, path)
        return
    counts = np.array([[point.tn, point.fp], [point.fn, point.tp]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    classes = ["PASS", "NO_PASS"]
    axes.set_xticks([0, 1], classes)
    axes.set_yticks([0, 1], classes, rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(f"{name}: threshold {point.threshold:.6g}")
    for row in range(2):
        for column in range(2):
            axes.text(
                column,
                row,
                f"{counts[row, column]}\n{100 * shares[row, column]:.2f} %",
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.5 else "black",
            )
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    # Without the metadata entry the file would name the library's version, and differ with it.
    with fsio.atomic_path(path) as temp:
        figure.savefig(temp, format="png", metadata={"Software": None})
