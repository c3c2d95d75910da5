"""Token alignment: each assistant message's usage goes to the stage in whose window it was written."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.bank.transcripts import Usage, read_usage
from tao_skill_bank.core.clock import log_moment
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.loop.log import LogLine, rewrite_log


class NothingMatchedError(BankError):
    """No message of the transcripts was written in any stage's window."""

    exit_code = 3


@dataclass(frozen=True)
class Alignment:
    """What alignment found: messages given to a stage, messages in no window, stages that got any."""

    matched: int
    unmatched: int
    stages: int


def align_tokens(log: Path, transcripts: Sequence[Path], *, dry_run: bool = False) -> Alignment:
    """Give every message's usage to the log line whose window `(previous ts, ts]` holds it, and rewrite the log.

    Raises:
        NothingMatchedError: No message falls into a window; nothing was rewritten.
        InputError: The log or a transcript cannot be read.
    """
    usages = read_usage(transcripts)
    found: list[Alignment] = []

    def aligned(lines: list[LogLine]) -> list[LogLine] | None:
        out, alignment = give(lines, usages)
        found.append(alignment)
        if alignment.matched == 0:
            raise NothingMatchedError(
                f"none of {len(usages)} messages was written while a stage ran",
                where=log,
                fix="name the transcripts of the session that ran the loop",
            )
        return None if dry_run else out

    rewrite_log(log, aligned)
    return found[0]


def give(lines: Sequence[LogLine], usages: Sequence[Usage]) -> tuple[list[LogLine], Alignment]:
    """The lines with their tokens; messages behind the last line belong to no stage yet."""
    ends = [log_moment(line.ts) for line in lines]
    # A clock set back must not make a window run backwards: a window ends no earlier than the one before it.
    for index in range(1, len(ends)):
        ends[index] = max(ends[index], ends[index - 1])
    groups: dict[int, list[Usage]] = {}
    unmatched = 0
    for usage in usages:
        index = bisect.bisect_left(ends, usage.at)
        if index == len(ends):
            unmatched += 1
        else:
            groups.setdefault(index, []).append(usage)
    out = list(lines)
    for index, group in groups.items():
        tokens = totals(group)
        out[index] = lines[index].model_copy(update={"context_tokens": tokens["context_size_end"], "tokens": tokens})
    return out, Alignment(len(usages) - unmatched, unmatched, len(groups))


def totals(group: Sequence[Usage]) -> dict[str, Any]:
    """The `tokens` of one log line."""
    return {
        "n_messages": len(group),
        "input": sum(u.input for u in group),
        "output": sum(u.output for u in group),
        "cache_read": sum(u.cache_read for u in group),
        "cache_create": sum(u.cache_create for u in group),
        "cache_create_5m": sum(u.cache_create_5m for u in group),
        "cache_create_1h": sum(u.cache_create_1h for u in group),
        "context_size_end": group[-1].context,
        "models": sorted({u.model for u in group}),
    }
