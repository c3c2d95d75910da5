"""The page of a monitor, for whoever runs the line: what alarms, since when, and how each part type went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tao_skill_bank.assurance.monitor import Status, StratumStatus
from tao_skill_bank.assurance.monitor_record import Lot, histories, read_fed, stratum_name
from tao_skill_bank.core import fsio
from tao_skill_bank.core.text import plural, score
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
    rows = stratum_rows(folder, status)
    return render_page(
        "monitor.html.j2", head=head(status), status=status, rows=rows, threshold=score(status.threshold)
    )


def stratum_rows(folder: Path, status: Status) -> list[dict[str, Any]]:
    """What a page shows of each part type and lighting: its state in words, its alarm, its last lots as a chart."""
    lots = histories(read_fed(folder))
    rows = []
    for stratum in status.strata:
        shown = lots[stratum.part_type, stratum.lighting][-MOST_LOTS:]
        since = None if stratum.alarm is None else stratum.alarm.since
        rows.append(
            {
                "name": stratum_name(stratum.part_type, stratum.lighting),
                "lots": plural(stratum.lots, "lot"),
                "state": "; ".join(filter(None, (_state(status, stratum), stratum.by_size))),
                "alarm": stratum.alarm,
                "chart": lot_chart(shown, since),
                "range": _range(shown),
                "first": shown[0].lot if shown else "",
                "last": shown[-1].lot if shown else "",
            }
        )
    return rows


def _range(lots: Sequence[Lot]) -> str:
    values = [value for lot in lots for value in lot.values]
    return f"from {score(min(values))} to {score(max(values))}" if values else ""


def _state(status: Status, stratum: StratumStatus) -> str:
    if stratum.alarm is not None:
        return "changed"
    if stratum.evidence is None:
        return f"reference: {stratum.reference} of {plural(status.reference_lots, 'lot')}"
    return "as before"


def lot_chart(lots: Sequence[Lot], since: str | None) -> Markup:
    """Median and 95th percentile of each lot, in order; what follows the change is shaded."""
    drawn = [lot for lot in lots if not lot.small]
    if len(drawn) < 2:
        return Markup('<p class="absent">Too few lots for a chart.</p>')
    values = [value for lot in drawn for value in lot.values]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def line(i: int, name: str) -> str:
        points = " ".join(
            f"{1000 * k / (len(drawn) - 1):.1f},{100 - 100 * (lot.values[i] - low) / span:.1f}"
            for k, lot in enumerate(drawn)
        )
        return f'<polyline class="{name}" points="{points}" vector-effect="non-scaling-stroke"/>'

    start = next((k for k, lot in enumerate(drawn) if lot.lot == since), None)
    shade = ""
    if start is not None:
        x = 1000 * start / (len(drawn) - 1)
        shade = f'<rect class="since" x="{x:.1f}" y="0" width="{1000 - x:.1f}" height="100"/>'
    about = f"median and 95th percentile of {len(drawn)} lots, between {score(low)} and {score(high)}"
    # Every number is ours; no text of the data is in it.
    return Markup(
        f'<svg class="lots" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{about}">'
        f"{shade}{line(1, 'tail')}{line(0, 'level')}</svg>"
    )
