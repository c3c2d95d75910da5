"""Mining over a pool too large for one machine: embed and search it shard by shard, then merge.

A plan cuts the pool into runs of rows and names everything the result depends on: the bytes of both tables, the
encoder, the search. A shard embeds its rows, keeps each target's nearest among them, and writes a receipt last; what
carries another plan's digest, or whose bytes are not those of the receipt, does not count, so taking a plan up again
does only the shards without valid output. Merging gives, bit for bit, what one machine gives over the whole pool:
shards are runs of rows in order, the search's scores are a function of the two vectors alone, and equal scores go to
the lower row.

A row whose image cannot be read is an error row: it is listed, takes no part, and the others are mined without it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from tao_skill_bank.actions.mining.embedding import CHUNK_ROWS, embed_parquet
from tao_skill_bank.actions.mining.encoders import Encoder, get_encoder
from tao_skill_bank.actions.mining.knn import NO_NEIGHBOR, Search, merge_topk
from tao_skill_bank.actions.mining.neighbors import Mined, nearest_neighbors
from tao_skill_bank.actions.mining.tables import FILEPATH, LABEL, EncoderId, ImageTable, embedding_writer
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.models import Frozen
from tao_skill_bank.core.sheets import write_sheet
from tao_skill_bank.data.pictures.decode import ImageError

PLAN_FILE: Final = "mining_plan.json"
SHARDS_FOLDER: Final = "shards"
TARGETS_FILE: Final = "target_embeddings.parquet"
SOURCES_FILE: Final = "source_embeddings.parquet"
MINED_FILE: Final = "mined.parquet"
ERRORS_FILE: Final = "mining_errors.csv"
_CHUNK: Final = 512


class ShardPlan(Frozen):
    """A run of the pool's rows: `rows` of them from row `start` (0 is the first)."""

    index: int
    start: int
    rows: int


class MiningPlan(Frozen):
    """Everything a sharded result depends on; no time and no machine is in it.

    Attributes:
        pool, pool_sha256, pool_rows: The table to mine.
        gaps, gaps_sha256: The weak samples.
        folder: From where relative image paths count.
        encoder, encoder_name, encoder_version: What was asked for, and what it is.
        topn, filter_by_label, distance_threshold: The search, by cosine.
    """

    version: int = 1
    pool: str
    pool_sha256: str
    pool_rows: int
    gaps: str
    gaps_sha256: str
    folder: str
    encoder: str
    encoder_name: str
    encoder_version: str
    topn: int = Field(ge=1)
    filter_by_label: str
    distance_threshold: float
    shards: list[ShardPlan]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan: what a shard's output belongs to."""
        return fsio.sha256_text(fsio.canonical_json(self.model_dump(mode="json")))


class ErrorRow(Frozen):
    """A row that takes no part: its number in the pool (from 1), its file, and what is wrong."""

    row: int
    filepath: str
    what: str


class Receipt(Frozen):
    """Written last by a shard: whose it is, and the digests of its two files."""

    plan: str
    index: int
    rows: int
    errors: list[ErrorRow]
    vectors_sha256: str
    nearest_sha256: str


class ShardFiles:
    """The files of one shard; their names begin with what they depend on.

    Attributes:
        vectors: [rows, dim] float32; a row in error is zeros.
        nearest: [targets, 1 + topn]: rows of the pool as int64, then similarity as float32, in one record array.
        receipt: Says that both are whole.
        lock: Held by whoever makes them.
    """

    def __init__(self, output: Path, plan: MiningPlan, index: int) -> None:
        folder, stem = output / SHARDS_FOLDER, f"{plan.digest[:16]}-{index:05d}"
        self.vectors = folder / f"{stem}.vectors.npy"
        self.nearest = folder / f"{stem}.nearest.npy"
        self.receipt = folder / f"{stem}.json"
        self.lock = folder / f"{stem}.lock"


