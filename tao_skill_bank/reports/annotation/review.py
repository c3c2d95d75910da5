"""The review page of an annotation run: one offline file in which a person accepts or rejects questions.

Its export, `verdicts.jsonl`, is put into the results folder; step 4 of the next run honours it and pays for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.api import status
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.layout import REVIEW_FILE, STEP_FILES, VERDICTS_FILE, step_file
from tao_skill_bank.annotate.listing import read_rows, video_of
from tao_skill_bank.annotate.quality.error_rate import read_sample
from tao_skill_bank.annotate.quality.examine import Examiner
from tao_skill_bank.annotate.questions import TASKS, Question, video_identity
from tao_skill_bank.annotate.results import Results, opened
from tao_skill_bank.annotate.verdicts import exported_verdicts, read_verdicts
from tao_skill_bank.annotate.video import VideoError, frames_at, probe, spread
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.text import is_number
from tao_skill_bank.data import corrections
from tao_skill_bank.reports.page import render_page, script

MOST_VIDEOS = 20
_THUMBNAILS = 6
_THUMBNAIL_SIDE = 320
_TONES = {"complete": "met", "working": "running"}


@dataclass(frozen=True)
class Part:
    """A part of a video with its text. `left` and `width` are shares of the video's length in percent."""

    start: float
    end: float
    text: str
    left: float
    width: float


