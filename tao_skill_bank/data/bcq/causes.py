"""Root cause of wrong answers as tables: where more go wrong than elsewhere, and what that recommends.

A cell is a cause iff it has 10 rows or more, its Fisher p against the rest of the table is below 0.05 after Holm's
adjustment within the table, and its rate lies above the rest's. Unreadable answers are a table of their own: more data
does not fix them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tao_skill_bank.core.text import plural
from tao_skill_bank.data.bcq.answers import Answered
from tao_skill_bank.data.bcq.clips import Clip
from tao_skill_bank.data.bcq.questions import is_negated, kind_of
from tao_skill_bank.data.bcq.records import duplicates
from tao_skill_bank.metrics import binary, clopper_pearson
from tao_skill_bank.metrics.shares import binomial_two_sided

LEAST_ROWS = 10
LEVEL = 0.05
_TABLES = ("question_key", "kind", "negation", "duration", "brightness", "motion")
_ADVICE = {
    "question_key": "mine or annotate more of this question",
    "kind": "rephrase these questions, or add rows of this kind",
    "negation": "rephrase without a negation, or add rows of this kind",
    "duration": "add clips of this length; look at nframes and fps",
    "brightness": "add clips as bright or as dark as these",
    "motion": "add clips with as much motion; look at nframes and fps",
}
_BY_WHY = {
    "cut_off": "raise max_tokens: answers end before their yes or no",
    "empty": "look at the server or the prompt: nothing is answered",
    "blocked": "look at the server's filter",
    "neither": "ask for yes or no in the prompt, or set evaluate.answer_in",
    "both": "ask for one word in the prompt, or set evaluate.answer_in",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table; the interval is that of the share of wrong ones, in 0..1."""

    name: str
    n: int
    wrong: int
    fp: int
    fn: int
    low: float
    high: float
    p: float
    p_holm: float
    cause: bool

    @property
    def rate(self) -> float:
        """Share of wrong answers."""
        return self.wrong / self.n


@dataclass(frozen=True)
class Doubt:
    """A row whose nearest neighbours, and the model, say that its truth is wrong."""

    id: str
    truth: str
    answer: str
    against: int
    of: int


def tables(rows: Sequence[Answered], clips: Mapping[str, Clip], *, scored: bool) -> dict[str, Any]:
    """Every table of an evaluation, and the causes with what they recommend.

    Args:
        rows: Every answer of the set.
        clips: Content → what its video looks like.
        scored: Whether answers have scores, so that a threshold is a remedy.
    """
    readable = [row for row in rows if row.answer is not None]
    by: dict[str, Callable[[Answered], str | None]] = {
        "question_key": lambda row: row.record.key,
        "kind": lambda row: kind_of(row.record.key),
        "negation": lambda row: "negated" if is_negated(row.record.key) else "plain",
    }
    for name in ("duration", "brightness", "motion"):
        by[name] = _thirds(readable, {content: float(getattr(clip, name)) for content, clip in clips.items()})
    made: dict[str, Any] = {name: cells(readable, by[name]) for name in _TABLES}
    causes = [
        {
            "table": name,
            "cell": cell.name,
            "n": cell.n,
            "wrong": cell.wrong,
            "p": cell.p_holm,
            "recommends": _ADVICE[name],
        }
        for name in _TABLES
        for cell in made[name]
        if cell.cause
    ]
    out: dict[str, Any] = {name: [{**asdict(c), "rate": c.rate} for c in made[name]] for name in _TABLES}
    sides, advice = _sides(readable, scored)
    out["fp_against_fn"] = sides
    causes += advice
    lost = _lost_videos(readable)
    out["video"] = lost
    causes += [_told("video", v["video"], v["n"], v["n"], None, "look at it; mine look-alikes") for v in lost[:5]]
    why = Counter(row.why for row in rows if row.answer is None)
    out["unreadable"] = [
        {"why": name, "count": count, "recommends": _BY_WHY[name]} for name, count in why.most_common()
    ]
    causes += [
        {"table": "unreadable", "cell": name, "n": len(rows), "wrong": count, "p": None, "recommends": _BY_WHY[name]}
        for name, count in why.most_common()
    ]
    same = duplicates([row.record for row in rows])
    out["duplicate"] = [
        {"first": a.id, "again": b.id, "recommends": "remove one" if a.gt == b.gt else "relabel"} for a, b in same
    ]
    out["causes"] = causes
    return out


def counted(found: Mapping[str, Any]) -> str:
    """How many answers are wrong, and how many nobody could read: those are in no table of causes but their own."""
    rows, lost = found["rows"], sum(why["count"] for why in found["unreadable"])
    said = f"{rows['wrong']} of {plural(rows['all'], 'answer')} are wrong and readable"
    return f"{said}; {lost} cannot be read" if lost else said


