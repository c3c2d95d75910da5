"""The samples that the verdict hangs on: what the best model misses and flags on the set that decides, type by type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.reports.deft.gallery import Album, Sample, sample
from tao_skill_bank.reports.deft.view import RunView, Scoring, label_figures

MOST_LISTED = 60
MOST_PICTURED = 12


@dataclass(frozen=True)
class TypeRow:
    """One label of the deciding set: how many of its rows are on the wrong side, of the baseline and of the best."""

    label: str
    key: str
    rows: int
    wrong: Interval
    before: int | None

    @property
    def is_pass(self) -> bool:
        """Whether this is the PASS row, whose wrong rows are flagged and not missed."""
        return is_pass(self.label)

    @property
    def change(self) -> str:
        """`worse`, `better`, `the same`, or nothing where there is nothing to compare with."""
        if self.before is None:
            return ""
        now = self.wrong.successes
        return "worse" if now > self.before else "better" if now < self.before else "the same"


@dataclass(frozen=True)
class Deciding:
    """What decides.

    Attributes:
        set: The set's name.
        threshold: The frozen threshold of the best model.
        types: Every label, the one with the most misses first, PASS last.
        missed: Defects that are not flagged (escapes), the lowest score first.
        flagged: PASS samples that are flagged (false calls), the highest score first.
        missed_count: All of them; `missed` lists at most `MOST_LISTED`.
        flagged_count: As well.
    """

    set: str
    threshold: float
    types: tuple[TypeRow, ...]
    missed: tuple[Sample, ...]
    flagged: tuple[Sample, ...]
    missed_count: int
    flagged_count: int


def deciding(view: RunView, album: Album) -> Deciding | None:
    """The samples and types that decide; None before a model was measured, or where its scores are not on disk."""
    found = view.decisive
    if found is None:
        return None
    best, before = found.best, found.baseline
    scores, good, threshold = best.scored.scores, best.scored.is_pass, best.threshold
    missed = np.flatnonzero(~good & (scores <= threshold))
    missed = missed[np.argsort(scores[missed], kind="stable")]
    flagged = np.flatnonzero(good & (scores > threshold))
    flagged = flagged[np.argsort(-scores[flagged], kind="stable")]

    def shown(rows: np.ndarray) -> tuple[Sample, ...]:
        return tuple(
            sample(album, best.scored, int(row), threshold, pictures=place < MOST_PICTURED)
            for place, row in enumerate(rows[:MOST_LISTED])
        )

    return Deciding(
        found.set,
        threshold,
        _types(best, before),
        shown(missed),
        shown(flagged),
        len(missed),
        len(flagged),
    )


def _types(best: Scoring, before: Scoring | None) -> tuple[TypeRow, ...]:
    earlier = None if before is None else label_figures(before.scored, before.threshold)
    rows = []
    for key, now in label_figures(best.scored, best.threshold).items():
        was = None if earlier is None else earlier[key].wrong if key in earlier else 0
        rows.append(TypeRow(now.label, key, now.count, Interval.of(now.wrong, now.count), was))
    return tuple(sorted(rows, key=lambda r: (r.is_pass, -r.wrong.successes, -r.wrong.value_pct, r.key)))
