"""The files of a results folder, and the order in which rows stand in them."""

from __future__ import annotations

import re
from pathlib import Path

from tao_skill_bank.core import guard

STEP_FILES = {
    "0": "step_0_filter/filter_results.jsonl",
    "1a": "step_1a_caption/captions.jsonl",
    "1b": "step_1b_chunks/chunk_captions.jsonl",
    "1c": "step_1c_highlight/highlight_captions.jsonl",
    "2": "step_2_description/descriptions.jsonl",
    "3": "step_3_qa/qa_output.jsonl",
}
OUTPUT_META = "output"
"""Under what name the journal keeps what the files of step 4 were written with."""
OUTPUT_FOLDER = "step_4_output"
REJECTED_FILE = "rejected.jsonl"
QUALITY_FILE = "quality.json"
DUPLICATES_FILE = "duplicates.json"
VERDICTS_FILE = "verdicts.jsonl"
STATUS_FILE = "status.json"
REVIEW_FILE = "review.html"
SHARDS_FOLDER = "shards"


def step_file(results_dir: Path, step: str) -> Path:
    """Where a step's rows stand."""
    return results_dir / STEP_FILES[step]


def output_folder(results_dir: Path) -> Path:
    """Where the task files stand."""
    return results_dir / OUTPUT_FOLDER


def verdicts_path(results_dir: Path) -> Path:
    """Where an exported review is looked for."""
    return results_dir / VERDICTS_FILE


def shard_folder(results_dir: Path, index: int, count: int) -> Path:
    """Where shard `index` of `count` works."""
    return results_dir / SHARDS_FOLDER / f"{index:04d}-of-{count:04d}"


def shard_folders(results_dir: Path) -> list[Path]:
    """Where shards have worked."""
    return guard.matching(results_dir / SHARDS_FOLDER, "*")


def whole_of(results_dir: Path) -> Path | None:
    """The folder of which `results_dir` is a shard, by its name; None where it is none."""
    parent = results_dir.parent
    is_part = parent.name == SHARDS_FOLDER and re.fullmatch(r"\d{4,}-of-\d{4,}", results_dir.name)
    return parent.parent if is_part else None
