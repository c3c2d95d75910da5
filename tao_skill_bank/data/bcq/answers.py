"""Answers of an evaluation: read out of responses, joined to annotations by id, written as every evaluator's end.

An evaluator that skips a video it cannot decode and pairs answers by position gives later answers to other questions;
so nothing is paired by position, every annotation must be answered exactly once, and no partial file is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import GateError, InputError
from tao_skill_bank.core.text import lines_of
from tao_skill_bank.data.bcq.questions import plain_answer, question_key, read_answer
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.data.vlm import yes_no
from tao_skill_bank.data.vlm.answers import look

Why = Literal["ok", "neither", "both", "cut_off", "empty", "blocked"]
GATE = "evaluation_coverage"
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_SHARD = re.compile(r"results_shard(\d+)\.json")
_SAID = {"yes": 1, "no": 0}


@dataclass(frozen=True)
class Said:
    """One row of an evaluation, before it is joined.

    Attributes:
        response: The text; the full response where there is one; None where there is none.
        score: The probability of yes, where the evaluator gives one.
        blocked: Whether the endpoint refused to answer.
        cut_off: Whether the answer ended at the length limit.
    """

    response: str | None
    score: float | None = None
    blocked: bool = False
    cut_off: bool = False


@dataclass(frozen=True)
class Answered:
    """One annotation and what was answered."""

    record: Record
    response: str
    answer: Literal["yes", "no"] | None
    why: Why
    score: float | None

    @property
    def wrong(self) -> str | None:
        """`FP` or `FN` of a readable answer; None where it is right or unreadable."""
        if self.answer is None or self.answer == self.record.gt:
            return None
        return "FP" if self.answer == "yes" else "FN"


def judge(said: Said, answer_in: str) -> tuple[Literal["yes", "no"] | None, Why]:
    """The answer of a response, and why there is none."""
    text = said.response
    if said.blocked:
        return None, "blocked"
    if text is None or not text.strip():
        return None, "cut_off" if said.cut_off else "empty"
    part: str | None = text
    tags = list(_TAG.finditer(text))
    if answer_in == "answer_tag" or (answer_in == "auto" and tags):
        part = tags[-1].group(1) if tags else ""
    elif answer_in in ("auto", "after_think"):
        part = look(text)[1]
        if part is None:
            return None, "cut_off"
    code = yes_no.answer(part or "")
    if code in (yes_no.YES, yes_no.NO):
        return ("yes" if code == yes_no.YES else "no"), "ok"
    if said.cut_off:
        return None, "cut_off"
    return None, "both" if code == yes_no.BOTH else "neither"


def answered(records: Sequence[Record], said: Mapping[str, Said], answer_in: str) -> list[Answered]:
    """Every annotation with its answer, in the order of the annotations; `said` has them all, by id."""
    rows = []
    for record in records:
        row = said[record.id]
        answer, why = judge(row, answer_in)
        rows.append(Answered(record, row.response or "", answer, why, row.score))
    return rows


def read_results(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows an evaluator left below a folder: one `results.json`, or every shard of a gapless set.

    Raises:
        GateError: Gate `evaluation_coverage`: there is none, more than one, a shard is missing, a file is no list.
    """
    plain, shards = _found(folder)
    if len(plain) + bool(shards) != 1:
        found = ", ".join(str(p.relative_to(folder)) for p in [*plain, *shards.values()][:3]) or "nothing"
        what = f"exactly one results.json, or one set of shards, must lie below it; found {found}"
        raise GateError(GATE, what, where=folder, fix="see the evaluator's log")
    if shards and sorted(shards) != list(range(len(shards))):
        missing = next(k for k in range(max(shards) + 1) if k not in shards)
        raise GateError(GATE, f"results_shard{missing}.json is missing", where=folder, fix="see the evaluator's log")
    paths = plain or [shards[k] for k in sorted(shards)]
    rows: list[dict[str, Any]] = []
    for path in paths:
        rows += read_rows(path)
    return rows, str(paths[0])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one file of results or predictions.

    Raises:
        GateError: Gate `evaluation_coverage`: it is missing, no JSON, no list of objects.
    """
    try:
        found = json.loads(guard.read_text(path, "results", encoding="utf-8-sig"))
    except FileNotFoundError:
        raise GateError(GATE, "no such file", where=path, fix="name the evaluation that is there") from None
    except (ValueError, RecursionError) as error:
        raise GateError(GATE, f"not readable as JSON: {error}", where=path, fix="evaluate again") from None
    if isinstance(found, dict) and isinstance(found.get("results"), list):
        found = found["results"]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise GateError(GATE, "is no list of answers", where=path, fix="evaluate again")
    return found


def join(
    records: Sequence[Record], rows: Sequence[Mapping[str, Any]], where: str | Path, out: Sequence[Record] = ()
) -> dict[str, Said]:
    """Rows by annotation: by id, else by path and question where that is unique.

    `out`: what a person took out since; its rows are passed over.

    Raises:
        GateError: Gate `evaluation_coverage`: an annotation without its answer, with two, or with the question or
            the truth of another; three are named.
    """
    by_id = {record.id: record for record in records}
    by_path: dict[tuple[str, str], list[Record]] = {}
    for asked_of in records:
        for place in _places(asked_of):
            by_path.setdefault(place, []).append(asked_of)
    gone = {record.id for record in out}
    gone_places = {place for record in out for place in _places(record)}
    said: dict[str, Said] = {}
    faults: list[str] = []
    for number, row in enumerate(rows, start=1):
        name, asked = str(row.get("video_id")), str(row.get("question") or "")
        record: Record | None = by_id.get(name)
        if record is None:
            same = by_path.get((name, question_key(asked)), [])
            record = same[0] if len(same) == 1 else None
        if record is None and (name in gone or (name, question_key(asked)) in gone_places):
            continue
        if record is None:
            faults.append(f"row {number} ({name[:80]!r}) is of no annotation")
        elif record.id in said:
            faults.append(f"{record.id!r} is answered twice")
        elif asked and question_key(asked) != record.key:
            faults.append(f"{record.id!r} was asked another question: {asked[:60]!r}")
        elif (truth := _truth(row.get("gt"))) is not None and truth not in (record.gt, record.written):
            faults.append(f"{record.id!r} has the truth {truth!r}, and its annotation {record.gt!r}")
        else:
            said[record.id] = _said(row)
    missing = [record.id for record in records if record.id not in said]
    if not missing and not faults:
        return said
    count = f"{len(said)} of {len(records)} annotations answered"
    named = ", ".join(repr(name) for name in missing[:3]) + (" …" if len(missing) > 3 else "")
    parts = [count, f"missing {named}"] if missing else [count]
    parts += faults[:3]
    raise GateError(GATE, ", ".join(parts), where=where, fix="evaluate every annotation again; nothing was used")


def _places(record: Record) -> set[tuple[str, str]]:
    """How an answer may name it where it does not by its id."""
    return {(name, record.key) for name in (str(record.path), record.video)}


def _said(row: Mapping[str, Any]) -> Said:
    full = row.get("full_response")
    text = full if isinstance(full, str) and full.strip() else row.get("response")
    score = row.get("score")
    usable = isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)
    return Said(text if isinstance(text, str) else None, float(score) if usable and score is not None else None)


def _truth(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return plain_answer(value) or read_answer(value)


def _found(folder: Path) -> tuple[list[Path], dict[int, Path]]:
    plain: list[Path] = []
    shards: dict[int, Path] = {}
    open_folders = [folder] if guard.is_folder(folder) else []
    while open_folders:
        for child in sorted(guard.children(open_folders.pop())):
            number = _SHARD.fullmatch(child.name)
            if guard.is_folder(child) and not child.is_symlink():
                open_folders.append(child)
            elif child.name == "results.json":
                plain.append(child)
            elif number is not None:
                shards[int(number[1])] = child
    return plain, shards


# -- what every evaluator ends in --


def write_answers(path: Path, rows: Iterable[Answered], *, model: str, evaluator: str) -> None:
    """`answers.jsonl`: one line an annotation."""
    lines = [
        json.dumps(
            {
                "id": row.record.id,
                "video": str(row.record.path),
                "content": row.record.content,
                "question": row.record.question,
                "question_key": row.record.key,
                "gt": row.record.gt,
                "response": row.response,
                "answer": row.answer,
                "why": row.why,
                "score": row.score,
                "model": model,
                "evaluator": evaluator,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for row in rows
    ]
    fsio.write_text(path, "\n".join(lines) + "\n")


def write_predictions(path: Path, rows: Iterable[Answered]) -> None:
    """`predictions.json`: TAO's form, in the order of the annotations; a response is never null."""
    items = [
        {
            "video_id": str(row.record.path),
            "question": row.record.question,
            "gt": "Yes" if row.record.gt == "yes" else "No",
            "response": {"yes": "Yes", "no": "No", None: "unreadable"}[row.answer],
        }
        for row in rows
    ]
    fsio.write_text(path, json.dumps(items, indent=1, ensure_ascii=False) + "\n")


