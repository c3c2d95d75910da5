"""Which board each row is of, and whether a board stands in two sets: crops of one board are not independent.

A model that has seen a board has seen its solder, its lot and its lamp. Whether sets share boards can only be told
where something says which row is of which; otherwise that is said, with what file names suggest.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tao_skill_bank.data.changenet.layout_names import propose
from tao_skill_bank.data.changenet.picture_set import Finding
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS, PairTable, boards_of

NAME = "boards"


def board_finding(tables: Mapping[str, PairTable]) -> Finding:
    """Whether a board stands in two of the sets, counted by board.

    Args:
        tables: Set → its rows.
    """
    known = {name: boards_of(table) for name, table in tables.items()}
    lacking = [name for name, boards in known.items() if boards is None]
    if lacking:
        return _unknown(tables, lacking)
    where: dict[str, dict[str, int]] = defaultdict(dict)
    for name, boards in known.items():
        for board in boards or ():
            where[board][name] = where[board].get(name, 0) + 1
    column = next(c for c in BOARD_COLUMNS if c in next(iter(tables.values())).names)
    torn = {board: sets for board, sets in where.items() if len(sets) > 1}
    if not torn:
        return Finding(NAME, "ok", f"{len(where):,} boards by column {column}, none of them in two sets")
    rows = [f"{name} {sum(s.get(name, 0) for s in torn.values()):,} of {len(tables[name]):,}" for name in tables]
    first, sets = next(iter(torn.items()))
    text = (
        f"{len(torn):,} of {len(where):,} boards (column {column}) stand in several sets, with these rows: "
        f"{', '.join(rows)}. First {first!r} in {' and '.join(sets)}. Put every board into one set"
    )
    if column != BOARD_COLUMNS[0]:
        text += f"; where {column} names a design and no single board, add a column {BOARD_COLUMNS[0]}"
    return Finding(NAME, "warn", text)


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
    return Finding(NAME, "warn", f"{text}. Add a column {BOARD_COLUMNS[0]} to the CSVs")


def _folders(tables: Mapping[str, PairTable]) -> str:
    where: dict[str, set[str]] = defaultdict(set)
    for name, table in tables.items():
        for folder in set(table.input_path):
            where[posixpath.normpath(folder)].add(name)
    shared = sum(len(names) > 1 for names in where.values())
    folders = f"{len(where):,} folder{'s' if len(where) != 1 else ''} of pictures"
    return f"Of {folders} {shared:,} are named by several sets" if shared else f"Of {folders} none is named by two sets"
