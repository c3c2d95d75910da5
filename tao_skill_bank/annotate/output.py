"""Step 4: question rows become one file a task in the envelope `tao-vl-reason-v1.0`, and a file of refusals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tao_skill_bank.annotate.layout import REJECTED_FILE, output_folder, verdicts_path
from tao_skill_bank.annotate.parse import parse_questions
from tao_skill_bank.annotate.schemas import qa_type
from tao_skill_bank.annotate.times import clock
from tao_skill_bank.annotate.validate import Item, Rejected, checked
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import atomic_open, canonical_json, sha256_text

FORMAT = "tao-vl-reason-v1.0"
TASKS = {
    "mcq": "Multiple-choice questions, answered by the letter of the right choice.",
    "mcq_openended": "Multiple-choice questions, answered by the right choice in words.",
    "bcq": "Questions answered by yes or no.",
    "bcq_openended": "Yes/no questions, answered with an explanation.",
    "open_qa": "Open questions with free answers.",
    "causal_linkage": "Questions on how two events at given times are connected.",
    "temporal_localization": "Questions on when an event begins and ends.",
    "temporal_description": "Questions on what happens in a given span of time.",
    "scene_description": "Descriptions of the scene and its surroundings.",
    "video_summarization": "Summaries of a video's course of events.",
}
_TASK_OF = {"temporal_event_desc": "temporal_description", "event_summary": "video_summarization"}
_INSTRUCTIONS = {
    "mcq": "Reply with the letter of the right option only.",
    "mcq_openended": "Reply with the letter and the text of the right option.",
    "bcq": "Reply with Yes or No only.",
    "bcq_openended": "Reply with Yes or No, and explain briefly.",
    "temporal_localization": 'Reply with the start and the end as {"start": "MM:SS", "end": "MM:SS"}.',
}


@dataclass(frozen=True)
class Question:
    """One question of a row on its way to the files: accepted with its item, or refused with a reason."""

    video: str
    video_id: str
    prompt_key: str
    task: str
    digest: str
    item: Item | None
    reason: str | None
    question: str
    answer: str


@dataclass
class Written:
    """What step 4 wrote: items a task, refusals, the files."""

    items: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    files: list[str] = field(default_factory=list)


def media_root(video_root: str) -> Path | None:
    """The folder that `video_id` is relative to, absolute; None without one."""
    return Path(os.path.abspath(os.path.expanduser(video_root))) if video_root else None


def video_identity(video: str, root: Path | None) -> str:
    """A video's path below the root; absolute where it lies elsewhere or there is no root."""
    path = os.path.abspath(video)
    if root is not None:
        prefix = str(root).rstrip("/") + "/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    return path


def questions_of(row: dict[str, Any], root: Path | None) -> Iterator[Question]:
    """The questions of one row of step 3, each accepted or refused. A row without any yields one refusal."""
    video, prompt_key = str(row.get("video", "")), str(row.get("prompt_key", ""))
    kind = qa_type(prompt_key)
    task = _TASK_OF.get(kind, kind)
    identity = video_identity(video, root)
    length = row.get("video_length")
    duration = float(length) if isinstance(length, (int, float)) and length > 0 else None
    text = row.get("qa_output")
    parsed = parse_questions(text) if isinstance(text, str) else []
    if not parsed:
        reason = "no question can be recognised in the answer"
        yield Question(
            video, identity, prompt_key, task, _digest(identity, task, str(text), "", ""), None, reason, "", ""
        )
    for entry in parsed:
        item: Item | None = None
        refused: str | None = None
        try:
            item = checked(kind, entry, duration)
        except Rejected as refusal:
            refused = str(refusal)
        shown = item.full_answer if item else entry.answer
        digest = _digest(identity, task, entry.question, shown, item.reasoning if item else entry.reasoning)
        yield Question(video, identity, prompt_key, task, digest, item, refused, entry.question, shown)


def faults_of(prompt_key: str, text: str, duration: float | None) -> tuple[int, list[str]]:
    """(good questions, reasons of the others) of an answer: what a repair is asked for."""
    row = {"video": "-", "prompt_key": prompt_key, "qa_output": text, "video_length": duration}
    found = list(questions_of(row, None))
    return sum(q.item is not None for q in found), [q.reason for q in found if q.reason]


