"""What people say of questions: the corrections of the results folder, and exported reviews, taken in once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tao_skill_bank.annotate.layout import verdicts_path
from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import log_time
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.data import corrections
from tao_skill_bank.data.corrections import ANNOTATION, DROP, Correction

REVIEWER = "review page"


@dataclass(frozen=True)
class Exported:
    """One line of an exported review."""

    digest: str
    verdict: str
    note: str
    video_id: str = ""
    task: str = ""

    @property
    def id(self) -> str:
        """By which it is known among the corrections once it was taken in."""
        return sha256_text(canonical_json([self.digest, self.verdict, self.note]))[:12]


def read_verdicts(results_dir: Path) -> dict[str, tuple[str, str]]:
    """Item digest → (`accept` or `reject`, note): what stands; empty where nothing was said.

    Where two readers differ nothing stands until they agree.

    Raises:
        InputError: A line of an exported review is no verdict, or the corrections cannot be read.
    """
    said = corrections.read(results_dir)
    found = {one.digest: (one.verdict, one.note) for one in exported_verdicts(results_dir) if one.id not in said.by_id}
    for standing in said.of_set(ANNOTATION):
        digest = standing.sample.object_name
        if standing.status == "disputed":
            found.pop(digest, None)
            continue
        out = standing.status in ("dropped", "doubted")
        found[digest] = ("reject" if out else "accept", standing.last.note)
    return found


def edited_answers(results_dir: Path) -> dict[str, str]:
    """Item digest → the answer that a person gave it."""
    stood = corrections.read(results_dir).of_set(ANNOTATION)
    return {found.sample.object_name: found.to for found in stood if found.to is not None}


def exported_verdicts(results_dir: Path) -> Iterator[Exported]:
    """The lines of `verdicts.jsonl`, the export of the review page.

    Raises:
        InputError: A line that is no verdict.
    """
    path = verdicts_path(results_dir)
    if not guard.exists(path):
        return
    # Lines end with "\n" only: a note may hold one of the other signs that Python takes for a line's end.
    text = guard.read_bytes(path).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            digest, verdict, note = entry["digest"], entry["verdict"], entry.get("note") or ""
            about = [str(entry.get(name) or "") for name in ("video_id", "task")]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            digest, verdict, note, about = None, None, "", []
        if verdict not in ("accept", "reject") or not isinstance(digest, str):
            raise InputError(
                "not a verdict", where=f"{path}:{number}", fix="export the review again, or take the line out"
            )
        yield Exported(digest, verdict, str(note), *about)


def take_in(results_dir: Path) -> None:
    """Write an exported review into the corrections, each verdict once; one on a question that is gone stays there."""
    from tao_skill_bank.annotate.question_book import QuestionBook, known_question

    found = list({one.digest: one for one in exported_verdicts(results_dir)}.values())
    known = corrections.read(results_dir).by_id if found else {}
    new = [one for one in found if one.id not in known]
    if not new:
        return
    about = guard.status(verdicts_path(results_dir))
    when = log_time(datetime.fromtimestamp(0 if about is None else about.st_mtime, UTC))
    questions = QuestionBook(results_dir).questions
    lines = []
    for one in new:
        if (question := questions.get(one.digest)) is None:
            continue
        asked = known_question(question)
        drop = one.verdict == "reject"
        lines.append(
            Correction(
                id=one.id,
                sample=asked.sample,
                pictures=asked.pictures,
                before=asked.label,
                to=DROP if drop else asked.label,
                drop=drop,
                reason="mislabeled" if drop else "systematic",
                who=REVIEWER,
                when=when,
                note=one.note,
            )
        )
    corrections.put(results_dir, lines)
