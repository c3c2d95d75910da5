"""The rows of a run's sets: what the grid shows, filters and exports."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.sheets import shielded_table
from tao_skill_bank.core.text import clean
from tao_skill_bank.data.changenet.kpi import SCORE
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS, REQUIRED_COLUMNS, PairTable, read_pairs
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.studio.models import Column, Facet, Marks, SampleRow, SampleSet, SetFigures, TypeRow
from tao_skill_bank.studio.sheets import FacetColumn, Sheet, Sheets
from tao_skill_bank.studio.sources import RunSources, Source

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS = 500
"""As many rows as one answer holds."""
CHANGE = ("as before", "now right", "now wrong")


def read(sheets: Sheets, sources: RunSources, name: str, iteration: str | None) -> tuple[Source, Sheet]:
    """A set of a run, with the facets that are no columns of its file."""
    source = sources.source(name, iteration)
    return source, sheets.read(source.csv, scored=source.scored, beside=_beside(source))


def _beside(source: Source) -> Callable[[PairTable], dict[str, list[str]]] | None:
    path = source.provenance
    if path is None:
        return None

    def found(table: PairTable) -> dict[str, list[str]]:
        beside = read_pairs(path, required=("source", "kind"))
        if len(beside) != len(table):
            return {}
        return {"source": beside.column("source"), "kind": beside.column("kind")}

    return found


def changed(sheets: Sheets, sources: RunSources, source: Source, sheet: Sheet) -> Marks | None:
    """Which boards change side between the baseline and this model; None where nothing can be compared."""
    if sheet.scores is None or source.threshold is None or source.iteration == BASELINE:
        return None
    try:
        before, old = read(sheets, sources, source.set, BASELINE)
    except (BankError, OSError):
        return None
    if before.threshold is None or old.scores is None or before.iteration == source.iteration:
        return None
    key = f"change {old.digest} {before.threshold} {source.threshold}"
    if key not in sheet.kept:
        sheet.kept[key] = _changed(sheet, source.threshold, old, before.threshold)
    found: Marks = sheet.kept[key]
    return found


def _changed(sheet: Sheet, line: float, old: Sheet, old_line: float) -> Marks:
    assert sheet.scores is not None and old.scores is not None
    match = matched(sheet.table, old.table)
    known = match >= 0
    was = old.scores[old.place[np.where(known, match, 0)]] > old_line
    now = sheet.scores[sheet.place] > line
    good = sheet.is_pass[sheet.place]
    codes = np.zeros(len(sheet), dtype=np.uint16)
    codes[known & (was != now) & (now != good)] = 1
    codes[known & (was != now) & (now == good)] = 2
    rows = np.flatnonzero(codes)
    return Marks(
        name="change", title="since baseline", values=list(CHANGE), rows=rows.tolist(), codes=codes[rows].tolist()
    )


def matched(table: PairTable, other: PairTable) -> npt.NDArray[np.int64]:
    """int64 [rows of `table`]: the row of `other` with the same path and name, -1 where there is none."""
    import pyarrow.compute as pc

    keys = [pc.binary_join_element_wise(t.arrow("input_path"), t.arrow("object_name"), "\0") for t in (table, other)]
    if keys[0].equals(keys[1]):
        return np.arange(len(table))
    found: npt.NDArray[np.int64] = (
        pc.fill_null(pc.index_in(keys[0], value_set=keys[1]), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return found


def described(sheets: Sheets, sources: RunSources, name: str, iteration: str | None) -> tuple[SampleSet, list[bytes]]:
    """A set as the browser gets it: what its columns are, and their bytes."""
    return _described(sources, *read(sheets, sources, name, iteration))


def first(
    sheets: Sheets, sources: RunSources, name: str, iteration: str | None
) -> tuple[SampleSet, list[bytes]] | None:
    """The same of a large set's first rows, to be shown while it is read; None where `described` is as quick."""
    source = sources.source(name, iteration)
    found = sheets.first(source.csv, scored=source.scored)
    return None if found is None else _described(sources, source, found)


def _described(sources: RunSources, source: Source, sheet: Sheet) -> tuple[SampleSet, list[bytes]]:
    made = f"described {sources.folder} {source.iteration} {source.threshold}"
    if made in sheet.kept:
        known: tuple[SampleSet, list[bytes]] = sheet.kept[made]
        return known
    arrays: list[tuple[str, str, Any]] = []
    if sheet.scores is not None:
        arrays.append(("score", "Float64Array", sheet.scores))
    arrays.append(("row", "Uint32Array", sheet.order.astype(np.uint32)))
    for facet in (sheet.label, *sheet.facets.values()):
        small = len(facet.values) <= 256
        kind, codes = ("Uint8Array", facet.codes.astype(np.uint8)) if small else ("Uint16Array", facet.codes)
        arrays.append((facet.name, kind, codes))
    columns, parts, at = [], [], 0
    for key, kind, values in arrays:
        data = values.tobytes()
        columns.append(Column(name=key, kind=kind, offset=at, length=len(values)))
        padding = -len(data) % 8
        parts.append(data + b"\0" * padding)
        at += len(data) + padding
    about = SampleSet(
        run=sources.folder.name,
        set=source.set,
        iteration=source.iteration,
        iterations=_iterations(sources, source.set),
        rows=len(sheet),
        scored=sheet.scores is not None,
        threshold=source.threshold,
        labels=sheet.label.values,
        passes=sheet.good,
        lights=list(sources.naming.lights) or [""],
        facets=[Facet(name=f.name, title=f.title, values=f.values, counts=f.counts) for f in sheet.facets.values()],
        columns=columns,
        digest=sheet.digest,
        partial=sheet.partial,
    )
    sheet.kept[made] = (about, parts)
    return about, parts


