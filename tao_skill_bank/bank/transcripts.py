"""Agent transcripts (JSON Lines): who used how many tokens, when.

A transcript line of type `assistant` carries a timestamp and a message with an id and its usage. A message may stand
in several lines while it streams; it counts once, with its last figures. Lines that are no JSON are skipped: a
transcript is written by others, while we read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

_MOST_LINE_BYTES = 64 << 20


@dataclass(frozen=True)
class Usage:
    """One assistant message's tokens.

    Attributes:
        at: When, UTC.
        input: Tokens read at full price.
        cache_read: Tokens read from the cache.
        cache_create: Tokens written to the cache, of which `cache_create_5m` and `cache_create_1h` by lifetime.
    """

    message_id: str
    at: datetime
    model: str
    input: int
    output: int
    cache_read: int
    cache_create: int
    cache_create_5m: int
    cache_create_1h: int

    @property
    def context(self) -> int:
        """Everything the model had before it when it wrote this message."""
        return self.input + self.cache_read + self.cache_create


def project_dir(cwd: Path, home: Path | None = None) -> Path:
    """Where Claude Code keeps the transcripts of sessions started in `cwd`."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in str(cwd.absolute()))
    return (home or Path.home()) / ".claude" / "projects" / name


def transcripts_in(folder: Path) -> list[Path]:
    """The transcripts of a folder, with those of subagents below it, by name."""
    return sorted(p for p in folder.rglob("*.jsonl") if guard.is_file(p))


def read_usage(paths: Iterable[Path]) -> list[Usage]:
    """Every message's usage, each id once, by time.

    Raises:
        InputError: A transcript cannot be opened.
    """
    found: dict[str, Usage] = {}
    for path in paths:
        for usage in _usages(path):
            found[usage.message_id] = usage
    return sorted(found.values(), key=lambda u: (u.at, u.message_id))


def parse_time(text: str) -> datetime | None:
    """An ISO time as UTC; None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _usages(path: Path) -> Iterator[Usage]:
    try:
        handle = guard.open_read(path)
    except OSError as error:
        raise InputError(error.strerror or "cannot be opened", where=path, fix="name a readable transcript") from None
    with handle:
        while line := handle.readline(_MOST_LINE_BYTES):
            if b'"usage"' in line and b'"assistant"' in line:
                usage = _usage(line)
                if usage is not None:
                    yield usage


def _usage(line: bytes) -> Usage | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("type") != "assistant":
        return None
    message = value.get("message")
    used = message.get("usage") if isinstance(message, dict) else None
    at = parse_time(value.get("timestamp", ""))
    if not isinstance(message, dict) or not isinstance(used, dict) or at is None:
        return None
    created = used.get("cache_creation")
    created = created if isinstance(created, dict) else {}
    identity = message.get("id") or value.get("uuid")
    if not isinstance(identity, str):
        return None
    return Usage(
        message_id=identity,
        at=at,
        model=str(message.get("model") or "unknown"),
        input=_count(used, "input_tokens"),
        output=_count(used, "output_tokens"),
        cache_read=_count(used, "cache_read_input_tokens"),
        cache_create=_count(used, "cache_creation_input_tokens"),
        cache_create_5m=_count(created, "ephemeral_5m_input_tokens"),
        cache_create_1h=_count(created, "ephemeral_1h_input_tokens"),
    )


def _count(values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
