"""The server's addresses. Each is one function of the engine, its answer a model as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import BankError, BusyError, InputError, system_error
from tao_skill_bank.loop.state import not_own, read_header
from tao_skill_bank.studio import api_annotate, api_holds, api_labels, api_plan, api_runs, api_samples
from tao_skill_bank.studio.access import ClosedError, Gate
from tao_skill_bank.studio.app import BODY, Studio

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Answer = Callable[[Request], Awaitable[Response]]

KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
MOST_BODY = 64 << 20


def build(studio: Studio) -> Gate:
    """The application behind its gate."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    def bound(function: Callable[[Studio, Request], Any]) -> Answer:
        return _answer(studio, function)

    routes = [Route("/", bound(_page)), Route("/static/{name}", bound(_static))]
    for module in (api_runs, api_samples, api_labels, api_plan, api_annotate, api_holds):
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
                request.scope[BODY] = await _body(request)
            found = await run_in_threadpool(function, studio, request)
        except (BankError, OSError) as error:
            known = error if isinstance(error, BankError) else system_error(error)
            if isinstance(known, roots.OutsideError):
                known = _moved(studio, request) or known
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


def _moved(studio: Studio, request: Request) -> BankError | None:
    """What to say of the run of an address where it was moved, so that its paths lead elsewhere; None: it was not."""
    name = request.path_params.get("run") or request.query_params.get("run", "")
    try:
        folder = studio.workspace.run(str(name))
        return not_own(read_header(folder), folder)
    except (BankError, OSError):
        return None


def _status(error: BankError) -> int:
    if isinstance(error, (roots.OutsideError, ClosedError)):
        return 403
    if isinstance(error, BusyError):
        return 409
    # Nothing is wrong with what was asked: the system refused, or another has the file. It may be asked again.
    return 503 if type(error) is BankError else 400


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
