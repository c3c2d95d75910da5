"""The search as one job of `tmm nearest_neighbors`, where the platform runs it: which rows can be among the nearest.

One job serves all questions and answers of an iteration: starting a container takes longer than any of these searches.
Each search is a block. To a block's unit vectors a tail is added, √3 long, the same within the block and at a right
angle to every other block's: the cosine c of two vectors becomes (c + 3)/4, at least 1/2, within a block, and c/4, at
most 1/4, between two. So every row of a target's own block is nearer than any other row, in the order it had.

That order holds as far as float32 tells: near 1 its steps are 6e-8, which is a quarter of a cosine's here, so that
cosines closer than about 2e-7 are equal to the job. It is therefore asked for a few more than k. The search over what
it leaves, in this process, is exact and gives what a search over all gives, similarities included; only where more
than these few are within 2e-7 of the k-th may it take another one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tao_skill_bank.core import fsio
from tao_skill_bank.core.arrow import read_parquet, write_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.data.bcq.vectors import Vectors
from tao_skill_bank.platforms.container import COSMOS_EMBED
from tao_skill_bank.tasks.vlm_bcq.selecting import Block
from tao_skill_bank.tasks.vlm_bcq.state import Run

TMM = "tmm"
_SPARE = 8
"""As many rows more than wanted a target, for those that the job cannot tell from the last one."""
_PREFIX, _AGAIN = "pair:", "#"
"""A row's `filepath`; where it stands in a second block, that block's number follows: no id has such a sign."""


class SearchJob:
    """A search by one job of the run's platform.

    Args:
        run: The run.
        label: The iteration.
        stage: The stage whose job it is.
        out: The stage's folder.
    """

    def __init__(self, run: Run, label: str, stage: str, out: Path) -> None:
        self._run, self._label, self._stage, self._out = run, label, stage, out

    def __call__(
        self, targets: Vectors, pool: Vectors, ids: Sequence[str], blocks: Sequence[Block], top_k: int
    ) -> list[Block]:
        """The blocks with those of their rows alone that can be among the `top_k` nearest of one of their targets.

        Args:
            targets: Unit float32 [t, d].
            pool: Unit float32 [p, d].
            ids: Of the pool, [p].
            blocks: Places in both.
            top_k: Neighbours a target.

        Raises:
            GateError: Gate `neighbours`: the job left no table of names that it was given, or left rows out.
        """
        asked = [number for number, block in enumerate(blocks) if len(block.rows) and len(block.targets)]
        if not asked:
            return list(blocks)
        rows = [(number, int(place)) for number in asked for place in blocks[number].rows]
        wanted = [(number, int(place)) for number in asked for place in blocks[number].targets]
        names = _names(rows, ids)
        spec, found = self._write(
            _table(names, pool, rows, asked),
            _table([f"target:{place}{_AGAIN}{number}" for number, place in wanted], targets, wanted, asked),
            min(top_k + _SPARE, len(rows)),
        )
        self._run.job(
            self._label, self._stage, "neighbours", [TMM, "nearest_neighbors", "-e", str(spec)], [found.parent]
        )
        left = _read(found, dict(zip(names, rows, strict=True)))
        narrowed = []
        for number, block in enumerate(blocks):
            kept = np.array([place for place in block.rows.tolist() if (number, place) in left], dtype=np.int64)
            least = min(top_k, len(block.rows)) if len(block.targets) else 0
            if len(kept) < least:
                what = f"{len(kept)} rows of a question's {len(block.rows)} were found, and {least} are the least"
                raise GateError("neighbours", what, where=found, fix="see the job's log, and run again")
            narrowed.append(Block(block.targets, kept))
        return narrowed

    def _write(self, source: Any, target: Any, topn: int) -> tuple[Path, Path]:
        """Write what the job reads; its spec, and where its table will be."""
        folder = self._out / "neighbours"
        found = folder / "found" / "neighbours.parquet"
        write_parquet(folder / "source.parquet", source)
        write_parquet(folder / "target.parquet", target)
        spec = {
            "source_parquet": str(folder / "source.parquet"),
            "target_parquet": str(folder / "target.parquet"),
            "output_parquet": str(found),
            "topn": topn,
            "knn_metric": "cosine",
            "filter_by_label": "false",
            "distance_threshold": -1.0,
        }
        fsio.write_text(folder / "neighbours.yaml", yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
        return folder / "neighbours.yaml", found


def _names(rows: Sequence[tuple[int, int]], ids: Sequence[str]) -> list[str]:
    """`pair:<id>` of each row, each once."""
    seen: set[int] = set()
    names = []
    for number, place in rows:
        names.append(f"{_PREFIX}{ids[place]}" + (f"{_AGAIN}{number}" if place in seen else ""))
        seen.add(place)
    return names


def _table(names: Sequence[str], vectors: Vectors, rows: Sequence[tuple[int, int]], blocks: Sequence[int]) -> Any:
    """`filepath`, `embedding`: the vectors of these rows with the tail of their block."""
    import pyarrow as pa

    at = {number: place for place, number in enumerate(blocks)}
    tails = np.zeros((len(rows), len(blocks)), dtype=np.float32)
    tails[np.arange(len(rows)), [at[number] for number, _ in rows]] = np.sqrt(3.0)
    joined = np.concatenate([vectors[[place for _, place in rows]], tails], axis=1)
    lists = pa.ListArray.from_arrays(
        np.arange(0, joined.size + 1, joined.shape[1], dtype=np.int32), pa.array(joined.ravel())
    )
    return pa.table({"filepath": pa.array(names, pa.string()), "embedding": lists})


def _read(path: Path, known: dict[str, tuple[int, int]]) -> set[tuple[int, int]]:
    """The rows that the job named, as (block, place).

    Raises:
        GateError: Gate `neighbours`: no such table, or a name that the job was not given.
    """
    fix = "see the job's log, and run again"
    try:
        names: list[str] = read_parquet(path, ["filepath"]).column("filepath").to_pylist()
    except FileNotFoundError:
        raise GateError("neighbours", "was not written", where=path, fix=fix) from None
    except (ValueError, KeyError, OSError):
        raise GateError("neighbours", "is no table with a filepath", where=path, fix=fix) from None
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise GateError("neighbours", f"names {strange!r}, which is no row of the pool", where=path, fix=fix)
    return {known[name] for name in names}


def search_of(run: Run, label: str, stage: str, out: Path) -> SearchJob | None:
    """The search of a run's platform; None where this process searches, which is exact and quicker than any start."""
    return SearchJob(run, label, stage, out) if run.platform.can_run(COSMOS_EMBED) else None
