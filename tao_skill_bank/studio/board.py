"""One board: its pictures, its scores under every model, why it was mined, what looks like it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.models import Board, Neighbour
from tao_skill_bank.studio.sheets import Sheet, Sheets
from tao_skill_bank.studio.sources import RunSources, Source

MOST_NEIGHBOURS = 8


def board(sheets: Sheets, sources: RunSources, name: str, iteration: str | None, row: int | None, sample: str) -> Board:
    """One row of a set, by its number or by its name.

    Raises:
        InputError: There is no such row.
    """
    source, sheet = samples.read(sheets, sources, name, iteration)
    row = row_of(sheet, row, sample)
    found = samples.rows(sheet, [row])[0]
    return Board(
        run=sources.folder.name,
        set=source.set,
        iteration=source.iteration,
        row=found,
        threshold=source.threshold,
        history=_history(sheets, sources, source, found.sample),
        lights=list(sources.naming.lights) or [""],
        files=_files(sources, source, found.input_path, found.golden_path, found.object_name),
        why=_why(sources, source, sheet, row, found.sample),
        neighbours=_neighbours(sources, found.input_path, found.object_name),
        verdicts=[],
        labels=sheet.label.values,
    )


def row_of(sheet: Sheet, row: int | None, sample: str) -> int:
    """The number of a row that is named by its number or by `input_path/object_name`.

    Raises:
        InputError: There is none.
    """
    from tao_skill_bank.core.errors import InputError

    found = row if row is not None else sheet.find(sample)
    if found is None or not 0 <= found < len(sheet):
        what = f"no sample {sample!r}" if row is None else f"no row {row}"
        raise InputError(what, where=sheet.table.path, fix="name it as a page prints it: input_path/object_name")
    return found


def _history(sheets: Sheets, sources: RunSources, source: Source, sample: str) -> list[dict[str, Any]]:
    """Its score under each model, with the threshold of that model."""
    found = []
    labels = sources.measured if source.set == "kpi" else ["baseline", source.iteration]
    for label in dict.fromkeys(labels if source.scored else []):
        try:
            other, sheet = samples.read(sheets, sources, source.set, label)
        except (BankError, OSError):
            continue
        row = sheet.find(sample)
        if row is not None:
            found.append({"iteration": other.iteration, "score": sheet.score_of(row), "threshold": other.threshold})
    return found


def _files(sources: RunSources, source: Source, folder: str, golden: str, name: str) -> list[dict[str, Any]]:
    found = []
    for at, light in enumerate(sources.naming.lights or ("",)):
        sides = {}
        for side, where in (("input", folder), ("golden", golden)):
            path = sources.picture(source, where, name, at) if where else None
            sides[side] = None if path is None else str(path)
        found.append({"light": light, **sides})
    return found


def _why(sources: RunSources, source: Source, sheet: Sheet, row: int, sample: str) -> list[str]:
    """Sentences on how the row came into its set; none where nothing is recorded."""
    said = []
    for name, words in (("source", "came from"), ("kind", "is")):
        facet = sheet.facets.get(name)
        if source.set == "training" and facet is not None:
            said.append(f"{words} {facet.values[int(facet.codes[sheet.place[row]])]}")
    for label, hits in _mined(sources, "filepath", sample):
        said += [f"mined in {label}: {float(hit['similarity']):.3f} alike to {hit['target']}" for hit in hits[:3]]
    return said


def _mined(sources: RunSources, column: str, sample: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(iteration, mined rows that name a sample in a column) of every iteration that mined."""
    import pyarrow.compute as pc

    for label in sources.state.iterations:
        path = sources.folder / label / "mining_filter" / "mined.parquet"
        table = read_parquet(path) if guard.is_file(path) else None
        if table is not None and {"filepath", "similarity", "target"} <= set(table.schema.names):
            yield label, table.filter(pc.match_substring(table.column(column), sample)).to_pylist()


def _neighbours(sources: RunSources, folder: str, name: str) -> list[Neighbour]:
    """The pool rows that were mined for this board, the most alike first."""
    found: dict[str, float] = {}
    for _, hits in _mined(sources, "target", samples.sample_name(folder, name)):
        found.update({str(hit["filepath"]): float(hit["similarity"]) for hit in hits})
    ranked = sorted(found.items(), key=lambda item: -item[1])[:MOST_NEIGHBOURS]
    return [
        Neighbour(sample=_short(path, sources), label="", likeness=likeness, set="pool", row=None)
        for path, likeness in ranked
    ]


def _short(path: str, sources: RunSources) -> str:
    """`input_path/object_name` of a picture's path, as far as its naming tells."""
    suffixes = "|".join(re.escape(s) for s in sources.naming.suffixes)
    plain = re.sub(f"(?:{suffixes})$", "", path)
    roots = [Path(sources.state.config.images_dir), Path(sources.state.config.workspace)]
    return next((plain.removeprefix(f"{root}/") for root in roots if plain.startswith(f"{root}/")), plain)


__all__ = ["board", "row_of"]
