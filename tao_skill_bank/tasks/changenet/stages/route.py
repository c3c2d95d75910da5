"""routing: each weak label goes to mining, to the generator, or to both; a label nobody takes stops the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.data.changenet.sample_book import KPI, POOL
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.stage import Outcome, timestamp
from tao_skill_bank.tasks.changenet import sets, specs
from tao_skill_bank.tasks.changenet.results import RoutingResult
from tao_skill_bank.tasks.changenet.routing import route, write_routing
from tao_skill_bank.tasks.changenet.state import Run, Stage
from tao_skill_bank.tasks.changenet.synthetic import generator_labels

if TYPE_CHECKING:
    import pyarrow as pa


class Route(Stage):
    """Routes the weak samples that the RCA of the previous iteration found."""

    name = "routing"
    Result = RoutingResult
    home = "routing_results"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The weak samples."""
        parquet = run.state.iteration(run.previous(label)).rca_gaps_parquet
        if parquet is None:
            raise StageFailedError("the previous iteration has no RCA", where=label, fix="run rca first")
        return [Path(parquet)]

    def _fit(self, run: Run, rows: pa.Table) -> tuple[pa.Table, str]:
        """The weak rows without those that people say show nothing of the model, and how many were left out."""
        import pyarrow as pa
        import pyarrow.compute as pc

        config = run.state.config
        kpi_csv = sets.csv_of(run, KPI)
        unfit = sets.unfit_pictures(config, KPI, specs.image_root(config, kpi_csv, specs.naming_of(config)))
        if not unfit:
            return rows, ""
        out = pc.is_in(rows.column("filepath"), value_set=pa.array(sorted(unfit), pa.string()))
        count = int(pc.sum(out).as_py() or 0)
        left = f"; {count} left out: label doubted or picture damaged" if count else ""
        return rows.filter(pc.invert(out)), left

    def work(self, run: Run, label: str) -> Outcome:
        """Route, write the files, then let the gates speak."""
        config = run.state.config
        out = self.folder(run, label) / timestamp(run, label)
        rows = read_parquet(self.needs(run, label)[0])
        rows, unfit = self._fit(run, rows)
        pool = set() if config.mining_pool_csv is None else set(read_pairs(sets.csv_of(run, POOL)).label)
        routing = route(
            [str(x) for x in rows.column("label").to_pylist()],
            pool,
            generator_labels(config),
            config.routing.accept_dropped,
        )
        write_routing(out, rows, routing)
        if routing.dropped:
            names = ", ".join(routing.dropped)
            raise GateError(
                "silent-drop",
                f"no module accepts the weak label{'s' if len(routing.dropped) > 1 else ''} {names}",
                where=out / "routing_summary.txt",
                fix=f"add pool rows or pairs of it, or accept the loss: --set routing.accept_dropped=[{names.lower()}]",
            )
        if not routing.mining and not routing.anomalygen:
            raise GateError(
                "routing-empty", "no weak sample could be routed anywhere", where=out, fix="add a mining pool or pairs"
            )
        return Outcome(
            summary=f"{len(routing.mining)} rows to mining, {len(routing.anomalygen)} to anomalygen{unfit}",
            result=RoutingResult(
                routing_results_dir=str(out),
                routing_mining_parquet=str(out / "mining_gaps.parquet"),
                routing_anomalygen_parquet=str(out / "anomalygen_gaps.parquet"),
                routing_verdicts=routing.verdicts,
            ),
            promised=[out / "mining_gaps.parquet", out / "anomalygen_gaps.parquet", out / "routing_summary.txt"],
        )
