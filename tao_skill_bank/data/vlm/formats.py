"""The shapes in which teams keep evaluations: told by the keys of the first item, each with where its roles lie.

A role is the video, the question, the response, the ground truth; besides `id` and `score`, which no format needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.vlm.fields import MISSING, Steps, shown, steps_of, value_at
from tao_skill_bank.data.vlm.json_blocks import ID_KEY
from tao_skill_bank.data.vlm.places import has_media_suffix

NEEDED = ("video_id", "response", "gt")
ROLES = ("video_id", "question", "response", "gt", "id", "score")
WORDS = {"video_id": "video", "question": "question", "response": "response", "gt": "ground truth"}
TRUTH = "truth"
_YES_NO = re.compile(r"(?i)\b(?:yes|no|true|false|ok|ng)\b|^[01]$|是|否|はい|いいえ")


@dataclass(frozen=True)
class Format:
    """One shape.

    Attributes:
        name: As `format=` names it.
        known: The keys that an item of it has.
        roles: Role → the paths where it may lie, the first that is there counts.
        strict: Values that are no text are refused, as TAO refuses them.
        joined: Its ground truth comes from a file of its own.
        choices: Responses and truths are letters of choices in the question.
        numbered: Responses are 0, 1 or 2: no, yes, unclear.
    """

    name: str
    known: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]
    strict: bool = False
    joined: bool = False
    choices: bool = False
    numbered: bool = False


def _paths(**roles: str) -> dict[str, tuple[str, ...]]:
    """Role → where it may lie, `|` between the paths."""
    return {role: tuple(paths.split("|")) for role, paths in roles.items()}


FORMATS = (
    Format(
        "tao",
        ("response", "gt|answer|ground_truth"),
        _paths(video_id="video_id", question="question", response="response", gt="gt|answer|ground_truth"),
        strict=True,
    ),
    Format(
        "cosmos",
        ("correct_answer", "full_response"),
        _paths(video_id="video_id", question="prompt", response="full_response|answer", gt="correct_answer"),
        choices=True,
    ),
    Format(
        "hallusion",
        ("gt_answer", "model_prediction"),
        _paths(video_id="filename", question="question", response="model_prediction", gt="gt_answer"),
        numbered=True,
    ),
    Format(
        "lmms",
        ("doc_id", "target", "filtered_resps"),
        _paths(
            video_id="doc.video|doc.video_path|input_media[0]|doc_id",
            question="doc.question|input",
            response="filtered_resps",
            gt="target",
        ),
    ),
    Format(
        "batch",
        ("custom_id", "response"),
        _paths(
            id="custom_id",
            video_id="custom_id",
            response="response.body.choices[0].message.content|response.choices[0].message.content",
            gt="response.body.metadata.gt",
        ),
    ),
    Format(
        "llava",
        ("question_id", "text", "model_id"),
        _paths(id="question_id", question="prompt", response="text"),
        joined=True,
    ),
    Format("pope", ("question", "answer", TRUTH), _paths(question="question", response="answer"), joined=True),
    Format(
        "vlmevalkit",
        ("index", "answer", "prediction"),
        _paths(id="index", video_id="video|image_path|index", question="question", response="prediction", gt="answer"),
    ),
    Format(
        "mme",
        ("mme_image", "mme_question", "mme_gt", "mme_response"),
        _paths(video_id="mme_image", question="mme_question", response="mme_response", gt="mme_gt"),
    ),
)
TABLE = "table"
ALIASES = {
    "video_id": ("video_id", "video", "video_path", "file", "image"),
    "question": ("question", "prompt"),
    "response": ("response", "prediction", "pred", "model_output", "output"),
    "gt": ("gt", "ground_truth", "label", "target", "correct_answer"),
}
NAMES = ("auto", *(f.name for f in FORMATS), TABLE)


@dataclass(frozen=True)
class Mapped:
    """A format as it lies in a file: each role's paths, and which of them the first item has.

    `asked` is the key that seems to hold the question, where no question was found.
    """

    format: Format
    roles: Mapping[str, tuple[Steps, ...]]
    there: frozenset[str]
    asked: str = ""

    @property
    def shown(self) -> str:
        """`lmms: video_id=doc.video question=doc.question response=filtered_resps gt=target`."""
        said = [f"{role}={shown(self.roles[role][0])}" for role in ROLES if role in self.there]
        asked = f" (no question; perhaps fields.question={self.asked})" if self.asked else ""
        return f"{self.format.name}: {' '.join(said)}{asked}"


def mapping_of(
    first: Mapping[str, Any] | None,
    *,
    name: str,
    fields: Mapping[str, str],
    truth: bool,
    asked: bool,
    table: bool,
    where: str,
) -> Mapped:
    """Which format an item has, and where its roles lie.

    Args:
        first: The first item; None where the file holds none, which is then TAO's.
        name: `auto`, or the format that a person named.
        fields: Role → path, as a person named them; they win.
        truth: The ground truth comes from a file of its own.
        asked: What was asked comes from a file of its own, which may hold the truth too.
        table: Items are the rows of a table, whose cells are no typed values.
        where: The file and item, for messages.

    Raises:
        InputError: A role has no candidate, or two; the message has the item's keys and what to write.
    """
    unknown = [role for role in fields if role not in (*ROLES, "root")]
    if unknown:
        raise InputError(f"unknown field {unknown[0]!r}", where="fields", fix=did_you_mean(unknown[0], ROLES))
    if name not in NAMES:
        raise InputError(f"unknown format {name!r}", where="format", fix=did_you_mean(name, NAMES))
    named = {role: (steps_of(path, f"fields.{role}"),) for role, path in fields.items() if role != "root"}
    item = first or {}
    chosen = _named(name) if name != "auto" else _told(item, truth=truth) if first is not None else FORMATS[0]
    if chosen is None or (table and chosen.name == "tao"):
        chosen = _as_table(item, named, where)
    roles = {role: tuple(steps_of(path, role) for path in paths) for role, paths in chosen.roles.items()}
    roles = {role: _ordered(item, paths) for role, paths in roles.items()} | named
    if ID_KEY in item:
        key: tuple[Steps, ...] = ((ID_KEY,),)
        roles.setdefault("id", key)
        roles["video_id"] = _ordered(item, (*roles.get("video_id", ()), *key))
    if first is not None:
        elsewhere = {"video_id", "gt"} if truth or asked else set()
        _require(item, roles, chosen, named, elsewhere, where=where)
    there = {role for role, paths in roles.items() if any(value_at(item, p) is not MISSING for p in paths)}
    asked_by = guess(item, ["question"], _taken(roles)).get("question", "") if "question" not in there else ""
    return Mapped(chosen, roles, frozenset(there if first is not None else roles), asked_by)


def _named(name: str) -> Format | None:
    return next((f for f in FORMATS if f.name == name), None)


def _told(item: Mapping[str, Any], *, truth: bool) -> Format | None:
    def has(key: str) -> bool:
        return truth if key == TRUTH else any(k in item for k in key.split("|"))

    return next((f for f in FORMATS if all(map(has, f.known))), None)


def _ordered(item: Mapping[str, Any], paths: tuple[Steps, ...]) -> tuple[Steps, ...]:
    """The paths with the one first that the first item has, so that it is shown and tried first."""
    there = next((p for p in paths if value_at(item, p) is not MISSING), None)
    return paths if there is None else (there, *(p for p in paths if p != there))


def _as_table(item: Mapping[str, Any], named: Mapping[str, tuple[Steps, ...]], where: str) -> Format:
    """The roles of an item by the names that people give them."""
    taken = {steps[0][0] for steps in named.values()}
    roles: dict[str, tuple[str, ...]] = {}
    folded: dict[str, str] = {key.strip().casefold(): key for key in item if isinstance(key, str)}
    for role, names in ALIASES.items():
        if role in named:
            continue
        there = [folded[n] for n in names if n in folded and folded[n] not in taken]
        if not there and role == "gt" and "answer" in folded and "response" in {**roles, **named}:
            there = [folded["answer"]]
        if len(there) > 1:
            raise InputError(
                f"two keys may be the {WORDS[role]}: {', '.join(there)}",
                where=where,
                fix=f"name one: fields.{role}={there[0]}",
            )
        if there:
            roles[role] = (there[0],)
    if "response" not in {**roles, **named} and "gt" in {**roles, **named} and "answer" in folded:
        roles["response"] = (folded["answer"],)
    return Format(TABLE, (), roles)


def _require(
    item: Mapping[str, Any],
    roles: Mapping[str, tuple[Steps, ...]],
    chosen: Format,
    named: Mapping[str, tuple[Steps, ...]],
    elsewhere: set[str],
    *,
    where: str,
) -> None:
    """Refuse an item in which a role cannot be found."""
    for role, (steps, *_) in named.items():
        if role != "score" and value_at(item, steps) is MISSING:
            keys = [k for k in item if k != ID_KEY]
            raise InputError(
                f"has no {shown(steps)!r}", where=f"{where} (fields.{role})", fix=did_you_mean(shown(steps), keys)
            )
    absent = [
        role
        for role in NEEDED
        if not any(value_at(item, p) is not MISSING for p in roles.get(role, ())) and role not in elsewhere
    ]
    # A batch's answer that failed has no response; that is for the counting of answers, not for the mapping.
    if chosen.name == "batch" and "response" in item:
        absent = [role for role in absent if role != "response"]
    if not absent:
        return
    there = ", ".join(str(k)[:40] for k in item if k != ID_KEY) or "none"
    if "gt" in absent and (chosen.joined or chosen.name == "batch" or {"question", "answer"} <= item.keys()):
        id_key = shown(roles["id"][0]) if "id" in roles else "image, text"
        write = f"truth=FILE, whose rows have {id_key} and the right answer as label or gt"
        if chosen.name == "batch":
            write += "; or requests=FILE where metadata.gt has it"
    else:
        guessed = guess(item, [*absent, "question"], _taken(roles))
        asked = any(value_at(item, p) is not MISSING for p in roles.get("question", ()))
        wanted = [role for role in ROLES if role in absent or (role == "question" and not asked and role in guessed)]
        write = " ".join(f"fields.{role}={guessed.get(role, 'KEY')}" for role in wanted)
    raise InputError(f"missing {absent[0]!r}; its keys: {there}", where=where, fix=f"write {write}")


def _taken(roles: Mapping[str, tuple[Steps, ...]]) -> set[Any]:
    return {paths[0][0] for paths in roles.values() if paths}


def guess(item: Mapping[str, Any], roles: Sequence[str], taken: set[Any]) -> dict[str, str]:
    """Role → key for those roles that some key fits, the likeliest first, a key once: for messages alone."""
    keys = [k for k in item if k not in taken and not str(k).startswith("@")]
    found: dict[str, str] = {}
    for role in ("video_id", "question", "gt", "response"):
        if role not in roles:
            continue
        scored = [(_fit(role, _text(item[k])), -i, k) for i, k in enumerate(keys) if k not in found.values()]
        best = max(scored, default=(0.0, 0, ""))
        if best[0] > 0.5:
            found[role] = best[2]
    return found


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _fit(role: str, text: str) -> float:
    """How well a text fits a role, 0..1."""
    answers, short = bool(_YES_NO.search(text)), len(text) <= 12
    fits = {
        "video_id": has_media_suffix(text) or "://" in text,
        "question": text.endswith(("?", "？")) or "?\n" in text,
        "gt": answers and short,
        "response": answers * (1 - 0.3 * short),
    }
    return float(fits[role]) if text else 0.0
