"""What lies in other files: the ground truth, the requests of a batch, the annotations that ids stand for."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm.fields import MISSING, column, value_at
from tao_skill_bank.data.vlm.samples import Samples

_ID = ("question_id", "custom_id", "id", "index", "doc_id", "item")
_VIDEO = ("image", "video", "video_id", "video_path", "image_path", "file", "filename")
_QUESTION = ("question", "text", "prompt", "input")
_GT = ("label", "gt", "answer", "ground_truth", "truth", "target", "correct_answer")
_SHOWN = 5


@dataclass(frozen=True)
class Truth:
    """The rows of a file of right answers, column by column; `ids` is None where they have none."""

    path: Path
    ids: list[str] | None
    videos: list[str]
    questions: list[str]
    truths: list[Any]


def truth_of(path: Path, items: Iterable[Mapping[str, Any]]) -> Truth:
    """The truth in some objects.

    Raises:
        InputError: An object without a right answer.
    """
    rows = list(items)
    if not rows:
        raise InputError("holds no right answers", where=path, fix="check truth=")
    key = next((k for k in _GT if k in rows[0]), None)
    if key is None:
        there = ", ".join(str(k)[:40] for k in rows[0]) or "none"
        raise InputError(
            f"its rows have no right answer; their keys: {there}", where=f"{path} item 0", fix="call it label or gt"
        )
    truths = column(rows, [(key,)])
    if MISSING in truths:
        raise InputError(f"missing {key!r}", where=f"{path} item {truths.index(MISSING)}", fix="write it")
    ids = _texts(rows, _ID)
    return Truth(
        path, ids, _texts(rows, _VIDEO) or [""] * len(rows), _texts(rows, _QUESTION) or [""] * len(rows), truths
    )


def _texts(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str] | None:
    name = next((k for k in names if k in rows[0]), None)
    if name is None:
        return None
    return ["" if v is MISSING or v is None else str(v) for v in column(rows, [(name,)])]


def matched(truth: Truth, ids: list[str] | None, questions: Sequence[str], path: Path) -> list[int]:
    """For each answer the row of its truth.

    By id where ids are unique on both sides and questions agree, else by line where counts and questions agree.

    Raises:
        InputError: Neither; the first pair that disagrees is shown.
    """
    fault = ""
    if ids is not None and truth.ids is not None:
        rows = {key: row for row, key in enumerate(truth.ids)}
        if len(rows) == len(truth.ids) and len(set(ids)) == len(ids):
            unknown = [key for key in ids if key not in rows]
            if not unknown:
                by_id = [rows[key] for key in ids]
                fault = _disagreement(truth, by_id, questions)
                if not fault:
                    return by_id
            else:
                shown = ", ".join(unknown[:_SHOWN])
                fault = f"{len(unknown)} of {len(ids)} ids are not in the truth: {shown}"
        else:
            fault = "ids are not unique"
    count = len(truth.truths)
    if len(questions) != count:
        found = f"{len(questions)} answers, {count} rows of truth" + (f"; {fault}" if fault else "")
        raise InputError(found, where=truth.path, fix=f"name the truth of {path.name}")
    by_line = list(range(count))
    wrong = _disagreement(truth, by_line, questions)
    if wrong:
        raise InputError(
            f"does not belong to these answers: {wrong}", where=truth.path, fix=f"name that of {path.name}"
        )
    return by_line


def _disagreement(truth: Truth, rows: Sequence[int], questions: Sequence[str]) -> str:
    """The first pair of questions of which neither begins with the other; "" where all agree."""
    for item, (row, question) in enumerate(zip(rows, questions, strict=True)):
        asked, known = folded(question), folded(truth.questions[row])
        if not asked.startswith(known) and not known.startswith(asked):
            return f"item {item} asks {question[:80]!r}, row {row} of the truth {truth.questions[row][:80]!r}"
    return ""


def folded(text: str) -> str:
    """A text in one form and case, its spaces as one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class Asked:
    """What the requests of a batch asked, by custom id: (video or picture, question, right answer or None)."""

    path: Path
    by_id: dict[str, tuple[str, str, Any]]

    @property
    def has_truths(self) -> bool:
        """Requests carry the right answers in their metadata."""
        return any(gt is not None for _, _, gt in self.by_id.values())

    def truths(self, samples: Samples) -> list[Any]:
        """The right answer of each sample's request; None where it has none."""
        return [self.by_id[key][2] for key in samples.ids or ()]

    def fill(self, samples: Samples) -> None:
        """Enter what was asked into samples whose ids are custom ids.

        Raises:
            InputError: An id that no request has.
        """
        ids = samples.ids or []
        unknown = [key for key in ids if key not in self.by_id]
        if unknown:
            shown = ", ".join(unknown[:_SHOWN])
            raise InputError(
                f"{len(unknown)} custom ids have no request: {shown}", where=self.path, fix="check requests="
            )
        found = [self.by_id[key] for key in ids]
        samples.video_ids = [video or own for (video, _, _), own in zip(found, samples.video_ids, strict=True)]
        samples.questions = [question or own for (_, question, _), own in zip(found, samples.questions, strict=True)]


