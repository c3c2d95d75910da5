"""The review page of an annotation run: one offline file in which a person accepts or rejects questions.

Its export, `verdicts.jsonl`, is put into the results folder; step 4 of the next run honours it and pays for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.layout import REVIEW_FILE, STEP_FILES, step_file
from tao_skill_bank.annotate.listing import read_rows, video_of
from tao_skill_bank.annotate.output import Question, media_root, questions_of, read_verdicts, video_identity
from tao_skill_bank.annotate.video import VideoError, frames_at, probe, spread
from tao_skill_bank.errors import InputError
from tao_skill_bank.fsio import write_text
from tao_skill_bank.reports.page import render_page, script

MOST_VIDEOS = 20
_THUMBNAILS = 6
_THUMBNAIL_SIDE = 200


@dataclass
class VideoView:
    """What the page shows of one video."""

    video_id: str
    rows: dict[str, dict[str, Any]]
    questions: list[Question]
    flags: list[str]
    pictures: list[tuple[float, str]] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """The rows of the earlier steps as one, later ones over earlier ones."""
        merged: dict[str, Any] = {}
        for step in ("0", "1a", "1b", "1c", "2"):
            merged |= self.rows.get(step, {})
        return merged


def render_review(results_dir: Path, limit: int = MOST_VIDEOS) -> Path:
    """Write `review.html` for the first `limit` videos that have questions; returns its path.

    Raises:
        InputError: There is no run, or it has no questions yet.
    """
    with Journal(results_dir, read_only=True) as journal:
        root = media_root(journal.meta("video_root") or "")
        failures = journal.failures()
    views = _views(results_dir, root, limit, failures)
    if not views:
        raise InputError("no questions to review yet", where=results_dir, fix="run step 3 first")
    for view in views.values():
        view.pictures = _pictures(str(view.facts.get("video") or ""))
    verdicts = {digest: {"verdict": v, "note": note} for digest, (v, note) in read_verdicts(results_dir).items()}
    own = script("annotation_review.js")
    html = render_page(
        "annotation_review.html.j2",
        name=results_dir.name,
        videos=list(views.values()),
        verdicts=json.dumps(verdicts).replace("<", "\\u003c"),
        script=own.text,
        script_hash=own.sha256,
        page_script=script("report.js"),
        run_id=hashlib.sha256(os.path.abspath(results_dir).encode()).hexdigest()[:12],
    )
    path = results_dir / REVIEW_FILE
    write_text(path, html)
    return path


def _views(
    results_dir: Path, root: Path | None, limit: int, failures: list[tuple[str, str, str]]
) -> dict[str, VideoView]:
    views: dict[str, VideoView] = {}
    path = step_file(results_dir, "3")
    for row in read_rows(path) if path.exists() else ():
        video = os.path.abspath(video_of(row))
        if video not in views:
            if len(views) == limit:
                break
            flags = [f"{unit}: {reason}" for failed, unit, reason in failures if os.path.abspath(failed) == video]
            views[video] = VideoView(video_identity(video, root), {}, [], flags)
        views[video].questions += questions_of(row, root)
        views[video].flags += [f"{row.get('prompt_key')}: cut off at the token limit"] * bool(row.get("truncated"))
    for step in STEP_FILES:
        path = step_file(results_dir, step)
        if step == "3" or not path.exists():
            continue
        for row in read_rows(path):
            view = views.get(os.path.abspath(video_of(row)))
            if view is not None:
                view.rows[step] = row
                view.flags += [f"{what}: cut off at the token limit" for what in row.get("truncated", [])]
    return views


def _pictures(video: str) -> list[tuple[float, str]]:
    """Thumbnails with their times; none where the video cannot be read any more."""
    path = Path(video)
    try:
        times = spread(0.0, probe(path).duration, _THUMBNAILS)
        found = frames_at(path, times, _THUMBNAIL_SIDE)
    except VideoError:
        return []
    return [(t, "data:image/jpeg;base64," + base64.b64encode(found[t]).decode("ascii")) for t in times]
