"""What the server's addresses share: the workspace as it was read, and what was sent with a request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.state import state_path
from tao_skill_bank.studio.kept_sheets import kept_for
from tao_skill_bank.studio.likeness import Likeness
from tao_skill_bank.studio.pictures import Thumbnails
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources
from tao_skill_bank.studio.verdicts import Shelf
from tao_skill_bank.studio.workspace import Workspace

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
BODY = "studio.body"
"""Where the server puts what was sent with a request."""


class Questions(NamedTuple):
    """The questions of an annotation as they were read; `checked`: digest → task of those that passed the checks."""

    book: QuestionBook
    checked: dict[str, str]


class Remembered(Generic[T]):
    """What was read of folders, read again only when their mark has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Path, tuple[str, T]] = {}

    def of(self, folder: Path, mark: str, read: Callable[[Path], T]) -> T:
        """What is known of a folder whose files have this mark."""
        with self._lock:
            known = self._found.get(folder)
            if known is None or known[0] != mark:
                known = self._found[folder] = (mark, read(folder))
            return known[1]


class Studio:
    """What the addresses share: the workspace, what was read of it, and who looks.

    Args:
        root: The workspace.
        token: What every request carries.
        port: Where the server listens.
        folders: What may be opened beside the workspace.
    """

    def __init__(self, root: Path, token: str, port: int, folders: tuple[Path, ...] = ()) -> None:
        self.workspace = Workspace(root)
        self.token = token
        self.port = port
        self.folders = roots.outermost([self.workspace.root, *folders])
        self.sheets = Sheets(on_disk=kept_for(self.workspace.root))
        self.thumbnails = Thumbnails()
        self.shelf = Shelf()
        self.likeness = Likeness()
        self.questions: Remembered[Questions] = Remembered()
        self.looking: tuple[int, int] = (0, 0)
        self._sources: Remembered[RunSources] = Remembered()

    def sources(self, run: str) -> RunSources:
        """The sets of a run, read again only when its state has changed.

        Raises:
            InputError: There is no such run, or it has no boards.
        """
        folder = self.workspace.run(run)
        return self._sources.of(folder, guard.mark(state_path(folder)), RunSources)


Routes = tuple[tuple[str, str, "Callable[[Studio, Request], Any]"], ...]
"""(address, method, what answers) of each."""


def body(request: Request) -> bytes:
    """What was sent with a request."""
    found: bytes = request.scope.get(BODY, b"")
    return found


def asked(request: Request, model: type[M]) -> M:
    """What was sent, as its model.

    Raises:
        InputError: It is something else.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate_json(body(request) or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "body"
        raise InputError(first["msg"], where=key, fix="send what the page sends") from None


def number(request: Request, name: str, default: int | None = None) -> int | None:
    """A whole number out of the address.

    Raises:
        InputError: It is none.
    """
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not text.isdecimal() or len(text) > 12:
        raise InputError(f"{text!r} is no number", where=name, fix="write digits")
    return int(text)
