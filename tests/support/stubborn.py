"""A job of several processes that all refuse to be asked: one of the job's own group, one of a session of its own."""

from __future__ import annotations

import os
from pathlib import Path

_LOOP = "trap '' TERM INT HUP; while :; do sleep 0.05; done"


def script(mark: str, ready: Path) -> str:
    """For `sh -c`: three processes that know `mark`, and `ready` once they all run."""
    one = f": {mark}; {_LOOP}"
    return (
        f'trap \'\' TERM INT HUP; sh -c "{one}" & setsid sh -c "{one}" & '
        f"sleep 0.3; touch {ready}; : {mark}; while :; do sleep 0.05; done"
    )


def living(mark: str) -> list[int]:
    """The processes of this machine, containers' among them, whose command line holds `mark`."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith((b"sh\0", b"/bin/sh\0", b"setsid\0")) and mark.encode() in words:
            found.append(pid)
    return found
