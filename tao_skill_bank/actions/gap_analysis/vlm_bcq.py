"""Gap analysis of yes/no answers: where a video-language model said yes and the truth is no, and the reverse.

`analyze_vlm_bcq` is the one function behind the command line, the loop and the tools. The input is read block by block
and written as it goes, so memory does not grow with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from tao_skill_bank.actions.gap_analysis import yes_no
from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig
from tao_skill_bank.actions.gap_analysis.outputs import staged_outputs
from tao_skill_bank.actions.gap_analysis.vlm_lines import Resolver, gap_lines
from tao_skill_bank.actions.gap_analysis.vlm_read import Prediction, read_predictions
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.threads import ThreadPool

GAPS = "kpi_gaps.jsonl"
REPORT = "kpi_gaps_report.txt"
OUTPUTS = (REPORT, GAPS)
WARNINGS_SHOWN = 20
SNIPPET = 80
QUESTIONS_COUNTED = 10_000
# A question longer than this is told from others by its digest, so that the table of questions stays small.
QUESTION_KEPT = 200

_YES, _NO = yes_no.YES, yes_no.NO
_UNCLEAR = {yes_no.NEITHER: "neither yes nor no", yes_no.BOTH: "both yes and no"}
# The place of (response, truth) in a table of 16: response * 4 + truth.
_TP, _FP, _FN, _TN = _YES * 4 + _YES, _YES * 4 + _NO, _NO * 4 + _YES, _NO * 4 + _NO
_CLEAR = np.isin(np.arange(16), (_TP, _FP, _FN, _TN))


class QuestionCounts(BaseModel):
    """Samples of one question; `fp` and `fn` are its gaps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    samples: int
    skipped: int
    fp: int
    fn: int


