"""Leakage between training and evaluation sets, as the loop acts on it.

A test image in two splits stops the run. Equal bytes at another path are common in real data (blank crops): new rows
are dropped and counted, the user's own are only counted.
"""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core.errors import GateError
from tao_skill_bank.data.changenet.images import FolderIndex, ImageNaming
from tao_skill_bank.data.changenet.leakage import equal_bytes, leaked_paths
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs
from tao_skill_bank.tasks.changenet.config import RunConfig


def evaluation_tables(config: RunConfig) -> list[PairTable]:
    """The sets no training image may stand in: validation, KPI, acceptance."""
    paths = (config.validation_csv, config.kpi_test_csv, config.acceptance_csv)
    return [read_pairs(Path(p)) for p in paths if p is not None]


def roots(config: RunConfig) -> list[Path]:
    """Where paths of the user's CSVs may start."""
    return [Path(config.images_dir), Path(config.workspace)]


def refuse_leaks(table: PairTable, root: Path, config: RunConfig, naming: ImageNaming) -> None:
    """Stop the run where a test image of `table` (folders start at `root`) stands in an evaluation set.

    Raises:
        GateError: Gate `leakage`; the first pair of rows is named.
    """
    if len(table) == 0:
        return
    # Rows of the run start at the workspace; the user's sets may start at the image root as well.
    found = leaked_paths([table], evaluation_tables(config), naming, [root, *roots(config)], FolderIndex())
    if found:
        raise GateError(
            "leakage",
            f"{len(found)} test images of training stand in an evaluation set, first: {found[0].line()}",
            where=table.path,
            fix="remove those rows from one of the sets",
        )


def equal_rows(table: PairTable, root: Path, config: RunConfig, naming: ImageNaming) -> set[int]:
    """Positions of rows whose images are, byte for byte, those of an evaluation row at another path."""
    if len(table) == 0:
        return set()
    return {
        match.train_row
        for match in equal_bytes(table, evaluation_tables(config), naming, [root, *roots(config)], index=FolderIndex())
    }