def _iterations(sources: RunSources, name: str) -> list[str]:
    if name == "kpi":
        return sources.measured
    if name == "acceptance":
        return [x for x in (BASELINE, sources.source("acceptance").iteration) if x]
    if name == "training":
        merged = [la for la, it in sources.state.iterations.items() if it.combined_training_csv]
        return [BASELINE, *merged]
    return [BASELINE]


def rows(sheet: Sheet, wanted: Sequence[int]) -> list[SampleRow]:
    """Rows of the file, as text.

    Raises:
        InputError: More than `MOST_ROWS`, or a number that is no row.
    """
    if len(wanted) > MOST_ROWS:
        raise InputError(f"{len(wanted)} rows at once", where="rows", fix=f"ask for at most {MOST_ROWS}")
    beyond = [r for r in wanted if not 0 <= r < len(sheet)]
    if beyond:
        raise InputError(f"no row {beyond[0]}", where=sheet.table.path, fix=f"a number from 0 to {len(sheet) - 1}")
    table = sheet.table.take(list(wanted))
    others = [n for n in table.names if n not in (*REQUIRED_COLUMNS, SCORE)]
    return [
        SampleRow(
            row=row,
            sample=sample_name(table.input_path[at], table.object_name[at]),
            input_path=table.input_path[at],
            golden_path=table.golden_path[at] if "golden_path" in table.names else "",
            object_name=table.object_name[at],
            label=table.label[at].strip(),
            good=is_pass(table.label[at]),
            score=sheet.score_of(row),
            cells={name: clean(table.column(name)[at]) for name in others if table.column(name)[at]},
        )
        for at, row in enumerate(wanted)
    ]


def sample_name(input_path: str, object_name: str) -> str:
    """`input_path/object_name`: how every page prints a sample, and every command takes it."""
    return f"{input_path.rstrip('/')}/{object_name}"


def figures(source: Source, sheet: Sheet) -> SetFigures | None:
    """FAR, recall and every label at the model's threshold; None without scores or a threshold."""
    if sheet.scores is None or source.threshold is None:
        return None
    flagged = sheet.scores > source.threshold
    good = sheet.is_pass
    boards = next((sheet.facets[name] for name in BOARD_COLUMNS if name in sheet.facets), None)
    labels = len(sheet.label.values)
    total = np.bincount(sheet.label.codes, minlength=labels)
    hit = np.bincount(sheet.label.codes[flagged], minlength=labels)
    types = []
    for code, label in enumerate(sheet.label.values):
        count, caught = int(total[code]), int(hit[code])
        fine = sheet.good[code]
        types.append(
            TypeRow(
                label=label,
                good=fine,
                count=count,
                wrong=caught if fine else count - caught,
                share=Interval.of(caught, count, _groups(boards, sheet.label.codes == code, flagged)),
            )
        )
    types.sort(key=lambda t: (t.good, -t.wrong / max(t.count, 1), t.label))
    passes = int(np.count_nonzero(good))
    defects = len(sheet) - passes
    fp, tp = int(np.count_nonzero(flagged & good)), int(np.count_nonzero(flagged & ~good))
    return SetFigures(
        set=source.set,
        iteration=source.iteration,
        threshold=source.threshold,
        far=Interval.of(fp, passes, _groups(boards, good, flagged)) if passes else None,
        recall=Interval.of(tp, defects, _groups(boards, ~good, flagged)) if defects else None,
        types=types,
    )


def _groups(
    boards: FacetColumn | None, among: npt.NDArray[np.bool_], flagged: npt.NDArray[np.bool_]
) -> list[tuple[int, int]] | None:
    """(flagged, rows) of each board among some rows; None where boards are not known for all."""
    if boards is None or "–" in boards.values:
        return None
    size = len(boards.values)
    rows_, hits = (np.bincount(boards.codes[mask], minlength=size) for mask in (among, among & flagged))
    return [(int(hit), int(row)) for hit, row in zip(hits, rows_, strict=True) if row]


def export(sheet: Sheet, wanted: npt.NDArray[np.int64], kind: Literal["csv", "parquet"]) -> bytes:
    """The rows of the file at these numbers, in their order, as a file: the CSV's own columns, and `sample`.

    Raises:
        InputError: A number that is no row.
    """
    import pyarrow as pa

    if len(wanted) and (int(wanted.min()) < 0 or int(wanted.max()) >= len(sheet)):
        raise InputError("a number that is no row", where=sheet.table.path, fix="export what the page shows now")
    taken = sheet.table.take(wanted.tolist())
    columns: dict[str, Any] = {name: taken.arrow(name) for name in taken.names}
    if sheet.scores is not None:
        columns[SCORE] = pa.array(sheet.scores[sheet.place[wanted]])
    columns["sample"] = [sample_name(p, n) for p, n in zip(taken.input_path, taken.object_name, strict=True)]
    table = pa.table(columns)
    out = io.BytesIO()
    if kind == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, out)
    else:
        from pyarrow import csv as arrow_csv

        arrow_csv.write_csv(shielded_table(table), out, arrow_csv.WriteOptions(quoting_style="needed"))
    return out.getvalue()
