"""Where things stand in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.core import guard

IMAGES_DIRS = ("images", "kpi/images")


@dataclass(frozen=True)
class Workspace:
    """The folders and files of a workspace; none of them need exist.

    Attributes:
        root: The workspace folder.
    """

    root: Path

    @property
    def images_dir(self) -> Path | None:
        """`images/`, or `kpi/images/` in the older layout; None where neither is a folder."""
        return next((self.root / name for name in IMAGES_DIRS if guard.is_folder(self.root / name)), None)

    @property
    def spec(self) -> Path:
        """The TAO spec: the source of truth for architecture, lightings and image size."""
        return self.root / "specs/baseline_spec.yaml"

    @property
    def training_csv(self) -> Path:
        """The training set a run begins with."""
        return self.root / "train/base/training_set.csv"

    @property
    def validation_csv(self) -> Path:
        """The validation set."""
        return self.root / "train/base/validation_set.csv"

    @property
    def kpi_csv(self) -> Path:
        """The set the KPI is measured on."""
        return self.root / "kpi/testing_set.csv"

    @property
    def acceptance_csv(self) -> Path:
        """Optional: the set that the loop never looks at and that is used once, at the end."""
        return self.root / "kpi/acceptance_set.csv"

    @property
    def pool_csv(self) -> Path:
        """Optional: real production samples to mine."""
        return self.root / "augmentation/mining_pool/mining_pool.csv"

    @property
    def pairs_ng(self) -> Path:
        """Optional: defect images of customer-made pairs."""
        return self.root / "augmentation/anomalygen/reconstructed_image"

    @property
    def pairs_ok(self) -> Path:
        """Optional: the goldens of customer-made pairs."""
        return self.root / "augmentation/anomalygen/original_image"

    @property
    def backbone_dir(self) -> Path:
        """Where the backbone's weight file is staged."""
        return self.root / "augmentation/backbone"

    @property
    def results(self) -> Path:
        """The parent of the run folders."""
        return self.root / "results"
