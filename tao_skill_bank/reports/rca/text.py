"""The words of an RCA report: seven sections around the tables, every figure from the data."""

from __future__ import annotations

from collections.abc import Iterator

from tao_skill_bank.core.text import clean, listed, percent, plural, score
from tao_skill_bank.metrics import samples_needed
from tao_skill_bank.reports.rca import tables
from tao_skill_bank.reports.rca.data import VERDICTS, RcaData, Spot, Weak

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
    if data.metrics is None:
        return _join(_unreachable(data))
    weak = [tables.Rows(n, tables.SUSPECTS_SHOWN) for n in range(tables.MOST_WEAK_ROWS, 2, -1)]
    for rows in [*weak, *(tables.Rows(3, n) for n in range(tables.SUSPECTS_SHOWN - 1, 0, -1))]:
        text = _join(_sections(data, rows))
        if len(text.split()) <= MOST_WORDS - ROOM_FOR_NOTES:
            break
    return text


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


def spot_section(spots: list[Spot], data: RcaData, rows: tables.Rows) -> str:
    """Section 5, which changes with every verdict."""
    return _join(_spot_check(data, spots, rows))


def heading(number: int, names: tuple[str, ...] = HEADINGS) -> str:
    """`## 5. Visual Spot Check`."""
    return f"## {number}. {names[number - 1]}"


def _join(parts: Iterator[str]) -> str:
    return "\n\n".join(parts).rstrip() + "\n"


def _sections(data: RcaData, rows: tables.Rows) -> Iterator[str]:
    yield from _head(data)
    yield from _verdict(data)
    yield from _threshold(data)
    yield from _weakness(data)
    yield from _weakest(data, rows.weak)
    yield from _spot_check(data, data.spots, rows)
    yield from _labels(data)
    yield from _actions(data)


def _head(data: RcaData) -> Iterator[str]:
    m = data.metrics
    yield "# Root-cause analysis of a Visual ChangeNet evaluation"
    analysed = "" if m is None else f" Analysed: `{tables.cell(m.input.path)}`, sha256 `{m.input.sha256[:16]}`."
    yield f"Experiment `{tables.cell(data.context.experiment)}`, {data.context.created}.{analysed}"


def _verdict(data: RcaData) -> Iterator[str]:
    assert data.metrics is not None
    m, c = data.metrics, data.metrics.confusion_matrix
    defects, passes = c.tp + c.fn, c.fp + c.tn
    yield heading(1)
    yield f"**{headline(data)}**"
    yield (
        f"At the threshold `{m.threshold!r}` the model flags {c.fp} of {plural(passes, 'good sample')}, a false-accept "
        f"rate (FAR: good boards flagged, false calls) of {tables.rate(c.fp, passes)}, and misses {c.fn} of "
        f"{plural(defects, 'defect sample')} (escapes), a recall of {tables.rate(c.tp, defects)}. The ranges in "
        "brackets are exact 95 % binomial intervals: how far the same model could come out on another set of this "
        f"size. {_certainty(defects, c.fn)}"
    )
    yield main_cause(data)


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


def _certainty(defects: int, missed: int) -> str:
    if not defects:
        return "Without defect samples no recall can be stated."
    if missed:
        return "The weakest of the missed ones are named below."
    return (
        f"No miss among {defects} is not proof of perfect recall: to state a recall of at least 99.9 % with that "
        f"confidence takes {samples_needed(0.999)} defect samples without a miss."
    )


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


