"""Addresses of an annotation's questions: cards, their videos, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.annotate.layout import step_file
from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.core import guard
from tao_skill_bank.studio import cards, verdicts
from tao_skill_bank.studio.app import asked, number
from tao_skill_bank.studio.pictures import file_response
from tao_skill_bank.studio.verdicts import Said, Undo, WordRow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tao_skill_bank.studio.app import Studio


def _book(studio: Studio, folder: Path) -> QuestionBook:
    """The questions of a folder, read again when their file has changed."""
    about = guard.status(step_file(folder, "3"))
    mark = "" if about is None else f"{about.st_ino}.{about.st_size}.{about.st_mtime_ns}"
    with studio.lock:
        known = studio.questions.get(folder)
        if known is None or known[0] != mark:
            known = studio.questions[folder] = (mark, QuestionBook(folder))
        return known[1]


def annotation(studio: Studio, request: Request) -> dict[str, Any]:
    """A sample of the questions: `n` of them, drawn by task and video with `seed`."""
    folder = studio.workspace.annotation(request.query_params.get("in", ""))
    wanted, seed = number(request, "n", 50) or 50, number(request, "seed", 1) or 0
    return cards.cards(folder, _book(studio, folder), wanted, seed)


def video(studio: Studio, request: Request) -> Response:
    """The video of a question, or the part of it that is asked for."""
    folder = studio.workspace.annotation(request.query_params.get("in", ""))
    digest = request.query_params.get("digest", "")
    return file_response(cards.video_of_card(folder, _book(studio, folder), digest), request.headers.get("range"))


def say(studio: Studio, request: Request) -> dict[str, list[dict[str, Any]]]:
    """Take verdicts on questions; they stand in the corrections of the results folder."""
    folder = studio.workspace.annotation(str(request.path_params["name"]))
    words = verdicts.say(folder, asked(request, Said).words, _book(studio, folder))
    return {"words": [word.model_dump() for word in words]}


def undo(studio: Studio, request: Request) -> WordRow:
    """Take one back."""
    folder = studio.workspace.annotation(str(request.path_params["name"]))
    return verdicts.take_back(folder, asked(request, Undo), _book(studio, folder))


ROUTES: tuple[tuple[str, str, Callable[[Studio, Request], Any]], ...] = (
    ("/annotation", "GET", annotation),
    ("/annotation/video", "GET", video),
    ("/annotation/say/{name:path}", "POST", say),
    ("/annotation/undo/{name:path}", "POST", undo),
)
