"""Addresses of labels: what people said, what they say now, what to check first, the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tao_skill_bank.studio import likeness, samples, verdicts
from tao_skill_bank.studio.api_samples import asked_set
from tao_skill_bank.studio.app import Routes, Studio, asked, number
from tao_skill_bank.studio.verdicts import LabelsView, Said, Undo, WordRow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def labels(studio: Studio, request: Request) -> LabelsView:
    """Everything that stands in the workspace."""
    return verdicts.view(studio.workspace.root)


def say(studio: Studio, request: Request) -> dict[str, list[dict[str, Any]]]:
    """Take verdicts; they are on disk when the answer comes. The same word of one reader is written once."""
    given = asked(request, Said)
    book = studio.shelf.of(studio.workspace.root)
    words = [
        word.model_copy(update={"set": verdicts.known(book, word.sample, word.set).sample.set}) for word in given.words
    ]
    return {"words": [row.model_dump() for row in verdicts.say(studio.workspace.root, words, book)]}


def undo(studio: Studio, request: Request) -> WordRow:
    """Take one back."""
    book = studio.shelf.of(studio.workspace.root)
    return verdicts.take_back(studio.workspace.root, asked(request, Undo), book)


def suspects(studio: Studio, request: Request) -> dict[str, Any]:
    """Samples whose label their look-alikes and the model contradict; `done` of `total` while pictures are compared."""
    sources, source, sheet = asked_set(studio, request)
    found = studio.likeness.of(sources, source, sheet)
    answer: dict[str, Any] = {
        "set": source.set,
        "iteration": source.iteration,
        "threshold": source.threshold,
        "lights": list(sources.naming.lights) or [""],
        "done": found.done,
        "total": found.total,
        "ready": found.ready.is_set(),
        "problem": found.problem,
        "encoder": found.encoder,
        "labels": sheet.label.values,
        "suspects": [],
    }
    if found.vectors is not None:
        answer["suspects"] = studio.likeness.suspects(sources, source, sheet, found)
    return answer


def positions(studio: Studio, request: Request) -> Response:
    """The map: rows (uint32) and then two float32 a row; 202 with how far it is while it is made."""
    from starlette.responses import JSONResponse, Response

    sources, source, sheet = asked_set(studio, request)
    found = studio.likeness.of(sources, source, sheet)
    if found.problem is not None:
        return JSONResponse({"error": found.problem}, 400)
    if found.flat is None:
        return JSONResponse({"done": found.done, "total": found.total}, 202)
    data = found.rows.astype("<u4").tobytes() + found.flat.astype("<f4").tobytes()
    return Response(data, media_type="application/octet-stream")


def alike(studio: Studio, request: Request) -> dict[str, Any]:
    """The look-alikes of one row within its set."""
    sources, source, sheet = asked_set(studio, request)
    found = studio.likeness.of(sources, source, sheet)
    if found.vectors is None:
        return {"ready": False, "rows": [], "problem": found.problem}
    near = likeness.nearest(found, number(request, "row", 0) or 0)
    rows = samples.rows(sheet, [row for row, _ in near])
    listed = [{**row.model_dump(), "likeness": likely} for row, (_, likely) in zip(rows, near, strict=True)]
    return {"ready": True, "rows": listed, "problem": None}


ROUTES: Routes = (
    ("/labels", "GET", labels),
    ("/labels", "POST", say),
    ("/labels/undo", "POST", undo),
    ("/suspects", "GET", suspects),
    ("/map", "GET", positions),
    ("/alike", "GET", alike),
)