def _threshold(data: RcaData) -> Iterator[str]:
    assert data.metrics is not None
    m, c = data.metrics, data.metrics.confusion_matrix
    yield heading(2)
    how = (
        "It was given on the command line and not searched for, so recall and FAR are what that operating point yields "
        "on this set, whether or not another one would be better."
        if m.threshold_source == "pinned"
        else "It was found by a sweep over every distinct score and one value below the lowest: of all candidates "
        f"whose NO_PASS recall is at least {m.min_recall:g} the one with the highest F1 was taken, ties going to the "
        "higher precision and then to the higher threshold."
    )
    yield (
        f"Chosen threshold: `{m.threshold!r}`. A sample is called NO_PASS if and only if its score lies strictly above "
        f"it. {how}"
    )
    yield tables.confusion_table(data)
    yield tables.rates_table(data)
    yield (
        "`recall_far.csv` holds the operating curve in at most a thousand points: read there what FAR would be at "
        "another recall before the requirement is changed. The threshold was chosen on the samples that are reported "
        "here, so the figures are optimistic; an acceptance set that nothing was tuned on gives the honest ones. It is "
        "valid only for the checkpoint it was measured with: after any retraining, evaluate and choose it again. "
        + (
            "Because every defect has to be caught, the threshold is set by the lowest-scoring defects alone; a single "
            "mislabeled sample among them can cost many false alarms, which is why the weakest NO_PASS samples deserve "
            "the first look."
            if m.threshold_source == "sweep" and not c.fn
            else "Some defects lie at or below the threshold; whether that is acceptable is a decision about cost, "
            "not a property of the model."
            if c.fn
            else "At this point no defect of the set is lost."
        )
    )


def _weakness(data: RcaData) -> Iterator[str]:
    yield heading(3)
    yield (
        "Weakness is the distance from the threshold in the wrong direction: score minus threshold for PASS, threshold "
        "minus score for NO_PASS. Positive means misclassified and the larger the more confidently wrong; negative "
        "means right, with the margin that is left. A defect exactly at the threshold has weakness 0 and is missed. "
        "The table covers the samples that were kept as weak, not the whole set; `score_histogram.png` shows all "
        "scores on a logarithmic axis."
    )
    yield tables.weakness_table(data)
    yield " ".join([_shape("PASS", data), _shape("NO_PASS", data)])
    yield (
        "How to read it: many samples a little beyond the threshold point to classes that overlap, where more and "
        "better examples of exactly these cases help most. A few samples far beyond it point to wrong labels, damaged "
        "images or a feature the model has learned wrongly, and adding similar data will not move them before the "
        "cause is known."
    )


def _shape(name: str, data: RcaData) -> str:
    group = [w for w in data.weak if w.is_pass == (name == "PASS")]
    if not group:
        return f"No {name} sample was kept."
    wrong = [w for w in group if w.misclassified]
    if not wrong:
        return (
            f"None of the {len(group)} kept {name} samples is misclassified; the nearest has {_margin(group)} to spare."
        )
    far = wrong[0].weakness
    near = sum(w.weakness <= far / 4 for w in wrong)
    return (
        f"Of the {len(group)} kept {name} samples {len(wrong)} are misclassified, the worst by {score(far)}; {near} of "
        "these lie within a quarter of that distance."
    )


def _margin(group: list[Weak]) -> str:
    return score(-max(w.weakness for w in group))


def _weakest(data: RcaData, most: int) -> Iterator[str]:
    top = data.context.top_k
    rule = "every misclassified sample" if top is None else f"the {top} weakest samples of each label"
    images = plural(data.context.lightings, "image")
    yield heading(4)
    yield (
        f"`kpi_gaps.parquet` keeps {rule}, {plural(len(data.weak), 'sample')} with {images} each, weakest first. The "
        f"table shows up to {most} of PASS and {most} of NO_PASS, by their first lighting. These are the samples that "
        "routing hands on: their labels decide which of them go to the mining pool and which to a generator, and their "
        "images are what look-alikes are searched for."
    )
    yield tables.weakest_table(data, most)
    folders: dict[str, int] = {}
    for w in data.weak:
        if w.misclassified:
            folder = w.filepath.rpartition("/")[0].rpartition("/")[2] or "."
            folders[folder] = folders.get(folder, 0) + 1
    if folders:
        worst = sorted(folders.items(), key=lambda item: (-item[1], item[0]))
        shown = listed([f"{tables.cell(name)} ({count})" for name, count in worst[:3]])
        yield (
            f"By folder, most of the misclassified ones come from {shown}. If one stands out, compare its lighting, "
            "camera and board revision with the others before collecting data."
        )