def make_plan(
    gaps: Path, pool: Path, *, shards: int, encoder: str, top_k: int, same_label: str, min_similarity: float
) -> MiningPlan:
    """Cut a pool. The same inputs give the same plan, anywhere.

    `gaps` and `pool` are parquet files with `filepath`; each shard has a row at least. The rest is as for `tao.mine`.

    Raises:
        InputError: Unreadable tables, an empty pool, a number below 1.
    """
    if shards < 1:
        raise InputError(f"not a number of shards: {shards}", where="--shards", fix="give at least 1")
    made = get_encoder(encoder)
    table, weak = ImageTable(pool), ImageTable(gaps)
    rows = len(table)
    if same_label == "within":
        for one in (table, weak):
            one.need(LABEL)
    for one in (table, weak):
        if len(one) == 0:
            raise InputError("has no rows", where=one.path, fix="name a table with images")
    edges = [rows * n // min(shards, rows) for n in range(min(shards, rows) + 1)]
    return MiningPlan(
        pool=str(pool.absolute()),
        pool_sha256=fsio.sha256_file(pool),
        pool_rows=rows,
        gaps=str(gaps.absolute()),
        gaps_sha256=fsio.sha256_file(gaps),
        folder=str(Path.cwd()),
        encoder=encoder,
        encoder_name=made.name,
        encoder_version=made.version,
        topn=top_k,
        filter_by_label=same_label,
        distance_threshold=1.0 - min_similarity,
        shards=[ShardPlan(index=n, start=a, rows=b - a) for n, (a, b) in enumerate(itertools.pairwise(edges))],
    )


def write_plan(output: Path, plan: MiningPlan) -> Path:
    """Put the plan and the targets' embeddings where shards find them; a plan that stands already is kept."""
    path = output / PLAN_FILE
    if not guard.exists(path) or read_plan(output).digest != plan.digest or not guard.exists(output / TARGETS_FILE):
        embed_parquet(Path(plan.gaps), output / TARGETS_FILE, _encoder_of(plan))
        fsio.write_text(path, plan.model_dump_json(indent=2) + "\n")
    guard.make_folder(output / SHARDS_FOLDER)
    return path


def read_plan(output: Path) -> MiningPlan:
    """The plan of a results folder.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    path = output / PLAN_FILE
    try:
        return MiningPlan.model_validate_json(guard.read_bytes(path))
    except FileNotFoundError:
        raise InputError("no plan of sharded mining", where=path, fix="run `tao-skills gaps mine` first") from None
    except ValidationError as error:
        raise InputError(f"not a plan: {error.errors()[0]['msg']}", where=path, fix="remove it") from None


def valid_receipt(output: Path, plan: MiningPlan, index: int) -> Receipt | None:
    """The receipt of a shard whose files are whole and of this plan, else None."""
    files = ShardFiles(output, plan, index)
    try:
        receipt = Receipt.model_validate_json(guard.read_bytes(files.receipt))
        whole = (
            receipt.plan == plan.digest
            and receipt.index == index
            and receipt.vectors_sha256 == fsio.sha256_file(files.vectors)
            and receipt.nearest_sha256 == fsio.sha256_file(files.nearest)
        )
    except (FileNotFoundError, ValidationError):
        return None
    return receipt if whole else None


def missing_shards(output: Path, plan: MiningPlan) -> list[int]:
    """The shards without valid output, in order."""
    return [s.index for s in plan.shards if valid_receipt(output, plan, s.index) is None]


def run_shard(output: Path, index: int) -> Receipt:
    """Embed a shard's rows and find each target's nearest among them; done already, nothing is done.

    Two who run the same shard at once do it one after the other, and the second finds it done.

    Raises:
        InputError: No such shard, tables that changed since the plan, another encoder than the plan's.
        BankError: No target can be read.
    """
    plan = read_plan(output)
    if not 0 <= index < len(plan.shards):
        raise InputError(f"no shard {index}", where=output / PLAN_FILE, fix=f"0 to {len(plan.shards) - 1}")
    files = ShardFiles(output, plan, index)
    with guard.locked(files.lock, make=True):
        found = valid_receipt(output, plan, index)
        return found if found is not None else _run_shard(output, plan, plan.shards[index], files)


def _run_shard(output: Path, plan: MiningPlan, shard: ShardPlan, files: ShardFiles) -> Receipt:
    if fsio.sha256_file(Path(plan.pool)) != plan.pool_sha256:
        raise InputError("the pool changed since the plan was made", where=plan.pool, fix="run `gaps mine` again")
    encoder = _encoder_of(plan)
    table, target = ImageTable(Path(plan.pool)), ImageTable(output / TARGETS_FILE)
    within = [LABEL] if plan.filter_by_label == "within" else []
    search = Search(
        target.matrix(),
        plan.topn,
        "cosine",
        groups=target.groups(within) if within else None,
        names=(plan.pool, str(target.path)),
    )
    groups = table.groups(within)[shard.start : shard.start + shard.rows] if within else None
    vectors = np.zeros((shard.rows, encoder.dim), dtype=np.float32)
    good = np.zeros(shard.rows, dtype=np.bool_)
    errors: list[ErrorRow] = []
    for start, names in _paths(table, shard):
        block, bad = _encoded([Path(plan.folder) / n if n else None for n in names], encoder)
        stop = start + len(names)
        vectors[start:stop] = block
        good[start:stop] = [n not in bad for n in range(len(names))]
        errors += [
            ErrorRow(row=shard.start + start + n + 1, filepath=names[n] or "", what=what) for n, what in bad.items()
        ]
    kept = np.flatnonzero(good)
    search.add(vectors[kept], None if groups is None else groups[kept])
    indices, scores = search.result()
    empty = indices == NO_NEIGHBOR
    # Rows of the pool: the search counted the rows that were left.
    indices = np.where(empty, NO_NEIGHBOR, shard.start + kept[np.where(empty, 0, indices)] if len(kept) else indices)
    nearest = np.empty(indices.shape, dtype=[("row", np.int64), ("similarity", np.float32)])
    nearest["row"], nearest["similarity"] = indices, scores
    for path, array in ((files.vectors, vectors), (files.nearest, nearest)):
        with fsio.atomic_file(path) as handle:
            np.lib.format.write_array(handle, array, allow_pickle=False)
    receipt = Receipt(
        plan=plan.digest,
        index=shard.index,
        rows=shard.rows,
        errors=errors,
        vectors_sha256=fsio.sha256_file(files.vectors),
        nearest_sha256=fsio.sha256_file(files.nearest),
    )
    fsio.write_text(files.receipt, receipt.model_dump_json(indent=2) + "\n")
    return receipt


def merge_shards(output: Path) -> tuple[Mined, list[ErrorRow]]:
    """Bring the shards together: the files that mining the whole pool on one machine would write.

    Returns:
        What was mined, and the rows that took no part (also in `mining_errors.csv`).

    Raises:
        BankError: A shard has no valid output.
        InputError: Every row of the pool is an error row.
    """
    plan = read_plan(output)
    receipts = [valid_receipt(output, plan, s.index) for s in plan.shards]
    missing = [n for n, receipt in enumerate(receipts) if receipt is None]
    if missing:
        raise BankError(
            f"{len(missing)} of {len(plan.shards)} shards have no valid output (first: {missing[0]})",
            where=output / SHARDS_FOLDER,
            fix="run the same command again; shards that are done are not done again",
        )
    errors = [row for receipt in receipts if receipt is not None for row in receipt.errors]
    bad = np.array([row.row - 1 for row in errors], dtype=np.int64)
    if len(bad) == plan.pool_rows:
        first = errors[0]
        raise InputError(
            f"no image of the pool can be read; first: {first.filepath}: {first.what}",
            where=f"{plan.pool} row {first.row}",
            fix="fix the files or the paths",
        )
    _write_errors(output / ERRORS_FILE, errors)
    source = _merged_vectors(output, plan, bad)
    parts = [_read_array(ShardFiles(output, plan, s.index).nearest) for s in plan.shards]
    indices, scores = merge_topk(((part["row"], part["similarity"]) for part in parts), plan.topn)
    # The merged table has no error rows, so later rows move up.
    found = indices != NO_NEIGHBOR
    indices[found] -= np.searchsorted(bad, indices[found])
    mined = nearest_neighbors(
        source,
        output / TARGETS_FILE,
        output / MINED_FILE,
        topn=plan.topn,
        knn_metric="cosine",
        filter_by_label=plan.filter_by_label,
        distance_threshold=plan.distance_threshold,
        found=(indices, scores),
    )
    return mined, errors


def _merged_vectors(output: Path, plan: MiningPlan, bad: NDArray[np.int64]) -> Path:
    """`source_embeddings.parquet` of all shards, written as embedding the whole pool writes it."""
    import pyarrow as pa

    path = output / SOURCES_FILE
    table = ImageTable(Path(plan.pool))
    vectors = _VectorStream([ShardFiles(output, plan, s.index).vectors for s in plan.shards])
    start = 0
    identity = EncoderId(plan.encoder_name, plan.encoder_version)
    with embedding_writer(path, table, identity, vectors.dim) as write:
        for batch in table.batches(table.columns, CHUNK_ROWS):
            block = vectors.take(batch.num_rows)
            mine = bad[(bad >= start) & (bad < start + batch.num_rows)] - start
            start += batch.num_rows
            if len(mine):
                good = np.ones(batch.num_rows, dtype=np.bool_)
                good[mine] = False
                batch, block = batch.filter(pa.array(good.tolist())), np.ascontiguousarray(block[good])
            if batch.num_rows:
                write(batch, block)
    return path


class _VectorStream:
    """Vectors of consecutive shards, taken a few rows at a time; one shard is in memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._block: NDArray[np.float32] = _read_array(self._files.pop(0))
        self.dim = int(self._block.shape[1])

    def take(self, rows: int) -> NDArray[np.float32]:
        """The next `rows`."""
        parts = []
        while rows:
            if not len(self._block):
                self._block = _read_array(self._files.pop(0))
            part, self._block = self._block[:rows], self._block[rows:]
            parts.append(part)
            rows -= len(part)
        return np.ascontiguousarray(np.concatenate(parts)) if parts else self._block[:0]


def _read_array(path: Path) -> Any:
    with guard.open_read(path) as handle:
        return np.load(handle, allow_pickle=False)


def _paths(table: ImageTable, shard: ShardPlan) -> Iterator[tuple[int, list[str | None]]]:
    """(first row within the shard, paths) in blocks; a path that is missing or no text is None."""
    at = 0
    stop = shard.start + shard.rows
    for batch in table.batches([FILEPATH]):
        low, high = max(shard.start, at), min(stop, at + batch.num_rows)
        if low < high:
            values = batch.column(0).slice(low - at, high - low).to_pylist()
            names = [v if isinstance(v, str) and v else None for v in values]
            for first in range(0, len(names), _CHUNK):
                yield low - shard.start + first, names[first : first + _CHUNK]
        at += batch.num_rows
        if at >= stop:
            return


def _encoded(paths: Sequence[Path | None], encoder: Encoder) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Vectors [n, dim] and, for those that cannot be had (zeros), what is wrong by place."""
    vectors = np.zeros((len(paths), encoder.dim), dtype=np.float32)
    bad = {n: "no filepath" for n, path in enumerate(paths) if path is None}
    left = [n for n in range(len(paths)) if n not in bad]
    while left:
        try:
            vectors[left] = encoder.encode([path for n in left if (path := paths[n]) is not None])
            break
        except ImageError as error:
            # The encoder stops at the first bad file; the same file may stand in several rows.
            for n in [n for n in left if paths[n] == error.path]:
                bad[n] = error.what
            left = [n for n in left if n not in bad]
    return vectors, dict(sorted(bad.items()))


def _encoder_of(plan: MiningPlan) -> Encoder:
    made = get_encoder(plan.encoder)
    if (made.name, made.version) != (plan.encoder_name, plan.encoder_version):
        raise InputError(
            f"this machine has {made.name} (version {made.version}), the plan was made with {plan.encoder_name} "
            f"(version {plan.encoder_version})",
            where="encoder",
            fix="put the same weights on every node, or plan with --encoder local",
        )
    return made


def _write_errors(path: Path, errors: Sequence[ErrorRow]) -> None:
    if not errors:
        guard.remove(path)
        return
    write_sheet(path, ["row", "filepath", "error"], ([e.row, e.filepath, e.what] for e in errors))


def main(argv: Sequence[str]) -> int:
    """`python -m tao_skill_bank.actions.mining.shards OUTPUT INDEX …`: run shards; 2 if one cannot be done."""
    try:
        for index in argv[1:]:
            receipt = run_shard(Path(argv[0]), int(index))
            print(f"shard {receipt.index}: {receipt.rows} rows, {len(receipt.errors)} in error", flush=True)
    except BankError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
