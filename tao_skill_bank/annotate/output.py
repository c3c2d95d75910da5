"""Step 4: question rows become one file a task in the envelope `tao-vl-reason-v1.0`, and a file of refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tao_skill_bank.annotate.judge.kept import Judged
from tao_skill_bank.annotate.layout import DUPLICATES_FILE, QUALITY_FILE, REJECTED_FILE, output_folder
from tao_skill_bank.annotate.made import Made
from tao_skill_bank.annotate.quality.examine import Examiner, Taken
from tao_skill_bank.annotate.questions import TASKS, entries_of, media_root, questions_of
from tao_skill_bank.annotate.verdicts import edited_answers, read_verdicts, take_in
from tao_skill_bank.core import guard
from tao_skill_bank.core.fsio import atomic_open

FORMAT = "tao-vl-reason-v1.0"
_ENCODED = json.JSONEncoder(ensure_ascii=False).encode


@dataclass
class Written:
    """What step 4 wrote: items a task, refusals, the files; how many each rule refused or left out, and flagged."""

    items: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    files: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)


def write_outputs(
    results_dir: Path,
    rows: Iterable[dict[str, Any]],
    made: Made,
    *,
    content: Callable[[str], str | None] = lambda video: None,
    judged: Judged | None = None,
    tags: Sequence[str] = (),
) -> Written:
    """Write the task files, `rejected.jsonl`, `quality.json` and `duplicates.json`.

    A file whose task has no item any more is removed. All files are written beside their places first and moved there
    together at the end. `rows` are those of step 3, `made` is what the files say of themselves; `content`: SHA-256 of a
    video's file by its path, None where nobody looked at it.
    """
    folder = output_folder(results_dir)
    guard.make_folder(folder)
    root = media_root(made.video_root)
    take_in(results_dir)
    answers = edited_answers(results_dir)
    examiner = Examiner(read_verdicts(results_dir), content, judged.findings if judged else {})
    done = Written()
    with ExitStack() as stack:
        handles: dict[str, IO[str]] = {}
        rejected: IO[str] | None = None
        for row in rows:
            for question in questions_of(row, root, keep_order=made.keep_order, answers=answers):
                taken = examiner.take(question)
                if taken.code is not None:
                    if rejected is None:
                        rejected = stack.enter_context(atomic_open(folder / REJECTED_FILE))
                    rejected.write(_rejected_line(taken))
                    done.rejected += 1
                if not taken.kept:
                    continue
                for task, entry in entries_of(question):
                    if task not in handles:
                        handles[task] = stack.enter_context(atomic_open(folder / f"{task}.json"))
                        handles[task].write(_head(task, root, made, tags))
                    number = done.items.get(task, 0)
                    handles[task].write((",\n" if number else "\n") + _indented(entry))
                    done.items[task] = number + 1
        for handle in handles.values():
            handle.write("\n  ]\n}\n")
        report = examiner.report() | ({"judged": judged.facts} if judged and judged.facts else {})
        _json_beside(stack, results_dir / QUALITY_FILE, report)
        if examiner.copies:
            _json_beside(stack, results_dir / DUPLICATES_FILE, examiner.copies)
    for task in TASKS:
        if task not in handles:
            guard.remove(folder / f"{task}.json")
    if rejected is None:
        guard.remove(folder / REJECTED_FILE)
    if not examiner.copies:
        guard.remove(results_dir / DUPLICATES_FILE)
    done.items = {task: done.items[task] for task in TASKS if task in done.items}
    done.files = [str(folder / f"{task}.json") for task in done.items]
    done.refused, done.flagged = report["refused"], report["flagged"]
    return done


def _json_beside(stack: ExitStack, path: Path, value: Any) -> None:
    handle = stack.enter_context(atomic_open(path))
    handle.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _rejected_line(taken: Taken) -> str:
    question = taken.question
    entry = {
        "video_id": question.video_id,
        "task": question.task,
        "prompt_key": question.prompt_key,
        "code": taken.code,
        "reason": taken.reason,
        "question": question.question,
        "answer": question.answer,
        "digest": question.digest,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _head(task: str, root: Path | None, made: Made, tags: Sequence[str]) -> str:
    description = f"{TASKS[task]} {made.description_extra}".strip()
    metadata: dict[str, Any] = {"type": "annotation", "task": task, "date": made.date, "description": description}
    metadata |= {"license": made.license} | ({"tags": list(tags)} if tags else {})
    head = {"format": FORMAT, "metadata": metadata, "media_root": None if root is None else str(root)}
    return json.dumps(head, indent=2, ensure_ascii=False).rstrip("}\n") + ',\n  "items": ['


def _indented(entry: dict[str, str]) -> str:
    lines = ",\n".join(f"      {_ENCODED(name)}: {_ENCODED(text)}" for name, text in entry.items())
    return f"    {{\n{lines}\n    }}"
