"""`annotate export`: from a results folder to a folder that a trainer reads, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from tao_skill_bank.annotate.export.card import UNSPECIFIED, Facts, card
from tao_skill_bank.annotate.export.items import (
    Collected,
    Options,
    Record,
    balance,
    chosen_tasks,
    collect,
    records_of,
)
from tao_skill_bank.annotate.export.layouts import LAYOUTS, Job, Videos
from tao_skill_bank.annotate.export.split import joined, parse_split, split_of
from tao_skill_bank.annotate.listing import video_of
from tao_skill_bank.annotate.results import Results, opened
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.fsio import fsync_dir, write_json, write_text
from tao_skill_bank.core.text import plural

EXPORT_FILE = "export.json"
FORMAT = "tao-skill-bank-export-v1"
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_TOLD = ("split", "seed", "tasks", "answers", "twins", "media", "balance", "group_field")
"""Options that `export.json` has."""


@dataclass(frozen=True)
class Exported:
    """What was written: split → task → records, split → videos, what to know of it."""

    folder: str
    counts: dict[str, dict[str, int]]
    videos: dict[str, int]
    refused: dict[str, int]
    license: str
    warnings: list[str] = field(default_factory=list)


def export(results_dir: Path, options: Options) -> Exported:
    """Write the items of a folder that the rules let pass.

    Raises:
        InputError: Options or inputs that cannot be used; then nothing is written.
    """
    shares = parse_split(options.split)
    tasks = _fits(options)
    target = Path(os.path.abspath(options.to.expanduser()))
    _replaceable(target)
    with opened(results_dir) as results:
        collected = collect(results)
        balance(collected, options.balance, options.seed)
        records = records_of(collected, tasks)
        if not records:
            raise InputError(
                "no item is left to export", where=results_dir, fix="look at rejected.jsonl, or name other --tasks"
            )
        gone = sorted({record.video_id for record in records}.intersection(collected.unseen))
        if gone:
            raise InputError(
                f"{plural(len(gone), 'video')} of its items not there, the first: {gone[0]}",
                where=results_dir,
                fix="put back what was annotated: without it nothing can be split by content",
            )
        used = {record.video: record.content for record in records}
        groups = joined(used, _fields(results, options.group_field, used))
        sides = split_of(groups, shares, options.seed, _kept(options.keep_split))
        splits = {name: [r for r in records if sides[r.content] == name] for name in shares}
        splits = {name: of_split for name, of_split in splits.items() if of_split}
        _apart(splits)
        measured = results.measured()
        facts = _facts(results, collected, options, splits, measured.lines() if measured else [])
        job = Job(
            *(_beside(target), target, _set_name(target), splits, Videos(records, options.media), options),
            *(results.root, results.made.date, facts.license, results.made.description_extra),
            tags=measured.tags() if measured else (),
        )
        _write(job, facts, sides, records, results.made.date)
    return Exported(str(target), facts.counts, facts.videos, dict(facts.refused), facts.license, list(facts.warnings))


def _write(job: Job, facts: Facts, sides: Mapping[str, str], records: Sequence[Record], date: str) -> None:
    """Write beside the target, then change places."""
    parent = job.at.parent
    made = list(takewhile(lambda folder: not guard.exists(folder), (parent, *parent.parents)))
    try:
        _make(job.at)
        LAYOUTS[job.options.layout](job)
        lines = []
        for record in records:
            about = {"id": record.id, "video": record.video_id, "sha256": record.content, "models": list(facts.models)}
            lines.append(json.dumps({**about, "date": date, "license": facts.license}, ensure_ascii=False))
        write_text(job.at / "provenance.jsonl", "\n".join(lines) + "\n")
        write_text(job.at / "README.md", card(facts))
        files = sorted(p.relative_to(job.at).as_posix() for p in _below(job.at))
        write_json(
            job.at / EXPORT_FILE,
            {
                "format": FORMAT,
                "layout": job.options.layout,
                "name": facts.name,
                "options": {name: getattr(job.options, name) for name in _TOLD},
                "counts": facts.counts,
                "videos": facts.videos,
                "license": facts.license,
                "models": list(facts.models),
                "refused": dict(facts.refused),
                "flagged": dict(facts.flagged),
                "left_out_for_balance": dict(facts.dropped),
                "error_rate": list(facts.error_rate) or None,
                "warnings": list(facts.warnings),
                "split": dict(sorted(sides.items())),
                "files": sorted([*files, EXPORT_FILE]),
            },
        )
        _change_places(job.at, job.final)
    finally:
        with suppress(OSError):
            guard.remove_tree(job.at)
        # Folders on the way that hold no export after all go again; others are not empty, and stay.
        for folder in made:
            with suppress(OSError):
                guard.remove_folder(folder)


def _make(folder: Path) -> None:
    try:
        guard.make_folder(folder, fresh=True)
    except OSError as error:
        why = error.strerror or "cannot be made"
        raise InputError(why, where=folder.parent, fix="name a folder that can be written") from None


def _change_places(new: Path, target: Path) -> None:
    """Put a folder in the place of an earlier export; of two exports at once the later one stands, whole."""
    while True:
        _replaceable(target)
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        with suppress(FileNotFoundError):
            guard.rename(target, old)
        try:
            guard.rename(new, target)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(OSError):
                    guard.rename(old, target)
                raise
        finally:
            if guard.exists(target):
                with suppress(OSError):
                    guard.remove_tree(old)
    fsync_dir(target.parent)


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder and those in it that is no folder; a link is not followed."""
    for path in guard.children(folder):
        about = guard.entry(path)
        if about is not None and stat.S_ISDIR(about.st_mode):
            yield from _below(path)
        else:
            yield path


