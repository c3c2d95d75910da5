"""`RCA_Report.html`: the root-cause analysis as one offline page, beside the Markdown and from the same data."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.text import capital
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.reports import charts, score_charts
from tao_skill_bank.reports.deft.explorer import POINTS, embedded, tryout
from tao_skill_bank.reports.deft.view import share
from tao_skill_bank.reports.page import render_page, script
from tao_skill_bank.reports.pictures import data_uri
from tao_skill_bank.reports.rca import tables as rca_tables
from tao_skill_bank.reports.rca.data import GOLDENS, IMAGES, SHOTS, RcaData
from tao_skill_bank.reports.rca.text import advice, headline, main_cause
from tao_skill_bank.reports.rca.words import home_of

PAGE = "RCA_Report.html"
SUSPECTS_SHOWN = 12


def write_page(data: RcaData) -> Path:
    """Write the page into the analysis' folder, in one step; returns its path."""
    path = data.folder / PAGE
    write_text(path, page_html(data))
    return path


def page_html(data: RcaData) -> str:
    """The page as one HTML document; what cannot be read any more is left out."""
    common = {
        "context": data.context,
        "name": data.folder.name,
        "home": str(home_of(data)),
        "unreachable": data.unreachable,
        "actions": [_action(text) for text in advice(data)] if data.metrics else [],
        "script": script("report.js"),
    }
    if data.metrics is None:
        return render_page("rca_report.html.j2", metrics=None, data=embedded([]), **common)
    m, c, shots = data.metrics, data.metrics.confusion_matrix, _shots(data)
    return render_page(
        "rca_report.html.j2",
        metrics=m,
        tone="met" if not c.fp and not c.fn else "near",
        headline=headline(data),
        cause=plain(main_cause(data)),
        far=_share(c.fp, c.fp + c.tn),
        recall=_share(c.tp, c.tp + c.fn),
        precision=_share(c.tp, c.tp + c.fp),
        labels=_labels(data),
        passes=[s for s in shots if s["label"].upper() == "PASS"],
        defects=[s for s in shots if s["label"].upper() != "PASS"],
        suspects=[
            {
                **s,
                "suspicion": 100 * float(s["suspicion"]),
                "weakness": float(s["weakness"]),
                "name": data.context.name(s["filepath"]),
                "shots": _shots_of(data, s["rank"]),
            }
            for s in data.suspects[:SUSPECTS_SHOWN]
        ],
        suspects_all=len(data.suspects),
        by_model_alone=data.by_model_alone,
        **_scores(data),
        **common,
    )


def _share(part: int, whole: int) -> Interval | None:
    """A rate, or nothing where there is nothing to take it of."""
    return share(part, whole) if whole else None


def _scores(data: RcaData) -> dict[str, Any]:
    """The charts, from the inference that was analysed, if it is still there."""
    from tao_skill_bank.actions.gap_analysis.vcn_read import read_inference
    from tao_skill_bank.metrics import thinned_curve

    assert data.metrics is not None
    m, c = data.metrics, data.metrics.confusion_matrix
    nothing = {"distribution": Markup(""), "curve": Markup(""), "data": embedded([]), "start": 0, "last": 0}
    try:
        found = read_inference(Path(m.input.path).parent)
    except (BankError, OSError):
        return nothing
    scores, is_pass = found.scores, found.is_pass
    if len(scores) != m.input.rows or is_pass.all() or not is_pass.any():
        return nothing
    curve = thinned_curve(scores, is_pass, keep=(m.threshold,), limit=POINTS)
    ticks = score_charts.score_axis(min(float(scores.min()), m.threshold), max(float(scores.max()), m.threshold))
    line = score_charts.Line.of("All thresholds", curve, "best")
    axes = score_charts.curve_axes([line], None)
    at = (100 * c.fp / max(c.fp + c.tn, 1), 100 * c.tp / max(c.tp + c.fn, 1))
    return {
        "distribution": score_charts.distribution(scores[is_pass], scores[~is_pass], m.threshold, ticks),
        "curve": score_charts.recall_far([line], None, None, axes, at),
        "data": embedded([tryout("this model", curve, ticks, axes)]),
        "start": int(abs(curve.thresholds - m.threshold).argmin()),
        "last": len(curve) - 1,
    }


def _labels(data: RcaData) -> list[dict[str, Any]]:
    """Each label: its samples, and how many of them are on the wrong side."""
    ranked = rca_tables.ranked_labels(data)
    most = max((x.misclassified / x.count for _, x in ranked if x.count), default=0.0)
    rows = []
    for name, x in ranked:
        rate = x.misclassified / x.count if x.count else 0.0
        bar = charts.cost_bar(None, rate, most)
        wrong = share(x.misclassified, x.count)
        rows.append({"label": name, "count": x.count, "kept": x.kept, "wrong": wrong, "bar": bar})
    return rows


def _shots(data: RcaData) -> list[dict[str, Any]]:
    """Each image of the spot check, with its pictures."""
    wrong = {w.filepath: w.misclassified for w in data.weak}
    return [
        {
            **s.model_dump(include={"label", "weakness", "verdict", "note"}),
            "path": data.context.name(s.filepath),
            "picture": data_uri(data.folder / IMAGES / s.image) if s.image else None,
            "golden": data_uri(data.folder / GOLDENS / s.golden) if s.golden else None,
            "score": s.siamese_score,
            "wrong": wrong.get(s.filepath, s.weakness > 0),
        }
        for s in data.spots
    ]


def _shots_of(data: RcaData, rank: str) -> list[tuple[str, str | None]]:
    """(what it shows, picture) of a suspect; nothing where no picture was taken."""
    ends = (("", "image"), ("_golden", "golden"), ("_like", "look-alike of another label"))
    files = [(what, data.folder / SHOTS / f"{rank}{end}.png") for end, what in ends]
    return [(what, data_uri(file)) for what, file in files if guard.is_file(file)]


def _action(text: str) -> tuple[str, str]:
    """(what to do, why) of a recommendation in Markdown."""
    title, _, why = text.partition("** Reason: ")
    return plain(title), capital(plain(why))


def plain(markdown: str) -> str:
    """A sentence of the Markdown report without its markup; the template escapes it anew."""
    kept = re.sub(r"\\([\\`*_\[\]])", lambda m: f"\0{ord(m[1])}\0", markdown)
    kept = re.sub(r"\*\*|[*`]", "", kept)
    return html.unescape(re.sub("\0(\\d+)\0", lambda m: chr(int(m[1])), kept))
