"""Which prompts modules may run: somebody's Python is run only where a person has allowed exactly these bytes.

A spec comes from anywhere, and the module that it names would run with all rights of whoever starts it. So a module
that is not the bank's own is found without being imported, known by the digest of its bytes, and run from the bytes
that were digested (never from compiled code beside them). The list of what is allowed is the user's, outside every
workspace and results folder: no spec, run folder or tool of an agent can add to it.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tao_skill_bank.core import guard
from tao_skill_bank.core.clock import SystemClock, log_time
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.core.fsio import write_json
from tao_skill_bank.core.roots import config_folder, held, holding, own_files

VARIABLE = "TAO_ALLOWED_PROMPTS"
"""Digests (SHA-256, commas between them) for machines where nobody types; workers get theirs by it."""
_WHERE = "video_reasoning_annotation.prompts_module"
_FIX = "name a .py file, a module that is installed, or one of general, traffic, warehouse"


class NotAllowedError(NeedsApprovalError):
    """A prompts module that no person has allowed to run; nothing of it was run."""

    def __init__(self, source: Source) -> None:
        self.source = source
        super().__init__(
            f"{source.path} is Python that nobody has allowed to run",
            digest=source.sha256,
            where=_WHERE,
            fix=f"read it, then type: {source.command}",
        )


@dataclass(frozen=True)
class Source:
    """A module's file as it was read, not run.

    Attributes:
        name: As the spec names it.
    """

    name: str
    path: Path
    code: bytes

    @property
    def sha256(self) -> str:
        """What it is known by."""
        return hashlib.sha256(self.code).hexdigest()

    @property
    def lines(self) -> int:
        """How long it is."""
        return len(self.code.splitlines())

    @property
    def command(self) -> str:
        """What a person types to allow it."""
        return shlex.join(["tao-skills", "annotate", "allow", str(self.path)])


def find(name: str) -> Source:
    """The file behind a path or a dotted name, read and not run; of a dotted name no package is imported either.

    Raises:
        InputError: There is no Python file of that name.
    """
    path = Path(name).expanduser() if name.endswith(".py") else _dotted(name)
    if path is None or not path.is_file():
        raise InputError(f"{name!r} cannot be imported: no such Python file", where=_WHERE, fix=_FIX)
    path = path.absolute()
    return Source(name, path, path.read_bytes())


def allowed(source: Source) -> bool:
    """Whether a person has allowed exactly these bytes."""
    if source.sha256 in os.environ.get(VARIABLE, "").split(","):
        return True
    entry = _entry(source)
    if not is_the_users_alone(entry.parent):
        return False
    try:
        kept = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(kept, dict) and kept.get("sha256") == source.sha256


def allow(source: Source, *, how: str) -> Path:
    """Note that a person allows these bytes; `how` says through which door. Returns the file of the note."""
    path = _entry(source)
    with own_files():
        guard.make_folder(path.parent)
    if not is_the_users_alone(path.parent):
        raise InputError(
            "the list of allowed modules would lie where others could write it",
            where=path.parent,
            fix="set XDG_CONFIG_HOME to a folder of yours outside the workspace (chmod go-w)",
        )
    at = log_time(SystemClock().now())
    with own_files():
        write_json(path, {"sha256": source.sha256, "path": str(source.path), "at": at, "how": how})
    return path


def revoke(source: Source) -> bool:
    """Take it back; False if it was not noted."""
    try:
        _entry(source).unlink()
    except FileNotFoundError:
        return False
    return True


def run(source: Source) -> ModuleType:
    """The module of an allowed source, run from the bytes that were digested.

    Raises:
        NotAllowedError: Nobody allowed it.
        InputError: It cannot be run.
    """
    if not allowed(source):
        raise NotAllowedError(source)
    module = ModuleType(f"prompts_{source.sha256[:16]}")
    module.__file__ = str(source.path)
    # Dataclasses and the like look their module up here.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source.code, str(source.path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{source.name!r} cannot be imported: {reason}", where=_WHERE, fix=_FIX) from None
    return module


def is_the_users_alone(notes: Path) -> bool:
    """Whether a folder of notes is one that only its user writes to, and lies in no folder that others work in.

    Whoever edits files there could note what they like: a variable of a project's settings, or a link, may lead there.
    """
    try:
        about, real = os.stat(notes), os.path.realpath(notes)
    except OSError:
        return False
    own = about.st_uid == os.getuid() and not about.st_mode & 0o022
    return own and holding(real, held() or ()) is None


def _entry(source: Source) -> Path:
    return config_folder() / "allowed-prompts" / f"{source.sha256}.json"


def _dotted(name: str) -> Path | None:
    """Where a dotted name's file lies, looked for in the current folder and where packages are installed."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    places: list[str] = [str(Path.cwd()), *sys.path]
    spec = None
    for number in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: number + 1]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin and origin.endswith(".py") else None
