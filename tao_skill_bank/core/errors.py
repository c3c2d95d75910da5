"""The one error tree. Every error a user can cause says what is wrong, where, and what to do next.

A door (console, MCP tool, script) turns a `BankError` into an exit status or a tool error, in one line.
Anything that is not a `BankError` is a defect of this package and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class BankError(Exception):
    """An error a user can act on.

    Args:
        what: What is wrong, without a full stop: `score is not a number: 'abc'`.
        where: File, row, key or item: `inference.csv row 7`. Paths are fine.
        fix: What to do next, as an instruction.
    """

    exit_code = EXIT_USAGE

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        super().__init__(self.line())

    def line(self) -> str:
        """The error as one line: `where: what (fix)`; control characters are escaped."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.fix:
            text = f"{text} ({self.fix})"
        return _one_line(text)


def _one_line(text: str) -> str:
    # The thin space between thousands, as `core.text.whole` writes it, is a sign and no control.
    return "".join(c if c.isprintable() or c == "\u202f" else c.encode("unicode_escape").decode() for c in text)


class InputError(BankError):
    """A file, row, key or argument that cannot be used as it is. Nothing was changed on disk."""


class InputErrors(InputError):
    """Several faults of one input, found in one pass; `faults` holds a line each, control characters escaped."""

    def __init__(self, what: str, faults: list[str], *, where: str | Path | None = None, fix: str | None = None):
        self.faults = [_one_line(fault) for fault in faults]
        super().__init__(what, where=where, fix=fix)


class UnreachableError(BankError):
    """No operating point meets the recall that was asked for."""

    exit_code = EXIT_UNREACHABLE


class EngineUnreachableError(BankError):
    """A cluster or container engine does not answer: nothing is known about its jobs, so nothing is decided."""

    exit_code = EXIT_UNREACHABLE


class GateError(BankError):
    """A hard stop of the loop: the rule `gate` does not let the run go on. Never retried by itself."""

    exit_code = 4

    def __init__(self, gate: str, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.gate = gate
        super().__init__(what, where=where, fix=fix)


class NeedsApprovalError(BankError):
    """The run may not start before what is known by `digest` (its plan, a module that it runs) is approved."""

    exit_code = 5

    def __init__(
        self,
        what: str,
        *,
        digest: str,
        where: str | Path | None = None,
        fix: str | None = None,
        checked: object = None,
    ) -> None:
        self.digest = digest
        self.checked = checked
        """What was looked at for this very digest, where something was: it need not be looked at again."""
        super().__init__(what, where=where, fix=fix)


class StageFailedError(BankError):
    """A stage ran and did not deliver what it promised. Running again takes the run up at this stage."""

    exit_code = 1


class BusyError(BankError):
    """Another process works on the same run."""

    exit_code = 6


class LostRunError(BusyError):
    """Another process has taken the run over. Whoever is told so stops, and writes nothing any more."""


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names nearest to a mistyped one, best first, at most `limit`."""
    return difflib.get_close_matches(name, sorted(known), n=limit, cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'a', 'b'?`, or the whole list where nothing is near."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return "did you mean " + ", ".join(repr(n) for n in close) + "?"
    return "known: " + ", ".join(names[:30])


def system_error(error: OSError) -> BankError:
    """An operating system error (no such file, disk full, permission) as a user's error."""
    fix = "check that the path exists, is readable or writable, and that the disk has room"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "make room there (df -h shows bytes, df -i files), then run again; what was written is kept"
    return BankError(
        error.strerror or str(error),
        where=error.filename if isinstance(error.filename, str) else None,
        fix=fix,
    )