def without_cause(found: Mapping[str, Any]) -> str:
    """That nothing stands out, and of how many cells that is said."""
    large = sum(cell["n"] >= LEAST_ROWS for name in _TABLES for cell in found[name])
    if not large:
        return f"No cell could stand out: none has {LEAST_ROWS} rows beside another."
    rule = f"p below {LEVEL:g} after Holm's adjustment, and a rate above the rest's"
    return f"No cell stands out of {large} that have {LEAST_ROWS} rows or more: {rule}."


def cells(rows: Sequence[Answered], name_of: Callable[[Answered], str | None]) -> list[Cell]:
    """The cells of one table, worst first; empty where there is but one."""
    held: dict[str, list[Answered]] = {}
    for row in rows:
        name = name_of(row)
        if name is not None:
            held.setdefault(name, []).append(row)
    if len(held) < 2:
        return []
    total, wrong_total = sum(map(len, held.values())), sum(r.wrong is not None for part in held.values() for r in part)
    names, ps = list(held), []
    for name in names:
        wrong = sum(row.wrong is not None for row in held[name])
        n = len(held[name])
        ps.append(binary.fisher_exact(wrong, n - wrong, wrong_total - wrong, total - n - wrong_total + wrong))
    found = []
    for name, p, adjusted in zip(names, ps, binary.holm(ps), strict=True):
        part = held[name]
        n, fp, fn = len(part), sum(r.wrong == "FP" for r in part), sum(r.wrong == "FN" for r in part)
        wrong = fp + fn
        low, high = clopper_pearson(wrong, n)
        rest = (wrong_total - wrong) / (total - n)
        cause = n >= LEAST_ROWS and adjusted < LEVEL and wrong / n > rest
        found.append(Cell(name, n, wrong, fp, fn, low, high, p, adjusted, cause))
    return sorted(found, key=lambda cell: (-cell.rate, -cell.n, cell.name))


NEAREST, AGAINST = 10, 8


def doubts(rows: Sequence[Answered], vectors: Any, truths: Any, contents: Any, own: Any) -> list[Doubt]:
    """Rows whose truth is contradicted by AGAINST of their NEAREST nearest labelled pairs, and by the model.

    Args:
        rows: Answers of one question key.
        vectors: Unit float [m, d], of labelled pairs of that key.
        truths: Bool [m], whether yes is right.
        contents: [m], whose video it is; a row's own video is no neighbour.
        own: Unit float [n, d], of the rows.
    """
    found = []
    for place, row in enumerate(rows):
        if row.answer is None or row.wrong is None:
            continue
        others = np.flatnonzero(contents != row.record.content)
        if len(others) < NEAREST:
            continue
        near = others[np.argsort(-(vectors[others] @ own[place]), kind="stable")[:NEAREST]]
        count = int(np.count_nonzero(truths[near] != (row.record.gt == "yes")))
        if count >= AGAINST:
            found.append(Doubt(row.record.id, str(row.record.gt), row.answer, count, NEAREST))
    return found


def _thirds(rows: Sequence[Answered], values: Mapping[str, float]) -> Callable[[Answered], str | None]:
    known = np.array([values[row.record.content] for row in rows if row.record.content in values])
    if not len(known) or known.min() == known.max():
        return lambda row: None
    low, high = np.quantile(known, [1 / 3, 2 / 3])

    def third(row: Answered) -> str | None:
        value = values.get(row.record.content)
        if value is None:
            return None
        return "low" if value <= low else "middle" if value <= high else "high"

    return third


def _sides(rows: Sequence[Answered], scored: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """FP against FN: whether the model says yes, or no, too often."""
    fp, fn = sum(row.wrong == "FP" for row in rows), sum(row.wrong == "FN" for row in rows)
    p = binomial_two_sided(fp, fp + fn)
    table = {"fp": fp, "fn": fn, "p": p}
    if p >= LEVEL or fp + fn < LEAST_ROWS:
        return table, []
    side, more = ("yes too often", "No") if fp > fn else ("no too often", "Yes")
    advice = f"add {more}-rows" + ("; a threshold on the score helps at once" if scored else "")
    return table, [_told("fp_against_fn", side, fp + fn, max(fp, fn), p, advice)]


def _told(table: str, cell: str, n: int, wrong: int, p: float | None, recommends: str) -> dict[str, Any]:
    return {"table": table, "cell": cell, "n": n, "wrong": wrong, "p": p, "recommends": recommends}


def _lost_videos(rows: Sequence[Answered]) -> list[dict[str, Any]]:
    """Videos of which every question, of two or more, is answered wrongly."""
    held: dict[str, list[Answered]] = {}
    for row in rows:
        held.setdefault(row.record.content, []).append(row)
    return [
        {"video": part[0].record.video, "n": len(part), "ids": [row.record.id for row in part]}
        for part in held.values()
        if len(part) > 1 and all(row.wrong is not None for row in part)
    ]
