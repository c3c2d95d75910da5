"""The page of a monitor, for whoever runs the line: what alarms, since when, and how each part type went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from tao_skill_bank.assurance.monitor import Status, StratumStatus
from tao_skill_bank.assurance.monitor_record import read_settings, stratum_name
from tao_skill_bank.assurance.monitor_state import read_state
from tao_skill_bank.core import fsio
from tao_skill_bank.core.text import plural, score, whole
from tao_skill_bank.metrics.drift import FloatArray
from tao_skill_bank.reports.page import render_page

PAGE_FILE = "monitor.html"
MOST_LOTS = 400
"""Charts show the last of them."""
_HEADS = {"alarm": "Something has changed", "no alarm": "Nothing alarms", "reference": "Not tested yet"}


def head(status: Status) -> str:
    """What a status is called; that nothing alarms is said of what was tested."""
    said = _HEADS[status.word]
    return f"{said} of what was tested" if status.word == "no alarm" and status.untested else said


def write_page(folder: Path, status: Status) -> Path | None:
    """Write the page beside the record; None where the folder cannot be written to, since looking needs no page."""
    path = folder / PAGE_FILE
    try:
        fsio.write_text(path, monitor_html(folder, status))
    except OSError:
        return None
    return path


def monitor_html(folder: Path, status: Status) -> str:
    """The page as text. Everything out of data is escaped."""
    return render_page(
        "monitor.html.j2",
        head=head(status),
        status=status,
        rows=stratum_rows(folder, status),
        reading=reading(folder, status),
        threshold=score(status.threshold),
    )


def reading(folder: Path, status: Status) -> str:
    """What the charts' lines are, as far as this monitor has them, and how rarely an alarm comes without a change."""
    lines = "The line is the median score of a lot, the dashed one its 95th percentile"
    if "spread" in read_settings(folder).statistics:
        lines += "; the line below, on a scale of its own, is how far apart the middle half of its scores lies"
    rare = f"an alarm comes once in {whole(status.lots_to_false_alarm)} lots or more rarely, over all rows together"
    return f"{lines}. Without a change, {rare}."


def stratum_rows(folder: Path, status: Status) -> list[dict[str, Any]]:
    """What a page shows of each part type and lighting: its state in words, its alarm, its last lots as a chart."""
    state = read_state(folder, read_settings(folder))
    rows = []
    for stratum in status.strata:
        history = state.history(stratum.part_type, stratum.lighting)
        names, values = history.names[-MOST_LOTS:], history.rows[-MOST_LOTS:, : history.statistics]
        since = None if stratum.alarm is None else stratum.alarm.since
        rows.append(
            {
                "name": stratum_name(stratum.part_type, stratum.lighting),
                "lots": plural(stratum.lots, "lot"),
                "state": "; ".join(filter(None, (_state(status, stratum), stratum.by_size))),
                "alarm": stratum.alarm,
                "chart": lot_chart(names, values, since),
                "range": f"from {score(values[:, :2].min())} to {score(values[:, :2].max())}" if names else "",
                "first": names[0] if names else "",
                "last": names[-1] if names else "",
            }
        )
    return rows


def _state(status: Status, stratum: StratumStatus) -> str:
    if stratum.alarm is not None and stratum.alarm.kind == "drift":
        return "changed"
    if stratum.alarm is not None:
        return "not tested" if stratum.evidence is None else "not tested any more"
    if stratum.evidence is None:
        return f"reference: {stratum.reference} of {plural(status.reference_lots, 'lot')}"
    return "as before"


def lot_chart(names: Sequence[str], values: FloatArray, since: str | None) -> Markup:
    """The statistics of each lot, in order, the spread on a scale of its own; what follows the change is shaded.

    Args:
        names: Of the lots, [n].
        values: Median, 95th percentile and, where it is kept, quartile distance of each, [n, 2 or 3].
        since: The name of the lot that begins the change.
    """
    if len(names) < 2:
        return Markup('<p class="absent">Too few lots for a chart.</p>')
    at = names.index(since) if since in names else None
    of_scores = _chart("median and 95th percentile", {"tail": values[:, 1], "level": values[:, 0]}, at)
    return of_scores + (_chart("spread", {"spread": values[:, 2]}, at) if values.shape[1] > 2 else Markup(""))


def _chart(what: str, lines: dict[str, FloatArray], since: int | None) -> Markup:
    """Lines over lots, on one scale; each has the class of its name."""
    every = np.stack(list(lines.values()))
    low, high = float(every.min()), float(every.max())
    across = 1000 * np.arange(every.shape[1]) / (every.shape[1] - 1)
    drawn = ""
    if since is not None:
        x = across[since]
        drawn = f'<rect class="since" x="{x:.1f}" y="0" width="{1000 - x:.1f}" height="100"/>'
    for name, heights in zip(lines, 100 - 100 * (every - low) / ((high - low) or 1.0), strict=True):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across.tolist(), heights.tolist(), strict=True))
        drawn += f'<polyline class="{name}" points="{points}" vector-effect="non-scaling-stroke"/>'
    about = f"{what} of {every.shape[1]} lots, between {score(low)} and {score(high)}"
    # Every number is ours; no text of the data is in it.
    return Markup(
        f'<svg class="lots {" ".join(lines)}" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{about}">{drawn}</svg>'
    )
