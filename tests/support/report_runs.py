"""Run folders as the loop leaves them, made without running it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from flat import put
from PIL import Image

from tao_skill_bank.core.text import plural
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.log import sync_log
from tao_skill_bank.loop.state import Approval, StageRecord, StopResult, iteration_label, save_state
from tao_skill_bank.metrics import clopper_pearson, confusion_at, far_at_recall
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.metric import GRAMMAR, recall_floor
from tao_skill_bank.tasks.changenet.scores import evaluate
from tao_skill_bank.tasks.changenet.stages.accept import kpi_reached
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.task import TASK

DEFECTS = ("missing", "bridge", "shift", "scratch")
SPEC = """\
task: classify
train: {num_epochs: 10, classify: {loss: ce}}
model:
  backbone: {type: fan_tiny_8_p4_hybrid}
  classify: {difference_module: learnable}
dataset:
  classify:
    image_ext: .png
    batch_size: 8
    num_input: %d
    input_map: {%s}
    concat_type: linear
    image_width: 64
    image_height: 64
"""


class RunBuilder:
    """Options of a run folder; `build` writes it and returns it."""

    def __init__(
        self,
        folder: Path,
        *,
        iterations: int = 2,
        status: str = "complete",
        stop_reason: str | None = None,
        target: str = "FAR < 5% at recall=100%",
        labels: Sequence[str] = DEFECTS,
        passes: int = 120,
        per_label: int = 8,
        lights: Sequence[str] = ("SolderLight", "WhiteLight"),
        acceptance: bool = True,
        pictures: bool = True,
        tokens: bool = True,
        platform: str = "local",
        summary: str = "all as planned",
        workspace: Path | None = None,
        skill: float = 1.0,
        with_baseline: bool = True,
        in_progress: str | None = None,
        alike: bool = False,
        trainer: str = "stand-in",
        accepted: tuple[tuple[int, int], tuple[int, int]] | None = None,
    ) -> None:
        self.folder = folder
        self.iterations = iterations
        self.status = status
        self.stop_reason = stop_reason
        self.target = GRAMMAR.parse(target)
        self.target_text = target
        self.labels = list(labels)
        self.passes = passes
        self.per_label = per_label
        self.lights = list(lights)
        self.acceptance = acceptance
        self.pictures = pictures
        self.tokens = tokens
        self.platform = platform
        self.summary = summary
        self.workspace = workspace or folder / "workspace"
        self.given = workspace is not None
        self.skill = skill
        self.with_baseline = with_baseline
        self.in_progress = in_progress
        self.alike = alike
        self.trainer = trainer
        self.accepted = accepted  # (flagged, PASS rows), (found, defects) of the best model, instead of those drawn
        self.rng = np.random.default_rng(5)
        self.seq = 0
        self.seconds = 0

    def build(self) -> Path:
        """Write workspace and run folder; returns the run folder."""
        self.folder.mkdir(exist_ok=True)
        if not self.given:
            self._workspace()
        root = self.workspace / "results" / "run_20260901_081500"
        root.mkdir(parents=True)
        state = DeftState(
            task=TASK.name,
            order=TASK.order,
            started_at="2026-09-01T08:15:00.000000Z",
            kpi_target=self.target_text,
            results_dir=str(root),
            max_iterations=max(self.iterations, 1),
            current_iteration=self.iterations,
            status=self.status,
            stop_reason=self.stop_reason,
            config=self._config(),
            approval=Approval(digest="ab" * 32, approved_at="2026-09-01T08:14:00.000000Z", how="flag"),
        )
        if self.with_baseline:
            for number in range(self.iterations + 1):
                state.iterations[iteration_label(number)] = self._iteration(root, number)
        last = iteration_label(self.iterations)
        if self.status == "complete":
            self._close(root, state, last)
        if self.status in ("stopped", "failed"):
            record = state.iteration(last)
            record.status = "failed"
            stage = "routing" if self.iterations or not self.with_baseline else "train"
            record.stages.append(self._record(stage, f"routing: {self.stop_reason}", "error"))
            record.stages.append(self._record("loop_stop", f"{self.status}: {self.stop_reason}", "error"))
        if self.in_progress is not None:
            record = state.iteration(iteration_label(self.iterations + 1))
            record.status = "in_progress"
            record.stages.append(self._record(self.in_progress, self.summary))
            state.current_iteration = self.iterations + 1
        save_state(state)
        sync_log(root, state)
        if self.tokens and self.seq:
            self._align(root)
        return root

    # -- workspace -------------------------------------------------------------------------------------------------

    def _config(self) -> RunConfig:
        w = self.workspace
        return RunConfig(
            workspace=str(w),
            specs_file=str(w / "specs/baseline_spec.yaml"),
            training_csv=str(w / "train/base/training_set.csv"),
            validation_csv=str(w / "train/base/validation_set.csv"),
            kpi_test_csv=str(w / "kpi/testing_set.csv"),
            acceptance_csv=str(w / "kpi/acceptance_set.csv") if self.acceptance else None,
            mining_pool_csv=str(w / "augmentation/mining_pool/mining_pool.csv"),
            images_dir=str(w / "images"),
            platform=self.platform,
        )

    def _workspace(self) -> None:
        w = self.workspace
        spec = w / "specs/baseline_spec.yaml"
        spec.parent.mkdir(parents=True)
        lights = ", ".join(f"{light}: {i}" for i, light in enumerate(self.lights))
        spec.write_text(SPEC % (max(len(self.lights), 1), lights), encoding="utf-8")
        sizes = {
            "train/base/training_set.csv": (60, 1),
            "train/base/validation_set.csv": (30, 1),
            "kpi/testing_set.csv": (self.passes, self.per_label),
            "kpi/acceptance_set.csv": (self.passes, self.per_label),
            "augmentation/mining_pool/mining_pool.csv": (80, 4),
        }
        for number, (name, (passes, each)) in enumerate(sizes.items()):
            labels = ["PASS"] * passes + [label for label in self.labels for _ in range(each)]
            rows = [[f"board{number}/", "golden/board/", label, f"C{i}"] for i, label in enumerate(labels)]
            write_csv(w / name, ["input_path", "golden_path", "label", "object_name"], rows)
        if self.pictures:
            for folder in ("board2", "golden/board"):
                (w / "images" / folder).mkdir(parents=True)
                for i in range(self.passes + self.per_label * len(self.labels)):
                    for light in self.lights:
                        picture = Image.new("RGB", (24, 24), ((40 * i) % 255, (17 * i) % 255, 120))
                        picture.save(w / "images" / folder / f"C{i}_{light}.png")

    # -- one iteration -----------------------------------------------------------------------------------------------

    def _record(self, stage: str, summary: str, status: str = "ok", seconds: int = 37) -> StageRecord:
        self.seq += 1
        self.seconds += seconds
        ts = f"{datetime(2026, 9, 1, 8, 15, tzinfo=UTC) + timedelta(seconds=self.seconds):%Y-%m-%dT%H:%M:%S}.000000Z"
        return StageRecord(seq=self.seq, ts=ts, stage=stage, status=status, summary=summary, duration_sec=seconds)

    def _scores(self, labels: Sequence[str], number: int) -> np.ndarray[Any, Any]:
        names = sorted({label for label in labels if label != "PASS"})
        hard = {name: 0.35 + 0.4 * i / max(len(names), 1) for i, name in enumerate(names)}
        gain = self.skill * (1 - 0.62**number)
        values = []
        for label in labels:
            if label == "PASS":
                values.append(self.rng.beta(1.4, 4 + 16 * gain))
            else:
                values.append(self.rng.beta(7 - 4 * hard[label] * (1 - gain), 2.2))
        return np.full(len(values), 0.5) if self.alike else np.clip(np.array(values), 0.0, 1.0)

    def _infer(self, kpi: Path, out: Path, number: int) -> Path:
        with kpi.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        scores = self._scores([r["label"] for r in rows], number)
        target = out / "inference.csv"
        write_csv(
            target,
            [*rows[0], "siamese_score"],
            [[*row.values(), repr(float(value))] for row, value in zip(rows, scores, strict=True)],
        )
        return target

    def _iteration(self, root: Path, number: int) -> Iteration:
        label = iteration_label(number)
        folder = root / label
        checkpoint = folder / "train" / "model_epoch_009_step_00100.pth"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"weights")
        kpi = self.workspace / "kpi/testing_set.csv"
        latest = evaluate("latest", checkpoint, self._infer(kpi, folder / "inference/latest", number), self.target)
        record = put(Iteration(status="complete"), training_spec=str(self.workspace / "specs/baseline_spec.yaml"))
        if number:
            self._grow(folder, record, number)
        else:
            put(record, training_rows=60 + len(self.labels))
        put(
            record,
            best_ckpt_path=str(checkpoint),
            best_ckpt_kind="latest",
            evaluations=[latest],
            far_pct=latest.far_pct,
            far_pct_recall_100=latest.far_pct_recall_100,
            threshold=latest.threshold,
            inference_csv=latest.inference_csv,
            trained=Trained(by=self.trainer, software="0.1.0"),
            val_loss=0.31 / (number + 1),
        )
        record.stages.append(self._record("train", f"{record.training_rows} rows, 10 epochs", seconds=640))
        record.stages.append(self._record("evaluate", f"FAR {latest.far_pct:.4g}%", seconds=55))
        record.stages.append(self._record("rca", self.summary, seconds=4))
        record.stage_completed = "rca"
        return record

    def _grow(self, folder: Path, record: Iteration, number: int) -> None:
        mined = {"PASS": 6, **dict.fromkeys(self.labels, 3)}
        made = dict.fromkeys(self.labels[:2], 2)
        new, synthetic = sum(mined.values()), sum(made.values())
        before = 60 + len(self.labels) + (number - 1) * (new + synthetic)
        rows = before + new + synthetic
        sources = ["previous_iter_train" if number > 1 else "base_train"] * before + ["mining_pool"] * (new + synthetic)
        kinds = ["real"] * (before + new) + ["synthetic"] * synthetic
        provenance = [[str(i + 1), *pair] for i, pair in enumerate(zip(sources, kinds, strict=True))]
        write_csv(folder / "dataset/provenance.csv", ["row", "source", "kind"], provenance)
        put(
            record,
            mining_by_label=mined,
            mining_mined_count=new,
            mining_encoder="local",
            anomalygen_rows_csv=str(folder / "anomalygen/sdg_rows.csv"),
            anomalygen_by_label=made,
            anomalygen_count=synthetic,
            routing_verdicts={label.upper(): "mining+anomalygen" for label in self.labels},
            training_rows=rows,
            provenance_counts={
                "earlier": before,
                "mined": new,
                "synthetic": synthetic,
                "total": rows,
                "synthetic_total": number * synthetic,
            },
            leakage={"leaked": 0, "equal_dropped": 1},
            combined_training_csv=str(folder / "dataset/combined.csv"),
            provenance_csv=str(folder / "dataset/provenance.csv"),
        )
        record.warnings = [self.summary] if number == 1 else []
        record.stages.append(self._record("routing", f"{new} rows to mining, {synthetic} to anomalygen"))
        record.stages.append(self._record("anomalygen", f"pregen_ingest: {synthetic} pairs"))
        record.stages.append(self._record("data_mining", f"{new} rows kept of 40"))
        record.stages.append(self._record("data_merge", f"{before} rows + {new} mined + {synthetic} synthetic"))

    # -- the end -------------------------------------------------------------------------------------------------------

    def _close(self, root: Path, state: DeftState, last: str) -> None:
        if not state.iterations:
            return
        best = min(state.iterations, key=lambda name: state.iterations[name].far_pct or 0.0)
        state.best_iteration = best
        record = state.iterations[best]
        met = self.target.met(record.far_pct or 0.0)
        state.stop_reason = kpi_reached("FAR") if met else f"{plural(self.iterations, 'iteration')} used up"
        acceptance = None
        if self.acceptance:
            acceptance = self._accept(root, state, best)
            path = root / "acceptance/acceptance.json"
            path.write_text(json.dumps(acceptance), encoding="utf-8")
        state.iterations[last].results["loop_stop"] = StopResult(
            stop_reason=state.stop_reason, best_iteration=best, acceptance=acceptance
        )
        state.iterations[last].stages.append(self._record("loop_stop", state.stop_reason, seconds=12))
        handed = {
            "checkpoint": record.best_ckpt_path,
            "threshold": record.threshold,
            "far_pct": record.far_pct,
            "iteration": best,
            "backbone": None,
            "images_dir": state.config.images_dir,
            "training_spec": record.training_spec,
        }
        (root / "best_model.json").write_text(json.dumps(handed), encoding="utf-8")

    def _accept(self, root: Path, state: DeftState, best: str) -> dict[str, Any]:
        source = self.workspace / "kpi/acceptance_set.csv"
        measured: dict[str, Any] = {}
        own: dict[str, float] = {}
        for name, label in (("baseline", "baseline"), ("best", best)):
            number = 0 if label == "baseline" else int(label.removeprefix("iter"))
            target = self._infer(source, root / "acceptance" / name, number)
            with target.open(encoding="utf-8", newline="") as handle:
                rows = list(csv.DictReader(handle))
            scores = np.array([float(r["siamese_score"]) for r in rows])
            good = np.array([r["label"] == "PASS" for r in rows])
            threshold = state.iterations[label].threshold or 0.0
            point = confusion_at(scores, good, threshold)
            at_recall = far_at_recall(scores, good, recall_floor(self.target))
            own[f"{name}_pct"] = 100 * at_recall.far if at_recall else 0.0
            measured[name] = {
                "checkpoint": state.iterations[label].best_ckpt_path,
                "threshold": threshold,
                "recall": share(point.tp, point.tp + point.fn),
                "far": share(point.fp, point.fp + point.tn),
                "tp": point.tp,
                "fp": point.fp,
                "tn": point.tn,
                "fn": point.fn,
            }
        measured["best"]["iteration"] = best
        if self.accepted is not None:
            (fp, passes), (tp, defects) = self.accepted
            counts = {"tp": tp, "fp": fp, "tn": passes - fp, "fn": defects - tp}
            measured["best"].update(counts, far=share(fp, passes), recall=share(tp, defects))
        return {"recall_target_pct": 100 * recall_floor(self.target), **measured, "far_at_recall": own}

    def _align(self, root: Path) -> None:
        path = root / "loop_log.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for i, line in enumerate(lines):
            line["context_tokens"] = 9000 + 700 * i
            line["tokens"] = {"n_messages": 2, "input": 120, "output": 340 + i, "cache_read": 8000, "cache_create": 90}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def share(successes: int, trials: int) -> dict[str, Any]:
    """A share as `acceptance.json` writes it."""
    low, high = clopper_pearson(successes, trials)
    value = 100 * successes / trials if trials else 0.0
    return {
        "value_pct": value,
        "low_pct": 100 * low,
        "high_pct": 100 * high,
        "successes": successes,
        "trials": trials,
    }


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def counted(path: Path) -> Counter[str]:
    """Labels of a CSV, counted."""
    with path.open(encoding="utf-8", newline="") as handle:
        return Counter(row["label"] for row in csv.DictReader(handle))
