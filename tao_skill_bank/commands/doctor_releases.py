"""What the doctor says of TAO releases: those that are known, and on request those that the Python index has since."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tao_skill_bank.core.fsio import write_json
from tao_skill_bank.data.pictures.memory import cache_folder
from tao_skill_bank.data.releases.facts import known, newest, ordered

PACKAGE = "nvidia-tao-pytorch"
_PATIENCE_SEC = 30.0
_VERSION = re.compile(r"\d+(\.\d+){1,3}")


def release_text(listed: list[str] | None, seen: list[str] | None = None) -> tuple[bool, str, str]:
    """Whether all is known, what to say, and what mends it.

    Args:
        listed: The versions that an index has; None where it was asked and did not answer; empty: not asked.
        seen: Those that it had when it was asked last.
    """
    mine = f"known: {', '.join(known())}"
    if listed is None:
        return False, f"{mine}; the Python index does not answer", "check the network, or leave --index away"
    newer = [v for v in sorted(listed, key=ordered) if ordered(v) > ordered(newest())]
    if newer:
        text = f"{mine}; the Python index has {', '.join(newer)}: specs are checked as for {newest()}"
        return False, text, "make releases, in the repository"
    later = [] if listed else [v for v in sorted(seen or [], key=ordered) if ordered(v) > ordered(newest())]
    if later:
        text = f"{mine}; the Python index had {', '.join(later)} when asked last: specs are checked as for {newest()}"
        return False, text, "make releases, in the repository"
    return (
        True,
        f"{mine}; " + ("nothing newer on the Python index" if listed else "the index was not asked (--index)"),
        "",
    )


def keep(listed: list[str], path: Path | None = None) -> None:
    """Remember what the index had, so that a later look says it without asking; where that cannot be, nothing is."""
    with contextlib.suppress(OSError):
        write_json(path or _kept(), {"versions": listed})


def seen_last(path: Path | None = None) -> list[str]:
    """What the index had when it was asked last; nothing where it never was."""
    try:
        found = json.loads((path or _kept()).read_text(encoding="utf-8"))["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [v for v in found if isinstance(v, str) and _VERSION.fullmatch(v)] if isinstance(found, list) else []


def _kept() -> Path:
    return cache_folder() / "tao-releases.json"


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
