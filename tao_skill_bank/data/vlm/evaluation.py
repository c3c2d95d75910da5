"""An evaluation file, told apart and read: samples block by block, whatever its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm import joins
from tao_skill_bank.data.vlm.containers import Items, all_items, items_of
from tao_skill_bank.data.vlm.decode import Noted, Prediction, TypedItems
from tao_skill_bank.data.vlm.fields import MISSING, column
from tao_skill_bank.data.vlm.formats import Mapped, mapping_of
from tao_skill_bank.data.vlm.json_scan import item_name
from tao_skill_bank.data.vlm.samples import Reading, Samples, judged_truths, said, samples_of

_KEY = "predictions_json"
_SHOWN = 5
_NO_ANSWER = "add unanswered=skip to count it as unparseable"


@dataclass(frozen=True)
class Evaluation:
    """What to read, and how.

    Attributes:
        path: The file or folder.
        format: `auto` or a format's name.
        fields: Role → path in an item, as a person named them.
        truth: A file of right answers.
        requests: The requests of a batch.
        annotations: Annotations that `video_id`s are ids of.
        words: What yes and no are called, for true and false.
        skip_unanswered: Missing answers count as unparseable; else they are an error.
        all_responses: Several responses of one item all count; else the first.
    """

    path: Path
    format: str = "auto"
    fields: Mapping[str, str] = field(default_factory=dict)
    truth: Path | None = None
    requests: Path | None = None
    annotations: Path | None = None
    words: tuple[str, str] = ("yes", "no")
    skip_unanswered: bool = False
    all_responses: bool = False

    def samples(self) -> Iterator[Mapped | Samples]:
        """First the mapping, then the samples in input order, block by block.

        Raises:
            InputError: Input that cannot be used; the item is named. Values of TAO's format that are no texts, and
                missing answers, are counted to the end of the file first.
        """
        rows = self._truth_rows() if self.truth is not None else None
        annotations = None
        if self.annotations is not None:
            annotations = joins.annotations_of(self.annotations, all_items(self.annotations, "annotations_json"))
        requests = None
        if self.requests is not None:
            requests = joins.asked(self.requests, all_items(self.requests, "requests"))
        noted, unanswered, unknown = Noted(), Noted(), Unknown()
        with items_of(self.path, _KEY, self.fields.get("root")) as items:
            mapped = self._mapped(items)
            yield mapped
            elsewhere = rows is not None or (requests is not None and requests.has_truths)
            for found in self._blocks(items, mapped, noted, elsewhere):
                if rows is not None:
                    self._enter(found, *rows)
                if requests is not None:
                    requests.fill(found)
                    if rows is None and requests.has_truths:
                        self._judge_by(found, requests.truths(found))
                if annotations is not None:
                    unknown.add(annotations.fill(found))
                if not self.skip_unanswered:
                    self._note(found, mapped, unanswered)
                yield found
        noted.settle()
        unanswered.settle()
        if self.annotations is not None:
            unknown.settle(self.annotations)

    def _mapped(self, items: Items) -> Mapped:
        first = items.first if isinstance(items.first, Mapping) else None
        where = item_name(self.path, 0)
        return mapping_of(
            first,
            name=self.format,
            fields=self.fields,
            truth=self.truth is not None,
            asked=self.requests is not None,
            table=items.is_table,
            where=where,
        )

    def _blocks(self, items: Items, mapped: Mapped, noted: Noted, elsewhere: bool) -> Iterator[Samples]:
        if items.typed is not None and self._is_typed(items.first, mapped):
            for block in items.typed(TypedItems(noted)):
                yield _typed(block.items, block.first, block.share)
            return
        strict = mapped.format.strict and not items.is_table
        how = Reading(self.path, mapped, self.words, strict, self.all_responses, elsewhere)
        for block in items.plain():
            yield samples_of(block.items, block.first, block.share, how, noted)

    def _is_typed(self, first: Any, mapped: Mapped) -> bool:
        """Whether items are those that TAO's own command reads, so that they can be decoded by type."""
        return (
            mapped.format.name == "tao"
            and not self.fields
            and self.truth is None
            and (not isinstance(first, Mapping) or "gt" in first or not {"answer", "ground_truth"} & first.keys())
        )

    def _truth_rows(self) -> tuple[joins.Truth, list[int]]:
        """The right answers, and for each item the row of its own. Reads the answers once for that."""
        assert self.truth is not None
        truth = joins.truth_of(self.truth, all_items(self.truth, "truth"))
        ids: list[str] = []
        questions: list[str] = []
        with items_of(self.path, _KEY, self.fields.get("root")) as items:
            mapped = self._mapped(items)
            for block in items.plain():
                questions += _texts(block.items, mapped, "question")
                ids += _texts(block.items, mapped, "id")
        return truth, joins.matched(truth, ids if "id" in mapped.roles else None, questions, self.path)

    def _enter(self, found: Samples, truth: joins.Truth, rows: Sequence[int]) -> None:
        """Put the right answers, and the videos and questions that come with them, into samples."""
        mine = [rows[item] for item in found.items]
        self._judge_by(found, [truth.truths[row] for row in mine])
        found.video_ids = [own or truth.videos[row] for own, row in zip(found.video_ids, mine, strict=True)]
        found.questions = [own or truth.questions[row] for own, row in zip(found.questions, mine, strict=True)]

    def _judge_by(self, found: Samples, truths: Sequence[Any]) -> None:
        """Take these right answers."""
        found.truths = [said(truth) for truth in truths]
        found.usable = judged_truths(found.truths, self.words)

    def _note(self, found: Samples, mapped: Mapped, unanswered: Noted) -> None:
        for place, why in found.unanswered.items():
            where = item_name(self.path, found.items[place])
            name = "response" if mapped.format.strict else "the response"
            what = f"{name!r} is not a string: null" if mapped.format.strict else f"{name} is missing: {why}"
            unanswered.note(InputError(what, where=where, fix=_NO_ANSWER))


class Unknown:
    """Ids without one annotation: the first five and the number."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, ids: Sequence[str]) -> None:
        """Count some."""
        self._count += len(ids)
        self._first += list(islice(ids, max(0, _SHOWN - len(self._first))))

    def settle(self, path: Path) -> None:
        """Raise where there are some.

        Raises:
            InputError: With the first five and the number.
        """
        if self._count:
            shown = ", ".join(repr(i[:80]) for i in self._first)
            what = f"{self._count} ids have no annotation, or annotations of several videos: {shown}"
            raise InputError(what, where=path, fix="name the annotations that the evaluation was made of")


def _typed(items: Sequence[Prediction], first: int, share: float) -> Samples:
    responses: list[Any] = [i.response for i in items]
    unanswered: dict[int, str] = {}
    if None in responses:
        unanswered = {place: "null" for place, text in enumerate(responses) if text is None}
        responses = [text or "" for text in responses]
    return Samples(
        share=share,
        items=range(first, first + len(items)),
        video_ids=[i.video_id for i in items],
        questions=[i.question for i in items],
        responses=responses,
        truths=[i.gt for i in items],
        unanswered=unanswered,
    )


def _texts(items: Sequence[Mapping[str, Any]], mapped: Mapped, role: str) -> list[str]:
    values = column(items, mapped.roles.get(role, ()))
    return ["" if v is MISSING or v is None else str(v) for v in values]
