"""The seal of an approval: what shows that the bank wrote it, and not somebody who can write into the workspace.

A run's state lies in the workspace, where an agent that edits files may write. So an approval carries a keyed digest of
itself and of its run folder. The key is the user's, in the configuration folder, outside every workspace: a state that
was written by hand, or an approval copied from another run, approves nothing. Whoever runs commands as the user can
also run `--approve`; against that only the client's own permissions help.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import shlex
from pathlib import Path

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.roots import config_folder, own_files
from tao_skill_bank.core.system import user_name
from tao_skill_bank.loop.state import AnyState, Approval

_BYTES = 32


def key_path() -> Path:
    """Where the user's key lies."""
    return config_folder() / "approval.key"


def sealed(approval: Approval, results_dir: Path, workspace: Path) -> Approval:
    """The approval with its seal; the first one makes the user's key.

    Raises:
        InputError: The key cannot be made or read, or others than the user may read it.
    """
    return approval.model_copy(update={"seal": _seal(approval, results_dir, require_key(workspace))})


def require_key(workspace: Path) -> bytes:
    """The user's key, made if there is none: to be asked for before anything is made that an approval is for.

    Raises:
        InputError: As `sealed`.
    """
    _outside(workspace)
    return _read() or _make()


def is_approved(state: AnyState, digest: str) -> bool:
    """Whether this run's plan, known by `digest`, was approved through the bank by this user.

    Raises:
        InputError: The key cannot be read, or others than the user may read it.
    """
    approval = state.approval
    if approval is None or approval.digest != digest:
        return False
    _outside(Path(state.config.workspace))
    key = _read()
    expected = None if key is None else _seal(approval, Path(state.results_dir), key)
    return expected is not None and hmac.compare_digest(approval.seal.encode(), expected.encode())


def approver() -> str:
    """The user and the machine, as an approval names them: by the system, not by variables anybody may set."""
    return f"{user_name()}@{os.uname().nodename}"


def unapproved(state: AnyState, digest: str) -> str:
    """Why no approval stands, for people."""
    if state.approval is None:
        return "the plan of this run has not been approved"
    if state.approval.digest != digest:
        return "the plan of this run has changed since it was approved"
    return "the approval in this run's state was not given here by this user"


def _seal(approval: Approval, results_dir: Path, key: bytes) -> str:
    value: list[str | list[str]] = [approval.digest, approval.approved_at, approval.how, str(results_dir.resolve())]
    if approval.by is not None:
        value.append(approval.by)
    if approval.words:
        # A list of its own: no word can stand for the approver.
        value.append(list(approval.words))
    return hmac.new(key, fsio.canonical_json(value).encode(), hashlib.sha256).hexdigest()


def _outside(workspace: Path) -> None:
    """Refuse a key in the workspace, whatever put it there: a variable of a project's settings, or a link."""
    path = key_path().resolve()
    if workspace.resolve() in path.parents:
        raise InputError(
            "the approval key would lie in the workspace, where whoever edits files could use it",
            where=path,
            fix="set XDG_CONFIG_HOME to a folder outside the workspace",
        )


def _read() -> bytes | None:
    try:
        with key_path().open("rb") as handle:
            facts, key = os.fstat(handle.fileno()), handle.read(_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"the approval key cannot be read: {error.strerror}",
            where=key_path(),
            fix="fix its permissions, or set XDG_CONFIG_HOME",
        ) from None
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise InputError(
            "the approval key is not the user's alone",
            where=key_path(),
            fix=f"chmod 600 {shlex.quote(str(key_path()))}",
        )
    return key if len(key) == _BYTES else None


def _make() -> bytes:
    """A new key, whole or not at all; of several processes the first one's is kept."""
    path = key_path()
    temp = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size != _BYTES:
                path.unlink()
        try:
            with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(secrets.token_bytes(_BYTES))
                handle.flush()
                os.fsync(handle.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temp, path)
        finally:
            temp.unlink(missing_ok=True)
        with own_files():
            fsio.fsync_dir(path.parent)
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the approval key cannot be made: {error.strerror}",
            where=path,
            fix="set XDG_CONFIG_HOME to a folder of yours",
        ) from None
