"""From answers to figures: the table, every measure with its interval, per question key, at a frozen threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tao_skill_bank.core.errors import GateError
from tao_skill_bank.data.bcq.answers import Answered, arrays
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.metrics import binary


def scores_of(rows: Sequence[Answered], where: str) -> Any:
    """The scores, float64 [n].

    Raises:
        GateError: Gate `scores`: a row has none.
    """
    lacking = [row.record.id for row in rows if row.score is None]
    if lacking:
        what = (
            f"{len(lacking)} of {len(rows)} answers have no score, first {lacking[0]!r}; the target needs one of each"
        )
        raise GateError("scores", what, where=where, fix="use an evaluator with scores, or a target without 'at'")
    return np.array([row.score for row in rows], dtype=np.float64)


def figures(rows: Sequence[Answered], threshold: float | None = None) -> dict[str, Any]:
    """Table, measures and keys of answers, as the fields of an `Evaluation`.

    Args:
        rows: The answers.
        threshold: Yes iff the score is at least this; None takes answers as they are.
    """
    truth, said = arrays(rows, threshold)
    videos = np.array([row.record.content for row in rows])
    table = binary.table(truth, said)
    keys: dict[str, dict[str, Any]] = {}
    parts: list[binary.Estimate] = []
    names = np.array([row.record.key for row in rows])
    for key in dict.fromkeys(names.tolist()):
        held = names == key
        part = binary.table(truth[held], said[held])
        estimate = _accuracy(truth[held], said[held], videos[held])
        parts.append(estimate)
        keys[key] = {**part.plain(), "accuracy_interval": _interval(estimate).model_dump(mode="json")}
    measures = {"accuracy": _interval(_accuracy(truth, said, videos))}
    right = truth == (said == 1)
    right &= said != binary.UNREADABLE
    if table.P and table.N:
        columns = np.column_stack([right & truth, truth, right & ~truth, ~truth])
        wins = int((right & truth).sum()), int((right & ~truth).sum())
        groups = binary.grouped_counts(videos, columns)
        measures["balanced accuracy"] = _interval(binary.balanced(wins, (table.P, table.N), groups))
    measures["worst question accuracy"] = _interval(binary.worst(parts))
    for name, of in (("FP rate", ~truth), ("FN rate", truth)):
        if of.any():
            wrong = ~right & of
            groups = binary.grouped_counts(videos, np.column_stack([wrong, of]))
            measures[name] = _interval(binary.share(int(wrong.sum()), int(of.sum()), groups))
    unreadable = 0 if threshold is not None else table.unreadable
    why = Counter(row.why for row in rows if row.answer is None)
    return {
        "table": table.plain(),
        "measures": measures,
        "keys": keys,
        "unreadable": unreadable,
        "why": dict(sorted(why.items())),
        "threshold": threshold,
    }


def _accuracy(truth: Any, said: Any, videos: Any) -> binary.Estimate:
    right = (said != binary.UNREADABLE) & (truth == (said == 1))
    groups = binary.grouped_counts(videos, np.column_stack([right, np.ones(len(right), dtype=np.int64)]))
    return binary.share(int(right.sum()), len(right), groups)


def _interval(found: binary.Estimate) -> Interval:
    return Interval(
        value_pct=100.0 * found.value,
        low_pct=100.0 * found.low,
        high_pct=100.0 * found.high,
        successes=found.right,
        trials=found.trials,
        least_pct=100.0 * found.least,
        most_pct=100.0 * found.most,
    )
