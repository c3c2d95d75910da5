"""The tables of an RCA report, rendered from `metrics.json`, the weak samples and the spot check; nothing by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tao_skill_bank.actions.gap_analysis.vcn_aoi import PerLabel
from tao_skill_bank.core.text import clean, percent, ranged, score
from tao_skill_bank.metrics import clopper_pearson
from tao_skill_bank.reports.rca.data import GOLDENS, IMAGES, RcaData, Spot, Weak

# Rows a group in the table of the weakest samples; fewer where a report would grow beyond its length.
MOST_WEAK_ROWS = 10
SUSPECTS_SHOWN = 6
# A label stands in the table of labels up to here, then in one line with its count.
MOST_LABEL_ROWS = 12
OPEN = "open"
# A longer note stands whole in `spot_check.json`.
NOTE_SHOWN = 80


@dataclass(frozen=True)
class Rows:
    """How many rows the tables have that a report may shorten: of each group of the weakest, and of the suspects."""

    weak: int
    suspects: int


def cell(value: object) -> str:
    """Foreign text in a Markdown table cell: one line, no cell border, no markup."""
    text = " ".join(clean(value).split())
    for char in "\\`*_[]|<>":
        text = text.replace(char, f"\\{char}" if char not in "<>|" else {"<": "&lt;", ">": "&gt;", "|": "&#124;"}[char])
    return text


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table; `right` lists the columns that hold figures."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "|".join("---:" if i in right else "---" for i in range(len(head))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def rate(part: int, whole: int) -> str:
    """A share in percent with its 95 % interval: `3.1 % (1.4–5.9 %)`."""
    if not whole:
        return "–"
    low, high = clopper_pearson(part, whole)
    return ranged(100 * part / whole, 100 * low, 100 * high)


def confusion_table(data: RcaData) -> str:
    """Truth in rows, prediction in columns."""
    assert data.metrics is not None
    m = data.metrics.confusion_matrix
    return table(
        ["Label", "called PASS", "called NO_PASS", "Total"],
        [
            ["PASS", f"{m.tn} (TN)", f"{m.fp} (FP)", str(m.tn + m.fp)],
            ["NO_PASS", f"{m.fn} (FN)", f"{m.tp} (TP)", str(m.fn + m.tp)],
        ],
        right=(1, 2, 3),
    )


def rates_table(data: RcaData) -> str:
    """Recall, FAR and the rest at the threshold."""
    assert data.metrics is not None
    m, c = data.metrics, data.metrics.confusion_matrix
    return table(
        ["Rate", "Value", "Counts"],
        [
            ["NO_PASS recall", rate(c.tp, c.tp + c.fn), f"{c.tp} of {c.tp + c.fn}"],
            ["FAR (PASS flagged)", rate(c.fp, c.fp + c.tn), f"{c.fp} of {c.fp + c.tn}"],
            ["Precision", rate(c.tp, c.tp + c.fp), f"{c.tp} of {c.tp + c.fp}"],
            ["F1", f"{m.f1:.4f}", ""],
            ["Accuracy", percent(100 * m.accuracy), f"{c.tp + c.tn} of {m.input.rows}"],
        ],
    )


def weakness_table(data: RcaData) -> str:
    """How far the kept samples lie on the wrong or the right side, PASS and NO_PASS apart."""
    rows = []
    for name, group in (
        ("PASS", [w for w in data.weak if w.is_pass]),
        ("NO_PASS", [w for w in data.weak if not w.is_pass]),
    ):
        values = sorted(w.weakness for w in group)
        wrong = sum(w.misclassified for w in group)
        middle = values[len(values) // 2] if values else None
        ends = (values[-1], middle, values[0]) if values else (None, None, None)
        rows.append([name, str(len(group)), str(wrong), str(len(group) - wrong), *(score(v) for v in ends)])
    head = ["Group", "Kept", "Misclassified", "Marginal", "Weakest", "Median", "Least weak"]
    return table(head, rows, right=range(1, 7))


def weakest_table(data: RcaData, most: int = MOST_WEAK_ROWS) -> str:
    """The weakest samples of PASS and of NO_PASS, weakest first."""
    groups: list[list[Weak]] = [[w for w in data.weak if w.is_pass], [w for w in data.weak if not w.is_pass]]
    rows = [
        [
            str(rank),
            cell(data.context.name(w.filepath)),
            cell(w.label),
            score(w.score),
            score(w.weakness),
            "wrong" if w.misclassified else "right",
        ]
        for group in groups
        for rank, w in enumerate(group[:most], start=1)
    ]
    return table(["Rank", "Image", "Label", "Score", "Weakness", "Called"], rows, right=(0, 3, 4))


def spot_table(spots: Sequence[Spot], data: RcaData) -> str:
    """The images to look at, and what was seen."""
    rows = [
        [
            _shot(s),
            cell(data.context.name(s.filepath)),
            cell(s.label),
            score(s.siamese_score),
            s.verdict or OPEN,
            cell(s.note if len(s.note) <= NOTE_SHOWN else s.note[: NOTE_SHOWN - 3] + "..."),
        ]
        for s in spots
    ]
    return table(["Image", "File", "Label", "Score", "Verdict", "Note"], rows, right=(3,))


def _shot(spot: Spot) -> str:
    """The picture, and its golden beside it."""
    if not spot.image:
        return "not found"
    golden = f" ![golden]({GOLDENS}/{spot.golden})" if spot.golden else ""
    return f"![{cell(spot.image)}]({IMAGES}/{spot.image}){golden}"


def suspects_table(data: RcaData, most: int = SUSPECTS_SHOWN) -> str:
    """The labels to check first."""
    rows = []
    for s in data.suspects[:most]:
        neighbour = s["neighbours"].split("; ")[0]
        path, _, rest = neighbour.rpartition(" (")
        shown = f"{cell(data.context.name(path))} ({cell(rest)}" if path else cell(neighbour) or "–"
        agrees = "against" if float(s["model"]) >= 0.5 else "for"
        rows.append(
            [
                s["rank"],
                cell(data.context.name(s["filepath"])),
                cell(s["label"]),
                percent(100 * float(s["suspicion"])),
                agrees,
                shown,
            ]
        )
    head = ["Rank", "Image", "Label", "Suspicion", "Model", "Nearest look-alike with the other label"]
    return table(head, rows, right=(0, 3))


def labels_table(data: RcaData) -> str:
    """Every label with its counts; beyond a dozen the smaller problems are listed in a line."""
    assert data.metrics is not None
    total = data.metrics.input.rows
    ranked = ranked_labels(data)
    rows = [
        [
            cell(name),
            str(x.count),
            percent(100 * x.count / total),
            str(x.misclassified),
            rate(x.misclassified, x.count),
            str(x.kept),
        ]
        for name, x in ranked[:MOST_LABEL_ROWS]
    ]
    text = table(["Label", "Samples", "Share", "Misclassified", "Rate", "Kept"], rows, right=(1, 2, 3, 5))
    rest = ranked[MOST_LABEL_ROWS:]
    if rest:
        text += "\n\nOther labels: " + ", ".join(f"{cell(name)}: {x.count}" for name, x in rest) + "."
    return text


def ranked_labels(data: RcaData) -> list[tuple[str, PerLabel]]:
    """PASS first, then the labels with most misclassified samples."""
    assert data.metrics is not None
    items = list(data.metrics.per_label.items())
    return sorted(items, key=lambda item: (item[0] != "PASS", -item[1].misclassified, -item[1].count, item[0]))


def all_tables(data: RcaData, rows: Rows) -> dict[str, str]:
    """Every table of a report by name, as it must stand there."""
    tables = {
        "confusion matrix": confusion_table(data),
        "rates": rates_table(data),
        "weakness": weakness_table(data),
        "weakest samples": weakest_table(data, rows.weak),
        "spot check": spot_table(data.spots, data),
        "labels": labels_table(data),
    }
    if data.suspects:
        tables["labels to check first"] = suspects_table(data, rows.suspects)
    return tables
