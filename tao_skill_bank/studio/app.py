"""The server's addresses. Each is one function of the engine, its answer a model as JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tao_skill_bank.annotate.question_book import QuestionBook
from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.errors import BankError, BusyError, InputError, system_error
from tao_skill_bank.loop.state import state_path
from tao_skill_bank.studio.access import ClosedError, Gate
from tao_skill_bank.studio.likeness import Likeness
from tao_skill_bank.studio.pictures import Thumbnails
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources
from tao_skill_bank.studio.verdicts import Shelf
from tao_skill_bank.studio.workspace import Workspace

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Answer = Callable[[Request], Awaitable[Response]]

M = TypeVar("M", bound=BaseModel)
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
MOST_BODY = 64 << 20


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
        self.sheets = Sheets()
        self.thumbnails = Thumbnails()
        self.shelf = Shelf()
        self.likeness = Likeness()
        self.lock = threading.Lock()
        self.questions: dict[Path, tuple[str, QuestionBook]] = {}
        self._sources: dict[Path, tuple[str, RunSources]] = {}

    def sources(self, run: str) -> RunSources:
        """The sets of a run, read again only when its state has changed.

        Raises:
            InputError: There is no such run, or it has no boards.
        """
        folder = self.workspace.run(run)
        about = guard.status(state_path(folder))
        mark = "" if about is None else f"{about.st_ino}.{about.st_mtime_ns}.{about.st_size}"
        with self.lock:
            known = self._sources.get(folder)
            if known is None or known[0] != mark:
                known = self._sources[folder] = (mark, RunSources(folder))
            return known[1]


def build(studio: Studio) -> Gate:
    """The application behind its gate."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    from tao_skill_bank.studio import api_annotate, api_labels, api_plan, api_runs, api_samples

    def bound(function: Callable[[Studio, Request], Any]) -> Answer:
        return _answer(studio, function)

    routes = [Route("/", bound(_page)), Route("/static/{name}", bound(_static))]
    for module in (api_runs, api_samples, api_labels, api_plan, api_annotate):
        for path, method, function in module.ROUTES:
            routes.append(Route(f"/api{path}", bound(function), methods=[method]))
    app: Starlette = Starlette(routes=routes)
    return Gate(app, token=studio.token, port=studio.port, folders=studio.folders)


def _answer(studio: Studio, function: Callable[[Studio, Request], Any]) -> Answer:
    """The function in a thread, its model as JSON, a user's error as JSON that says what to do."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response

    async def answer(request: Request) -> Response:
        try:
            if request.method != "GET":
                request.scope["studio.body"] = await _body(request)
            found = await run_in_threadpool(function, studio, request)
        except (BankError, OSError) as error:
            known = error if isinstance(error, BankError) else system_error(error)
            told = {"error": known.line(), "what": known.what, "where": str(known.where or ""), "fix": known.fix or ""}
            return JSONResponse(told, _status(known))
        if isinstance(found, Response):
            return found
        text = found.model_dump_json() if isinstance(found, BaseModel) else json.dumps(found, allow_nan=False)
        return Response(text, media_type="application/json")

    return answer


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY:
            raise InputError("is too long", where="the request", fix=f"send at most {MOST_BODY >> 20} MB")
        parts.append(part)
    return b"".join(parts)


def body(request: Request) -> bytes:
    """What was sent with a request."""
    found: bytes = request.scope.get("studio.body", b"")
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


def _status(error: BankError) -> int:
    if isinstance(error, (roots.OutsideError, ClosedError)):
        return 403
    if isinstance(error, BusyError):
        return 409
    return 400


def _page(studio: Studio, request: Request) -> Response:
    from starlette.responses import Response

    return Response(_asset("index.html"), media_type="text/html")


def _static(studio: Studio, request: Request) -> Response:
    from starlette.responses import PlainTextResponse, Response

    name = str(request.path_params["name"])
    suffix = Path(name).suffix
    if suffix not in KINDS or not resources.files("tao_skill_bank.studio").joinpath("static", name).is_file():
        return PlainTextResponse("nothing here\n", 404)
    headers = {"Cache-Control": "max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
    if name == "map.html":
        headers["Content-Security-Policy"] = MAP_POLICY
    return Response(_asset(name), media_type=KINDS[suffix], headers=headers)


MAP_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The map's library makes its drawing code at run time; so it is held in a frame that reaches nothing else."""


def _asset(name: str) -> bytes:
    with roots.own_files():
        return resources.files("tao_skill_bank.studio").joinpath("static", name).read_bytes()


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


__all__ = ["Studio", "asked", "body", "build", "number"]
