"""Items of bytes: the four texts of a TAO prediction, typed and fast, or any object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm.json_blocks import ID_KEY
from tao_skill_bank.data.vlm.json_scan import DECODE_ERRORS, item_name

T = TypeVar("T")
FIELDS = ("gt", "response", "video_id")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Prediction(msgspec.Struct, gc=False):
    """One item of TAO's predictions; other fields are passed over. `response` is None where it is null."""

    video_id: str
    response: str | None
    gt: str
    question: str = ""


_TYPED_ARRAY = msgspec.json.Decoder(list[Prediction])
_TYPED = msgspec.json.Decoder(Prediction)
_ARRAY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[dict[str, Any]])
_OBJECT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any])


class Noted:
    """Faults of one kind that are counted to the end of the file: the first of them, and how many."""

    def __init__(self) -> None:
        self.first: InputError | None = None
        self.count = 0

    def note(self, fault: InputError) -> None:
        """Remember a fault."""
        self.first = self.first or fault
        self.count += 1

    def settle(self) -> None:
        """Raise the first fault, with the number of all.

        Raises:
            InputError: There was one.
        """
        if self.first is not None:
            more = f" ({self.count} such items in all)" if self.count > 1 else ""
            raise InputError(f"{self.first.what}{more}", where=self.first.where, fix=self.first.fix)


class _Items(Generic[T]):
    """Items of one type by the block: arrays, and single ones a line."""

    def __init__(self, array: msgspec.json.Decoder[list[T]], single: msgspec.json.Decoder[T]) -> None:
        self._array, self._single = array, single

    def many(self, body: bytes | memoryview) -> list[T] | None:
        """As `Decoder.many`."""
        try:
            return self._array.decode(b"".join((b"[", body, b"]")))
        except DECODE_ERRORS:
            return None

    def lines(self, body: bytes) -> list[T] | None:
        """As `Decoder.lines`."""
        try:
            return self._single.decode_lines(body)
        except DECODE_ERRORS:
            return None


class TypedItems(_Items[Prediction]):
    """TAO's predictions. A value that is no text is noted, so that the number of all can be told."""

    def __init__(self, noted: Noted) -> None:
        super().__init__(_TYPED_ARRAY, _TYPED)
        self._noted = noted

    def one(self, text: bytes, where: str) -> list[Prediction]:
        """One item, decoded leniently (NaN in a field that is not ours), refused by name, or its fault noted."""
        try:
            return [_TYPED.decode(text)]
        except DECODE_ERRORS:
            pass
        value = an_object(text, where)
        for field in (*FIELDS, "question"):
            if field not in value:
                if field == "question":
                    continue
                raise InputError(f"missing {field!r}", where=where, fix="every item needs video_id, response and gt")
            fault = text_fault(value[field], field, where, null_allowed=field == "response")
            if fault is not None:
                self._noted.note(fault)
                return []
        return [Prediction(value["video_id"], value["response"], value["gt"], value.get("question", ""))]

    def by_id(self, items: dict[str, Any], first: int, path: Path) -> list[Prediction]:
        """As `Decoder.by_id`: the key is the video."""
        return [
            Prediction(key, value["response"], value["gt"], value.get("question", "")) for key, value in items.items()
        ]


class PlainItems(_Items[Mapping[str, Any]]):
    """Objects as they stand; one by id has its key under `ID_KEY`."""

    def __init__(self) -> None:
        super().__init__(_ARRAY, _OBJECT)

    def one(self, text: bytes, where: str) -> list[Mapping[str, Any]]:
        """As `Decoder.one`."""
        return [an_object(text, where)]

    def by_id(self, items: dict[str, Any], first: int, path: Path) -> list[Mapping[str, Any]]:
        """As `Decoder.by_id`."""
        for number, (key, value) in enumerate(items.items(), start=first):
            if not isinstance(value, dict):
                raise InputError("is not an object", where=f"{item_name(path, number)} ({key[:80]})", fix="fix it")
            value[ID_KEY] = key
        return list(items.values())


def an_object(text: bytes, where: str) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        InputError: It is none, holds half a character, or is nested too deeply.
    """
    try:
        value: Any = msgspec.json.decode(text)
    except DECODE_ERRORS:
        try:
            value = json.loads(text.decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text", where=where, fix="export the predictions as UTF-8") from None
        except RecursionError:
            raise InputError("is nested too deeply", where=where, fix="keep items flat") from None
        except ValueError as error:
            raise InputError(f"is not valid JSON: {error}", where=where, fix="fix the item") from None
        for key, found in value.items() if isinstance(value, dict) else ():
            if _SURROGATE.search(json.dumps(found, ensure_ascii=False)):
                raise _half(key, where) from None
    if not isinstance(value, dict):
        raise InputError("is not an object", where=where, fix="write {video_id, response, gt}")
    return value


def _half(key: str, where: str) -> InputError:
    return InputError(f"{key!r} holds half a character (a lone surrogate)", where=where, fix="fix the text")


def text_fault(value: Any, field: str, where: str, *, null_allowed: bool = False) -> InputError | None:
    """Why a value of TAO's format is no text; None where it is one."""
    if isinstance(value, str) or (value is None and null_allowed):
        return None
    shown = json.dumps(value, default=str)[:40]
    ways = {
        "gt": "write it as text, or read true, false, 1 and 0 with format=table",
        "video_id": "write it as text, or take numbers with format=table",
        "response": "write it as text, or take numbers with format=table",
    }
    return InputError(f"{field!r} is not a string: {shown}", where=where, fix=ways.get(field, "write it as text"))