def _spot_check(data: RcaData, spots: list[Spot], rows: tables.Rows) -> Iterator[str]:
    yield heading(5)
    open_ones = sum(s.verdict is None and bool(s.image) for s in spots)
    unseen = sum(not s.image for s in spots)
    seen: dict[str, int] = {}
    for s in spots:
        if s.verdict:
            seen[s.verdict] = seen.get(s.verdict, 0) + 1
    state = f"Open: {open_ones} of {len(spots)}." + (f" Without a picture: {unseen}." if unseen else "")
    found = f" Seen so far: {', '.join(f'{name} {count}' for name, count in sorted(seen.items()))}." if seen else ""
    yield (
        "The five weakest PASS and the five weakest NO_PASS samples, one image each, first lighting, scaled to 128 by "
        "128. Whoever looks at an image calls it one of four things. *Mislabeled*: what is to be seen contradicts the "
        "label. *Edge case*: it could be called either way. *Data quality*: dark, cropped, blurred or damaged. "
        "*Systematic*: plainly good or plainly bad, and the model disagrees. A verdict is set with `tao-skills rca "
        "verdict SAMPLE VERDICT --note TEXT`, of any sample that is named here; until then it stands as open. It is "
        "kept with the label corrections, which the next plan reads; `tao-skills studio` shows the boards at full "
        f"size. {state}{found}"
    )
    if spots:
        yield tables.spot_table(spots, data)
    if data.by_model_alone:
        yield (
            "### Check these labels first\n\nNo picture was at hand, so the model alone ranks these: how far the score "
            "lies beyond the point where PASS and NO_PASS part best, at any recall. It cannot tell a wrong label from "
            f"a hard sample. All {len(data.suspects)} stand in `label_check.csv`."
        )
        yield tables.suspects_table(data, rows.suspects)
    elif data.suspects:
        yield (
            "### Check these labels first\n\nSuspicion is the vote of all other samples' pictures "
            f"({tables.cell(data.context.encoder)} embedding) against the label, times the model's: how far the score "
            "lies beyond the point where PASS and NO_PASS part best, at any recall. From 50 % on a look is worth it; "
            f"it judges nothing. All {len(data.suspects)} stand in `label_check.csv`."
        )
        yield tables.suspects_table(data, rows.suspects)
    for note in data.context.notes:
        yield f"Note: {tables.cell(note)}."


def _labels(data: RcaData) -> Iterator[str]:
    assert data.metrics is not None
    count = len(data.metrics.per_label)
    yield heading(6)
    yield (
        f"{plural(count, 'label')}, compared without case. Misclassified means flagged for PASS and missed for every "
        "other "
        "label; the rate carries its interval, because a label with a handful of samples can show any rate by chance."
    )
    yield tables.labels_table(data)
    thin = sorted(name for name, x in data.metrics.per_label.items() if x.count < 30)
    if thin:
        yield (
            f"Fewer than 30 samples: {listed([tables.cell(n) for n in thin])}. For such labels neither a good nor a "
            "bad rate means much; collect more of them for the test set before drawing conclusions."
        )


def _actions(data: RcaData) -> Iterator[str]:
    yield heading(7)
    yield action_list(data)


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


def _unreachable(data: RcaData) -> Iterator[str]:
    names = UNREACHABLE_HEADINGS
    yield from _head(data)
    yield heading(1, names)
    yield "**The recall target cannot be reached at any operating point.**"
    yield heading(2, names)
    yield "No threshold was chosen: none of the candidates meets the recall that was asked for."
    yield heading(3, names)
    yield "\n".join(f"> {clean(line)}".rstrip() for line in data.unreachable.splitlines())
    yield heading(4, names)
    yield (
        "1. **Retrain or relabel.** Reason: no choice of threshold helps. Check first whether defects of the test set "
        "carry the label PASS; if the labels are right, the set needs defect samples, and the model training data "
        "like them."
    )
