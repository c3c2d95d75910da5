"""What a run is about: its steps, its videos, its limits; and what can be wrong before a call is paid for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tao_skill_bank.annotate.config import AnnotationConfig
from tao_skill_bank.annotate.layout import step_file
from tao_skill_bank.annotate.listing import Listing, StandingRows, in_shard, list_videos
from tao_skill_bank.annotate.prompts import KEYS, Prompts, load_prompts
from tao_skill_bank.annotate.verdicts import read_verdicts
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Hard stops over the whole results folder, and which part of the videos to take (`shard`: index from 1, count)."""

    max_calls: int | None = None
    max_cost: float | None = None
    shard: tuple[int, int] | None = None


def effective_steps(config: AnnotationConfig) -> frozenset[str]:
    """The steps that run: those asked for, with what the mode adds or drops.

    Auto mode adds 0 (unless only later steps are asked for and its file is there), and 1c behind 1b; normal mode drops
    1c.
    """
    steps = set(config.workflow.steps)
    if config.workflow.mode == "auto":
        asked_for_captions = "1a" in steps
        needs_calls = bool(steps - {"4"})
        if needs_calls and (asked_for_captions or not guard.exists(step_file(config.results_dir, "0"))):
            steps.add("0")
        if "1b" in steps:
            steps.add("1c")
    if config.workflow.mode == "normal":
        steps.discard("1c")
    return frozenset(steps)


def check(config: AnnotationConfig) -> Prompts:
    """Everything that can be wrong before a call is paid for.

    Raises:
        InputError: A prompts module, a folder or a file that cannot be used.
    """
    prompts = load_prompts(config.prompts_module, KEYS)
    if guard.exists(config.results_dir) and not guard.is_folder(config.results_dir):
        raise InputError("is not a folder", where=config.results_dir, fix="name a folder as results_dir")
    read_verdicts(config.results_dir)
    return prompts


def videos_of(config: AnnotationConfig, steps: frozenset[str], standing: StandingRows, limits: Limits) -> Listing:
    """The videos of a run: the listed ones, and those that others' rows are about.

    Raises:
        InputError: There is none.
    """
    from_files = ("1a", "1b", "1c", "2", "3")
    if steps & {"0", "1a"}:
        listing = list_videos(config.data)
        more = standing.videos(tuple(s for s in ("0", *from_files) if s in steps), adopted=True)
    else:
        listing = Listing()
        more = standing.videos(("3",) if steps == {"4"} else from_files[:4], adopted=False)
    seen = {os.path.abspath(video) for video in listing.videos}
    for video in more:
        if os.path.abspath(video) not in seen:
            seen.add(os.path.abspath(video))
            listing.videos.append(video)
    if not listing.videos:
        what = "no videos" if steps & {"0", "1a"} else "no rows of earlier steps"
        raise InputError(
            f"{what} to annotate",
            where="video_reasoning_annotation.data",
            fix="set data.video_root or data.input_jsonl_files, and the steps that read them",
        )
    if limits.shard is not None:
        listing.videos = [video for video in listing.videos if in_shard(video, *limits.shard)]
    return listing
