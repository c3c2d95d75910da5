"""A run's generation: every commit counts it up and replaces only the version that it read.

Locks are not everywhere what they say (two machines, two containers, some file systems). So whoever takes a run up
commits at once, before it does anything else: from there on every earlier worker of the run finds a generation that is
not its own, before it writes anything, and stops.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import LostRunError

_CLAIM = ".deft_state.g{}.tmp.json"
Version = tuple[str, int]
"""When the run began, and its generation: a run that was put in another's place is another one."""


def version_on_disk(path: Path) -> Version | None:
    """The version of the state file `path`; None where there is none that can be read."""
    try:
        raw = json.loads(guard.read_bytes(path, "state"))
        return str(raw["started_at"]), int(raw.get("generation", 0))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def commit(path: Path, value: dict[str, Any], version: Version | None) -> None:
    """Replace the state `path` by `value`, which counts one on.

    `version` is what was read, None: there was none; `value` is of the generation after it.

    Raises:
        LostRunError: There is another version meanwhile.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with guard.locked(path.with_name(f".{path.name}.lock"), make=True):
        claim = _CLAIM.format(value["generation"])
        if not fsio.swap_bytes(path, text.encode(), claim, unchanged=lambda: version_on_disk(path) == version):
            raise lost(path.parent, version, version_on_disk(path))


def clear_claims(results_dir: Path) -> None:
    """Take from earlier workers, dead or silent, what they need to commit; to be called by who takes the run over."""
    for path in guard.matching(results_dir, _CLAIM.format("*")):
        guard.remove(path)


def lost(folder: Path, own: Version | None, found: Version | None) -> LostRunError:
    """What is said to a worker that lost the run."""
    generation = own[1] if own else 0
    now = "there is no state any more" if found is None else f"its state is of generation {found[1]}"
    if found is not None and own is not None and found[0] != own[0]:
        now = "another run lies there"
    return LostRunError(
        f"somebody else has taken this run over: {now}, this worker's was {generation}",
        where=folder,
        fix="nothing more was written by it; see deft status",
    )


class Fence:
    """Whether this process still has the run; a look costs one `stat` while nothing has changed.

    Args:
        path: The state file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version: Version | None = None
        self._looked_at: tuple[int, int, int] | None = None

    def hold(self, version: Version) -> None:
        """From here on this version, which was just written, is this process's own."""
        self.version, self._looked_at = version, None

    def check(self) -> None:
        """Raise a `LostRunError` if the state is another version than the one that is held, if one is."""
        if self.version is None:
            return
        with suppress(FileNotFoundError):
            about = self.path.stat()
            looked = about.st_ino, about.st_mtime_ns, about.st_size
            if looked == self._looked_at:
                return
            if (found := version_on_disk(self.path)) == self.version:
                self._looked_at = looked
                return
            raise lost(self.path.parent, self.version, found)
        raise lost(self.path.parent, self.version, None)
