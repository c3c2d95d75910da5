"""A handful of boards of a run for a conversation: the worst of a pile, in words, with small pictures beside them."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel

from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.data import corrections
from tao_skill_bank.reports.pictures import shrunk
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.kept_sheets import kept_for
from tao_skill_bank.studio.models import SampleRow
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources, Source

Pile = Literal["missed", "false_calls", "near"]
MOST = 12
EDGE = 192
"""Longest side of a picture, in pixels."""


class ShownBoard(BaseModel):
    """One board; `model`: what the threshold makes of it, `said`: how it stands by what people said."""

    sample: str
    label: str
    score: float
    model: str
    said: str | None = None


class Handful(BaseModel):
    """The worst boards of a pile of KPI rows, which has `of`, under the best model; `labels` are those of the set."""

    workspace: str
    run: str
    iteration: str
    threshold: float
    pile: Pile
    of: int
    boards: list[ShownBoard]
    labels: list[str]


def handful(run: Path, pile: Pile, most: int) -> tuple[Handful, dict[str, list[str]]]:
    """Boards of a run's KPI set.

    Args:
        run: The run folder.
        pile: `missed` defects, lowest score first; `false_calls`, highest first; `near` the threshold, nearest first.
        most: At most so many, and never more than `MOST`.

    Returns:
        The boards, and golden and capture of each that could be read, as data addresses.

    Raises:
        InputError: No boards, no threshold, or nothing was measured yet.
    """
    sources = RunSources(run)
    workspace = Path(sources.state.config.workspace)
    source, sheet = samples.read(Sheets(on_disk=kept_for(workspace)), sources, "kpi", None)
    if sheet.scores is None or source.threshold is None:
        raise InputError("no threshold was measured", where=run, fix="let the run evaluate a model")
    line, good = source.threshold, sheet.is_pass
    flagged = sheet.scores > line
    found = {
        "missed": np.flatnonzero(~good & ~flagged),
        "false_calls": np.flatnonzero(good & flagged)[::-1],
        "near": np.argsort(np.abs(sheet.scores - line), kind="stable"),
    }[pile]
    shown = samples.rows(sheet, sheet.order[found[: max(1, min(most, MOST))]].tolist())
    standing = {s.name: said.status for s, said in corrections.read(workspace).standing.items() if s.set == "kpi"}
    boards = [
        ShownBoard(
            sample=row.sample,
            label=row.label,
            score=float(row.score or 0.0),
            model=_model(row.good, flagged=bool((row.score or 0.0) > line)),
            said=standing.get(row.sample),
        )
        for row in shown
    ]
    told = Handful(
        workspace=str(workspace),
        run=str(run),
        iteration=source.iteration,
        threshold=line,
        pile=pile,
        of=len(found),
        boards=boards,
        labels=sheet.label.values,
    )
    return told, {row.sample: _pictures(sources, source, row) for row in shown}


def _model(good: bool, *, flagged: bool) -> str:
    if good:
        return "false call" if flagged else "passed, rightly"
    return "found" if flagged else "missed"


def _pictures(sources: RunSources, source: Source, row: SampleRow) -> list[str]:
    """Golden and capture under the first lighting; an empty text where one cannot be read."""
    made = []
    for folder in (row.golden_path, row.input_path):
        try:
            path = sources.picture(source, folder, row.object_name, 0) if folder else None
            data = None if path is None else shrunk(path, EDGE, lossless_to=96, quality=80, method=2)
        except (BankError, OSError):
            data = None
        made.append("" if data is None else f"data:image/webp;base64,{b64encode(data).decode('ascii')}")
    return made
