"""Addresses of samples, boards and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.studio import board as boards
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.app import body, number
from tao_skill_bank.studio.models import Board, SampleRow, SampleSet
from tao_skill_bank.studio.pictures import part_of
from tao_skill_bank.studio.sheets import Sheet
from tao_skill_bank.studio.sources import RunSources, Source

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tao_skill_bank.studio.app import Studio

EDGES = (64, 96, 128, 192, 256, 384, 768)


def _set(studio: Studio, request: Request) -> tuple[RunSources, Source, Sheet]:
    query = request.query_params
    sources = studio.sources(query.get("run", ""))
    source, sheet = samples.read(studio.sheets, sources, query.get("set", "kpi"), query.get("iteration") or None)
    return sources, source, sheet


def about(studio: Studio, request: Request) -> SampleSet:
    """What a set holds: labels, facets, and where its columns stand in `columns`."""
    query = request.query_params
    sources = studio.sources(query.get("run", ""))
    return samples.described(studio.sheets, sources, query.get("set", "kpi"), query.get("iteration") or None)[0]


def columns(studio: Studio, request: Request) -> Response:
    """The columns as bytes, little-endian, each at an offset that is a multiple of eight."""
    from starlette.responses import StreamingResponse

    query = request.query_params
    sources = studio.sources(query.get("run", ""))
    _, parts = samples.described(studio.sheets, sources, query.get("set", "kpi"), query.get("iteration") or None)

    def sent() -> Iterator[bytes]:
        yield from parts

    size = str(sum(len(part) for part in parts))
    return StreamingResponse(sent(), media_type="application/octet-stream", headers={"Content-Length": size})


def rows(studio: Studio, request: Request) -> dict[str, list[SampleRow]]:
    """Rows of the file by their numbers: `rows=3,7,12`."""
    text = request.query_params.get("rows", "")
    wanted = [part for part in text.split(",") if part]
    if any(not part.isdecimal() or len(part) > 12 for part in wanted):
        raise InputError(f"{text[:80]!r} is no list of rows", where="rows", fix="write numbers with commas between")
    _, _, sheet = _set(studio, request)
    found = samples.rows(sheet, [int(part) for part in wanted])
    return {"rows": [row.model_dump() for row in found]}  # type: ignore[misc]


def export(studio: Studio, request: Request) -> Response:
    """The rows whose numbers were sent (uint32, little-endian), in that order, as CSV or parquet."""
    import numpy as np
    from starlette.responses import Response

    sent = body(request)
    if len(sent) % 4:
        raise InputError("is no list of uint32", where="the request", fix="send what the page sends")
    kind = request.query_params.get("kind", "csv")
    if kind not in ("csv", "parquet"):
        raise InputError(f"no kind {kind!r}", where="kind", fix="csv or parquet")
    _, source, sheet = _set(studio, request)
    data = samples.export(sheet, np.frombuffer(sent, dtype="<u4").astype(np.int64), kind)  # type: ignore[arg-type]
    name = f"{source.set}_{source.iteration}.{kind}"
    media = "text/csv" if kind == "csv" else "application/vnd.apache.parquet"
    return Response(data, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def one_board(studio: Studio, request: Request) -> Board:
    """One board, by `row` or by `sample`."""
    query = request.query_params
    sources = studio.sources(query.get("run", ""))
    return boards.board(
        studio.sheets,
        sources,
        query.get("set", "kpi"),
        query.get("iteration") or None,
        number(request, "row"),
        query.get("sample", ""),
    )


def picture(studio: Studio, request: Request) -> Response:
    """A picture of a row: `side` input or golden, `light` by its number; `edge` asks for a small one."""
    from starlette.responses import PlainTextResponse, Response

    sources, source, sheet = _set(studio, request)
    row = boards.row_of(sheet, number(request, "row"), request.query_params.get("sample", ""))
    found = samples.rows(sheet, [row])[0]
    folder = found.golden_path if request.query_params.get("side") == "golden" else found.input_path
    light = number(request, "light", 0) or 0
    if light >= len(sources.naming.suffixes):
        raise InputError(f"no lighting {light}", where="light", fix=f"from 0 to {len(sources.naming.suffixes) - 1}")
    path = sources.picture(source, folder, found.object_name, light) if folder else None
    if path is None:
        return PlainTextResponse("no such picture\n", 404)
    edge = number(request, "edge")
    if edge is not None:
        edge = next((e for e in EDGES if e >= edge), EDGES[-1])
    if edge is None and path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif"):
        return file_response(path, request)
    made = studio.thumbnails.of(path, edge or 4096)
    if made is None:
        return PlainTextResponse("a picture that cannot be shown\n", 415)
    return Response(made, media_type="image/webp", headers={"Cache-Control": "private, max-age=60"})


def file_response(path: object, request: Request) -> Response:
    """A file, or the part of it that `Range` asks for."""
    from pathlib import Path

    from starlette.responses import Response, StreamingResponse

    asked = request.headers.get("range")
    part = part_of(Path(str(path)), asked)
    if part is None:
        return Response(status_code=416)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(max(0, part.last - part.first + 1))}
    partial = asked is not None and asked.startswith("bytes=")
    if partial:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{part.size}"
    return StreamingResponse(part.chunks(), 206 if partial else 200, media_type=part.kind, headers=headers)


ROUTES: tuple[tuple[str, str, Callable[[Studio, Request], Any]], ...] = (
    ("/samples", "GET", about),
    ("/samples/columns", "GET", columns),
    ("/samples/rows", "GET", rows),
    ("/samples/export", "POST", export),
    ("/board", "GET", one_board),
    ("/picture", "GET", picture),
)
