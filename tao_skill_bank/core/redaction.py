"""Taking credentials out of text before it is stored or shown: the one redactor of the project.

It errs on the side of taking out too much. Names stay, values go: `NGC_API_KEY=[redacted]`. Counts of tokens, which
agents' transcripts are full of, are not credentials and stay. Repetitions in the patterns are bounded, so that a
megabyte without a blank costs no more than any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

MARK = "[redacted]"

_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?key)?|api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?|private[_-]?key"
    r"|ssh[_-]?key|account[_-]?key|credentials?|auth[_-]?token|bearer|token|cookie|sas|connection[_-]?string)"
)
_HEADER = r"(?:(?:proxy-)?authorization|x-[a-z-]{0,40}(?:key|token|auth)[a-z-]{0,40}|(?:set-)?cookie)"
# What a value looks like behind `=` or `:`; in quotes it may hold blanks.
_VALUE = r"(?!\[redacted\])(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s\"',;&|)}\]]+)"

# Tokens that tell by their form what they are.
TOKEN = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|nvapi-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{30,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9._-]{16,}"
    r"|dop_v1_[a-f0-9]{32,}|eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?)"
)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Keys in PEM; one that is cut off runs to the end.
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL),
        f"{MARK} (private key)",
    ),
    # Headers: as a quoted pair of name and value, quoted as a whole (`curl -H "…"`), or bare, then to the line's end.
    (re.compile(rf"(?i)\b({_HEADER}[\"']\s*[:=]\s*+)([\"'])(?!\[redacted\])(?:(?!\2)[^\n])+\2"), rf"\1\2{MARK}\2"),
    (re.compile(rf"(?i)([\"'])({_HEADER}\s*[:=]\s*+)(?!\[redacted\])(?:(?!\1)[^\n])+"), rf"\1\2{MARK}"),
    (re.compile(rf"(?i)(?<![\"'])\b({_HEADER}\s*[:=]\s*+)(?!\[redacted\])[^\n]+"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?=[^\s]*[A-Za-z0-9])[A-Za-z0-9._~+/-]{12,}=*"), rf"\1 {MARK}"),
    # Users and passwords in addresses.
    (re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/@:\"']{0,200}:[^\s/@\"']{1,400}@"), rf"\1{MARK}@"),
    (TOKEN, MARK),
    # `--password x`, `--token=x`.
    (re.compile(rf"(?i)(--[a-z0-9-]{{0,40}}{_NAME}(?!s\b)[ =]++)(?!-){_VALUE}"), rf"\1{MARK}"),
    # Assignments: shell, YAML, JSON, Python. `tokens` counts something; `token` is one.
    (
        re.compile(
            rf"(?i)((?<![a-z0-9])[\w.-]{{0,64}}?{_NAME}(?![a-rt-z0-9])(?!s\b)[\w-]{{0,40}}?[\"']?\s*(?::=|[:=])\s*+){_VALUE}"
        ),
        rf"\1{MARK}",
    ),
    (re.compile(rf"(?i)\b((?:password|passphrase|api key|secret|token)\s+is\s+){_VALUE}"), rf"\1{MARK}"),
)
_SENSITIVE = re.compile(rf"(?i)(?:^|[^a-z]){_NAME}(?:$|[^a-rt-z])|{_NAME}$")
_COUNTS = re.compile(r"(?i)tokens?[_ -]?(?:count|limit|usage|budget|ids?|type)|tokens$")


def redact(text: str) -> str:
    """`text` without what looks like a credential; redacting twice changes nothing more."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def is_sensitive(name: str) -> bool:
    """Whether a value of this name (an environment variable, a key) is to be kept secret."""
    return bool(_SENSITIVE.search(name)) and not _COUNTS.search(name)


def redact_value(value: Any) -> Any:
    """A JSON value with every string in it redacted, and whole the strings under a sensitive name."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redact_value(v) for v in value]
    if isinstance(value, dict):
        # Containers list their environment as {"name": …, "value": …}.
        named = next((value[k] for k in ("name", "key", "Name", "Key") if isinstance(value.get(k), str)), "")
        return {
            key: MARK if isinstance(v, str) and v and _secret_member(str(key), named) else redact_value(v)
            for key, v in value.items()
        }
    return value


def redact_json_lines(lines: Iterable[str]) -> Iterator[str]:
    """JSON Lines redacted value by value, so that they stay JSON; a line that is none is redacted as text."""
    for line in lines:
        text = line.rstrip("\r\n")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield redact(text) + "\n"
            continue
        yield json.dumps(redact_value(value), ensure_ascii=False, separators=(",", ":")) + "\n"


def _secret_member(key: str, named: str) -> bool:
    return is_sensitive(key) or (key.lower() == "value" and is_sensitive(named))