def read_answers(path: Path, records: Mapping[str, Record]) -> list[Answered]:
    """`answers.jsonl` as it was written, for the same annotations.

    Raises:
        InputError: A line that is not one of these, or of no annotation.
    """
    rows = []
    for number, line in enumerate(lines_of(guard.read_text(path, "answers")), start=1):
        try:
            raw = json.loads(line)
            record = records[raw["id"]]
            rows.append(Answered(record, raw["response"], raw["answer"], raw["why"], raw["score"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} is none of an answer: {error}", where=path, fix="evaluate again") from None
    return rows


def gap_lines(rows: Iterable[Answered]) -> list[dict[str, str]]:
    """What the gap analysis must find, in order: a line for every readable wrong answer."""
    return [
        {
            "video_id": str(row.record.path),
            "error_type": row.wrong,
            "question": row.record.question,
            "ground_truth": "Yes" if row.record.gt == "yes" else "No",
            "response": "Yes" if row.answer == "yes" else "No",
        }
        for row in rows
        if row.wrong is not None
    ]


def arrays(rows: Sequence[Answered], threshold: float | None = None) -> tuple[npt.NDArray[np.bool_], Any]:
    """(truth, answer) as arrays: bool [n]; int [n] of 1, 0, -1, by score where a threshold is given."""
    truth = np.array([row.record.gt == "yes" for row in rows], dtype=np.bool_)
    if threshold is None:
        return truth, np.array([-1 if row.answer is None else _SAID[row.answer] for row in rows], dtype=np.int64)
    scores = np.array([math.nan if row.score is None else row.score for row in rows])
    return truth, (scores >= threshold).astype(np.int64)
