"""The workspace that a page shows: its runs, by name, and whether something can be written there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tao_skill_bank.assurance.monitor_record import SETTINGS_FILE
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.core.text import clean
from tao_skill_bank.loop.state import state_path
from tao_skill_bank.reports.certificate import JSON_FILE


class Workspace:
    """A folder that holds runs under `results/`, or is itself a run or an annotation's results folder.

    Args:
        root: The workspace; it is there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def runs(self) -> dict[str, Path]:
        """Name → run folder of every folder that holds a state, the last name first."""
        return {p.name: p for p in reversed(self._results()) if _within(guard.is_file, state_path(p))}

    def run(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            InputError: There is none of that name.
        """
        at = self.root / "results" / name
        if name == Path(name).name and name not in ("", ".", "..") and guard.is_file(state_path(at)):
            return at
        return _named("run", name, self.runs(), self.root / "results")

    def annotations(self) -> dict[str, Path]:
        """Name → results folder of every annotation that has questions."""
        from tao_skill_bank.annotate.layout import step_file

        found = [p for p in self._annotation_places() if _within(guard.is_file, step_file(p, "3"))]
        return {self._named(p): p for p in found}

    def annotating(self) -> dict[str, Path]:
        """Name → results folder of every annotation that was begun, with questions or without."""
        from tao_skill_bank.annotate.journal import journal_path

        begun = [p for p in self._annotation_places() if _within(guard.is_file, journal_path(p))]
        return {self._named(p): p for p in begun}

    def annotation(self, name: str) -> Path:
        """The results folder of an annotation.

        Raises:
            InputError: There is none of that name.
        """
        return _named("annotation", name, self.annotations(), self.root)

    def why_not_writable(self) -> str | None:
        """Why nothing can be written here; None where it can."""
        try:
            about = os.statvfs(self.root)
            if about.f_flag & os.ST_RDONLY:
                return f"{self.root} lies on a disk that is mounted read-only"
        except OSError as error:
            return f"{self.root}: {error.strerror}"
        if not os.access(self.root, os.W_OK | os.X_OK):
            return f"{self.root} may not be written by this user"
        return None

    def monitors(self) -> dict[str, Path]:
        """Name → folder of every monitor in the workspace."""
        return {self._named(p): p for p in self._places() if _within(guard.is_file, p / SETTINGS_FILE)}

    def certificates(self) -> dict[str, Path]:
        """Name → file of every certificate in the workspace."""
        return {self._named(p): p / JSON_FILE for p in self._places() if _within(guard.is_file, p / JSON_FILE)}

    def certificate(self, name: str) -> Path:
        """The file of a certificate.

        Raises:
            InputError: There is none of that name.
        """
        return _named("certificate", name, self.certificates(), self.root)

    def _places(self) -> list[Path]:
        """The folders of a workspace that results are put into: its own, those of `results`, and those of its runs."""
        runs = [inner for run in self._results() for inner in guard_children(run)]
        return [*self._annotation_places(), *runs]

    def _annotation_places(self) -> list[Path]:
        return list(dict.fromkeys([self.root, *guard_children(self.root), *self._results()]))

    def _named(self, folder: Path) -> str:
        return "." if folder == self.root else str(folder.relative_to(self.root))

    def _results(self) -> list[Path]:
        return guard_children(self.root / "results")


def _named(kind: str, name: str, known: dict[str, Path], where: Path) -> Path:
    if name not in known:
        raise InputError(f"no {kind} {clean(name)!r}", where=where, fix=did_you_mean(name, list(known)))
    return known[name]


def guard_children(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none where there is no such folder."""
    return [p for p in guard.matching(folder, "*") if not p.name.startswith(".") and _within(guard.is_folder, p)]


def _within(look: Callable[[Path], bool], path: Path) -> bool:
    """Whether it is so of a path within the folders of the page; one that a link leads out of them hides no other."""
    try:
        return look(path)
    except OutsideError:
        return False
