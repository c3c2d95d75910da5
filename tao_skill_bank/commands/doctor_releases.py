"""What the doctor says of TAO releases: those that are known, and on request those that the Python index has since."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

from tao_skill_bank.data.releases.facts import known, newest, ordered

PACKAGE = "nvidia-tao-pytorch"
_PATIENCE_SEC = 30.0


def release_text(listed: list[str] | None) -> tuple[bool, str, str]:
    """Whether all is known, what to say, and what mends it.

    Args:
        listed: The versions that an index has; None where it was asked and did not answer; empty: not asked.
    """
    mine = f"known: {', '.join(known())}"
    if listed is None:
        return False, f"{mine}; the Python index does not answer", "check the network, or leave --index away"
    newer = [v for v in sorted(listed, key=ordered) if ordered(v) > ordered(newest())]
    if newer:
        text = f"{mine}; the Python index has {', '.join(newer)}: specs are checked as for {newest()}"
        return False, text, "make releases, in the repository"
    return (
        True,
        f"{mine}; " + ("nothing newer on the Python index" if listed else "the index was not asked (--index)"),
        "",
    )


def on_index(run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> list[str] | None:
    """The versions that the user's Python index has; None where it does not answer in time."""
    line = [sys.executable, "-m", "pip", "index", "versions", PACKAGE, "--python-version", "3.12"]
    try:
        done = run(
            [*line, "--only-binary=:all:", "--retries", "0", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_SEC,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"Available versions: (.*)", done.stdout)
    return [v.strip() for v in found[1].split(",")] if found else None