class VlmBcqResult(BaseModel):
    """What an analysis found.

    Attributes:
        results_dir: The folder of the outputs, absolute; it may not exist where there are no gaps.
        read: Samples in the input.
        skipped: By reason: samples without a single clear yes or no in the response or the ground truth.
        tp: Response and truth yes.
        fp: Response yes, truth no.
        tn: Response and truth no.
        fn: Response no, truth yes.
        questions: Those asked more than once, most gaps first; what lies beyond the first 10,000 distinct questions is
            pooled in `other_questions`.
        files: Output name → path; empty where there are no gaps.
        summary: The lines that the command prints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    results_dir: Path
    read: int
    skipped: dict[str, int]
    tp: int
    fp: int
    tn: int
    fn: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    questions: tuple[QuestionCounts, ...]
    other_questions: QuestionCounts | None
    files: dict[str, Path]
    summary: tuple[str, ...]


def analyze_vlm_bcq(
    config: VlmBcqConfig,
    *,
    warn: Callable[[str], None] = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> VlmBcqResult:
    """Find the gaps of a predictions file and write `kpi_gaps.jsonl` and the report, or nothing where there are none.

    Args:
        config: What to read and where to write.
        warn: Takes one line a skipped sample, the first 20, then a count.
        progress: Takes the share of the file that has been read, 0..1, after each block.

    Raises:
        InputError: Input that cannot be used, or a skipped sample under `strict`; the item is named, nothing written.
        OSError: The results folder cannot be written; nothing of the analysis is left in it.
    """
    results_dir = Path(os.path.abspath(config.results_dir))
    tally = _Tally()
    resolver = Resolver(config.videos_dir)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(ThreadPool(1))
        handle: IO[bytes] | None = None
        writing: Future[int] | None = None
        for block in read_predictions(config.predictions_json):
            gaps, skips = tally.add(block.items, block.first)
            for skip in skips:
                if config.strict:
                    where = f"{config.predictions_json} item {skip.number}"
                    raise InputError(skip.why, where=where, fix="mend the sample, or drop --strict to skip it")
                warn(f"skipped item {skip.number} (video_id {skip.video_id!r}): {skip.why}")
            if gaps.places and handle is None:
                aside = stack.enter_context(staged_outputs(results_dir, OUTPUTS))
                handle = stack.enter_context(aside.open(GAPS))
            if handle is not None:
                data = gap_lines(block.items, gaps.places, gaps.kinds, resolver, block.first)
                # The disk is written to while the next block is decoded; one write at a time, in order.
                if writing is not None:
                    writing.result()
                writing = writer.submit(handle.write, data)
            progress(block.share)
        unseen = tally.skipped_total - WARNINGS_SHOWN
        if unseen > 0:
            warn(f"{unseen} more samples skipped, {tally.skipped_total} in all")
        result = _result(tally, results_dir, found=handle is not None)
        if handle is not None:
            if writing is not None:
                writing.result()
            handle.close()
            aside.write(REPORT, "\n".join(_report(result, tally)) + "\n")
    if handle is None:
        # Files of an earlier analysis would say that there are gaps.
        for name in OUTPUTS:
            guard.remove(results_dir / name)
    return result


@dataclass(frozen=True)
class _Gaps:
    """The gaps of a block: their places in it, and for each FP or FN."""

    places: list[int]
    kinds: list[str]


@dataclass(frozen=True)
class _Skip:
    """A sample left out: its number, what it shows, and why."""

    number: int
    video_id: str
    why: str


@dataclass
class _Tally:
    """Counts of everything seen so far; `table[response * 4 + truth]` with the codes of `yes_no`."""

    read: int = 0
    table: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(16, dtype=np.int64))
    first_skips: list[_Skip] = field(default_factory=list)
    questions: dict[str, int] = field(default_factory=dict)
    long_questions: bool = False
    per_question: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((256, 16), dtype=np.int64))

    def add(self, items: Sequence[Prediction], first: int) -> tuple[_Gaps, list[_Skip]]:
        """Count a block; returns its gaps and those skips that are worth a warning."""
        codes = yes_no.answers([i.response for i in items]) * 4 + yes_no.answers([i.gt for i in items])
        self.read += len(items)
        self.table += np.bincount(codes, minlength=16)
        self._count_questions(items, codes)
        wrong = np.flatnonzero((codes == _FP) | (codes == _FN))
        names = {_FP: "FP", _FN: "FN"}
        gaps = _Gaps(wrong.tolist(), [names[code] for code in codes[wrong].tolist()])
        return gaps, self._note_skips(items, codes, first)

    @property
    def skipped(self) -> dict[str, int]:
        """Samples left out, by reason; where both texts are unclear the response is blamed."""
        square = self.table.reshape(4, 4)
        clear = [_YES, _NO]
        reasons = {f"response has {what}": int(square[code].sum()) for code, what in _UNCLEAR.items()}
        reasons |= {f"ground truth has {what}": int(square[clear, code].sum()) for code, what in _UNCLEAR.items()}
        return {reason: count for reason, count in reasons.items() if count}

    @property
    def skipped_total(self) -> int:
        return self.read - int(self.table[[_TP, _FP, _FN, _TN]].sum())

    def _note_skips(self, items: Sequence[Prediction], codes: npt.NDArray[np.uint8], first: int) -> list[_Skip]:
        room = WARNINGS_SHOWN - len(self.first_skips)
        if not room:
            return []
        unclear = np.flatnonzero(~_CLEAR[codes])[:room].tolist()
        skips = []
        for place in unclear:
            item, (response, truth) = items[place], divmod(int(codes[place]), 4)
            name, text, code = (
                ("response", item.response, response) if response in _UNCLEAR else ("ground truth", item.gt, truth)
            )
            snippet = text[:SNIPPET] + ("..." if len(text) > SNIPPET else "")
            skips.append(_Skip(first + place, item.video_id, f"{name} has {_UNCLEAR[code]}: {snippet!r}"))
        self.first_skips += skips
        return skips

    def _count_questions(self, items: Sequence[Prediction], codes: npt.NDArray[np.uint8]) -> None:
        known = self.questions
        # Row 0 pools what comes after the first 10,000 distinct questions.
        unknown = 0 if len(known) >= QUESTIONS_COUNTED else -1
        places = [known.get(i.question, unknown) for i in items]
        if unknown in places and (unknown or self.long_questions):
            places = [self._place(i.question) if p == unknown else p for p, i in zip(places, items, strict=True)]
        while len(self.per_question) <= len(known):
            self.per_question = np.concatenate((self.per_question, np.zeros_like(self.per_question)))
        counts = np.bincount(np.array(places, dtype=np.int64) * 16 + codes)
        self.per_question.reshape(-1)[: len(counts)] += counts

    def _place(self, question: str) -> int:
        """The row of a question, which gets one while there are some left."""
        key = question
        if len(question) > QUESTION_KEPT:
            digest = hashlib.sha256(question.encode("utf-8")).hexdigest()
            self.long_questions = True
            key = f"{question[:QUESTION_KEPT]}... (sha256 {digest[:16]})"
        place = self.questions.get(key)
        if place is None:
            if len(self.questions) >= QUESTIONS_COUNTED:
                return 0
            place = self.questions[key] = len(self.questions) + 1
        return place


def _result(tally: _Tally, results_dir: Path, *, found: bool) -> VlmBcqResult:
    tp, fp, fn, tn = (int(tally.table[code]) for code in (_TP, _FP, _FN, _TN))
    judged = tp + fp + fn + tn
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    counted = [_question(text, tally.per_question[place]) for text, place in tally.questions.items()]
    other = _question("", tally.per_question[0])
    result = VlmBcqResult(
        results_dir=results_dir,
        read=tally.read,
        skipped=tally.skipped,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        accuracy=(tp + tn) / judged if judged else 0.0,
        precision=precision,
        recall=recall,
        f1=2.0 * precision * recall / (precision + recall) if tp else 0.0,
        questions=tuple(
            sorted((q for q in counted if q.samples > 1), key=lambda q: (-q.fp - q.fn, -q.samples, q.question))
        ),
        other_questions=other if other.samples else None,
        files={name: results_dir / name for name in OUTPUTS} if found else {},
        summary=(),
    )
    return result.model_copy(update={"summary": tuple(_summary(result))})


def _question(text: str, counts: npt.NDArray[np.int64]) -> QuestionCounts:
    samples, fp, fn = int(counts.sum()), int(counts[_FP]), int(counts[_FN])
    judged = int(counts[[_TP, _FP, _FN, _TN]].sum())
    return QuestionCounts(question=text, samples=samples, skipped=samples - judged, fp=fp, fn=fn)


def _summary(result: VlmBcqResult) -> Iterator[str]:
    skipped = sum(result.skipped.values())
    yield f"read: {result.read} samples, {skipped} skipped"
    yield f"FP: {result.fp}  FN: {result.fn}  total: {result.fp + result.fn}"
    yield (
        f"accuracy: {result.accuracy:.4f}  precision: {result.precision:.4f}  recall: {result.recall:.4f}"
        f"  F1: {result.f1:.4f}"
    )
    if result.files:
        yield f"results: {result.results_dir}"
    else:
        yield "no gaps found: no files written"


def _report(result: VlmBcqResult, tally: _Tally) -> Iterator[str]:
    """`kpi_gaps_report.txt`."""
    yield "Gaps of yes/no answers"
    yield ""
    yield from _table(
        ["Error type", "Count", "Meaning"],
        [
            ["FP", str(result.fp), "response yes, ground truth no"],
            ["FN", str(result.fn), "response no, ground truth yes"],
            ["Total", str(result.fp + result.fn), ""],
        ],
    )
    skipped = sum(result.skipped.values())
    yield ""
    yield f"Samples read:    {result.read}"
    yield f"Samples judged:  {result.read - skipped}"
    yield f"Samples skipped: {skipped}"
    for reason, count in result.skipped.items():
        yield f"  {reason}: {count}"
    for skip in tally.first_skips[:5]:
        yield f"    item {skip.number} ({_one_line(skip.video_id, 80)}): {_one_line(skip.why, 140)}"
    yield ""
    yield f"Accuracy:  {result.accuracy:.4f}"
    yield f"Precision: {result.precision:.4f}"
    yield f"Recall:    {result.recall:.4f}"
    yield f"F1:        {result.f1:.4f}"
    yield f"(yes is the positive class: TP {result.tp}, FP {result.fp}, TN {result.tn}, FN {result.fn})"
    if result.questions:
        yield ""
        yield "Questions asked more than once, most gaps first:"
        rows = [[str(q.samples), str(q.fp), str(q.fn), _one_line(q.question, 100)] for q in result.questions]
        if result.other_questions is not None:
            q = result.other_questions
            name = f"(every question after the first {QUESTIONS_COUNTED} distinct ones)"
            rows.append([str(q.samples), str(q.fp), str(q.fn), name])
        yield from _table(["Samples", "FP", "FN", "Question"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    yield rule
    for row in (head, *rows):
        yield "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        if row is head:
            yield rule
    yield rule


def _one_line(text: str, width: int) -> str:
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= width else flat[: width - 3] + "..."