def entries_of(question: Question) -> Iterator[tuple[str, dict[str, str]]]:
    """(task, entry of its file) of an accepted question; two for multiple-choice and yes/no questions."""
    item = question.item
    if item is None:
        return
    base = {"video_id": question.video_id}
    stem = "\n".join([item.question, *item.choices])
    if question.task in ("mcq", "bcq"):
        for task, answer in ((question.task, item.answer), (f"{question.task}_openended", item.full_answer)):
            asked = f"{stem}\n{_INSTRUCTIONS[task]}"
            yield task, base | {"question": asked, "answer": answer, "reasoning": item.reasoning}
        return
    answer = item.answer
    if item.span is not None:
        stem = f"{stem}\n{_INSTRUCTIONS['temporal_localization']}"
        answer = json.dumps({"start": clock(item.span[0]), "end": clock(item.span[1])})
    yield question.task, base | {"question": stem, "answer": answer, "reasoning": item.reasoning}


def read_verdicts(results_dir: Path) -> dict[str, tuple[str, str]]:
    """Item digest → (verdict, note) of an exported review, the last word on an item; empty where there is none.

    Raises:
        InputError: A line that is no verdict.
    """
    path = verdicts_path(results_dir)
    found: dict[str, tuple[str, str]] = {}
    if not path.exists():
        return found
    # Lines end with "\n" only: a note may hold one of the other signs that Python takes for a line's end.
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            digest, verdict, note = entry["digest"], entry["verdict"], entry.get("note") or ""
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            entry, digest, verdict, note = {}, None, None, ""
        if verdict not in ("accept", "reject") or not isinstance(digest, str):
            raise InputError(
                "not a verdict", where=f"{path}:{number}", fix="export the review again, or take the line out"
            )
        found[digest] = (verdict, str(note))
    return found


def write_outputs(
    results_dir: Path,
    rows: Iterable[dict[str, Any]],
    *,
    video_root: str,
    date: str,
    license_text: str,
    description_extra: str,
) -> Written:
    """Write the task files and `rejected.jsonl`; a file whose task has no item any more is removed.

    All files are written beside their places first and moved there together at the end.
    """
    folder = output_folder(results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    root = media_root(video_root)
    verdicts = read_verdicts(results_dir)
    done = Written()
    seen: set[str] = set()
    of_video = ""
    with ExitStack() as stack:
        handles: dict[str, IO[str]] = {}
        rejected: IO[str] | None = None
        for row in rows:
            if row.get("video") != of_video:
                of_video, seen = str(row.get("video")), set()
            for question in questions_of(row, root):
                reason = question.reason or _refusal(question, seen, verdicts)
                if reason is not None:
                    if rejected is None:
                        rejected = stack.enter_context(atomic_open(folder / REJECTED_FILE))
                    rejected.write(_rejected_line(question, reason))
                    done.rejected += 1
                    continue
                for task, entry in entries_of(question):
                    if task not in handles:
                        handles[task] = stack.enter_context(atomic_open(folder / f"{task}.json"))
                        handles[task].write(_head(task, root, date, license_text, description_extra))
                    number = done.items.get(task, 0)
                    handles[task].write((",\n" if number else "\n") + _indented(entry))
                    done.items[task] = number + 1
        for handle in handles.values():
            handle.write("\n  ]\n}\n")
    for task in TASKS:
        if task not in handles:
            (folder / f"{task}.json").unlink(missing_ok=True)
    if rejected is None:
        (folder / REJECTED_FILE).unlink(missing_ok=True)
    done.items = {task: done.items[task] for task in TASKS if task in done.items}
    done.files = [str(folder / f"{task}.json") for task in done.items]
    return done


def _refusal(question: Question, seen: set[str], verdicts: dict[str, tuple[str, str]]) -> str | None:
    verdict, note = verdicts.get(question.digest, ("", ""))
    if verdict == "reject":
        return f"rejected in review: {note}" if note else "rejected in review"
    same = f"{question.task}\0{' '.join(question.question.lower().split())}"
    if same in seen:
        return "the same question as before"
    seen.add(same)
    return None


def _rejected_line(question: Question, reason: str) -> str:
    entry = {
        "video_id": question.video_id,
        "task": question.task,
        "prompt_key": question.prompt_key,
        "reason": reason,
        "question": question.question,
        "answer": question.answer,
        "digest": question.digest,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _head(task: str, root: Path | None, date: str, license_text: str, description_extra: str) -> str:
    description = f"{TASKS[task]} {description_extra}".strip()
    metadata = {"type": "annotation", "task": task, "date": date, "description": description, "license": license_text}
    head = {"format": FORMAT, "metadata": metadata, "media_root": None if root is None else str(root)}
    return json.dumps(head, indent=2, ensure_ascii=False).rstrip("}\n") + ',\n  "items": ['


def _indented(entry: dict[str, str]) -> str:
    return "\n".join("    " + line for line in json.dumps(entry, indent=2, ensure_ascii=False).splitlines())


def _digest(video_id: str, task: str, question: str, answer: str, reasoning: str) -> str:
    return sha256_text(canonical_json([video_id, task, question, answer, reasoning]))[:16]
