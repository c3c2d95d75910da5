"""What a key probably holds, by a look at some items: for messages only, nothing is judged by a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill_bank.data.vlm.places import has_media_suffix

_YES_NO = re.compile(r"(?i)\b(?:yes|no|true|false|ok|ng)\b|^[01]$|是|否|はい|いいえ")


def guess(items: Sequence[Mapping[str, Any]], roles: Sequence[str], taken: set[Any]) -> dict[str, str]:
    """Role → key for those roles that some key fits, the likeliest first; a key is given once."""
    keys = [k for k in items[0] if k not in taken and not str(k).startswith("@")] if items else []
    values = {k: [_text(item.get(k)) for item in items] for k in keys}
    found: dict[str, str] = {}
    for role in ("video_id", "question", "gt", "response"):
        if role not in roles:
            continue
        scored = [(_fit(role, values[k]), -i, k) for i, k in enumerate(keys) if k not in found.values()]
        best = max(scored, default=(0.0, 0, ""))
        if best[0] > 0.5:
            found[role] = best[2]
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None or isinstance(value, (dict, list)) else str(value)


def _fit(role: str, texts: Sequence[str]) -> float:
    """How well texts fit a role, 0..1."""
    known = [t.strip() for t in texts if t.strip()]
    if not known:
        return 0.0
    n = len(texts)
    answers = sum(bool(_YES_NO.search(t)) for t in known) / n
    short = sum(len(t) <= 12 for t in known) / n
    if role == "video_id":
        return sum(has_media_suffix(t) or "://" in t for t in known) / n
    if role == "question":
        return sum(t.endswith(("?", "？")) or "?\n" in t for t in known) / n
    if role == "gt":
        return answers * short
    return answers * (1 - 0.3 * short)
