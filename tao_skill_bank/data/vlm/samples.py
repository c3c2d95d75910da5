"""Samples of an evaluation, column by column: what every shape of file becomes before anything is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm.decode import Noted, text_fault
from tao_skill_bank.data.vlm.fields import MISSING, column, shown
from tao_skill_bank.data.vlm.formats import Mapped
from tao_skill_bank.data.vlm.json_scan import item_name

_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")


@dataclass
class Samples:
    """Some samples in input order; all lists have the same length.

    Attributes:
        share: How much of the file has been read, 0..1.
        items: The number of each sample's item, counted from 0.
        video_ids: As they stand.
        questions: "" where there is none.
        responses: The raw text; "" where there is no answer.
        truths: The raw text.
        usable: Truths as they are judged, where that differs from `truths`: true and 1 as yes, letters as choices.
        answers: Responses as they are judged, where that differs from `responses`.
        unanswered: Place → why there is no answer.
        ids: Where the items have ids of their own.
        scores: Of "yes", where the items have them.
        repeated: Places of further responses of the item before.
    """

    share: float
    items: range | list[int]
    video_ids: list[str]
    questions: list[str]
    responses: list[str]
    truths: list[str]
    usable: list[str] | None = None
    answers: list[str] | None = None
    unanswered: dict[int, str] = field(default_factory=dict)
    ids: list[str] | None = None
    scores: list[float] | None = None
    repeated: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.responses)

    def without(self, places: Sequence[int]) -> Samples:
        """The others."""
        gone = set(places)
        return self.at([p for p in range(len(self)) if p not in gone])

    def at(self, places: Sequence[int]) -> Samples:
        """Those at some places, in that order."""
        columns = {name: values for name, values in vars(self).items() if isinstance(values, (list, range))}
        chosen: dict[str, Any] = {name: [values[p] for p in places] for name, values in columns.items()}
        chosen["unanswered"] = {i: self.unanswered[p] for i, p in enumerate(places) if p in self.unanswered}
        chosen["repeated"] = {i for i, p in enumerate(places) if p in self.repeated}
        return replace(self, **chosen)


@dataclass(frozen=True)
class Reading:
    """How values are taken.

    Attributes:
        path: The file, for messages.
        mapped: Where they lie.
        strict: Values that are no texts are refused.
        all_responses: Several responses of an item all count.
        truth_elsewhere: The right answers come from another file.
    """

    path: Any
    mapped: Mapped
    words: tuple[str, str]
    strict: bool
    all_responses: bool
    truth_elsewhere: bool


def samples_of(items: Sequence[Mapping[str, Any]], first: int, share: float, how: Reading, noted: Noted) -> Samples:
    """The samples of some objects.

    Raises:
        InputError: An item lacks what the mapping asks for, or holds something that is no text.
    """
    roles = how.mapped.roles
    columns = {role: column(items, paths) for role, paths in roles.items() if paths}
    n = len(items)
    nothing: list[Any] = [MISSING] * n

    def where(place: int) -> str:
        return item_name(how.path, first + place)

    def texts(role: str, *, needed: bool) -> list[str]:
        values = columns.get(role, nothing)
        if set(map(type, values)) <= {str}:
            return values
        return [_text(v, role, how, where(i), noted, needed=needed) for i, v in enumerate(values)]

    video_ids = texts("video_id", needed="video_id" in roles and not how.truth_elsewhere)
    questions = texts("question", needed=False)
    truths, usable = _truths(columns.get("gt", nothing), how, where, noted, needed=not how.truth_elsewhere)
    responses, unanswered, more = _responses(items, columns.get("response", nothing), how, where, noted)
    ids = texts("id", needed=True) if "id" in roles else None
    scores = [_score(v, where(i)) for i, v in enumerate(columns["score"])] if "score" in columns else None
    found = Samples(share, range(first, first + n), video_ids, questions, responses, truths, usable, None, unanswered)
    found.ids, found.scores = ids, scores
    if how.mapped.format.numbered:
        numbers = {"1": how.words[0], "0": how.words[1], "2": ""}
        found.answers = [numbers.get(r.strip(), r) for r in responses]
    return _repeat(found, more) if more else found


def _text(value: Any, role: str, how: Reading, where: str, noted: Noted, *, needed: bool) -> str:
    if isinstance(value, str):
        return value
    strict = how.strict and role != "id"
    if value is MISSING or value is None:
        if needed and (value is MISSING or strict):
            if value is MISSING:
                fix = f"write it, or fields.{role}=KEY" + ", or truth=FILE" * (role == "gt")
                raise InputError(f"missing {_named(role, how)!r}", where=where, fix=fix)
            noted.note(text_fault(None, role, where) or InputError("", where=where))
        return ""
    if strict:
        noted.note(text_fault(value, role, where) or InputError("", where=where))
        return ""
    if isinstance(value, (dict, list)):
        raise InputError(
            f"{_named(role, how)!r} is no text: {json.dumps(value)[:40]}", where=where, fix="name its text"
        )
    return json.dumps(value)


def _named(role: str, how: Reading) -> str:
    paths = how.mapped.roles.get(role)
    return shown(paths[0]) if paths else role


def _truths(
    values: list[Any], how: Reading, where: Any, noted: Noted, *, needed: bool
) -> tuple[list[str], list[str] | None]:
    """The truths as they stand and, where that differs, as they are judged."""
    one = values
    if list in set(map(type, values)) and not how.strict:
        one = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    plain = set(map(type, one)) <= {str}
    texts = one if plain else [_text(v, "gt", how, where(i), noted, needed=needed) for i, v in enumerate(one)]
    if how.strict:
        return texts, None
    return texts, judged_truths(texts, how.words)


def said(value: Any) -> str:
    """A value as text: texts as they are, others as JSON writes them, nothing as nothing."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)


