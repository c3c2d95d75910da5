"""What every task's configuration has in common, and which of its settings are files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tao_skill_bank.platforms.work import Work


class RunSettings(Work):
    """The resolved configuration of a run. Paths are absolute; the run folder is not in it.

    A task's own settings are a subclass, which says which of them are files:

    Attributes:
        content_keys: Files whose bytes belong to the plan's digest, where they are named.
        required_keys: Those of them that must be there.
        path_keys: Every setting that is a path inside the workspace.
        laid_out_by: How a workspace with them comes to be, where a command makes one.
        fixed_keys: What cannot change any more once a model was measured.
    """

    content_keys: ClassVar[tuple[str, ...]] = ()
    required_keys: ClassVar[tuple[str, ...]] = ()
    laid_out_by: ClassVar[str] = ""
    path_keys: ClassVar[tuple[str, ...]] = ()
    fixed_keys: ClassVar[tuple[str, ...]] = ()

    def inputs(self) -> list[tuple[str, str | None]]:
        """(setting, path) of every file and folder that jobs read."""
        return [(key, getattr(self, key)) for key in self.path_keys]

    def contents(self) -> dict[str, Path]:
        """Key → file, of every file whose bytes belong to the plan's digest and that is named."""
        named = {key: getattr(self, key) for key in self.content_keys}
        return {key: Path(path) for key, path in named.items() if path is not None}
