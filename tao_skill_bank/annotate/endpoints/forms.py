"""In which form a server takes a request: a schema whole, without its lists of words, any JSON, none; names of limits.

A server that refuses one form is asked in the next, each kind of call by itself. What was learnt is kept.
"""

from __future__ import annotations

import json
from typing import Any

from tao_skill_bank.annotate.endpoints.base import Ask, FaultError
from tao_skill_bank.core.fsio import canonical_json, sha256_text

SCHEMA, NO_ENUM, JSON_OBJECT, NONE = range(4)
_FIRST = {"auto": SCHEMA, "json_schema": SCHEMA, "json_object": JSON_OBJECT, "off": NONE}
_WORDS = (
    *("response_format", "json_schema", "json schema", "guided", "structured", "xgrammar", "outlines", "grammar"),
    *("json_object", "response_schema", "responseschema", "responsejsonschema", "responsemimetype"),
)
"""How servers (vLLM, llama.cpp and Google's among them) name what they refuse of a schema."""
_REFUSED = (400, 422)
_BROKEN = (500, 501)


class Forms:
    """The form of the requests to one model at one address.

    Attributes:
        structured: The setting.
        limit_name: How the longest answer is called.
        tempered: Whether a temperature is sent.
    """

    def __init__(self, structured: str = "auto") -> None:
        self.limit_name = "max_tokens"
        self.tempered = True
        self.structured = structured
        self._levels: dict[str, int] = {}
        self._once: dict[str, int] = {}

    def level(self, ask: Ask) -> int:
        """How much of the schema goes along: SCHEMA, NO_ENUM, JSON_OBJECT or NONE."""
        return NONE if ask.schema is None else self._levels.get(_kind(ask), _FIRST[self.structured])

    def schema(self, ask: Ask) -> dict[str, Any] | None:
        """The schema as it is sent, None where none is."""
        level = self.level(ask)
        if ask.schema is None or level > NO_ENUM:
            return None
        return _without_enum(ask.schema) if level == NO_ENUM else ask.schema

    def of(self, ask: Ask) -> str:
        """The form of a request, to be compared with later."""
        return f"{self.level(ask)} {self.limit_name} {self.tempered}"

    def step(self, fault: FaultError, ask: Ask, form: str, *, names: bool = True) -> bool:
        """Whether a refusal of a request in `form` is met by another form; then it is to be asked again.

        `names`: whether the limit and the temperature may go by other names.
        """
        lower = fault.whole.lower()
        of_schema = ask.schema is not None and any(word in lower for word in _WORDS)
        # Some servers answer a schema that they cannot work with by 500 or 501.
        if fault.kind != "refused" and not (of_schema and fault.status in _BROKEN):
            return False
        if form != self.of(ask):
            # Another call has met the same refusal meanwhile; this one was asked in the old form.
            return True
        level = self.level(ask)
        if of_schema and level < NONE and self.structured != "json_schema":
            self._levels[_kind(ask)] = self._next(ask, level)
        elif names and self.limit_name == "max_tokens" and "max_completion_tokens" in lower:
            self.limit_name = "max_completion_tokens"
        elif names and self.tempered and "temperature" in lower:
            self.tempered = False
        else:
            return self._without_schema_once(fault, ask, level)
        return True

    def dumps(self) -> str:
        """For the journal."""
        return json.dumps({"limit": self.limit_name, "tempered": self.tempered, "levels": self._levels}, sort_keys=True)

    def loads(self, text: str | None) -> None:
        """What an earlier run learnt; nothing where none did."""
        try:
            value = json.loads(text or "{}")
            levels = {str(kind): int(level) for kind, level in value.get("levels", {}).items()}
            limit, tempered = value.get("limit", self.limit_name), bool(value.get("tempered", True))
        except (ValueError, TypeError, AttributeError):
            return
        if self.structured == "auto":
            self._levels = {kind: level for kind, level in levels.items() if level in range(NONE + 1)}
        if limit in ("max_tokens", "max_completion_tokens"):
            self.limit_name = limit
        self.tempered = tempered

    def _next(self, ask: Ask, level: int) -> int:
        has_enum = ask.schema is not None and _without_enum(ask.schema) != ask.schema
        return level + 1 if level != SCHEMA or has_enum else JSON_OBJECT

    def _without_schema_once(self, fault: FaultError, ask: Ask, level: int) -> bool:
        """A refusal that names nothing we know may mean the schema: it is left out once, and kept out if that helps."""
        kind = _kind(ask)
        if kind in self._once:
            if level == NONE:
                self._levels[kind] = self._once[kind]
            return False
        if ask.schema is None or level == NONE or fault.status not in _REFUSED or self.structured == "json_schema":
            return False
        self._once[kind] = level
        self._levels[kind] = NONE
        return True


def _kind(ask: Ask) -> str:
    return ask.kind or sha256_text(canonical_json(ask.schema))[:12]


def _without_enum(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_enum(inner) for name, inner in value.items() if name != "enum"}
    return [_without_enum(inner) for inner in value] if isinstance(value, list) else value
