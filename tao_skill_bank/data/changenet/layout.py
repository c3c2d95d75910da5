"""Where things stand in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import guard

IMAGES_DIRS = ("images", "kpi/images")


class _At(property):
    """A place below a workspace's folder."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda workspace: workspace.root / name)

    if TYPE_CHECKING:

        def __get__(self, workspace: Any, owner: type | None = None, /) -> Path: ...  # type: ignore[override]


@dataclass(frozen=True)
class Workspace:
    """The folders and files of a workspace; none of them need exist."""

    root: Path

    @property
    def images_dir(self) -> Path | None:
        """`images/`, or `kpi/images/` in the older layout; None where neither is a folder."""
        return next((self.root / name for name in IMAGES_DIRS if guard.is_folder(self.root / name)), None)

    spec = _At("specs/baseline_spec.yaml")
    """The TAO spec: the source of truth for architecture, lightings and image size."""
    training_csv = _At("train/base/training_set.csv")
    """The training set a run begins with."""
    validation_csv = _At("train/base/validation_set.csv")
    """The validation set."""
    kpi_csv = _At("kpi/testing_set.csv")
    """The set the KPI is measured on."""
    acceptance_csv = _At("kpi/acceptance_set.csv")
    """Optional: the set that the loop never looks at and that is used once, at the end."""
    pool_csv = _At("augmentation/mining_pool/mining_pool.csv")
    """Optional: real production samples to mine."""
    pairs_ng = _At("augmentation/anomalygen/reconstructed_image")
    """Optional: defect images of customer-made pairs."""
    pairs_ok = _At("augmentation/anomalygen/original_image")
    """Optional: the goldens of customer-made pairs."""
    backbone_dir = _At("augmentation/backbone")
    """Where the backbone's weight file is staged."""
    results = _At("results")
    """The parent of the run folders."""
