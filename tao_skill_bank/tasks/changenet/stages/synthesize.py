"""anomalygen: synthetic defects for the routed labels, by one of three ways, or none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from tao_skill_bank.core import fsio
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.threads import one_blas_thread
from tao_skill_bank.data.changenet.pair_prepare import PAIR_COLUMNS, prepare_pairs
from tao_skill_bank.data.changenet.sample_book import TRAINING
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs, write_pairs
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import iteration_number
from tao_skill_bank.tasks.changenet import generator, sets, specs, synthetic
from tao_skill_bank.tasks.changenet.results import AnomalygenResult, RoutingResult
from tao_skill_bank.tasks.changenet.stages.merge import relative_to_workspace
from tao_skill_bank.tasks.changenet.state import Run, Stage


class Anomalygen(Stage):
    """Chooses or makes at most `num_SDG` synthetic NG/OK pairs for the labels that were routed here."""

    name = "anomalygen"
    Result = AnomalygenResult
    home = "anomalygen"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The routed weak samples."""
        routed = run.need(label, RoutingResult, "nothing was routed", "run routing first")
        return [Path(routed.routing_anomalygen_parquet)]

    def work(self, run: Run, label: str) -> Outcome:
        """Make the rows; an empty branch is committed as skipped, with its proof."""
        out = self.folder(run, label)
        rows_csv = out / "sdg_rows.csv"
        routed = read_parquet(self.needs(run, label)[0])
        labels = sorted({str(x).strip().upper() for x in routed.column("label").to_pylist()})
        mode = run.state.config.anomalygen.mode
        used: list[str] = []
        warnings: list[str] = []
        if routed.num_rows == 0:
            rows = PairTable(rows_csv, {name: [] for name in PAIR_COLUMNS})
            summary = "skipped: 0 rows routed to anomalygen"
        elif mode == "pregen_ingest":
            rows, used = self._pregen(run, label, labels, [str(x) for x in routed.column("filepath").to_pylist()])
            summary = f"pregen_ingest: {len(rows)} pairs of {', '.join(labels)}"
        elif mode == "local_standin":
            rows = self._standin(run, label, labels, out)
            summary = f"local_standin (a stand-in, no generator): {len(rows)} pairs of {', '.join(labels)}"
        elif mode == "inline":
            rows = self._inline(run, label, labels, out, warnings)
            summary = (
                f"inline: {len(rows)} pairs of {', '.join(sorted({x.upper() for x in rows.label})) or 'no defect'}"
            )
        else:
            raise GateError("routing", "rows were routed to a generator that is switched off", where=label)
        write_pairs(rows_csv, rows.columns)
        return Outcome(
            summary=summary,
            result=AnomalygenResult(
                anomalygen_rows_csv=str(rows_csv),
                anomalygen_count=len(rows),
                anomalygen_by_label=dict(sorted(Counter(rows.label).items())),
                anomalygen_used=used,
            ),
            promised=[rows_csv],
            warnings=warnings,
        )

    def _pregen(self, run: Run, label: str, labels: list[str], weak: list[str]) -> tuple[PairTable, list[str]]:
        from tao_skill_bank.actions.mining.encoders import get_encoder
        from tao_skill_bank.actions.mining.knn import knn

        config = run.state.config
        naming = specs.naming_of(config)
        if config.pregen_dir is None:
            raise GateError("pregen-missing", "the workspace has no pre-generated pairs", where=config.workspace)
        pool = synthetic.stage_pool(run.root, Path(config.pregen_dir), naming)
        taken = self._used_before(run, label)
        candidates = [i for i, p in enumerate(pool.manifest.pairs) if p.label.upper() in labels and p.stem not in taken]
        if not candidates:
            return pool.rows.take([]), []
        encoder = get_encoder("local")
        first = naming.suffixes[0]
        targets = sorted({Path(w) for w in weak if w.endswith(first)}) or sorted({Path(w) for w in weak})
        folder, name = pool.rows.input_path, pool.rows.object_name
        files = [naming.files(pool.root, folder[i], name[i])[0] for i in candidates]
        with one_blas_thread():
            _, similarity = knn(encoder.encode(targets), encoder.encode(files), 1)
        order = np.lexsort((np.arange(len(candidates)), -similarity[:, 0]))[: config.anomalygen.num_SDG]
        chosen = [candidates[i] for i in order]
        rows = relative_to_workspace(pool.rows.take(chosen), pool.root, run.workspace)
        return rows, [pool.manifest.pairs[i].stem for i in chosen]

    def _inline(self, run: Run, label: str, labels: list[str], out: Path, warnings: list[str]) -> PairTable:
        """AMP, its allocation against the test cases, SDG, and its rows and images against both."""
        config = run.state.config
        assets = generator.find_assets(config)
        wanted = [d for d in assets.defects if d.label in labels]
        if not wanted:
            return PairTable(out / "sdg_rows.csv", {name: [] for name in PAIR_COLUMNS})
        spec = assets.defect_spec
        if len(wanted) < len(assets.defects):
            spec = out / "defect_spec.jsonl"
            fsio.write_text(spec, "".join(json.dumps(d.model_dump()) + "\n" for d in wanted))
        amp, cases, sdg = generator.layout(out)
        line = generator.amp_command(label, config.anomalygen.num_SDG, assets, spec, out)
        run.job(label, self.name, "amp", line, [amp, cases])
        counts = {"allotted": generator.allocated(amp), "test cases": generator.test_cases(cases)}
        # Before anything is generated: a shortfall here is a shortfall at the end, hours later.
        generator.require_equal(counts, cases)
        run.job(label, self.name, "sdg", generator.sdg_command(assets, config.num_gpus, out), [sdg])
        left_out = sum(generator.compare(out)["left out"].values())
        if left_out:
            warnings.append(f"{label}: {left_out} generated pairs are black or were blocked by the guardrail: left out")
        if left_out == sum(counts["allotted"].values()):
            return PairTable(out / "sdg_rows.csv", {name: [] for name in PAIR_COLUMNS})
        naming = specs.naming_of(config)
        made = prepare_pairs(
            input_dir=sdg / generator.NG_DIR,
            golden_dir=sdg / generator.OK_DIR,
            images_dir=out,
            subdir="inline",
            lights=naming.lights,
            image_ext=naming.image_ext,
            output_csv=out / "prepared.csv",
        )
        return relative_to_workspace(made.rows, out, run.workspace)

    def _standin(self, run: Run, label: str, labels: list[str], out: Path) -> PairTable:
        config = run.state.config
        naming = specs.naming_of(config)
        training = read_pairs(sets.csv_of(run, TRAINING))
        rows = synthetic.make_standins(
            training,
            specs.image_root(config, training.path, naming),
            naming,
            labels,
            config.anomalygen.num_SDG,
            out,
            seed=(config.seed, iteration_number(label)),
        )
        return relative_to_workspace(rows, out, run.workspace)

    def _used_before(self, run: Run, label: str) -> set[str]:
        """Pairs that earlier iterations took: none is taken twice in a run."""
        found = [before.result(AnomalygenResult) for before in run.state.before(label)]
        return {stem for made in found if made is not None for stem in made.anomalygen_used}