def _fits(options: Options) -> list[str]:
    """The tasks of the records, once the options go together."""
    if options.layout not in LAYOUTS:
        fix = did_you_mean(options.layout, LAYOUTS)
        raise InputError(f"unknown format {options.layout!r}", where="--format", fix=fix)
    if options.layout == "tao" and options.answers != "plain":
        raise InputError(
            "TAO's files have a field for the reasoning, and its loader builds the answer",
            where="--answers",
            fix="leave --answers away",
        )
    if options.tar and options.layout != "llava":
        raise InputError("only llava has an archive of videos", where="--tar", fix="leave it away")
    if options.parquet and options.layout != "hf":
        raise InputError("only hf has parquet files", where="--parquet", fix="leave it away")
    return chosen_tasks(options.tasks, options.twins or ("both" if options.layout == "tao" else "short"))


def _replaceable(target: Path) -> None:
    """Raise unless the folder is not there, empty, or an earlier export and nothing else."""
    about = guard.entry(target)
    if about is None:
        return
    if not stat.S_ISDIR(about.st_mode):
        raise InputError("is no folder", where=target, fix="name a folder that is empty or not there")
    found = {p.relative_to(target).as_posix() for p in _below(target)}
    if not found:
        return
    known = _export_file(target)
    strange = sorted(found - set(known.get("files") or ())) if known else sorted(found)
    if strange:
        raise InputError(
            f"holds {strange[0]!r}, which no export wrote" if known else "holds files that no export wrote",
            where=target,
            fix="name another folder, or move them away",
        )


def _export_file(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads(guard.read_text(folder / EXPORT_FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and value.get("format") == FORMAT else {}


def _kept(folder: Path | None) -> dict[str, str]:
    """Content digest → split of an earlier export."""
    if folder is None:
        return {}
    found = _export_file(folder).get("split")
    if not isinstance(found, dict):
        fix = f"name a folder that holds {EXPORT_FILE}"
        raise InputError("is no earlier export", where=f"--keep-split {folder}", fix=fix)
    return {str(digest): str(side) for digest, side in found.items()}


def _fields(results: Results, name: str | None, videos: Mapping[str, str]) -> dict[str, str]:
    """Video → its value of a field, from the rows of its inputs and steps."""
    if name is None:
        return {}
    found: dict[str, str] = {}
    by_path = {os.path.abspath(video): video for video in videos}
    for row in results.rows_with_fields():
        video = by_path.get(os.path.abspath(video_of(row)))
        if video is not None and row.get(name) is not None:
            found[video] = json.dumps(row[name], sort_keys=True)
    missing = [video for video in videos if video not in found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(videos)} videos have no {name!r}, the first: {missing[0]}",
            where="--group-field",
            fix="name a field that every line of data.input_jsonl_files has",
        )
    return found


def _apart(splits: Mapping[str, Sequence[Record]]) -> None:
    seen: dict[str, str] = {}
    for name, records in splits.items():
        for record in records:
            assert seen.setdefault(record.content, name) == name, f"{record.video}: {seen[record.content]}, {name}"


def _facts(
    results: Results, collected: Collected, options: Options, splits: dict[str, list[Record]], error_rate: list[str]
) -> Facts:
    warnings = []
    license_text = results.made.license.strip()
    if not license_text:
        warnings.append("no licence was given: it says 'unspecified'")
    empty = [name for name in parse_split(options.split) if name not in splits]
    if empty:
        warnings.append(f"too few videos for a split of their own: {', '.join(empty)}")
    report = collected.examiner.report()
    return Facts(
        options=options,
        name=_set_name(options.to),
        license=license_text or UNSPECIFIED,
        models=results.models(),
        splits=splits,
        refused=report["refused"],
        flagged=report["flagged"],
        dropped=dict(collected.dropped),
        checks=results.judged.lines(),
        error_rate=error_rate,
        warnings=warnings,
    )


def _set_name(target: Path) -> str:
    return _NAME.sub("_", Path(os.path.abspath(target.expanduser())).name).strip("_") or "export"


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
