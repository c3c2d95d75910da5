"""Annotation files of yes/no questions about videos (LLaVA form), read and checked by row.

A file is one JSON array; a record has an id, one video, one human and one gpt turn. Every fault of a file is found in
one pass and named by its row, counted from 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.bcq.clips import ClipError, clip_of, content_of
from tao_skill_bank.data.bcq.questions import plain_answer, question_key, question_text, read_answer, without_tags

ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
MOST_SHOWN = 20
Answer = Literal["yes", "no"]
_TAG = re.compile(r"<\s*video\s*>", re.IGNORECASE)
_ANY_CASE_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")


@dataclass(frozen=True)
class Record:
    """One question about one video, with its right answer.

    Attributes:
        row: Its place in the file, from 1.
        id: Unique in the file.
        video: As the file names it.
        prompt: What is asked, without media tags.
        question: `prompt` without the closing wish for yes or no.
        key: What equal questions share.
        gt: The right answer; None where the text has none (pool rows alone).
        group: The recording it was cut from, where it is named.
    """

    row: int
    id: str
    video: str
    path: Path
    prompt: str
    question: str
    key: str
    gt: Answer | None
    group: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def content(self) -> str:
        """SHA-256 of the video."""
        return content_of(self.path)

    @property
    def looks(self) -> str | None:
        """Digest of what the video shows; None where it shows nothing."""
        return clip_of(self.path).looks

    @property
    def written(self) -> str | None:
        """The answer as the file has it, whatever a person said of it since."""
        turns = self.raw.get("conversations") or []
        return read_answer(str(turns[1]["value"])) if len(turns) > 1 else self.gt


@dataclass(frozen=True)
class RecordSet:
    """One annotation file.

    Attributes:
        name: `kpi`, `pool` …
        root: Where its videos start.
        dropped: Why a pool's row was left out → how many.
        out: Rows that a person took out.
    """

    name: str
    path: Path
    root: Path
    records: tuple[Record, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    out: tuple[Record, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def by_id(self) -> dict[str, Record]:
        """Id to record."""
        return {record.id: record for record in self.records}

    @property
    def answers(self) -> dict[str, int]:
        """How many rows have which answer."""
        return {word: sum(r.gt == word.lower() for r in self.records) for word in ("Yes", "No")}

    @property
    def keys(self) -> list[str]:
        """The question keys, in the order of the file."""
        return list(dict.fromkeys(record.key for record in self.records))


def name_of(path: Path, workspace: Path) -> str:
    """How a file is called in messages: relative to the workspace where it lies there."""
    return path.relative_to(workspace).as_posix() if workspace in path.parents else str(path)


def read_set(name: str, path: Path, workspace: Path, *, strict: bool, measured: bool = False) -> RecordSet:
    """Read and check one annotation file.

    Args:
        name: What the set is called, such as `kpi`.
        path: The file.
        workspace: What its videos must lie in.
        strict: Answers must be yes or no and a contradiction is a fault; else sentences are read, rows without an
            answer and contradicting ones are left out and counted.
        measured: Both answers must occur.

    Raises:
        InputErrors: Every fault, by row.
    """
    called = name_of(path, workspace)
    rows = _rows(path, called)
    faults: list[str] = []
    parsed = _parsed(rows, called, faults, strict=strict)
    root = media_root(parsed, path.parent, workspace)
    below = _in(root, workspace)
    there = sum(guard.is_file(root / video) for _, video, *_ in parsed)
    records: list[Record] = []
    for row, video, prompt, answer, raw in parsed:
        located = _located(root, video, workspace)
        if located is None:
            faults.append(f"{called} row {row}: video lies outside the workspace: {video}")
            continue
        if not guard.is_file(located):
            shown = f"({there} of {len(parsed)} exist below {below})"
            faults.append(f"{called} row {row}: no such video: {video} {shown}")
            continue
        try:
            clip_of(located)
        except ClipError as error:
            faults.append(f"{called} row {row}: {error.what}")
            continue
        group = raw.get("group")
        records.append(
            Record(
                row=row,
                id=str(raw["id"]),
                video=video,
                path=located,
                prompt=prompt,
                question=question_text(prompt),
                key=question_key(prompt),
                gt=answer,
                group=None if group is None else str(group),
                raw=raw,
            )
        )
    kept, dropped = _agreeing(records, called, faults, strict=strict)
    if measured:
        said = _said(rows)
        for word, rate in (("Yes", "FN rate"), ("No", "FP rate")):
            if word.lower() not in said:
                faults.append(f"{name}: no {word!r} answers ({rate} cannot be measured)")
    raise_faults(faults)
    return RecordSet(name, path, root, tuple(kept), dropped)


def again(held: RecordSet, records: Sequence[Record], out: tuple[Record, ...], workspace: Path) -> RecordSet:
    """A set after a person turned answers round or took rows out, checked again.

    Raises:
        InputErrors: Rows contradict one another where that is a fault, or a measured set has one answer alone.
    """
    called = name_of(held.path, workspace)
    faults: list[str] = []
    kept, dropped = _agreeing(list(records), called, faults, strict=held.name != "pool")
    said = {record.gt for record in kept}
    if held.name in ("kpi", "acceptance") and said != {"yes", "no"}:
        faults.append(f"{held.name}: with its corrections all answers are the same, and no rate can be measured")
    raise_faults(faults)
    return replace(held, records=tuple(kept), dropped={**held.dropped, **dropped}, out=out)


def raise_faults(faults: Sequence[str]) -> None:
    """Raise what was found, 20 of it in words.

    Raises:
        InputErrors: There is a fault.
    """
    if not faults:
        return
    shown = list(faults[:MOST_SHOWN])
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    what = faults[0] if len(faults) == 1 else f"{len(faults)} faults, first: {faults[0]}"
    raise InputErrors(what, shown, fix="fix the file" if len(faults) == 1 else "fix these")


def media_root(parsed: Sequence[tuple[int, str, str, Any, Any]], folder: Path, workspace: Path) -> Path:
    """The first of `<set>/media`, `media` and the workspace under which all videos are; else where most of them are."""
    best, most = workspace, -1
    for root in (folder / "media", workspace / "media", workspace):
        found = sum(guard.is_file(root / video) for _, video, *_ in parsed) if guard.is_folder(root) else -1
        if parsed and found == len(parsed):
            return root
        if found > most:
            best, most = root, found
    return best


def walked_videos(folder: Path) -> list[Path]:
    """Every video below a folder, sorted; links to folders are not followed."""
    found: list[Path] = []
    open_folders = [folder] if guard.is_folder(folder) else []
    while open_folders:
        for child in sorted(guard.children(open_folders.pop())):
            if guard.is_folder(child) and not child.is_symlink():
                open_folders.append(child)
            elif child.suffix.lower() in _ANY_CASE_SUFFIXES and guard.is_file(child):
                found.append(child)
    return sorted(found)


def tool_record(record: Record, workspace: Path, provenance: dict[str, Any] | None = None) -> dict[str, Any]:
    """A record as tools take it: `video` relative to the workspace, the tag in front, exactly `Yes` or `No`."""
    out: dict[str, Any] = {
        "id": record.id,
        "video": record.path.relative_to(workspace).as_posix(),
        "conversations": [
            {"from": "human", "value": f"<video>\n{record.prompt}"},
            {"from": "gpt", "value": "Yes" if record.gt == "yes" else "No"},
        ],
    }
    if record.group is not None:
        out["group"] = record.group
    if provenance is not None:
        out["provenance"] = provenance
    return out


def _rows(path: Path, called: str) -> list[Any]:
    text = ""
    try:
        text = guard.read_text(path, "annotations", encoding="utf-8-sig")
        found = json.loads(text)
    except FileNotFoundError:
        raise InputError("no such file", where=called, fix="put it there") from None
    except (ValueError, RecursionError) as error:
        if _is_row(text):
            raise InputError("must be a JSON array, and is a row of objects", where=called, fix="wrap them") from None
        raise InputError(f"not readable as JSON: {error}", where=called, fix="fix the file") from None
    if not isinstance(found, list):
        raise InputError("must be a JSON array", where=called, fix="wrap the records")
    if not found:
        raise InputError("holds no records", where=called, fix="add some, or take the file away")
    return found


def _is_row(text: str) -> bool:
    """Whether objects stand one behind the other, as in JSON Lines."""
    try:
        first, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and text.lstrip()[end:].lstrip().startswith("{")


def _parsed(
    rows: list[Any], called: str, faults: list[str], *, strict: bool
) -> list[tuple[int, str, str, Answer | None, dict[str, Any]]]:
    seen: dict[str, int] = {}
    parsed = []
    for row, raw in enumerate(rows, start=1):
        where = f"{called} row {row}"
        if not isinstance(raw, dict):
            faults.append(f"{where}: is no object")
            continue
        fault = _id_fault(raw.get("id"), seen, row)
        video = raw.get("video")
        if isinstance(video, list) and len(video) == 1:
            video = video[0]
        if fault is None and (not isinstance(video, str) or not video.strip()):
            fault = "video is no text and no list of one"
        turns = raw.get("conversations")
        if fault is None and not isinstance(turns, list):
            fault = "has no conversations"
        said, answered = "", ""
        if fault is None:
            fault, said, answered = _turns(turns or [])
        answer: Answer | None = None
        if fault is None:
            answer = (plain_answer if strict else read_answer)(answered)  # type: ignore[assignment]
            if answer is None and strict:
                fault = f"{answered[:60]!r} is neither yes nor no"
        if fault is not None:
            faults.append(f"{where}: {fault}")
            continue
        parsed.append((row, str(video), said, answer, raw))
    return parsed


def _said(rows: list[Any]) -> set[str | None]:
    """Every plain answer of a file, those of rows with other faults too."""
    turns = [
        row["conversations"] for row in rows if isinstance(row, dict) and isinstance(row.get("conversations"), list)
    ]
    said = [turn for held in turns for turn in held if isinstance(turn, dict) and turn.get("from") == "gpt"]
    return {plain_answer(turn["value"]) for turn in said if isinstance(turn.get("value"), str)}


def _id_fault(value: Any, seen: dict[str, int], row: int) -> str | None:
    if value is None or value == "":
        return "has no id"
    if not isinstance(value, str):
        return f"id is no text: {json.dumps(value)[:60]}"
    if not ID.fullmatch(value):
        return f"id is no file name: {value[:60]!r}"
    if value in seen:
        return f"id {value!r} is also row {seen[value]}"
    seen[value] = row
    return None


def _turns(turns: list[Any]) -> tuple[str | None, str, str]:
    """(fault, human text, gpt text)."""
    if len(turns) != 2:
        return f"{len(turns)} turns; one question, one answer", "", ""
    pairs = [(t.get("from"), t.get("value")) if isinstance(t, dict) else (None, None) for t in turns]
    if [who for who, _ in pairs] != ["human", "gpt"]:
        return "turns must be human, then gpt; one question, one answer", "", ""
    other = next(
        (f"{who}'s value is no text: {json.dumps(v)[:60]}" for who, v in pairs if not isinstance(v, str)), None
    )
    if other is not None:
        return other, "", ""
    human, gpt = str(pairs[0][1]), str(pairs[1][1])
    tags = list(_TAG.finditer(human))
    if len(tags) > 1 or (tags and human[: tags[0].start()].strip()):
        return "at most one <video>, in front of the question", "", ""
    asked = without_tags(human)
    if not asked:
        return "asks nothing", "", ""
    return None, asked, gpt


def _located(root: Path, video: str, workspace: Path) -> Path | None:
    import os.path

    path = Path(os.path.normpath(root / video))
    if workspace not in path.parents:
        return None
    real = Path(guard.real_path(path))
    home = Path(guard.real_path(workspace))
    return path if home in real.parents else None


def _in(root: Path, workspace: Path) -> str:
    return "the workspace" if root == workspace else root.relative_to(workspace).as_posix()


def _agreeing(
    records: list[Record], called: str, faults: list[str], *, strict: bool
) -> tuple[list[Record], dict[str, int]]:
    """The records without those that contradict one another; where `strict`, a contradiction is a fault."""
    dropped = {"no yes or no in the answer": sum(r.gt is None for r in records)}
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.content, record.key), []).append(record)
    out: set[str] = {r.id for r in records if r.gt is None}
    for same in groups.values():
        said = [r for r in same if r.gt is not None]
        first = next((r for r in said if r.gt != said[0].gt), None)
        if first is None:
            continue
        if strict:
            faults.append(f"{called} rows {said[0].row} and {first.row}: same video and question, other answers")
        else:
            out |= {r.id for r in said}
            dropped["same video and question, other answers"] = dropped.get(
                "same video and question, other answers", 0
            ) + len(said)
    kept = [r for r in records if r.id not in out]
    return kept, {why: count for why, count in dropped.items() if count}


def duplicates(records: Iterable[Record]) -> list[tuple[Record, Record]]:
    """Pairs of rows that ask the same of the same video, each with the first of its kind."""
    first: dict[tuple[str, str], Record] = {}
    found = []
    for record in records:
        before = first.setdefault((record.content, record.key), record)
        if before is not record:
            found.append((before, record))
    return found
