"""The weakest samples of a model, with their pictures beside the goldens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.data.changenet.kpi import Scored
from tao_skill_bank.reports.deft.view import Phase, RunView
from tao_skill_bank.reports.pictures import EDGE, data_uri, find_picture

PER_SIDE = 6
MOST_LIGHTS = 12
# Together with figures and curves a page stays below 3 MB; `data:` addresses are a third longer than their bytes.
MOST_BYTES = 2_000_000


@dataclass(frozen=True)
class Lit:
    """One lighting of a sample: `data:` addresses of golden and test picture, None where there is no picture."""

    light: str
    golden: str | None
    test: str | None


@dataclass(frozen=True)
class Sample:
    """One scored row: who it is, how it scored, how it looks."""

    label: str
    good: bool
    name: str
    folder: str
    score: float
    weakness: float
    wrong: bool
    views: tuple[Lit, ...]

    @property
    def mistake(self) -> str:
        """What the model did wrong, in the words of the floor; empty where it did right."""
        return "" if not self.wrong else "flagged" if self.good else "missed (escape)"

    @property
    def seen(self) -> bool:
        """Whether there is any picture of it."""
        return any(v.golden or v.test for v in self.views)


class Album:
    """The pictures of one page, within its budget of bytes: many are made smaller, and what is beyond is left out.

    Attributes:
        lights_shown: The lightings of the gallery, in the order of the spec.
        left_out: Pictures that are on disk and had no room.
    """

    def __init__(self, view: RunView) -> None:
        self.view = view
        lights = view.lights[0]
        self.lights_shown: tuple[str, ...] = tuple(lights[:MOST_LIGHTS]) or ("",)
        count = 2 * 2 * PER_SIDE * len(self.lights_shown)
        self._edge = EDGE if count <= 60 else 112 if count <= 130 else 80
        self._left = MOST_BYTES
        self._kept: dict[Path, str | None] = {}
        self.left_out = 0
        config = view.state.config
        beside = [Path(csv).parent for csv in (config.kpi_test_csv, config.acceptance_csv) if csv]
        self._roots = list(dict.fromkeys([Path(config.images_dir), Path(config.workspace), *beside]))

    def picture(self, folder: str, name: str) -> str | None:
        """A picture as a `data:` address; None where there is none, or no room."""
        try:
            path = find_picture(self._roots, folder, name) if folder and name else None
        except OutsideError as error:
            self.view.lacks("pictures", error.folder, "outside the allowed folders")
            return None
        if path is None:
            return None
        if path not in self._kept:
            self._kept[path] = data_uri(path, self._edge)
        uri = self._kept[path]
        if uri is not None and len(uri) > self._left:
            self.left_out += 1
            return None
        self._left -= len(uri or "")
        return uri


def weakest(album: Album, phase: Phase, *, defects: bool, most: int = PER_SIDE) -> list[Sample]:
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
    return [sample(album, scored, row, threshold) for row in taken]


def sample(album: Album, scored: Scored, row: int, threshold: float, *, pictures: bool = True) -> Sample:
    """One row of an inference at a threshold."""
    table, value = scored.table, float(scored.scores[row])
    good = bool(scored.is_pass[row])

    def cell(name: str) -> str:
        return table.column(name)[row] if name in table.names else ""

    folder, name = cell("input_path"), cell("object_name")
    return Sample(
        label=table.label[row].strip(),
        good=good,
        name=name,
        folder=folder,
        score=value,
        weakness=value - threshold if good else threshold - value,
        wrong=value > threshold if good else value <= threshold,
        views=_views(album, folder, cell("golden_path"), name) if pictures else (),
    )


def _views(album: Album, folder: str, golden: str, name: str) -> tuple[Lit, ...]:
    ext = album.view.lights[1]
    found = []
    for light in album.lights_shown:
        file = f"{name}_{light}{ext}" if light else f"{name}{ext}"
        found.append(
            Lit(light, album.picture(golden, file) if name else None, album.picture(folder, file) if name else None)
        )
    return tuple(found)
