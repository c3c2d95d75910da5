"""With what the task files of a results folder were written, as its journal or the files themselves say."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.layout import OUTPUT_META, output_folder
from tao_skill_bank.annotate.questions import TASKS, media_root
from tao_skill_bank.core import guard


@dataclass(frozen=True)
class Made:
    """With what a folder's task files were written."""

    video_root: str = ""
    license: str = ""
    description_extra: str = ""
    date: str = ""
    keep_order: bool = False
    input_files: tuple[str, ...] = ()


def made_of(config: AnnotationConfig) -> str:
    """The same of a run, as its journal keeps it."""
    root = media_root(config.data.video_root)
    return json.dumps(
        {
            "video_root": "" if root is None else str(root),
            "license": config.license,
            "description_extra": config.description_extra,
            "input_files": [os.path.abspath(os.path.expanduser(name)) for name in config.data.input_jsonl_files],
            "keep_order": config.quality.choice_letters == "keep_order",
        }
    )


def made(folder: Path, journal: Journal | None) -> Made:
    """What a folder says of itself: its journal, else the head of its task files."""
    head = _head(folder)
    found = head.get("metadata")
    metadata: dict[str, Any] = found if isinstance(found, dict) else {}
    said: dict[str, Any] = {}
    newest = None
    if journal is not None:
        said = json.loads(journal.meta(OUTPUT_META) or "{}")
        said.setdefault("video_root", journal.meta("video_root") or "")
        newest = journal.last_answer_at()
    own = TASKS.get(str(metadata.get("task")), "")
    described = str(metadata.get("description") or "").removeprefix(own).strip()
    return Made(
        video_root=str(said.get("video_root") or head.get("media_root") or ""),
        license=str(said.get("license", metadata.get("license")) or ""),
        description_extra=str(said.get("description_extra", described) or ""),
        date=(newest or str(metadata.get("date") or "") or datetime.now(UTC).isoformat())[:10],
        keep_order=bool(said.get("keep_order")),
        input_files=tuple(said.get("input_files") or ()),
    )


def _head(folder: Path) -> dict[str, Any]:
    """What the first task file says of itself."""
    for task in TASKS:
        path = output_folder(folder) / f"{task}.json"
        if guard.is_file(path):
            try:
                value = json.loads(guard.read_text(path))
            except (ValueError, RecursionError):
                continue
            return value if isinstance(value, dict) else {}
    return {}
