"""One line of `labels/corrections.jsonl`: what one person said of one sample."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Frozen

Reason = Literal["mislabeled", "edge_case", "data_quality", "systematic"]
REASONS: tuple[str, ...] = get_args(Reason)
DROP = "drop"
ANNOTATION = "annotation"
"""The set of the questions of an annotation run: `to` is the right answer, `DROP` refuses a question."""
_MOST_WHO, _MOST_NOTE = 200, 4000


class Sample(Frozen):
    """Which sample: its set (`training`, `kpi` …), and the row's `input_path` and `object_name` as the set has them.

    Of an annotation's results the set is `annotation`, `input_path` the video and `object_name` the question's digest.
    """

    set: str = Field(min_length=1)
    input_path: str
    object_name: str = Field(min_length=1)

    @property
    def name(self) -> str:
        """`input_path/object_name`, as every page prints it and every command takes it."""
        return sample_name(self.input_path, self.object_name)


def sample_name(input_path: str, object_name: str) -> str:
    """`input_path/object_name` without doubled slashes and dots."""
    return posixpath.normpath(posixpath.join(input_path or ".", object_name.lstrip("/")))


class Correction(BaseModel):
    """One line. An undone one is written again, the same but for `undone_by` and `undone_at`; that counts.

    Attributes:
        id: By which it is undone.
        sample: Of which sample.
        pictures: SHA-256 of the pictures that were looked at, or of the question.
        before: The label as the set has it; `from` in the file.
        to: The label it should have, `drop` where the sample is to be taken out; None: looked at, no label given.
        drop: Whether `to` takes the sample out; a label may be called `drop` as well.
        reason: Why.
        who: Who said so.
        when: UTC.
        run: The run folder that it was seen in.
        score: The model's score there.
        note: In their words.
        undone_by, undone_at: Who took it back, and when.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    id: str = Field(pattern="^[0-9a-z]{4,32}$")
    sample: Sample
    pictures: str
    before: str = Field(alias="from")
    to: str | None = Field(min_length=1)
    drop: bool = False
    reason: Reason
    who: str = Field(min_length=1)
    when: str
    run: str | None = None
    score: float | None = None
    note: str = ""
    undone_by: str | None = None
    undone_at: str | None = None

    @field_validator("to", "who", "note", "undone_by")
    @classmethod
    def _shown(cls, text: str | None) -> str | None:
        # Lines are read that were not written here: what a name or a label would do to a terminal is no word.
        if text and not text.isprintable():
            raise ValueError("holds a sign that cannot be shown")
        return text

    def json_line(self) -> str:
        """The line as written, without its newline."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), ensure_ascii=False, allow_nan=False)

    @property
    def word(self) -> tuple[Any, ...]:
        """What is said, without by whom and when: equal words need not be written twice."""
        return (self.pictures, self.before, self.to, self.drop, self.reason, self.note)

    @property
    def says(self) -> tuple[str, str] | None:
        """What this word makes of the sample: `(drop, "")`, or `(label, …)`; None: its label is wrong, no more.

        Whoever calls a sample an edge case, of bad quality or a failing of the model leaves its label as it is.
        """
        if self.drop:
            return (DROP, "")
        if self.to is None:
            return None if self.reason == "mislabeled" else ("label", self.before)
        return ("label", self.to)


def reason_named(text: str) -> Reason:
    """A reason as the file spells it: `edge-case`, `Edge Case` are `edge_case`.

    Raises:
        InputError: None of the four.
    """
    plain = re.sub(r"[\s_-]+", "_", text.strip().lower())
    if plain == "mislabelled":
        plain = "mislabeled"
    if plain not in REASONS:
        raise InputError(f"unknown reason {text!r}", where="reason", fix="one of: " + ", ".join(REASONS))
    return cast(Reason, plain)


def person_named(who: str) -> str:
    """The reader's name, stripped.

    Raises:
        InputError: It is empty, of several lines or no text.
    """
    name = who.strip()
    if not name:
        raise InputError("says nobody", where="who", fix="name whoever looked at it")
    return _text(name, "who", _MOST_WHO)


def note_of(text: str) -> str:
    """A note as one line."""
    return _text(" ".join(text.split()), "note", _MOST_NOTE) if text.strip() else ""


def _text(text: str, where: str, most: int) -> str:
    if len(text) > most:
        raise InputError(f"is longer than {most} characters", where=where, fix="write less")
    if any(not c.isprintable() for c in text):
        raise InputError("holds a sign that cannot be shown", where=where, fix="write it in plain text, in one line")
    return text
