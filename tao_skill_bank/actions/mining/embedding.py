"""`embedding image_embeddings`: vectors for the images a parquet file lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tao_skill_bank.actions.mining.encoders import Encoder
from tao_skill_bank.actions.mining.tables import (
    FILEPATH,
    EncoderId,
    ImageTable,
    check_filepaths,
    embedding_writer,
)
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.pictures.decode import ImageError

CHUNK_ROWS: Final = 4096


@dataclass(frozen=True)
class Embedded:
    """What `embed_parquet` wrote.

    Attributes:
        rows: Images embedded, one a row of the input.
        encoder: Name and version of the encoder.
    """

    rows: int
    dim: int
    encoder: EncoderId
    output: Path


def embed_parquet(
    input_parquet: Path, output_parquet: Path, encoder: Encoder, progress: Callable[[int, int], None] | None = None
) -> Embedded:
    """Embed the images of a parquet file's `filepath` column.

    The output has a row for every row of the input, in order: `filepath`, `embedding` (a fixed-size list of float32
    of length 1), and the input's other columns unchanged; an old `embedding` column is replaced. It takes its place
    only when every image was read. Relative paths count from the working folder.

    Raises:
        InputError: An unreadable table, no `filepath` column, or an image that cannot be read (names file and row).
    """
    table = ImageTable(input_parquet)
    identity = EncoderId(encoder.name, encoder.version)
    rows = 0
    with (
        guard.folders_taken_back(output_parquet),
        embedding_writer(output_parquet, table, identity, encoder.dim) as write,
    ):
        for batch in table.batches(table.columns, CHUNK_ROWS):
            paths = batch.column(FILEPATH)
            check_filepaths(paths, input_parquet, rows)
            files = [Path(path) for path in paths.to_pylist()]
            try:
                vectors = encoder.encode(files)
            except ImageError as error:
                row = rows + files.index(error.path) + 1
                raise InputError(
                    f"{error.path}: {error.what}", where=f"{input_parquet} row {row}", fix=error.fix
                ) from None
            write(batch, vectors)
            rows += len(files)
            if progress is not None and rows < len(table):
                progress(rows, len(table))
    return Embedded(rows, encoder.dim, identity, output_parquet)
