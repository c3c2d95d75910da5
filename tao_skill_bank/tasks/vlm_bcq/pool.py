"""The labelled pool of a run: without what evaluations show, and without what was used already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.data.bcq.leakage import Seen
from tao_skill_bank.data.bcq.records import Record, RecordSet
from tao_skill_bank.data.bcq.vectors import hashed_words, unit
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.results import MiningResult
from tao_skill_bank.tasks.vlm_bcq.state import Run
from tao_skill_bank.tasks.vlm_bcq.workspace import read

NEAR = 0.9
"""Cosine of two questions that ask nearly the same."""


@dataclass(frozen=True)
class Used:
    """What earlier iterations took: ids, and (content, key) pairs."""

    ids: frozenset[str]
    pairs: frozenset[tuple[str, str]]

    def holds(self, record: Record) -> bool:
        """Whether a record was used."""
        return record.id in self.ids or (record.content, record.key) in self.pairs


def evaluation_sets(config: VlmConfig) -> list[RecordSet]:
    """KPI, and acceptance where there is one."""
    return [found for name in ("kpi", "acceptance") if (found := read(config, name)) is not None]


def used_before(run: Run, label: str) -> Used:
    """What the iterations before this one took from the pool, and what the base has."""
    ids: set[str] = set()
    held: set[tuple[str, str]] = set()
    for before in run.state.before(label):
        mined = before.result(MiningResult)
        if mined is None:
            continue
        ids |= set(mined.mined_ids)
        table = read_parquet(Path(mined.mined_parquet), ["content", "question_key"])
        held |= set(zip(table.column("content").to_pylist(), table.column("question_key").to_pylist(), strict=True))
    return Used(frozenset(ids), frozenset(held))


def unused_pool(run: Run, used: Used) -> list[Record]:
    """The pool's rows that may be taken now, in the order of the file.

    A row that an evaluation's row equals is none of them: the plan has stopped there, or was told to leave it out.
    """
    config = run.state.config
    pool = read(config, "pool")
    if pool is None:
        return []
    seen = Seen(evaluation_sets(config))
    base = read(config, "base")
    known = set() if base is None else {(r.content, r.key) for r in base.records}
    return [
        r
        for r in pool.records
        if not used.holds(r) and (r.content, r.key) not in known and seen.leak("pool", r) is None
    ]


def rows_of_key(rows: Sequence[Record], key: str) -> list[int]:
    """Places of the rows that ask a question; of a question new to the pool, those that ask nearly the same."""
    same = [place for place, row in enumerate(rows) if row.key == key]
    if same or not rows:
        return same
    keys = list(dict.fromkeys(row.key for row in rows))
    vectors = unit(np.stack([hashed_words(other) for other in [key, *keys]]))
    near = {other for other, cosine in zip(keys, vectors[1:] @ vectors[0], strict=True) if cosine >= NEAR}
    return [place for place, row in enumerate(rows) if row.key in near]
