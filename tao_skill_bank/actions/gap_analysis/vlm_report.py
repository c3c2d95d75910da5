"""What is said of an analysis of yes/no answers: the lines that the command prints, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tao_skill_bank.actions.gap_analysis.vlm_result import Interval, VlmBcqResult
from tao_skill_bank.actions.gap_analysis.vlm_tally import QUESTIONS_COUNTED, Tally


def summary(result: VlmBcqResult) -> Iterator[str]:
    """The lines that the command prints."""
    if result.status in ("no samples", "nothing judged"):
        yield f"0 of {result.read} could be judged"
        yield f"format: {result.format}"
        yield from (f"  {example}" for example in result.examples)
        if result.thinking:
            yield result.thinking
        if result.hint:
            yield f"try: {result.hint}"
        return
    skipped = sum(result.skipped.values())
    yield f"format: {result.format}"
    yield f"read: {result.read} samples, {skipped} skipped"
    yield f"FP: {result.fp}  FN: {result.fn}  total: {result.fp + result.fn}"
    yield (
        f"accuracy: {_rate(result.accuracy)}  precision: {_rate(result.precision)}  recall: {_rate(result.recall)}"
        f"  F1: {_rate(result.f1)}"
    )
    if result.unparseable:
        yield (
            f"accuracy with the {result.unparseable} unparseable as wrong: "
            f"{_rate(result.rates.accuracy_of_all)}{_range(result.rates.interval_of_all)}"
        )
    if result.thinking:
        yield result.thinking
    if result.duplicates.count:
        yield f"duplicates: {_duplicates(result)}"
    if result.places:
        yield result.places
    if not result.fp + result.fn:
        yield f"no gaps among {result.judged} judged of {result.read}" + ("" if result.files else ": no files written")
    if result.files:
        yield f"results: {result.results_dir}"


def report(result: VlmBcqResult, tally: Tally) -> Iterator[str]:
    """`kpi_gaps_report.txt`."""
    yes, no = tally.judge.labels.words
    yield "Gaps of yes/no answers"
    yield ""
    yield from _table(
        ["Error type", "Count", "Meaning"],
        [
            ["FP", str(result.fp), f"response {yes}, ground truth {no}"],
            ["FN", str(result.fn), f"response {no}, ground truth {yes}"],
            ["Total", str(result.fp + result.fn), ""],
        ],
    )
    skipped = sum(result.skipped.values())
    yield ""
    yield f"Format:          {result.format}"
    yield f"Samples read:    {result.read}"
    yield f"Samples judged:  {result.judged}"
    yield f"Samples skipped: {skipped} ({result.unparseable} unparseable, {result.unusable_truth} of unusable truth)"
    for reason, count in result.skipped.items():
        yield f"  {reason}: {count}"
    for skip in tally.first_skips[:5]:
        yield f"    item {skip.item} ({one_line(skip.video_id, 80)}): {one_line(skip.why, 140)}"
    if result.hint:
        yield f"  try: {result.hint}"
    yield ""
    yield from _rates(result)
    if result.thinking:
        yield ""
        yield result.thinking
    if result.duplicates.count:
        yield ""
        yield f"Duplicates: {_duplicates(result)}"
        for video, question in result.duplicates.examples:
            yield f"  two truths: {one_line(video, 80)}: {one_line(question, 100)}"
    if result.places:
        yield ""
        yield result.places
    yield from _questions(result)
    if result.videos:
        yield ""
        yield "Videos with most gaps (all stand in per_video.csv):"
        rows = [
            [str(v.samples), str(v.fp), str(v.fn), str(v.skipped), one_line(v.video_id, 100)] for v in result.videos
        ]
        yield from _table(["Samples", "FP", "FN", "Skipped", "Video"], rows)


def _rates(result: VlmBcqResult) -> Iterator[str]:
    r = result.rates
    yield f"Accuracy:  {_rate(result.accuracy)}{_range(r.interval)}{_by_video(r.by_video)}"
    yield f"Precision: {_rate(result.precision)}"
    yield f"Recall:    {_rate(result.recall)}"
    yield f"F1:        {_rate(result.f1)}"
    yield f"Balanced accuracy: {_rate(r.balanced)}"
    yield (
        f"With unparseable as wrong: accuracy {_rate(r.accuracy_of_all)}{_range(r.interval_of_all)}"
        f"{_by_video(r.by_video_of_all)}, balanced {_rate(r.balanced_of_all)}"
    )
    if result.auroc is not None and result.average_precision is not None:
        yield f"AUROC: {result.auroc:.4f}  average precision: {result.average_precision:.4f}"
    yield f"(yes is the positive class: TP {result.tp}, FP {result.fp}, TN {result.tn}, FN {result.fn})"


def _questions(result: VlmBcqResult) -> Iterator[str]:
    if not result.questions:
        return
    yield ""
    yield "Questions asked more than once, most gaps first:"
    rows = [[str(q.samples), str(q.fp), str(q.fn), str(q.skipped), one_line(q.question, 100)] for q in result.questions]
    if result.other_questions is not None:
        q = result.other_questions
        name = f"(every question after the first {QUESTIONS_COUNTED} distinct ones)"
        rows.append([str(q.samples), str(q.fp), str(q.fn), str(q.skipped), name])
    yield from _table(["Samples", "FP", "FN", "Skipped", "Question"], rows)


def _duplicates(result: VlmBcqResult) -> str:
    found = result.duplicates
    text = f"{found.count} samples have the video and question of one before"
    if found.differing_truths:
        text += f", {found.differing_truths} questions have two truths"
    return text + (f" (looked for among the first {found.tracked} different ones)" if found.tracked else "")


def _rate(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"


def _by_video(interval: Interval | None) -> str:
    return "" if interval is None else f" (by video {interval[0]:.4f} to {interval[1]:.4f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    yield rule
    for row in (head, *rows):
        yield "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        if row is head:
            yield rule
    yield rule


def one_line(text: str, width: int) -> str:
    """A text in one line of at most `width` letters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= width else flat[: width - 3] + "..."
