"""Which sets a run has, and where their rows and pictures lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.reports.pictures import find_picture
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.state import Iteration, State
from tao_skill_bank.tasks.registry import load_state

SetName = Literal["kpi", "acceptance", "training", "validation", "pool"]
SETS: tuple[SetName, ...] = ("kpi", "acceptance", "training", "validation", "pool")


@dataclass(frozen=True)
class Source:
    """One set under one model: its file, whether it has scores, and the threshold the model is judged at."""

    set: SetName
    iteration: str
    csv: Path
    scored: bool
    threshold: float | None
    provenance: Path | None = None


class RunSources:
    """A DEFT run's sets.

    Args:
        folder: The run folder; it may have been moved.

    Raises:
        InputError: Its state cannot be read, or it is a run of another task.
    """

    def __init__(self, folder: Path) -> None:
        state = load_state(folder)
        if not isinstance(state, State):
            raise InputError("has no boards", where=folder, fix="see its figures on the page of the run")
        self.folder = folder
        self.state = state

    def at(self, path: str | Path) -> Path:
        """Where a recorded path is now."""
        try:
            return self.folder / Path(path).relative_to(self.state.results_dir)
        except ValueError:
            return Path(path)

    @property
    def measured(self) -> list[str]:
        """The iterations that were measured, in order."""
        return [label for label, it in self.state.iterations.items() if it.inference_csv is not None]

    @property
    def best(self) -> str:
        """The best iteration, or the last that was measured.

        Raises:
            InputError: None was.
        """
        found = self.state.best()
        if found is not None:
            return found[0]
        if not self.measured:
            raise InputError("nothing was measured yet", where=self.folder, fix="let the run evaluate its baseline")
        return self.measured[-1]

    def source(self, name: str, iteration: str | None = None) -> Source:
        """A set; by default under the best model.

        Raises:
            InputError: The run has no such set or iteration.
        """
        config = self.state.config
        if name == "kpi":
            label = iteration or self.best
            record = self._record(label)
            if record.inference_csv is None:
                raise InputError(
                    f"{label} was not measured", where=self.folder, fix=f"one of: {', '.join(self.measured)}"
                )
            return Source("kpi", label, self.at(record.inference_csv), True, record.threshold)
        if name == "acceptance":
            return self._acceptance(iteration)
        if name == "training":
            label = iteration or next(
                (la for la in reversed(self.state.iterations) if self._record(la).combined_training_csv), BASELINE
            )
            record = self._record(label)
            if record.combined_training_csv is None:
                return Source("training", BASELINE, Path(config.training_csv), False, None)
            beside = None if record.provenance_csv is None else self.at(record.provenance_csv)
            return Source("training", label, self.at(record.combined_training_csv), False, None, beside)
        paths = {"validation": config.validation_csv, "pool": config.mining_pool_csv}
        if paths.get(name) is None:
            raise InputError(f"no set {name!r}", where=self.folder, fix=f"one of: {', '.join(self.sets())}")
        found: SetName = "validation" if name == "validation" else "pool"
        return Source(found, iteration or BASELINE, Path(str(paths[name])), False, None)

    def sets(self) -> list[SetName]:
        """The sets that the run has."""
        config = self.state.config
        there = {
            "kpi": bool(self.measured),
            "acceptance": self.state.acceptance is not None,
            "training": True,
            "validation": True,
            "pool": config.mining_pool_csv is not None,
        }
        return [name for name in SETS if there[name]]

    @cached_property
    def naming(self) -> ImageNaming:
        """How pictures are called: by the user's spec, else by that of the run's last training."""
        try:
            return specs.naming_of(self.state.config)
        except (BankError, OSError):
            return ImageNaming((), ".png")

    def roots(self, source: Source) -> list[Path]:
        """Where the pictures of a set may lie, in the order in which they are looked for."""
        config = self.state.config
        beside = [Path(csv).parent for csv in (config.kpi_test_csv, config.acceptance_csv, config.training_csv) if csv]
        return list(dict.fromkeys([Path(config.images_dir), Path(config.workspace), *beside, source.csv.parent]))

    def picture(self, source: Source, folder: str, name: str, light: int) -> Path | None:
        """The file of one lighting, None where there is none."""
        return find_picture(self.roots(source), folder, f"{name}{self.naming.suffixes[light]}")

    def _record(self, label: str) -> Iteration:
        found = self.state.iterations.get(label)
        if not isinstance(found, Iteration):
            raise InputError(f"no iteration {label!r}", where=self.folder, fix=f"one of: {', '.join(self.measured)}")
        return found

    def _acceptance(self, iteration: str | None) -> Source:
        found = self.state.acceptance
        if found is None:
            raise InputError("no acceptance set was measured", where=self.folder, fix="it is, when the run ends")
        which = "baseline" if iteration == BASELINE and BASELINE in found else "best"
        about = found.get(which) or {}
        threshold = about.get("threshold")
        label = str(about.get("iteration", BASELINE)) if which == "best" else BASELINE
        path = self.folder / "acceptance" / which / "inference.csv"
        return Source("acceptance", label, path, True, float(threshold) if threshold is not None else None)
