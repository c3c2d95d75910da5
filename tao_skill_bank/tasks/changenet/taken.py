"""Which corrections of labels a run takes: the first lines of the workspace's file, as many as its plan names."""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.sample_book import ACCEPTANCE, KPI, POOL, TRAINING, VALIDATION
from tao_skill_bank.data.corrections import Corrections, Snapshot
from tao_skill_bank.tasks.changenet.config import CorrectionsConfig, RunConfig

KEY_OF = {
    TRAINING: "training_csv",
    VALIDATION: "validation_csv",
    KPI: "kpi_test_csv",
    ACCEPTANCE: "acceptance_csv",
    POOL: "mining_pool_csv",
}
_SET_OF = {key: name for name, key in KEY_OF.items()}
FOLDER = "labels"


def now_taken(workspace: Path) -> dict[str, object]:
    """What a new run of this workspace takes: all that was said so far."""
    snapshot = corrections.read(workspace).snapshot
    return CorrectionsConfig(lines=snapshot.lines, sha256=snapshot.sha256).model_dump()


def taken(config: RunConfig) -> Corrections:
    """The corrections that a run takes.

    Raises:
        InputError: The file does not begin any more with what the plan was approved with.
    """
    of = config.corrections
    if of.use == "none" or not of.lines:
        return Corrections()
    return corrections.read(Path(config.workspace), Snapshot(of.lines, of.sha256))


def beside(config: RunConfig, csv: Path) -> Path:
    """The customer's own file of a copy: what its paths may be relative to. Any other file stands for itself."""
    if csv.parent.parent.name == FOLDER and csv.stem in _SET_OF:
        return Path(getattr(config, csv.stem) or csv)
    return csv
