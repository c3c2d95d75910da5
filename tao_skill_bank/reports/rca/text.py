"""The words of an RCA report, every figure from the data: what `rca_report.md.j2` puts into its seven sections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from tao_skill_bank.core.text import listed, percent, plural, score
from tao_skill_bank.metrics import samples_needed
from tao_skill_bank.reports.page import render_page
from tao_skill_bank.reports.rca import tables
from tao_skill_bank.reports.rca.data import VERDICTS, RcaData, Spot

HEADINGS = (
    "Verdict",
    "Threshold Selection",
    "Weakness Distribution",
    "Top-K Weakest Samples",
    "Visual Spot Check",
    "Per-Label Breakdown",
    "Recommended Actions",
)
UNREACHABLE_HEADINGS = ("Verdict", "Threshold Selection", "Why the Target Cannot Be Reached", "Recommended Actions")
FEWEST_WORDS, MOST_WORDS = 1000, 1800
# Words that the notes of the spot check may add to a report later.
ROOM_FOR_NOTES = 180


def render_report(data: RcaData) -> str:
    """The whole report as Markdown, in 1000 to 1800 words; the table of weakest samples gives way where needed."""
    m = data.metrics
    if m is None:
        return _page("rca_report.md.j2", data, m=m, heading=lambda number: heading(number, UNREACHABLE_HEADINGS))
    folders = Counter(PurePath(w.filepath).parent.name or "." for w in data.weak if w.misclassified)
    worst = sorted(folders.items(), key=lambda item: (-item[1], item[0]))
    told = {
        "m": m,
        "headline": headline(data),
        "cause": main_cause(data),
        "samples_needed": samples_needed,
        "shapes": [_shape(name, data) for name in ("PASS", "NO_PASS")],
        "worst_folders": [f"{tables.cell(name)} ({count})" for name, count in worst[:3]],
        "thin_labels": [tables.cell(name) for name, x in sorted(m.per_label.items()) if x.count < 30],
        "actions": action_list(data),
        **_of_spots(data.spots),
    }
    weak = [tables.Rows(n, tables.SUSPECTS_SHOWN) for n in range(tables.MOST_WEAK_ROWS, 2, -1)]
    for rows in [*weak, *(tables.Rows(3, n) for n in range(tables.SUSPECTS_SHOWN - 1, 0, -1))]:
        text = _page("rca_report.md.j2", data, rows=rows, heading=heading, **told)
        if len(text.split()) <= MOST_WORDS - ROOM_FOR_NOTES:
            break
    return text


def _page(template: str, data: RcaData, **context: Any) -> str:
    """A template as Markdown. A paragraph or an entry of a list becomes one line; tables and quotations keep theirs."""
    parts = re.split(r"\n{2,}", render_page(template, data=data, tables=tables, **context).strip())
    flowed = [part if part.startswith(("|", ">")) else re.sub(r"\n(?!\d+\. )", " ", part) for part in parts]
    return "\n\n".join(flowed) + "\n"


def _of_spots(spots: Sequence[Spot]) -> dict[str, Any]:
    """The spot check, and how often each verdict was given."""
    return {"spots": spots, "seen": sorted(Counter(s.verdict for s in spots if s.verdict).items())}


def rows_shown(text: str) -> tables.Rows:
    """How many rows the tables of a report have that may be shortened, told by their last ranks."""
    return tables.Rows(
        _last_rank(text, "| Rank | Image | Label | Score"), _last_rank(text, "| Rank | Image | Label | Suspicion")
    )


def _last_rank(text: str, head: str) -> int:
    ranks = [0]
    inside = False
    for line in text.splitlines():
        inside = line.startswith(head) or (inside and line.startswith("|"))
        first = line.split("|")[1].strip() if inside else ""
        if first.isdigit():
            ranks.append(int(first))
    return max(ranks)


def spot_section(spots: Sequence[Spot], data: RcaData, rows: tables.Rows) -> str:
    """Section 5, which changes with every verdict."""
    return _page("rca_spot_check.md.j2", data, rows=rows, heading=heading, **_of_spots(spots))


def heading(number: int, names: tuple[str, ...] = HEADINGS) -> str:
    """`## 5. Visual Spot Check`."""
    return f"## {number}. {names[number - 1]}"


def headline(data: RcaData) -> str:
    """The verdict in one sentence."""
    assert data.metrics is not None
    c = data.metrics.confusion_matrix
    if not c.fp and not c.fn:
        return "The model separates PASS from NO_PASS on this set without an error."
    if not c.tp + c.fn:
        return "The set holds no defect sample, so recall is unknown."
    if not c.fn:
        return f"Every defect is caught, at the price of {plural(c.fp, 'good sample')} flagged."
    if not c.fp:
        return f"No good sample is flagged, but {plural(c.fn, 'defect')} would pass."
    return f"{plural(c.fp, 'good sample')} flagged and {plural(c.fn, 'defect')} missed: the classes overlap."


def main_cause(data: RcaData) -> str:
    """Where the errors are concentrated."""
    ranked = [(n, x) for n, x in tables.ranked_labels(data) if x.misclassified]
    if not ranked:
        return (
            "There is no misclassified sample to explain. What follows shows the samples nearest to the threshold, "
            "which are the first to fail when lighting, parts or the line change."
        )
    total = sum(x.misclassified for _, x in ranked)
    name, worst = max(ranked, key=lambda item: item[1].misclassified)
    share = percent(100 * worst.misclassified / total)
    others = f"The errors are spread over {len(ranked)} labels."
    spread = others if len(ranked) > 1 else "No other label is affected."
    labels = (
        f" Before any retraining, {plural(data.doubtful, 'label')} should be looked at: look-alikes and the model both "
        "speak against them, so the data may be wrong."
        if data.doubtful
        else ""
    )
    return (
        f"Of {plural(total, 'misclassified sample')}, {worst.misclassified} ({share}) carry the label "
        f"{tables.cell(name)}. {spread}{labels}"
    )


def _shape(name: str, data: RcaData) -> str:
    group = [w for w in data.weak if w.is_pass == (name == "PASS")]
    if not group:
        return f"No {name} sample was kept."
    wrong = [w for w in group if w.misclassified]
    if not wrong:
        spare = score(-max(w.weakness for w in group))
        return f"None of the {len(group)} kept {name} samples is misclassified; the nearest has {spare} to spare."
    far = wrong[0].weakness
    near = sum(w.weakness <= far / 4 for w in wrong)
    return (
        f"Of the {len(group)} kept {name} samples {len(wrong)} are misclassified, the worst by {score(far)}; {near} of "
        "these lie within a quarter of that distance."
    )


def action_list(data: RcaData) -> str:
    """The numbered list of section 7, which the verdicts of the spot check change."""
    return "\n".join(f"{i}. {text}" for i, text in enumerate(advice(data), start=1))


def advice(data: RcaData) -> Iterator[str]:
    """What to do next, one Markdown paragraph each: `**what** Reason: why`."""
    assert data.metrics is not None
    c = data.metrics.confusion_matrix
    if data.doubtful:
        yield (
            f"**Check {plural(data.doubtful, 'label')} before anything else.** Reason: their look-alikes and the model "
            "both speak against them, and training on wrong labels teaches the error. Start at the top of "
            "`label_check.csv`, correct the CSV, and run the analysis again; it takes seconds."
        )
    yield from _spot_advice(data)
    defects = [name for name, x in tables.ranked_labels(data) if name != "PASS" and x.misclassified]
    if c.fp:
        yield (
            f"**Add PASS samples that look like the {c.fp} flagged ones.** Reason: false alarms come from good parts "
            "the model has seen too few of. `tao-skills gaps mine` finds them in a pool of real captures; keep those "
            "whose similarity is high, and keep the test set out of the pool."
        )
    if defects:
        yield (
            f"**Add samples of {listed([tables.cell(n) for n in defects])}.** Reason: defects of these labels score at "
            "or below the threshold. Mine real ones first, and generate synthetic ones where the pool has none; "
            "`tao-skills gaps route` says which label can come from where, and which from nowhere."
        )
    if not c.fp and not c.fn:
        yield (
            "**Evaluate on more data before calling it done.** Reason: with no error on this set only a larger or "
            "newer one can tell how good the model is; include other lots, shifts and board revisions."
        )
    yield (
        "**Retrain, evaluate and analyse again at a threshold chosen anew.** Reason: scores of two checkpoints are not "
        "on one scale, so a threshold cannot be carried over. Compare FAR at the same recall with its interval: a "
        "change smaller than the interval may be chance."
    )


SPOT_CHECK_OPEN = "**Finish the spot check"
_SEEN = {
    "mislabeled": ("Correct the labels first", "Stop here and relabel; the numbers above are wrong until then."),
    "data quality": ("Mend the capture first", "Light, focus or cropping failed there, and no training mends that."),
    "edge case": (
        "Agree on a rule with whoever labels",
        "These could be called either way, by a person as by the model.",
    ),
    "systematic": (
        "Go on with the data below",
        "These are plain to see, and the model disagrees: it lacks such samples.",
    ),
}


def _spot_advice(data: RcaData) -> Iterator[str]:
    """What the verdicts of the spot check ask for, or the verdicts that are missing."""
    waiting = len(data.open_spots)
    if waiting:
        yield (
            f"{SPOT_CHECK_OPEN}: {plural(waiting, 'picture')} without a verdict.** Reason: if most are *mislabeled*, "
            "stop here and relabel; if most are *data quality*, mend the capture: neither needs training. If most are "
            "*edge case*, agree on a rule with whoever labels; if most are *systematic*, go on below."
        )
        return
    seen = [s.verdict for s in data.spots if s.verdict]
    for verdict in sorted({*seen}, key=lambda name: (-seen.count(name), VERDICTS.index(name)))[:1]:
        title, why = _SEEN[verdict]
        yield f"**{title}.** Reason: {seen.count(verdict)} of {len(seen)} pictures looked at are *{verdict}*. {why}"