def asked(path: Path, items: Iterable[Mapping[str, Any]]) -> Asked:
    """The requests in some objects.

    Raises:
        InputError: One without a custom id, or with that of another.
    """
    by_id: dict[str, tuple[str, str, Any]] = {}
    for number, item in enumerate(items):
        key = item.get("custom_id")
        if not isinstance(key, str) or key in by_id:
            what = "has no custom_id" if not isinstance(key, str) else f"custom_id {key!r} stands twice"
            raise InputError(what, where=f"{path} item {number}", fix="name the file that the batch was made of")
        video, question = _last_user_turn(value_at(item, ("body", "messages")))
        gt = value_at(item, ("body", "metadata", "gt"))
        by_id[key] = (video, question, None if gt is MISSING else gt)
    return Asked(path, by_id)


def _last_user_turn(messages: Any) -> tuple[str, str]:
    """The video or picture that messages name last, no data in the address, and the last text of the user."""
    video = question = ""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, Mapping) or message.get("role") != "user":
            continue
        content = message.get("content")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
            if not isinstance(part, Mapping):
                continue
            if isinstance(part.get("text"), str):
                question = part["text"]
            for kind in ("video_url", "image_url"):
                url = part.get(kind)
                url = url.get("url") if isinstance(url, Mapping) else url
                if isinstance(url, str) and not url.startswith("data:"):
                    video = url
    return video, question


@dataclass(frozen=True)
class Annotations:
    """What ids stand for: (video, first question), by id."""

    path: Path
    by_id: dict[str, tuple[str, str] | None]

    def fill(self, samples: Samples) -> list[str]:
        """Put videos in the place of ids, and questions where there is none.

        Returns:
            Ids that are unknown or stand for two videos; the caller counts them to the end.
        """
        ids = samples.video_ids
        bad = [key for key in ids if self.by_id.get(key) is None]
        found = [self.by_id.get(key) or (key, "") for key in ids]
        samples.ids = list(ids)
        samples.video_ids = [video for video, _ in found]
        samples.questions = [own or asked for own, (_, asked) in zip(samples.questions, found, strict=True)]
        return bad


def annotations_of(path: Path, items: Iterable[Mapping[str, Any]]) -> Annotations:
    """The annotations in some objects: `id`, `video` (or `image`), `conversations`.

    Raises:
        InputError: One without id or video.
    """
    by_id: dict[str, tuple[str, str] | None] = {}
    for number, item in enumerate(items):
        key, video = item.get("id"), item.get("video", item.get("image"))
        if key is None or not isinstance(video, str):
            raise InputError("has no id, or no video", where=f"{path} item {number}", fix="check annotations_json=")
        entry = (video, _first_question(item.get("conversations")))
        name = str(key)
        by_id[name] = entry if by_id.get(name, entry) == entry else None
    return Annotations(path, by_id)


def _first_question(turns: Any) -> str:
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, Mapping) and turn.get("from") == "human" and isinstance(turn.get("value"), str):
            return str(turn["value"]).replace("<video>", "").replace("<image>", "").strip()
    return ""
