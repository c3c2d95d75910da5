"""The plan looks: every picture that a run will read, and on which boards they lie. Reads only."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.core.text import plural
from tao_skill_bank.data.changenet.images import FolderIndex, Placed, place
from tao_skill_bank.data.changenet.layout_names import propose
from tao_skill_bank.data.changenet.looking import LookedSets, look_at_sets
from tao_skill_bank.data.changenet.picture_set import Finding
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS, PairTable, boards_of, read_pairs
from tao_skill_bank.data.changenet.validate import DatasetReport
from tao_skill_bank.data.pictures.look import look, memory_for
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.taken import beside


def picture_checks(config: RunConfig, reports: Mapping[str, DatasetReport], faults: list[str]) -> list[Check]:
    """Open the pictures of the sets; a check a finding, and a line in `faults` for all that must be fixed.

    Sets whose files are missing are left out: their own faults come first.
    """
    placed = {name: report.placed for name, report in reports.items() if report.placed is not None}
    found = _looked(config, placed)
    for name, lines in found.faults.items():
        faults.extend(f"{placed[name].table.path}: {line}" for line in lines)
    findings = list(found.findings)
    if placed:
        findings.append(board_finding({name: one.table for name, one in placed.items()}))
    return [Check(name=f.name, status=f.status, text=f.text) for f in findings]


def require_sound(config: RunConfig, *csvs: Path) -> None:
    """Look again at the pictures of sets that are about to be read: one that has changed since the plan is opened.

    Raises:
        StageFailedError: One of them cannot be used; the row and the file are named.
    """
    naming, index = specs.naming_of(config), FolderIndex()
    sets: dict[str, Placed] = {}
    for csv in csvs:
        roots = [Path(config.images_dir), Path(config.workspace), beside(config, csv).parent]
        sets[str(csv)] = place(read_pairs(csv), naming, roots, index)
    for name, lines in _looked(config, sets).faults.items():
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise StageFailedError(f"{lines[0]}{more}", where=name, fix="restore the picture, then run again")


def blank_pictures(config: RunConfig, files: Sequence[str]) -> set[str]:
    """Those of some pictures that have one colour all over."""
    facts = look(files, memory=memory_for(Path(config.workspace))).facts
    return {file for file in files if facts[file].blank}


def _looked(config: RunConfig, sets: Mapping[str, Placed]) -> LookedSets:
    return look_at_sets(sets, decode=config.plan.pictures == "decoded", memory=memory_for(Path(config.workspace)))


def board_finding(tables: Mapping[str, PairTable]) -> Finding:
    """Whether a board stands in two of the sets, counted by board: crops of one board are not independent."""
    known = {name: boards_of(table) for name, table in tables.items()}
    lacking = [name for name, boards in known.items() if boards is None]
    if lacking:
        return _unknown(tables, lacking)
    where: dict[str, dict[str, int]] = defaultdict(dict)
    spelled: dict[str, dict[str, str]] = defaultdict(dict)
    for name, boards in known.items():
        for board in boards or ():
            key = _same_board(board)
            where[key][name] = where[key].get(name, 0) + 1
            spelled[key].setdefault(name, board)
    column = " or ".join(dict.fromkeys(next(c for c in BOARD_COLUMNS if c in table.names) for table in tables.values()))
    torn = {board: sets for board, sets in where.items() if len(sets) > 1}
    if not torn:
        return Finding("boards", "ok", f"{len(where):,} boards by column {column}, none of them in two sets")
    rows = [f"{name} {sum(s.get(name, 0) for s in torn.values()):,} of {len(tables[name]):,}" for name in tables]
    first, sets = next(iter(torn.items()))
    names = spelled[first]
    shown = (
        f"{names[next(iter(sets))]!r} in {' and '.join(sets)}"
        if len(set(names.values())) == 1
        else " and ".join(f"{names[name]!r} in {name}" for name in sets)
    )
    text = (
        f"{len(torn):,} of {len(where):,} boards (column {column}) stand in several sets, with these rows: "
        f"{', '.join(rows)}. First {shown}. Put every board into one set"
    )
    if column != BOARD_COLUMNS[0]:
        text += f"; where {column} names a design and no single board, add a column {BOARD_COLUMNS[0]}"
    return Finding("boards", "warn", text)


def _same_board(name: str) -> str:
    """What two spellings of one board have in common: spreadsheets take leading zeros away, and write 7 as 7.0."""
    text = re.sub(r"^(\d+)\.0+$", r"\1", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"\d+", lambda number: number[0].lstrip("0") or "0", text)


def _unknown(tables: Mapping[str, PairTable], lacking: Iterable[str]) -> Finding:
    text = (
        f"not known: no column {BOARD_COLUMNS[0]} says it for {', '.join(lacking)}, so whether a board stands in two "
        f"sets was not looked at, and rows are taken for independent. {_folders(tables)}"
    )
    paths = [
        (name, posixpath.join("/", table.input_path[row], table.object_name[row]))
        for name, table in tables.items()
        for row in range(len(table))
    ]
    proposal = propose(paths)
    if proposal is not None and proposal.torn:
        text += (
            f"; by the beginnings of file names there are {proposal.boards:,} (such as {proposal.example}), and "
            f"{proposal.torn:,} stand in several sets"
        )
    return Finding("boards", "warn", f"{text}. Add a column {BOARD_COLUMNS[0]} to the CSVs")


def _folders(tables: Mapping[str, PairTable]) -> str:
    where: dict[str, set[str]] = defaultdict(set)
    for name, table in tables.items():
        for folder in set(table.input_path):
            where[posixpath.normpath(folder)].add(name)
    shared = sum(len(names) > 1 for names in where.values())
    folders = f"{plural(len(where), 'folder')} of pictures"
    return f"Of {folders} {shared:,} are named by several sets" if shared else f"Of {folders} none is named by two sets"
