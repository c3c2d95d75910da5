"""Two evaluations of the same samples: what one has right that the other has not, and how sure the difference is.

Samples are joined by annotation id where both sides have ids that are unique, else by video, question and how often
that pair came before. An answer that cannot be judged is a wrong one; a sample without a truth is left out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from tao_skill_bank.actions.gap_analysis.config import VlmCompareConfig
from tao_skill_bank.actions.gap_analysis.outputs import staged_outputs
from tao_skill_bank.actions.gap_analysis.vlm_bcq import evaluation_of, judge_of
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.data.vlm.formats import Mapped
from tao_skill_bank.data.vlm.judging import TN, TP, USABLE_TRUTH
from tao_skill_bank.metrics.paired import grouped_difference, mcnemar_exact

CHANGED = "changed.jsonl"
COMPARE = "compare.json"
OUTPUTS = (CHANGED, COMPARE)
_SHOWN = 5


class Comparison(Frozen):
    """`compare.json`.

    Attributes:
        joined_by: What the samples were joined by.
        samples: Samples that both sides have, with a truth.
        only_a: Samples that only `a` has; `only_b` the reverse.
        unusable_truth: Joined samples without a truth, or with two different ones.
        accuracy_a: Right of `samples`, unparseable answers being wrong; `accuracy_b` of the other.
        difference: `accuracy_b` - `accuracy_a`.
        difference_interval: Its 95 % interval by drawing whole videos; None with fewer than two.
        fixed: Wrong in `a`, right in `b`.
        broken: Right in `a`, wrong in `b`.
        mcnemar_p: Exact, two-sided: how likely so uneven a change is where both are as often right.
    """

    a: str
    b: str
    joined_by: Literal["id", "video and question"]
    samples: int
    only_a: int
    only_b: int
    unusable_truth: int
    accuracy_a: float | None
    accuracy_b: float | None
    difference: float | None
    difference_interval: tuple[float, float] | None
    fixed: int
    broken: int
    mcnemar_p: float


class CompareResult(Frozen):
    """A comparison, where it stands, and the lines that the command prints."""

    results_dir: Path
    comparison: Comparison
    files: dict[str, Path]
    summary: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    id: str | None
    video_id: str
    question: str
    truth: str
    response: str
    code: int

    @property
    def right(self) -> bool:
        return self.code in (TP, TN)

    @property
    def yes(self) -> bool | None:
        """The truth as it is judged; None where there is none."""
        return self.code % 4 == TP % 4 if USABLE_TRUTH[self.code] else None


def compare_vlm(config: VlmCompareConfig) -> CompareResult:
    """Compare two evaluations and write `changed.jsonl` and `compare.json`.

    Raises:
        InputError: Input that cannot be used, or nothing that both have.
        OSError: The results folder cannot be written; nothing is left in it.
    """
    results_dir = Path(os.path.abspath(config.results_dir))
    before, after = _samples(config, config.a), _samples(config, config.b)
    by_id = all(s.id is not None for s in (*before, *after)) and _unique(before) and _unique(after)
    first, second = _keyed(before, by_id=by_id), _keyed(after, by_id=by_id)
    both = [key for key in first if key in second]
    if not both:
        raise InputError(
            "no sample stands in both", where=f"{config.a} and {config.b}", fix="compare evaluations of the same data"
        )
    pairs = [(first[key], second[key]) for key in both]
    usable = [(a, b) for a, b in pairs if a.yes is not None and a.yes == b.yes]
    changed = [(a, b) for a, b in usable if a.right != b.right]
    comparison = _compared(config, usable, by_id=by_id, only=(len(first) - len(both), len(second) - len(both)),
                           unusable=len(pairs) - len(usable))  # fmt: skip
    with staged_outputs(results_dir, OUTPUTS) as aside:
        with aside.open(CHANGED) as handle:
            handle.write(msgspec.json.Encoder().encode_lines([_line(a, b) for a, b in changed]))
        text = json.dumps(comparison.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        aside.write(COMPARE, text + "\n")
    unmatched = [key for key in first if key not in second], [key for key in second if key not in first]
    return CompareResult(
        results_dir=results_dir,
        comparison=comparison,
        files={name: results_dir / name for name in OUTPUTS},
        summary=tuple(_summary(comparison, unmatched, results_dir)),
    )


def _samples(config: VlmCompareConfig, path: Path) -> list[_Sample]:
    found: list[_Sample] = []
    judge = None
    for samples in evaluation_of(config, path).samples():
        if isinstance(samples, Mapped):
            judge = judge_of(config, samples)
            continue
        assert judge is not None
        codes = judge.judge(samples).codes.tolist()
        ids: list[str | None] = list(samples.ids) if samples.ids else [None] * len(samples)
        columns = zip(ids, samples.video_ids, samples.questions, samples.truths, samples.responses, codes, strict=True)
        found += [_Sample(*row) for row in columns]
    return found


def _unique(samples: list[_Sample]) -> bool:
    return len({s.id for s in samples}) == len(samples)


def _keyed(samples: list[_Sample], *, by_id: bool) -> dict[object, _Sample]:
    if by_id:
        return {s.id: s for s in samples}
    before: Counter[tuple[str, str]] = Counter()
    keyed: dict[object, _Sample] = {}
    for s in samples:
        pair = (s.video_id, s.question)
        keyed[(*pair, before[pair])] = s
        before[pair] += 1
    return keyed


def _compared(
    config: VlmCompareConfig,
    usable: list[tuple[_Sample, _Sample]],
    *,
    by_id: bool,
    only: tuple[int, int],
    unusable: int,
) -> Comparison:
    videos = {name: place for place, name in enumerate(dict.fromkeys(a.video_id for a, _ in usable))}
    groups = np.zeros((max(1, len(videos)), 3), dtype=np.int64)
    for a, b in usable:
        groups[videos[a.video_id]] += (a.right, b.right, 1)
    n = len(usable)
    right_a, right_b = int(groups[:, 0].sum()), int(groups[:, 1].sum())
    fixed = sum(b.right and not a.right for a, b in usable)
    broken = sum(a.right and not b.right for a, b in usable)
    return Comparison(
        a=str(config.a),
        b=str(config.b),
        joined_by="id" if by_id else "video and question",
        samples=n,
        only_a=only[0],
        only_b=only[1],
        unusable_truth=unusable,
        accuracy_a=right_a / n if n else None,
        accuracy_b=right_b / n if n else None,
        difference=(right_b - right_a) / n if n else None,
        difference_interval=grouped_difference(groups[:, 0], groups[:, 1], groups[:, 2]),
        fixed=fixed,
        broken=broken,
        mcnemar_p=mcnemar_exact(broken, fixed),
    )


def _line(a: _Sample, b: _Sample) -> dict[str, object]:
    return {
        "change": "fixed" if b.right else "broken",
        "id": b.id,
        "video_id": b.video_id,
        "question": b.question,
        "ground_truth": b.truth,
        "response_a": a.response,
        "response_b": b.response,
    }


def _summary(c: Comparison, unmatched: tuple[list[object], list[object]], results_dir: Path) -> Iterator[str]:
    yield f"compared: {c.samples} samples, joined by {c.joined_by}"
    for name, keys in zip(("a", "b"), unmatched, strict=True):
        if keys:
            shown = ", ".join(str(k if not isinstance(k, tuple) else k[0]) for k in keys[:_SHOWN])
            yield f"only in {name}: {len(keys)} ({shown})"
    if c.unusable_truth:
        yield f"left out: {c.unusable_truth} without a truth that both sides share"
    if c.accuracy_a is None or c.accuracy_b is None or c.difference is None:
        yield "accuracy: undefined"
    else:
        interval = c.difference_interval
        ends = "" if interval is None else f" [{interval[0]:+.4f}, {interval[1]:+.4f}] by video"
        yield f"accuracy: {c.accuracy_a:.4f} before, {c.accuracy_b:.4f} after, difference {c.difference:+.4f}{ends}"
    yield f"fixed: {c.fixed}  broken: {c.broken}  McNemar exact p = {c.mcnemar_p:.4g}"
    yield f"results: {results_dir}"
