"""What the local ChangeNet takes from a TAO spec, and what it leaves aside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.overrides import get, leaves
from tao_skill_bank.core.threads import processors
from tao_skill_bank.data.changenet.spec import ClassifySpec, classify_spec, load_spec, spec_faults
from tao_skill_bank.data.changenet.spec_rules import Purpose
from tao_skill_bank.data.releases.facts import RELEASE_VARIABLE

USED = (
    "task",
    "results_dir",
    "train.results_dir",
    "train.num_epochs",
    "train.seed",
    "train.checkpoint_interval",
    "train.checkpoint_interval_unit",
    "train.validation_interval",
    "train.pretrained_model_path",
    "train.classify.cls_weight",
    "dataset.classify.train_dataset",
    "dataset.classify.validation_dataset",
    "dataset.classify.test_dataset",
    "dataset.classify.infer_dataset",
    "dataset.classify.image_ext",
    "dataset.classify.input_map",
    "dataset.classify.batch_size",
    "dataset.classify.num_classes",
    "model.classify.eval_margin",
    "inference.checkpoint",
    "inference.results_dir",
    "evaluate.checkpoint",
    "evaluate.results_dir",
)
MOST_LIGHTS = 12
MOST_WORKERS = 2


@dataclass(frozen=True)
class Options:
    """A spec as the local ChangeNet reads it.

    Attributes:
        spec: What the spec says about classification, defaults filled in.
        given: The user's own keys.
        where: The spec file, for messages.
    """

    spec: ClassifySpec
    given: dict[str, Any]
    where: Path

    def value(self, dotted: str) -> Any:
        """The value of a key, defaults filled in."""
        return get(self.spec.raw, dotted)

    def path(self, dotted: str) -> Path:
        """A path that must be given.

        Raises:
            InputError: It is not.
        """
        text = self.value(dotted)
        if not text:
            raise InputError(f"{dotted} is not set", where=self.where, fix=f"add {dotted}=PATH")
        return Path(str(text))

    def dataset(self, name: str) -> tuple[Path, Path]:
        """CSV and image folder of `train_dataset`, `validation_dataset` and so on."""
        return self.path(f"dataset.classify.{name}.csv_path"), self.path(f"dataset.classify.{name}.images_dir")

    def results_dir(self, action: str) -> Path:
        """`<action>.results_dir`, else `<results_dir>/<action>`."""
        own = self.value(f"{action}.results_dir")
        return Path(str(own)) if own else self.path("results_dir") / action

    def ignored(self) -> list[str]:
        """The user's keys that have no meaning for the local network, in the spec's order."""
        return [key for key, _ in leaves(self.given) if not any(key == u or key.startswith(f"{u}.") for u in USED)]


def read_options(spec: Path, overrides: Sequence[str], purpose: Purpose) -> Options:
    """Read a spec and refuse what TAO refuses, late or early.

    Raises:
        InputErrors: A line for every fault.
    """
    given = load_spec(spec, overrides)
    faults = spec_faults(given, purpose, os.environ.get(RELEASE_VARIABLE))
    if faults:
        raise InputErrors(
            faults[0] if len(faults) == 1 else f"{len(faults)} faults, first: {faults[0]}",
            faults,
            where=spec,
            fix="fix the spec, or override the key on the command line",
        )
    options = Options(classify_spec(given, spec), given, spec)
    if options.spec.num_classes != 2:
        raise InputError(
            f"dataset.classify.num_classes is {options.spec.num_classes}",
            where=spec,
            fix="set 2: the local ChangeNet knows PASS and NO_PASS",
        )
    if len(options.spec.lights) > MOST_LIGHTS:
        raise InputError(
            f"dataset.classify.input_map has {len(options.spec.lights)} lightings",
            where=spec,
            fix=f"at most {MOST_LIGHTS}",
        )
    return options


def workers() -> int:
    """Threads for work whose result does not depend on their number."""
    return min(MOST_WORKERS, processors())
