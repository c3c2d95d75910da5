"""Addresses of an annotation's questions: cards, their videos, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.judge.kept import FILE as JUDGED_FILE
from tao_skill_bank.annotate.layout import step_file
from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.annotate.results import opened
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.studio import cards, verdicts
from tao_skill_bank.studio.app import Questions, Routes, Studio, asked, number
from tao_skill_bank.studio.models import AnnotationList, AnnotationRow
from tao_skill_bank.studio.pictures import file_response
from tao_skill_bank.studio.verdicts import Said, Undo, WordRow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STILLS, STILL_SIDE = 12, 640
_AS_STATUS_SAYS = {"status", "videos", "done", "calls", "cost", "unpriced", "in_flight", "left_sec"}


def _read(studio: Studio, folder: Path) -> Questions:
    """The questions of a folder and which of them passed the checks, read again when one of their files has changed."""

    def read(folder: Path) -> Questions:
        with opened(folder) as results:
            return Questions(QuestionBook(folder), results.exportable())

    # What judges found, too: `annotate check` may have asked them since, and its items are no longer in any file.
    return studio.questions.of(folder, guard.mark(step_file(folder, "3"), folder / JUDGED_FILE), read)


def annotation(studio: Studio, request: Request) -> dict[str, Any]:
    """A sample of the questions: `n` of them, drawn with `seed`; without both, the one that was drawn before."""
    folder = studio.workspace.annotation(request.query_params.get("in", ""))
    known = _read(studio, folder)
    return cards.cards(folder, known.book, known.checked, number(request, "n"), number(request, "seed"))


def listed(studio: Studio, request: Request) -> AnnotationList:
    """Every annotation of the workspace and how far it is."""
    return AnnotationList(annotations=[_row(name, folder) for name, folder in studio.workspace.annotating().items()])


def _row(name: str, folder: Path) -> AnnotationRow:
    from tao_skill_bank.annotate.api import status

    try:
        found = status(folder)
    except (BankError, OSError) as error:
        return AnnotationRow(name=name, problem=error.line() if isinstance(error, BankError) else str(error))
    return AnnotationRow(
        **found.model_dump(include=_AS_STATUS_SAYS),
        name=name,
        working=found.working is not None,
        questions=guard.is_file(step_file(folder, "3")),
    )


def video(studio: Studio, request: Request) -> Response:
    """The video of a question, or the part of it that is asked for."""
    folder = studio.workspace.annotation(request.query_params.get("in", ""))
    digest = request.query_params.get("digest", "")
    return file_response(cards.video_of_card(folder, _read(studio, folder).book, digest), request.headers.get("range"))


def stills(studio: Studio, request: Request) -> dict[str, Any]:
    """Pictures of a question's span, or of the whole video: for a browser that cannot play its encoding."""
    from base64 import b64encode

    from tao_skill_bank.annotate.video import frames_at, probe, spread

    folder = studio.workspace.annotation(request.query_params.get("in", ""))
    book, digest = _read(studio, folder).book, request.query_params.get("digest", "")
    path = cards.video_of_card(folder, book, digest)
    item = book.questions[digest].item
    start, end = item.span if item is not None and item.span is not None else (0.0, probe(path).duration)
    found = frames_at(path, spread(float(start), float(end), STILLS), STILL_SIDE)
    return {"stills": [{"at": at, "jpeg": b64encode(jpeg).decode("ascii")} for at, jpeg in sorted(found.items())]}


def say(studio: Studio, request: Request) -> dict[str, list[dict[str, Any]]]:
    """Take verdicts on questions; they stand in the corrections of the results folder."""
    folder = studio.workspace.annotation(str(request.path_params["name"]))
    words = verdicts.say(folder, asked(request, Said).words, _read(studio, folder).book)
    return {"words": [word.model_dump() for word in words]}


def undo(studio: Studio, request: Request) -> WordRow:
    """Take one back."""
    folder = studio.workspace.annotation(str(request.path_params["name"]))
    return verdicts.take_back(folder, asked(request, Undo), _read(studio, folder).book)


ROUTES: Routes = (
    ("/annotations", "GET", listed),
    ("/annotation", "GET", annotation),
    ("/annotation/video", "GET", video),
    ("/annotation/stills", "GET", stills),
    ("/annotation/say/{name:path}", "POST", say),
    ("/annotation/undo/{name:path}", "POST", undo),
)
