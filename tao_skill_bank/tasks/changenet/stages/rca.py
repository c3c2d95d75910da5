"""rca: gap analysis of the winning checkpoint, at the frozen threshold. It feeds the next iteration's routing."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.core.overrides import setting
from tao_skill_bank.data.changenet.sample_book import KPI
from tao_skill_bank.loop.stage import Outcome, timestamp
from tao_skill_bank.tasks.changenet import sets, specs
from tao_skill_bank.tasks.changenet.metric import recall_floor
from tao_skill_bank.tasks.changenet.results import RcaResult
from tao_skill_bank.tasks.changenet.state import Run, Stage

_WANTED = ("threshold.txt", "metrics.json", "recall_far.csv", "weak_samples_breakdown.txt")


class Rca(Stage):
    """Finds the weakest KPI samples of every label."""

    name = "rca"
    Result = RcaResult
    home = "rca_results"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The winner's inference."""
        csv = run.state.iteration(label).inference_csv
        if csv is None:
            raise StageFailedError("there is no inference to analyse", where=label, fix="run evaluate first")
        return [Path(csv)]

    def work(self, run: Run, label: str) -> Outcome:
        """Run gap analysis; read back the labels it found weak."""
        config = run.state.config
        iteration = run.state.iteration(label)
        if iteration.inference_csv is None or iteration.threshold is None:
            raise StageFailedError("there is no inference to analyse", where=label, fix="run evaluate first")
        out = self.folder(run, label) / timestamp(run, label)
        spec_path = out / "vcn_aoi_spec.yaml"
        # A negative threshold of the KPI set cannot be pinned: -1 asks for the sweep down to `min_recall`.
        threshold = iteration.threshold if iteration.threshold >= 0 else -1.0
        specs.write_spec(
            spec_path,
            {
                "min_recall": recall_floor(run.state.target),
                "top_k_per_label": config.rca.top_k_per_label,
                "threshold": threshold,
            },
        )
        kpi_csv = sets.csv_of(run, KPI)
        root = specs.image_root(config, kpi_csv, specs.naming_of(config))
        command = [
            "gap_analysis",
            "vcn_aoi",
            "-e",
            str(spec_path),
            setting("inference_results_dir", Path(iteration.inference_csv).parent),
            setting("train_config", iteration.training_spec or run.folder(label) / "inference_spec.yaml"),
            setting("kpi_media_path", root),
            setting("results_dir", out),
        ]
        if threshold >= 0:
            command.append(f"threshold={threshold!r}")
        run.job(label, self.name, "gap_analysis", command, [out])
        parquet = out / "kpi_gaps.parquet"
        if not guard.is_file(parquet):
            raise StageFailedError("gap analysis left no parquet", where=parquet, fix="see the job's log")
        self._complete(out, Path(iteration.inference_csv).parent, command)
        table = read_parquet(parquet, ["label", "weakness"])
        labels = [str(x).upper() for x in table.column("label").to_pylist()]
        weakness = table.column("weakness").to_pylist()
        defects = sorted({x for x in labels if x != "PASS"})
        lights = max(1, len(specs.naming_of(config).lights))
        wrong = sum(1 for w, x in zip(weakness, labels, strict=True) if (w >= 0 if x != "PASS" else w > 0)) // lights
        used = float(guard.read_text(out / "threshold.txt").strip())
        return Outcome(
            summary=f"{len(labels) // lights} weakest samples of {len(set(labels))} labels, {wrong} misclassified",
            result=RcaResult(
                rca_results_dir=str(out),
                rca_gaps_parquet=str(parquet),
                rca_threshold=used,
                rca_target_defects=defects,
            ),
            promised=[parquet, out / "threshold.txt", out / "metrics.json"],
        )

    def _complete(self, out: Path, inference_dir: Path, command: list[str]) -> None:
        """Write what an installed TAO's gap analysis does not (`metrics.json`, and `threshold.txt` when pinned).

        The bank's own analysis of the same inference fills the gaps; what TAO wrote stays as it is.
        """
        missing = [name for name in _WANTED if not guard.is_file(out / name)]
        if not missing:
            return
        from tao_skill_bank.actions.gap_analysis.config import VCN_AOI_SCHEMA, VcnAoiConfig
        from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi
        from tao_skill_bank.core.overrides import parse_command_line
        from tao_skill_bank.core.settings import validated

        with guard.temporary_folder(out, ".own.tmp") as folder:
            arguments = [
                setting("results_dir", str(folder)) if a.startswith("results_dir=") else a for a in command[2:]
            ]
            line = parse_command_line(arguments, VCN_AOI_SCHEMA)
            made = analyze_vcn_aoi(validated(VcnAoiConfig, line.config))
            for name in missing:
                if name in made.files:
                    fsio.copy_file(made.files[name], out / name)
