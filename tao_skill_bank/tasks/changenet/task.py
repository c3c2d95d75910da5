"""The DEFT loop for AOI with Visual ChangeNet, as the loop's task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import is_number, json_objects
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.loop import task as loop_task
from tao_skill_bank.loop.plan import inside_workspace
from tao_skill_bank.platforms import tao_runs
from tao_skill_bank.tasks.changenet import generator, state
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.handoff import write_handoff
from tao_skill_bank.tasks.changenet.measures import verdict_of
from tao_skill_bank.tasks.changenet.preflight import pre_flight
from tao_skill_bank.tasks.changenet.scores import IN_PROGRESS, trained_with
from tao_skill_bank.tasks.changenet.stages import BASELINE, BETWEEN, ENDING, ITERATION
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.taken import now_taken

GPU_ITERATION_MINUTES = 33.0
_GENERATOR_PATHS = ("defect_spec", "checkpoint_dir", "dataset_dir_source", "base_checkpoints")
_EMBEDDED = re.compile(r"^(\d+) of (\d+) images embedded$", re.MULTILINE)
_LOSSES = ("train_loss", "val_loss")


class ChangeNet(loop_task.Task[DeftState]):
    """Find the weak samples, add data like them, train again."""

    name = "changenet"
    Config = RunConfig
    State = DeftState
    baseline = BASELINE
    iteration = ITERATION
    between = BETWEEN
    ending = ENDING
    # Of the published loop; the engine never writes it.
    logged = ("anomalygen_finetune",)
    commands = ("visual_changenet", "gap_analysis", "embedding", "tmm", generator.AMP, generator.SDG)
    pre_flight = staticmethod(pre_flight)
    verdict = staticmethod(verdict_of)
    close = staticmethod(write_handoff)

    def discover(self, workspace: Path) -> dict[str, Any]:
        """What the workspace's layout says: the inputs that are there, by their usual places."""
        at = Workspace(workspace)
        values: dict[str, Any] = {
            "workspace": str(workspace),
            "specs_file": str(at.spec),
            "training_csv": str(at.training_csv),
            "validation_csv": str(at.validation_csv),
            "kpi_test_csv": str(at.kpi_csv),
            "images_dir": str(at.images_dir or workspace / "images"),
            "pregen_dir": str(at.pairs_ng.parent) if guard.is_folder(at.pairs_ng) else None,
        }
        optional = {
            "acceptance_csv": at.acceptance_csv,
            "mining_pool_csv": at.pool_csv,
            "backbone_weight_dir": at.backbone_dir,
        }
        values |= {key: str(path) if guard.exists(path) else None for key, path in optional.items()}
        values["corrections"] = now_taken(workspace).model_dump()
        return values

    def settled(self, config: RunConfig) -> RunConfig:
        """`auto` becomes pre-generated pairs where there are some, else the local stand-in; paths become absolute."""
        if config.anomalygen.mode != "auto":
            named = {key: getattr(config.anomalygen, key) for key in _GENERATOR_PATHS}
            workspace = Path(config.workspace)
            paths = {
                key: str(inside_workspace(workspace, Path(path), f"anomalygen.{key}"))
                for key, path in named.items()
                if path
            }
            return _with_generator(config, paths)
        mode = "pregen_ingest" if config.pregen_dir is not None else "local_standin"
        return _with_generator(config, {"mode": mode})

    def contents(self, config: RunConfig) -> dict[str, Path]:
        """Spec and CSVs, and the generator's defect spec where it runs inline."""
        found: dict[str, Path] = config.contents()
        if config.anomalygen.mode == "inline":
            found["anomalygen.defect_spec"] = generator.find_assets(config).defect_spec
        return found

    def minutes(self, config: RunConfig) -> float:
        """The estimate an iteration is planned with.

        A GPU iteration of TAO's took 33 minutes on the reference data; a rehearsal on a CPU is far shorter and grows
        with the rows it handles (about 20 ms a training row and epoch-equivalent, 2 ms a scored row).
        """
        if tao_runs(config, "visual_changenet") is not False:
            return GPU_ITERATION_MINUTES
        rows = sum(
            _line_count(Path(p)) for p in (config.training_csv, config.kpi_test_csv, config.mining_pool_csv) if p
        )
        return max(0.1, round(rows * 0.0002 + 0.15, 2))

    def headline(self, state: DeftState) -> dict[str, float | int | str | None]:
        """FAR of the best model on the KPI set."""
        best = state.best()
        return {"best_far_pct": None if best is None else best[1].far_pct}

    def live(self, state: DeftState, stage: str) -> str | None:
        """Epoch and loss of a training that goes on; of a mining, the step and its images."""
        if stage == "data_mining":
            return mining_progress(Path(state.results_dir))
        if stage != "train":
            return None
        return training_progress(Path(state.results_dir) / state.current_label / "train")

    def known_files(self, state: DeftState) -> Sequence[tuple[str, Path, str]]:
        """The checkpoint of every iteration that was evaluated."""
        measured = [(label, it.best_ckpt_path, it.trained.checkpoint_sha256) for label, it in state.iterations.items()]
        return [(f"the checkpoint of {label}", Path(path), known) for label, path, known in measured if path and known]

    def upcast(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Every state of version 3 is of this task."""
        return state.upcast(raw, self.name)


def training_progress(train_dir: Path) -> str | None:
    """`epoch 3 of 6, train_loss 0.412, val_loss 0.533`: the last that was said of each; None before anything was.

    Args:
        train_dir: The training's folder, with its `status.json` (JSON lines, the last perhaps half written) and its
            resolved spec `experiment.yaml`.
    """
    from tao_skill_bank.platforms.base import tail_of

    epoch: int | None = None
    most: Any = None
    losses: dict[str, float] = {}
    for value in json_objects(tail_of(train_dir / "status.json", 400)):
        said = IN_PROGRESS.match(str(value.get("message", "")))
        number = value.get("epoch", int(said[1]) if said else None)
        epoch = number if _whole(number) else epoch
        most = value["max_epoch"] if _whole(value.get("max_epoch")) else most
        kpi = value.get("kpi")
        for name in _LOSSES:
            figure = kpi.get(name) if isinstance(kpi, dict) else None
            if is_number(figure):
                losses[name] = float(figure)
    if epoch is None and not losses:
        return None
    parts = [] if epoch is None else [f"epoch {epoch + 1}{_of(train_dir, most)}"]
    return ", ".join([*parts, *(f"{name} {losses[name]:.4g}" for name in _LOSSES if name in losses)])


def mining_progress(results_dir: Path) -> str | None:
    """`embed_source: 4096 of 100000 images`: what the job at work last said; None before it said anything."""
    from tao_skill_bank.platforms.base import jobs_dir, read_exit, read_records, tail_of

    at_work = [record for record in read_records(results_dir) if read_exit(record) is None]
    if not at_work:
        return None
    said = _EMBEDDED.findall(tail_of(jobs_dir(results_dir) / f"{at_work[-1].uid}.log", 50))
    step = at_work[-1].key.rpartition(".")[2]
    return f"{step}: {said[-1][0]} of {said[-1][1]} images" if said else step


def _of(train_dir: Path, most: int | None) -> str:
    with suppress(BankError, OSError):
        most = trained_with(train_dir, "num_epochs") if most is None else most
    return f" of {most}" if most else ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _line_count(path: Path) -> int:
    try:
        with guard.open_read(path) as handle:
            return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def _with_generator(config: RunConfig, update: dict[str, Any]) -> RunConfig:
    return config.model_copy(update={"anomalygen": config.anomalygen.model_copy(update=update)})


TASK = ChangeNet()