@dataclass
class VideoView:
    """What the page shows of one video; what rows of others hold in another form than ours is left out.

    Attributes:
        notes: Item digest → what the rules flag.
    """

    video_id: str
    rows: dict[str, dict[str, Any]]
    questions: list[Question]
    flags: list[str]
    pictures: list[tuple[float, str]] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """The rows of the earlier steps as one, later ones over earlier ones."""
        merged: dict[str, Any] = {}
        for step in ("0", "1a", "1b", "1c", "2"):
            merged |= self.rows.get(step, {})
        return merged

    @property
    def path(self) -> str:
        """The video as its rows name it."""
        return video_of(self.facts)

    @property
    def length(self) -> float | None:
        """Seconds, where a row says so."""
        found = _number(self.facts.get("video_length"))
        return found if found else None

    def text(self, name: str) -> str:
        """A text of the rows; of the row before it was described where the merged row lacks it."""
        original = self.facts.get("original_captions")
        found = self.facts.get(name) or (original.get(name) if isinstance(original, dict) else None)
        return found.strip() if isinstance(found, str) else ""

    @property
    def pieces(self) -> list[Part]:
        """The captions of its pieces."""
        found = self.facts.get("chunk_captions")
        parts = [self._part(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        return [part for part in parts if part is not None]

    @property
    def highlight(self) -> Part | None:
        """The close look at its anomaly."""
        found = self.facts.get("highlight_chunk")
        return self._part(found) if isinstance(found, dict) else None

    @property
    def moment(self) -> tuple[float, float] | None:
        """When the anomaly is: in seconds, and as a share of the length in percent."""
        found = self.facts.get("highlight_chunk")
        at = _number(found.get("anomaly_timestamp_sec")) if isinstance(found, dict) else None
        return None if at is None else (at, self._share(at))

    @property
    def open_questions(self) -> list[Question]:
        """Those that the checks let pass: a person judges them."""
        return [question for question in self.questions if question.item is not None]

    def span(self, question: Question) -> tuple[float, float] | None:
        """Where a localisation lies: its beginning and its width, in percent of the video's length."""
        if question.item is None or question.item.span is None or self.length is None:
            return None
        start, end = question.item.span
        return self._share(start), self._share(end) - self._share(start)

    def _part(self, entry: dict[str, Any]) -> Part | None:
        start, end = _number(entry.get("timestamp_start")), _number(entry.get("timestamp_end"))
        text = entry.get("caption")
        if start is None or end is None or not isinstance(text, str):
            return None
        return Part(start, end, text.strip(), self._share(start), max(0.0, self._share(end) - self._share(start)))

    def _share(self, seconds: float) -> float:
        return round(100 * min(1.0, max(0.0, seconds / self.length)), 3) if self.length else 0.0


def render_review(results_dir: Path, limit: int = MOST_VIDEOS, *, sample: bool = False) -> Path:
    """Write `review.html`; returns its path.

    Args:
        results_dir: The run.
        limit: So many videos that have questions, the first ones.
        sample: Show the drawn sample instead, and no flags: who judges knows nothing of what the rules think.

    Raises:
        InputError: There is no run, it has no questions yet, or no sample was drawn.
    """
    run = status(results_dir)
    drawn = read_sample(results_dir) if sample else None
    if sample and drawn is None:
        raise InputError("no sample was drawn", where=results_dir, fix=f"tao-skills annotate sample {results_dir}")
    with Journal(results_dir, read_only=True) as journal:
        failures = journal.failures()
    with opened(results_dir, empty=True) as results:
        views, more = _views(results, limit, failures, None if drawn is None else drawn.items)
    if not views:
        raise InputError("no questions to review yet", where=results_dir, fix="run step 3 first")
    for view in views.values():
        view.pictures = _pictures(view.path)
    videos = list(views.values())
    passed = Counter(question.task for view in videos for question in view.open_questions)
    refused = Counter(question.task for view in videos for question in view.questions if question.item is None)
    own = script("annotation_review.js")
    html = render_page(
        "annotation_review.html.j2",
        name=results_dir.absolute().name,
        videos=videos,
        more=more,
        run=run,
        tone=_TONES.get(run.status, "near"),
        tasks=[(task, passed[task], refused[task]) for task in TASKS if passed[task] or refused[task]],
        passed=sum(passed.values()),
        refused=sum(refused.values()),
        verdicts_file=VERDICTS_FILE,
        verdicts=json.dumps(_earlier(results_dir)).replace("<", "\\u003c"),
        script=own.text,
        script_hash=own.sha256,
        page_script=script("report.js"),
        run_id=hashlib.sha256(os.path.abspath(results_dir).encode()).hexdigest()[:12],
    )
    path = results_dir / REVIEW_FILE
    write_text(path, html)
    return path


def _views(
    results: Results, limit: int, failures: list[tuple[str, str, str]], only: Collection[str] | None
) -> tuple[dict[str, VideoView], bool]:
    """The first `limit` videos that have questions, by their paths, and whether there are more; or those of `only`."""
    views: dict[str, VideoView] = {}
    more = False
    # What a review rejected stays to be judged; what the rules refuse is shown with its reason.
    for row, taken in results.taken(Examiner()):
        video = os.path.abspath(video_of(row))
        if only is not None and taken.question.digest not in only:
            continue
        if video not in views:
            if only is None and len(views) == limit:
                more = True
                break
            flags = [f"{unit}: {reason}" for failed, unit, reason in failures if os.path.abspath(failed) == video]
            views[video] = VideoView(video_identity(video, results.root), {}, [], flags)
        view = views[video]
        refused = taken.code is not None
        view.questions.append(replace(taken.question, item=None, reason=taken.reason) if refused else taken.question)
        view.notes[taken.question.digest] = [flag.why for flag in taken.flags]
        view.flags += [f"{row.get('prompt_key')}: cut off at the token limit"] * bool(row.get("truncated"))
    for step in STEP_FILES:
        path = step_file(results.folder, step)
        if step == "3" or not guard.exists(path):
            continue
        for row in read_rows(path):
            found = views.get(os.path.abspath(video_of(row)))
            if found is not None:
                found.rows[step] = row
                cut = row.get("truncated")
                found.flags += [f"{what}: cut off at the token limit" for what in cut] if isinstance(cut, list) else []
    for view in views.values():
        view.flags = [] if only is not None else list(dict.fromkeys(view.flags))
        view.notes = {} if only is not None else view.notes
    return views, more


def _earlier(results_dir: Path) -> dict[str, dict[str, str]]:
    """What stands of what was said, by the items' digests: the next export holds it too."""
    stands = read_verdicts(results_dir)
    exported = {one.digest: one for one in exported_verdicts(results_dir)}
    videos = {s.object_name: s.input_path for s in corrections.read(results_dir).standing}
    return {
        digest: {
            "video_id": (digest in exported and exported[digest].video_id) or videos.get(digest, ""),
            "task": exported[digest].task if digest in exported else "",
            "verdict": verdict,
            "note": note,
        }
        for digest, (verdict, note) in stands.items()
    }


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) and abs(value) < 1e9 else None


def _pictures(video: str) -> list[tuple[float, str]]:
    """Thumbnails with their times; none where the video cannot be read any more."""
    path = Path(video)
    if not video:
        return []
    try:
        times = spread(0.0, probe(path).duration, _THUMBNAILS)
        found = frames_at(path, times, _THUMBNAIL_SIDE)
    except VideoError:
        return []
    return [(t, "data:image/jpeg;base64," + base64.b64encode(found[t]).decode("ascii")) for t in times]
