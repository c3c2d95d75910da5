"""routing: which question keys the labelled pool can give more of, which are left to annotation, which to nothing."""

from __future__ import annotations

import json
from collections import Counter

from tao_skill_bank.core import fsio
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.loop.stage import Outcome, timestamp
from tao_skill_bank.tasks.vlm_bcq.failing import ANNOTATE, DROPPED, MINING, targets_of
from tao_skill_bank.tasks.vlm_bcq.pool import rows_of_key, unused_pool
from tao_skill_bank.tasks.vlm_bcq.results import RoutingResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage
from tao_skill_bank.tasks.vlm_bcq.workspace import need


class Routing(Stage):
    """A verdict a question key."""

    name = "routing"
    Result = RoutingResult
    home = "routing_results"

    def work(self, run: Run, label: str) -> Outcome:
        """Route every failed question key."""
        import pyarrow as pa

        config = run.state.config
        failed = targets_of(run, label)
        out = self.folder(run, label) / timestamp(run, label)
        counts = Counter(row.record.key for row in failed)
        left = unused_pool(run, label)
        verdicts: dict[str, str] = {}
        for key in sorted(counts, key=lambda k: (-counts[k], k)):
            held = {left[place].gt for place in rows_of_key(left, key)}
            both = held >= {"yes", "no"}
            can_ask = config.annotate.on and config.pool_videos is not None
            verdicts[key] = MINING if both else ANNOTATE if can_ask else DROPPED
        every = dict.fromkeys(need(config, "kpi").keys)
        lines = [f"{len(failed)} targets of {len(counts)} question keys", ""]
        lines += [f"{verdicts.get(key, 'nothing failed'):<14} {counts.get(key, 0):>5}  {key}" for key in every]
        fsio.write_text(out / "routing_summary.txt", "\n".join(lines) + "\n")
        fsio.write_json(out / "routing.json", verdicts)
        table = {
            "id": [row.record.id for row in failed],
            "question_key": [row.record.key for row in failed],
            "content": [row.record.content for row in failed],
            "route": [verdicts[row.record.key] for row in failed],
        }
        write_parquet(out / "targets.parquet", pa.table(table))
        lost = [k for k, verdict in verdicts.items() if verdict == DROPPED and k not in config.routing.accept_dropped]
        if lost:
            raise GateError(
                "silent_drop",
                f"neither pool nor annotation has more of {', '.join(map(repr, lost[:3]))}",
                where=out / "routing_summary.txt",
                fix=f"--set routing.accept_dropped={json.dumps(lost[:3], ensure_ascii=False)}, or add pool rows",
            )
        ways = Counter(verdicts.values())
        said = ", ".join(f"{ways[way]} {way}" for way in (MINING, ANNOTATE, DROPPED) if ways[way])
        return Outcome(
            summary=f"{len(failed)} targets of {len(counts)} question keys: {said}",
            result=RoutingResult(routing_results_dir=str(out), routing_verdicts=verdicts, targets=len(failed)),
            promised=[out / "routing_summary.txt", out / "routing.json"],
        )
