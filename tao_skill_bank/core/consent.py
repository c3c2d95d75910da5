"""How a person's word arrived, and how every page tells it."""

from __future__ import annotations

from typing import Literal

How = Literal["flag", "elicitation", "tty", "studio"]
"""`flag`: --yes or --approve of a command, which a script or an agent may have typed; `elicitation`: the question of a
client; `tty`: the question at a terminal; `studio`: a person's name on the page."""
_WORDS: dict[How, str] = {
    "flag": "by flag; nobody was asked",
    "elicitation": "in the client",
    "tty": "at the terminal",
    "studio": "in the studio",
}


def started(how: str) -> str:
    """The same of a run that a command may start without an approval: `started by a command; nobody was asked`."""
    return next((approved(known) for known in _WORDS if known == how), "started by a command; nobody was asked")


def approved(how: How) -> str:
    """`approved by flag; nobody was asked`, `approved in the client`, `approved at the terminal`."""
    return f"approved {_WORDS[how]}"
