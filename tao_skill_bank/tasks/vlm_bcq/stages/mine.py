"""data_mining: pool pairs nearest to the failed ones, among the Yes and among the No rows of each question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tao_skill_bank.core import fsio
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.sheets import write_sheet
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.tasks.vlm_bcq import selecting
from tao_skill_bank.tasks.vlm_bcq.embed_jobs import encoder_of
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder
from tao_skill_bank.tasks.vlm_bcq.failing import MINING, targets_of
from tao_skill_bank.tasks.vlm_bcq.pool import rows_of_key, unused_pool
from tao_skill_bank.tasks.vlm_bcq.results import MiningResult, RoutingResult
from tao_skill_bank.tasks.vlm_bcq.search_jobs import SearchJob, search_of
from tao_skill_bank.tasks.vlm_bcq.selecting import Block, Found
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage


class DataMining(Stage):
    """Chooses pool rows."""

    name = "data_mining"
    Result = MiningResult
    home = "mining"

    def work(self, run: Run, label: str) -> Outcome:
        """Search, choose within the budget, write what was found and why."""
        config = run.state.config
        routed = run.state.iteration(label).result(RoutingResult)
        verdicts = {} if routed is None else routed.routing_verdicts
        targets = [row.record for row in targets_of(run, label) if verdicts.get(row.record.key) == MINING]
        rows = unused_pool(run, label)
        failures = Counter(record.key for record in targets)
        budget = selecting.budget_of(len(targets), config.mining.budget)
        searched = [*targets, *rows] if targets and rows else []
        encoder = encoder_of(
            run, label, self.name, self.folder(run, label), [r.path for r in searched], [r.key for r in searched]
        )
        mined = Mined(targets, rows, failures, budget)
        out = self.folder(run, label)
        search = search_of(run, label, self.name, out)
        chosen = mined.choose(encoder, config.mining.strategy, config.mining.top_k, config.seed, search)
        write_parquet(out / "targets.parquet", targets_table(targets))
        write_parquet(out / "mined.parquet", mined_table(rows, targets, chosen))
        by_key = Counter(rows[found.place].key for found in chosen)
        yes = sum(rows[found.place].gt == "yes" for found in chosen)
        self._summaries(out, failures, by_key, chosen, budget, encoder.name)
        return Outcome(
            summary=f"{len(chosen)} of {len(rows)} pool rows for {len(targets)} targets, {yes} of them yes",
            result=MiningResult(
                mined_parquet=str(out / "mined.parquet"),
                mined_count=len(chosen),
                mined_ids=[rows[found.place].id for found in chosen],
                encoder=encoder.name,
                yes=yes,
                by_key=dict(sorted(by_key.items())),
            ),
            promised=[out / "mined.parquet", out / "targets.parquet", out / "mining_summary.txt"],
        )

    def _summaries(
        self,
        out: Path,
        failures: Counter[str],
        by_key: Counter[str],
        chosen: Sequence[Found],
        budget: int,
        encoder: str,
    ) -> None:
        similar = [found.similarity for found in chosen]
        median = f"{float(np.median(similar)):.3f}" if similar else "none"
        lines = [f"{len(chosen)} rows of a budget of {budget}, encoder {encoder}, median similarity {median}", ""]
        lines += [f"{by_key.get(key, 0):>5} rows for {failures[key]:>4} targets  {key}" for key in sorted(failures)]
        fsio.write_text(out / "mining_summary.txt", "\n".join(lines) + "\n")
        rows = [(key, failures[key], by_key.get(key, 0)) for key in sorted(failures)]
        write_sheet(out / "knn_summary.csv", ("question_key", "targets", "chosen"), rows)


class Mined:
    """One search of the pool.

    Args:
        targets: The failed pairs.
        rows: The pool's rows that may be taken.
        failures: Key → targets.
        budget: Rows at most.
    """

    def __init__(self, targets: Sequence[Record], rows: Sequence[Record], failures: Counter[str], budget: int) -> None:
        self.targets, self.rows, self.failures, self.budget = targets, rows, failures, budget

    def choose(
        self, encoder: Encoder, strategy: str, top_k: int, seed: int, search: SearchJob | None = None
    ) -> list[Found]:
        """The rows that are taken, best first within each question; `search` looks through them beforehand."""
        if not self.targets or not self.rows:
            return []
        pool, failed = encoder.pairs(self.rows), encoder.pairs(self.targets)
        if strategy != "nearest":
            return self._measuring(pool, failed, strategy, seed)
        ids = [row.id for row in self.rows]
        yes = np.array([row.gt == "yes" for row in self.rows])
        blocks = []
        for key in self.failures:
            held = np.array(rows_of_key(self.rows, key), dtype=np.int64)
            mine = np.array([place for place, record in enumerate(self.targets) if record.key == key], dtype=np.int64)
            blocks += [Block(mine, held[yes[held]]), Block(mine, held[~yes[held]])]
        if search is not None:
            blocks = search(failed, pool, ids, blocks, top_k)
        sides = []
        for block in blocks:
            near = selecting.nearest(failed[block.targets], pool, ids, block.rows, top_k)
            sides.append([Found(n.place, int(block.targets[n.target]), n.similarity) for n in near])
        candidates = {key: (sides[2 * at], sides[2 * at + 1]) for at, key in enumerate(self.failures)}
        picked = selecting.choose(candidates, self.failures, self.budget)
        taken: dict[int, Found] = {}
        for key in picked:
            for found in picked[key]:
                taken.setdefault(found.place, found)
        return list(taken.values())

    def _measuring(self, pool: Any, failed: Any, strategy: str, seed: int) -> list[Found]:
        """Rows that do not look at the failures: for measuring what looking at them is worth."""
        places = np.arange(len(self.rows))
        if strategy == "random":
            rng = np.random.default_rng([seed, len(self.rows)])
            places = np.sort(rng.permutation(len(self.rows))[: self.budget])
        nearest = np.argmax(pool[places] @ failed.T, axis=1)
        return [
            Found(int(place), int(target), float(pool[place] @ failed[target]))
            for place, target in zip(places, nearest, strict=True)
        ]


def targets_table(targets: Sequence[Record]) -> Any:
    """The failed pairs as a table."""
    import pyarrow as pa

    return pa.table(
        {
            "filepath": pa.array([f"pair:{r.id}" for r in targets], pa.string()),
            "id": pa.array([r.id for r in targets], pa.string()),
            "video": pa.array([str(r.path) for r in targets], pa.string()),
            "content": pa.array([r.content for r in targets], pa.string()),
            "question_key": pa.array([r.key for r in targets], pa.string()),
        }
    )


def mined_table(rows: Sequence[Record], targets: Sequence[Record], chosen: Sequence[Found]) -> Any:
    """The chosen rows as a table."""
    import pyarrow as pa

    held = [rows[found.place] for found in chosen]
    return pa.table(
        {
            "id": pa.array([r.id for r in held], pa.string()),
            "video": pa.array([str(r.path) for r in held], pa.string()),
            "content": pa.array([r.content for r in held], pa.string()),
            "question_key": pa.array([r.key for r in held], pa.string()),
            "answer": pa.array(["Yes" if r.gt == "yes" else "No" for r in held], pa.string()),
            "similarity": pa.array([found.similarity for found in chosen], pa.float64()),
            "target_id": pa.array([targets[found.target].id for found in chosen], pa.string()),
        }
    )
