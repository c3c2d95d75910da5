"""What an analysis of yes/no answers found: its figures, from the counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from tao_skill_bank.actions.gap_analysis.vlm_tally import DUPLICATES_TRACKED, CountTable, Tally
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.data.vlm.judging import FN, FP, JUDGED, TN, TP, USABLE_TRUTH
from tao_skill_bank.metrics import clopper_pearson
from tao_skill_bank.metrics.paired import grouped_interval, ranking

Interval = tuple[float, float]


class QuestionCounts(Frozen):
    """Samples of one question; `fp` and `fn` are its gaps."""

    question: str
    samples: int
    skipped: int
    fp: int
    fn: int


class VideoCounts(Frozen):
    """Samples of one video; `fp` and `fn` are its gaps."""

    video_id: str
    samples: int
    skipped: int
    fp: int
    fn: int


class Rates(Frozen):
    """Accuracies, two of each: of the judged samples alone, and with every unparseable answer as a wrong one.

    None where there is nothing to take it of, or a class is missing.

    Attributes:
        tp, fp, tn, fn: Of the judged; positive is the answer yes: an `fp` says yes where the truth is no.
        accuracy: Right of the judged.
        accuracy_of_all: Right of all whose truth is one.
        balanced: The mean of the accuracies where the truth is yes and where it is no, of the judged.
        balanced_of_all: The same of all whose truth is one.
        interval: The exact 95 % interval of `accuracy`.
        interval_of_all: That of `accuracy_of_all`.
        by_video: Of `accuracy` by drawing whole videos, where videos repeat.
        by_video_of_all: Of `accuracy_of_all`.
    """

    accuracy: float | None
    accuracy_of_all: float | None
    balanced: float | None
    balanced_of_all: float | None
    interval: Interval | None
    interval_of_all: Interval | None
    by_video: Interval | None
    by_video_of_all: Interval | None


class DuplicateCounts(Frozen):
    """Samples with video and question of one before them; those questions that have two truths, and the first five."""

    count: int
    differing_truths: int
    examples: tuple[tuple[str, str], ...]
    tracked: int | None


class VlmBcqResult(Frozen):
    """What an analysis found.

    Attributes:
        results_dir: The folder of the outputs, absolute; it may not exist where there are no gaps.
        status: `gaps`, `no gaps`, `nothing judged` (no sample has a clear answer and a clear truth), or `no samples`.
        format: The format and where its roles lie.
        read: Samples in the input.
        judged: Of these, those with one clear answer and one clear truth.
        unparseable: Those with a truth and without an answer.
        unusable_truth: Those without a truth.
        skipped: By reason: samples that are not judged.
        accuracy: Right of the judged; None where none is. So are the three that follow.
        rates: Accuracies with their intervals, also with unparseable answers as wrong ones.
        auroc: Of the scores, where items have them; so is `average_precision`.
        questions: Those asked more than once, most gaps first; what lies beyond the first 10,000 distinct questions is
            pooled in `other_questions`.
        videos: Those with most gaps, at most 20, where some video has several samples.
        duplicates: Samples that stand there twice.
        thinking: What think tags do to the figures, in one line; None where there are none.
        places: What the videos of the gaps are, in one line; None without gaps.
        hint: Where nothing could be judged: what would judge most.
        examples: The first samples that were not judged.
        files: Output name → path; empty where there are no gaps.
        summary: The lines that the command prints.
    """

    results_dir: Path
    status: Literal["gaps", "no gaps", "nothing judged", "no samples"]
    format: str
    read: int
    judged: int
    unparseable: int
    unusable_truth: int
    skipped: dict[str, int]
    tp: int
    fp: int
    tn: int
    fn: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    rates: Rates
    auroc: float | None
    average_precision: float | None
    questions: tuple[QuestionCounts, ...]
    other_questions: QuestionCounts | None
    videos: tuple[VideoCounts, ...]
    duplicates: DuplicateCounts
    thinking: str | None
    places: str | None
    hint: str | None
    examples: tuple[str, ...]
    files: dict[str, Path]
    summary: tuple[str, ...]


WORST_VIDEOS = 20


def result_of(tally: Tally, results_dir: Path, mapping: str, *, hint: str | None, places: str | None) -> VlmBcqResult:
    """The figures of a tally; files and summary are entered by whoever writes them."""
    tp, fp, tn, fn = tally.counts
    judged = tally.judged
    flagged, positives = tp + fp, tp + fn
    precision = tp / flagged if flagged else 0.0
    recall = tp / positives if positives else 0.0
    questions = [
        QuestionCounts(question=name, **_counts(tally.questions.counts[place]))
        for name, place in tally.questions.places.items()
    ]
    other = QuestionCounts(question="", **_counts(tally.questions.counts[0]))
    scored = ranking(tally.scores, np.array(tally.score_truths, dtype=np.bool_)) if tally.scores else None
    status: Literal["gaps", "no gaps", "nothing judged", "no samples"] = (
        "gaps" if fp + fn else "no gaps" if judged else "nothing judged" if tally.read else "no samples"
    )
    return VlmBcqResult(
        results_dir=results_dir,
        status=status,
        format=mapping,
        read=tally.read,
        judged=judged,
        unparseable=tally.read - judged - tally.unusable,
        unusable_truth=tally.unusable,
        skipped=dict(tally.reasons.most_common()),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        accuracy=(tp + tn) / judged if judged else None,
        precision=precision if judged else None,
        recall=recall if judged else None,
        f1=(2.0 * precision * recall / (precision + recall) if tp else 0.0) if judged else None,
        rates=rates_of(tally),
        auroc=None if scored is None else scored[0],
        average_precision=None if scored is None else scored[1],
        questions=tuple(
            sorted((q for q in questions if q.samples > 1), key=lambda q: (-q.fp - q.fn, -q.samples, q.question))
        ),
        other_questions=other if other.samples else None,
        videos=_worst_videos(tally),
        duplicates=DuplicateCounts(
            count=tally.duplicates.count,
            differing_truths=tally.duplicates.differing,
            examples=tuple(tally.duplicates.examples),
            tracked=DUPLICATES_TRACKED if tally.duplicates.full else None,
        ),
        thinking=_thinking(tally),
        places=places,
        hint=hint,
        examples=tuple(f"item {s.item} ({s.video_id}): {s.why}" for s in tally.first_skips[:3]),
        files={},
        summary=(),
    )


def rates_of(tally: Tally) -> Rates:
    """Accuracies and their intervals."""
    tp, fp, tn, fn = tally.counts
    right, judged = tp + tn, tally.judged
    yes, no = tally.with_truth
    everything = yes + no
    groups = tally.videos.counts[1 : len(tally.videos.places) + 1]
    repeat = tally.videos_repeat
    rights = groups[:, [TP, TN]].sum(axis=1)
    return Rates(
        accuracy=right / judged if judged else None,
        accuracy_of_all=right / everything if everything else None,
        balanced=(tp / (tp + fn) + tn / (tn + fp)) / 2 if tp + fn and tn + fp else None,
        balanced_of_all=(tp / yes + tn / no) / 2 if yes and no else None,
        interval=clopper_pearson(right, judged) if judged else None,
        interval_of_all=clopper_pearson(right, everything) if everything else None,
        by_video=grouped_interval(rights, groups[:, JUDGED].sum(axis=1)) if repeat else None,
        by_video_of_all=grouped_interval(rights, groups[:, USABLE_TRUTH].sum(axis=1)) if repeat else None,
    )


def video_rows(tally: Tally) -> Iterator[tuple[str, int, int, int, int]]:
    """Every video that was counted, in the order of the input: its id, samples, skipped, FP, FN."""
    counts = tally.videos.counts[1 : len(tally.videos.places) + 1]
    samples = counts.sum(axis=1)
    columns = samples, samples - counts[:, JUDGED].sum(axis=1), counts[:, FP], counts[:, FN]
    return zip(tally.videos.places, *(column.tolist() for column in columns), strict=True)


def _worst_videos(tally: Tally) -> tuple[VideoCounts, ...]:
    counts = tally.videos.counts[1 : len(tally.videos.places) + 1]
    if not tally.videos_repeat:
        return ()
    gaps = counts[:, [FP, FN]].sum(axis=1)
    names = list(tally.videos.places)
    order = sorted(np.flatnonzero(gaps).tolist(), key=lambda i: (-gaps[i], -counts[i].sum(), names[i]))[:WORST_VIDEOS]
    return tuple(VideoCounts(video_id=names[i], **_counts(counts[i])) for i in order)


def _counts(table: CountTable) -> dict[str, int]:
    samples, judged = int(table.sum()), int(table[JUDGED].sum())
    return {"samples": samples, "skipped": samples - judged, "fp": int(table[FP]), "fn": int(table[FN])}


def _thinking(tally: Tally) -> str | None:
    found = tally.thinking
    if not found.tagged:
        return None

    def said(table: CountTable) -> str:
        return f"{int(table[JUDGED].sum())} judged, FP {int(table[FP])}, FN {int(table[FN])}"

    cut = f" ({found.cut_off} cut off)" if found.cut_off else ""
    return (
        f"{found.tagged} of {tally.read} responses hold <think>{cut}; anywhere: {said(found.anywhere)}; "
        f"answer_in=after_think: {said(found.after_think).replace(' judged', '')}"
    )
