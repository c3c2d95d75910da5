"""The sets that a run's corrections speak of, by the settings that name them."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, POOL, TRAINING, VALIDATION
from tao_skill_bank.tasks.changenet.config import RunConfig

KEY_OF = {
    TRAINING: "training_csv",
    VALIDATION: "validation_csv",
    KPI: "kpi_test_csv",
    ACCEPTANCE: "acceptance_csv",
    POOL: "mining_pool_csv",
}
_SET_OF = {key: name for name, key in KEY_OF.items()}
FOLDER = "labels"


def beside(config: RunConfig, csv: Path) -> Path:
    """The customer's own file of a copy: what its paths may be relative to. Any other file stands for itself."""
    if csv.parent.parent.name == FOLDER and csv.stem in _SET_OF:
        return Path(getattr(config, csv.stem) or csv)
    return csv
