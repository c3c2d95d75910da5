"""Facets that the file of a set lacks: what changed since the baseline, what people said, what speaks against it.

They come after the first look at a set, which waits for no other file.
"""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data import corrections
from tao_skill_bank.reports.rca.label_noise import SUSPECT
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.likeness import Likeness, Vectors
from tao_skill_bank.studio.models import Marks, MarksView
from tao_skill_bank.studio.sheets import Sheet, Sheets
from tao_skill_bank.studio.sources import RunSources, Source

STATUSES = ("relabelled", "dropped", "disputed", "kept", "doubted")
SUSPICIONS = ("not among the suspects", "little speaks against it", f"suspicion from {SUSPECT:.0%}")


def corrected(home: Path, source: Source, sheet: Sheet) -> Marks | None:
    """What stands of the samples of a set; None where nothing was said of one.

    Raises:
        InputError: The corrections cannot be read.
    """
    # Rows of a grown training set may stand in the pool, as in `verdicts.known`.
    sets = {source.set, "pool"} if source.set == "training" else {source.set}
    standing = {s.name: said.status for s, said in corrections.read(home).standing.items() if s.set in sets}
    if not standing:
        return None
    found = [(row, STATUSES.index(standing[name]) + 1) for name, row in sheet.rows_of(standing).items()]
    return _marks("corrected", "corrected", ("nothing said", *STATUSES), found) if found else None


def view(
    home: Path, sheets: Sheets, sources: RunSources, source: Source, sheet: Sheet, likeness: Likeness, *, compare: bool
) -> MarksView:
    """All of them; pictures are compared only where somebody asks for it, or did before."""
    told = (samples.changed(sheets, sources, source, sheet), corrected(home, source, sheet))
    facets = [found for found in told if found is not None]
    work = likeness.of(sources, source, sheet) if compare else likeness.known(sources, source, sheet) or Vectors()
    if work.vectors is not None:
        ranked = likeness.suspects(sources, source, sheet, work)
        found = [(int(one["row"]), 2 if one["doubtful"] else 1) for one in ranked]
        facets.append(_marks("suspicion", "suspicion", SUSPICIONS, found))
    return MarksView(facets=facets, done=work.done, total=work.total, ready=work.ready.is_set(), problem=work.problem)


def _marks(name: str, title: str, values: tuple[str, ...], found: list[tuple[int, int]]) -> Marks:
    return Marks(name=name, title=title, values=list(values), rows=[r for r, _ in found], codes=[c for _, c in found])
