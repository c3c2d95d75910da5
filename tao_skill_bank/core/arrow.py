"""Arrow's files, opened by the guard and replaced whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.fsio import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_file(path: Path) -> pa.NativeFile:
    """A regular file, open for arrow's own readers.

    Raises:
        InputError: As `guard.open_read`.
        FileNotFoundError, IsADirectoryError: `filename` is the path.
    """
    import pyarrow as pa

    with guard.open_read(path) as handle:
        return pa.OSFile(guard.reopening(handle, path))


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A parquet file as a table."""
    import pyarrow.parquet as pq

    with arrow_file(path) as file:
        return pq.read_table(file, columns=columns)


def write_parquet(path: Path, table: Any) -> None:
    """Replace `path` by a table, atomically and durably."""
    import pyarrow.parquet as pq

    with atomic_file(path) as handle:
        pq.write_table(table, handle)
