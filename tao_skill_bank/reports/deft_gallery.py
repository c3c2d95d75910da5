"""The weakest samples of a model, with their pictures beside the goldens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tao_skill_bank.reports.deft_view import Phase, RunView
from tao_skill_bank.reports.pictures import data_uri, find_picture

PER_SIDE = 6
MOST_LIGHTS_IN_GALLERY = 2


@dataclass(frozen=True)
class Lit:
    """One lighting of a sample: `data:` addresses of golden and test picture, None where there is no picture."""

    light: str
    golden: str | None
    test: str | None


@dataclass(frozen=True)
class Sample:
    """One KPI row: who it is, how it scored, how it looks."""

    label: str
    name: str
    folder: str
    score: float
    weakness: float
    wrong: bool
    views: tuple[Lit, ...]

    @property
    def seen(self) -> bool:
        """Whether there is any picture of it."""
        return any(v.golden or v.test for v in self.views)


def weakest(view: RunView, phase: Phase, *, defects: bool, most: int = PER_SIDE) -> list[Sample]:
    """The defects with the lowest scores, or the PASS rows with the highest, weakest first.

    At most two of one label are taken among the defects while others are left, so that one bad label does not hide
    the rest.
    """
    scored, threshold = phase.scored, phase.record.threshold
    if scored is None or threshold is None:
        return []
    rows = np.flatnonzero(~scored.is_pass if defects else scored.is_pass)
    key = scored.scores[rows] if defects else -scored.scores[rows]
    order = [int(r) for r in rows[np.argsort(key, kind="stable")]]
    labels = scored.table.label
    taken: list[int] = []
    for row in order:
        if len(taken) == most:
            break
        if not defects or sum(labels[t].strip().upper() == labels[row].strip().upper() for t in taken) < 2:
            taken.append(row)
    taken += [row for row in order if row not in taken][: most - len(taken)]
    return [_sample(view, phase, row, threshold) for row in taken]


def _sample(view: RunView, phase: Phase, row: int, threshold: float) -> Sample:
    scored = phase.scored
    assert scored is not None
    table, value = scored.table, float(scored.scores[row])
    good = bool(scored.is_pass[row])

    def cell(name: str) -> str:
        return table.column(name)[row] if name in table.names else ""

    folder, name = cell("input_path"), cell("object_name")
    return Sample(
        label=table.label[row].strip(),
        name=name,
        folder=folder,
        score=value,
        weakness=value - threshold if good else threshold - value,
        wrong=value > threshold if good else value <= threshold,
        views=_views(view, folder, cell("golden_path"), name),
    )


def _views(view: RunView, folder: str, golden: str, name: str) -> tuple[Lit, ...]:
    lights, ext = view.lights
    config = view.state.config
    roots = [Path(config.images_dir), Path(config.workspace), Path(config.kpi_test_csv).parent]
    found = []
    for light in lights or ("",):
        file = f"{name}_{light}{ext}" if light else f"{name}{ext}"
        pair = [data_uri(find_picture(roots, side, file)) if name and side else None for side in (golden, folder)]
        found.append(Lit(light, pair[0], pair[1]))
    return tuple(found)


def shown_lights(samples: Sequence[Sample]) -> int:
    """How many lightings of each sample the gallery shows; the one large pair shows all."""
    return min(MOST_LIGHTS_IN_GALLERY, max((len(s.views) for s in samples), default=0))