def judged_truths(texts: list[str], words: tuple[str, str]) -> list[str] | None:
    """Truths with true and 1 as the word for yes, false and 0 as that for no; None where there is none of these."""
    # Truths are few different words, however many samples there are.
    meant = {text: word for text in set(texts) if (word := _as_word(text, words)) != text}
    return [meant.get(text, text) for text in texts] if meant else None


def _as_word(text: str, words: tuple[str, str]) -> str:
    folded = text.strip().casefold()
    return words[0] if folded in _TRUE else words[1] if folded in _FALSE else text


def _responses(
    items: Sequence[Mapping[str, Any]], values: list[Any], how: Reading, where: Any, noted: Noted
) -> tuple[list[str], dict[int, str], dict[int, list[str]]]:
    """The responses, why some are missing, and the further ones of an item."""
    unanswered: dict[int, str] = {}
    more: dict[int, list[str]] = {}
    if set(map(type, values)) <= {str}:
        return values, unanswered, more
    batch = how.mapped.format.name == "batch"
    texts = []
    for place, value in enumerate(values):
        if batch and (reason := _failed(items[place])):
            unanswered[place] = reason
            value = ""
        elif value is None:
            unanswered[place] = "null"
            value = ""
        elif isinstance(value, list) and not how.strict:
            if len(value) == 1 and type(value[0]) is str:
                texts.append(value[0])
                continue
            value, rest = _several(value, where(place))
            more[place] = rest if how.all_responses else []
        if not isinstance(value, str):
            value = _text(value, "response", how, where(place), noted, needed=True)
        texts.append(value)
    return texts, unanswered, {place: rest for place, rest in more.items() if rest}


def _failed(item: Mapping[str, Any]) -> str:
    """Why a call of a batch has no answer; "" where it has one."""
    response = item.get("response")
    if item.get("error") is not None:
        return "failed: " + json.dumps(item["error"])[:80]
    if response is None:
        return "null"
    status = response.get("status_code", 200) if isinstance(response, Mapping) else 200
    return "" if status == 200 else f"failed: status {status}"


def _several(value: list[Any], where: str) -> tuple[Any, list[str]]:
    """The first response of a list and the others; lists of one are flattened.

    Raises:
        InputError: Likelihoods instead of texts.
    """
    flat: list[Any] = []
    for one in value:
        flat += one if isinstance(one, list) else [one]
    if any(isinstance(v, (float, bool)) for v in flat):
        raise InputError(
            "holds likelihoods, not texts",
            where=where,
            fix="evaluate again with a task that generates (generate_until)",
        )
    texts = [v for v in flat if isinstance(v, str)]
    if not texts:
        return None if not flat or flat[0] is None else flat[0], []
    return texts[0], texts[1:]


def _score(value: Any, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"score is no number: {value!r:.40}", where=where, fix="fix it, or drop fields.score"
        ) from None


def _repeat(found: Samples, more: Mapping[int, list[str]]) -> Samples:
    """Each further response of an item as a sample of its own, behind the first."""
    places: list[int] = []
    responses: list[str] = []
    repeated: set[int] = set()
    unanswered: dict[int, str] = {}
    for place, response in enumerate(found.responses):
        if place in found.unanswered:
            unanswered[len(places)] = found.unanswered[place]
        places.append(place)
        responses.append(response)
        for text in more.get(place, ()):
            repeated.add(len(places))
            places.append(place)
            responses.append(text)

    spread = found.at(places)
    spread.responses, spread.unanswered, spread.repeated = responses, unanswered, repeated
    spread.answers = None if found.answers is None else responses
    return spread
