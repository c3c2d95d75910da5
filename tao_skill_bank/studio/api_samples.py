"""Addresses of samples, boards and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.studio import board as boards
from tao_skill_bank.studio import marks, samples, verdicts
from tao_skill_bank.studio.access import ClosedError
from tao_skill_bank.studio.api_plan import looks_of
from tao_skill_bank.studio.app import Routes, Studio, body, number
from tao_skill_bank.studio.models import Board, MarksView, SampleRow, SampleSet
from tao_skill_bank.studio.pictures import file_response
from tao_skill_bank.studio.sheets import Sheet
from tao_skill_bank.studio.sources import RunSources, Source

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


EDGES = (64, 96, 128, 192, 256, 384, 768)


def _sources(studio: Studio, request: Request) -> RunSources:
    """The run's sets; the boards of its acceptance set open when somebody's look is written down."""
    query = request.query_params
    run = query.get("run", "")
    if query.get("set") == "acceptance" and not looks_of(studio, run):
        what = "acceptance boards are closed: whoever looks at them spends the set"
        raise ClosedError(what, where=run, fix="open them with your name; it is recorded, and the report says so")
    return studio.sources(run)


def _named(request: Request) -> tuple[str, str | None]:
    """The set and the iteration of an address."""
    return request.query_params.get("set", "kpi"), request.query_params.get("iteration") or None


def asked_set(studio: Studio, request: Request) -> tuple[RunSources, Source, Sheet]:
    """The set that an address names, read; a closed one is refused."""
    sources = _sources(studio, request)
    source, sheet = samples.read(studio.sheets, sources, *_named(request))
    return sources, source, sheet


def about(studio: Studio, request: Request) -> SampleSet:
    """What a set holds: labels, facets, and where its columns stand in `columns`."""
    return samples.described(studio.sheets, _sources(studio, request), *_named(request))[0]


def columns(studio: Studio, request: Request) -> Response:
    """The columns as bytes, little-endian, each at an offset that is a multiple of eight."""
    from starlette.responses import StreamingResponse

    _, parts = samples.described(studio.sheets, _sources(studio, request), *_named(request))

    def sent() -> Iterator[bytes]:
        yield from parts

    size = str(sum(len(part) for part in parts))
    return StreamingResponse(sent(), media_type="application/octet-stream", headers={"Content-Length": size})


def first(studio: Studio, request: Request) -> Response:
    """The first rows of a large set that nobody has read yet, in one answer; 204 where the whole is as quick.

    The length of the description as uint32, little-endian, the description as JSON, blanks up to a multiple of eight,
    then the columns.
    """
    from starlette.responses import Response

    found = samples.first(studio.sheets, _sources(studio, request), *_named(request))
    if found is None:
        return Response(status_code=204)
    told = found[0].model_dump_json().encode()
    told += b" " * (-(4 + len(told)) % 8)
    return Response(b"".join([len(told).to_bytes(4, "little"), told, *found[1]]), media_type="application/octet-stream")


def _asked_rows(studio: Studio, request: Request, rows: Sequence[int]) -> tuple[RunSources, Source, Sheet]:
    """The set that an address names; of one that is still being read, what its first rows are, where they suffice."""
    sources = _sources(studio, request)
    source = sources.source(*_named(request))
    known = studio.sheets.first_known(source.csv, rows) if rows else None
    return asked_set(studio, request) if known is None else (sources, source, known)


def marks_of(studio: Studio, request: Request) -> MarksView:
    """The facets that are not of the file; `compare=1` has pictures compared for the suspicion."""
    sources, source, sheet = asked_set(studio, request)
    compare = request.query_params.get("compare") == "1"
    home = studio.workspace.root
    return marks.view(home, studio.sheets, sources, source, sheet, studio.likeness, compare=compare)


def rows(studio: Studio, request: Request) -> dict[str, list[SampleRow]]:
    """Rows of the file by their numbers: `rows=3,7,12`."""
    text = request.query_params.get("rows", "")
    wanted = [part for part in text.split(",") if part]
    if any(not part.isdecimal() or len(part) > 12 for part in wanted):
        raise InputError(f"{text[:80]!r} is no list of rows", where="rows", fix="write numbers with commas between")
    numbers = [int(part) for part in wanted]
    _, _, sheet = _asked_rows(studio, request, numbers)
    found = samples.rows(sheet, numbers)
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
    _, source, sheet = asked_set(studio, request)
    data = samples.export(sheet, np.frombuffer(sent, dtype="<u4").astype(np.int64), kind)  # type: ignore[arg-type]
    name = f"{source.set}_{source.iteration}.{kind}"
    media = "text/csv" if kind == "csv" else "application/vnd.apache.parquet"
    return Response(data, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def one_board(studio: Studio, request: Request) -> Board:
    """One board, by `row` or by `sample`."""
    sources, sample = _sources(studio, request), request.query_params.get("sample", "")
    found = boards.board(studio.sheets, sources, *_named(request), number(request, "row"), sample)
    home = studio.workspace.root
    try:
        known = verdicts.known(studio.shelf.of(home), found.row.sample, found.set)
    except BankError as error:
        return found.model_copy(update={"unknown": error.line()})
    said = verdicts.of_sample(home, known.sample.set, known.sample.name)
    named = {"pictures": known.pictures, "label_set": known.sample.set, "label": known.label}
    return found.model_copy(update={"verdicts": said, **named})


def picture(studio: Studio, request: Request) -> Response:
    """A picture of a row: `side` input or golden, `light` by its number; `edge` asks for a small one."""
    from starlette.responses import PlainTextResponse, Response

    asked = number(request, "row")
    sources, source, sheet = _asked_rows(studio, request, [] if asked is None else [asked])
    row = boards.row_of(sheet, asked, request.query_params.get("sample", ""))
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
        return file_response(path, request.headers.get("range"))
    made = studio.thumbnails.of(path, edge or 4096)
    if made is None:
        return PlainTextResponse("a picture that cannot be shown\n", 415)
    return Response(made, media_type="image/webp", headers={"Cache-Control": "private, max-age=60"})


ROUTES: Routes = (
    ("/samples", "GET", about),
    ("/samples/columns", "GET", columns),
    ("/samples/first", "GET", first),
    ("/samples/marks", "GET", marks_of),
    ("/samples/rows", "GET", rows),
    ("/samples/export", "POST", export),
    ("/board", "GET", one_board),
    ("/picture", "GET", picture),
)
