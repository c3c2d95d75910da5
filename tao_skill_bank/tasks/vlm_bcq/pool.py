"""The labelled pool of a run: without what evaluations show, and without what was used already."""

from __future__ import annotations

from collections.abc import Sequence
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


def evaluation_sets(config: VlmConfig) -> list[RecordSet]:
    """KPI, and acceptance where there is one."""
    return [found for name in ("kpi", "acceptance") if (found := read(config, name)) is not None]


def unused_pool(run: Run, label: str) -> list[Record]:
    """The pool's rows that an iteration may take, in the order of the file: not what those before took or the base has.

    A row that an evaluation's row equals is none of them: the plan has stopped there, or was told to leave it out.
    """
    config = run.state.config
    pool = read(config, "pool")
    if pool is None:
        return []
    base = read(config, "base")
    ids: set[str] = set()
    pairs = set() if base is None else {(r.content, r.key) for r in base.records}
    for before in run.state.before(label):
        mined = before.result(MiningResult)
        if mined is None:
            continue
        ids |= set(mined.mined_ids)
        table = read_parquet(Path(mined.mined_parquet), ["content", "question_key"])
        pairs |= set(zip(table.column("content").to_pylist(), table.column("question_key").to_pylist(), strict=True))
    seen = Seen(evaluation_sets(config))
    return [
        r for r in pool.records if r.id not in ids and (r.content, r.key) not in pairs and seen.leak("pool", r) is None
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
