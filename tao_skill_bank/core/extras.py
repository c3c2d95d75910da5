"""What a plain install leaves out: how it is asked for, and the one command that brings it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError

_BESIDE = Path(__file__).resolve().parents[2]
"""The bank's folder, in a checkout or a plugin."""


class MissingExtraError(InputError):
    """A command needs an extra that is not installed; `command` brings it, when a person says so."""

    def __init__(self, extra: str, what: str) -> None:
        self.extra = extra
        self.command = install_command(extra)
        super().__init__(what, fix=f"install it by: {shlex.join(self.command)}")


def pyav() -> Any:
    """PyAV, which reads and writes videos.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError("video", "videos need PyAV, which is not installed here (107 MB)") from None
    return av


def install_command(extra: str) -> list[str]:
    """What brings an extra into the environment at work: by its lock where the bank has one, else from the index."""
    set_up, lock = _BESIDE / "scripts/set_up.py", _BESIDE / f"requirements-{extra}.lock"
    if set_up.is_file() and lock.is_file() and sys.prefix != sys.base_prefix:
        return [sys.executable, str(set_up), sys.prefix, "--lock", str(lock)]
    wanted = [
        re.split(r"\s*;", requirement)[0]
        for requirement in importlib.metadata.requires("tao-skill-bank") or ()
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement)
    ]
    if importlib.util.find_spec("pip") is None and (uv := shutil.which("uv")):
        return [uv, "pip", "install", "--python", sys.executable, *wanted]
    return [sys.executable, "-m", "pip", "install", *wanted]
