"""The second loop on a real one-node SLURM: every action a batch job; what answers there is told by its files."""

from __future__ import annotations

from pathlib import Path

import bcq
import pytest
from slurm_cluster import SlurmCluster

from tao_skill_bank import runs
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.tasks.registry import load_state


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_run_on_slurm_without_containers_is_told_to_be_a_rehearsal(slurm: SlurmCluster, tmp_path: Path) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    base = workspace / "model/base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("weights")
    run = bcq.approved(bcq.request(workspace, "slurm.lost_grace_sec=1", platform="slurm"))
    runs.run_loop(run)
    state = load_state(run)
    assert state.status == "complete"
    # The base is nobody's training here, so that it always says no; what was trained is the bank's own.
    assert state.iterations["baseline"].evaluation.measures["FN rate"].value_pct == 100.0
    assert state.iterations["iter1"].trained.by == "stand-in"
    assert runs.status(run).verdict.rehearsal is True
    jobs = read_records(run)
    assert {record.platform for record in jobs} == {"slurm"}
    assert {record.command[0] for record in jobs} == {"cosmos-rl", "cosmos-rl-evaluate", "gap_analysis"}
