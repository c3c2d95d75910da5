"""The second loop in containers, on Docker and on SLURM: cosmos-rl's command lines by a stand-in that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bcq
import docker_engine
import pytest
import slurm_cluster
from cosmos_stand_in import InDocker, InSlurm, StandIn

from tao_skill_bank import runs
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.tasks.registry import load_state
from tao_skill_bank.tasks.vlm_bcq.results import MiningResult

NO_DOCKER, NO_SLURM = docker_engine.unavailable(), slurm_cluster.why_not()
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A small workspace with a base model's folder."""
    made = bcq.workspace(tmp_path / "w")
    base = made / "model/base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("weights")
    return made


@pytest.fixture(
    params=[
        pytest.param(
            "docker",
            marks=[
                pytest.mark.xdist_group("docker"),
                pytest.mark.skipif(NO_DOCKER is not None, reason=f"no Docker engine: {NO_DOCKER}"),
            ],
        ),
        pytest.param("slurm", marks=pytest.mark.skipif(NO_SLURM is not None, reason=str(NO_SLURM))),
    ]
)
def stand_in(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> Iterator[StandIn]:
    """The stand-in on one of the platforms."""
    if request.param == "docker":
        yield InDocker(request.getfixturevalue("docker_daemon"), request.getfixturevalue("bank_image"))
        return
    request.getfixturevalue("slurm")
    made = InSlurm(tmp_path / "bundles", workspace)
    yield made
    made.remove()


def test_a_run_in_containers_is_stopped_by_what_the_evaluator_and_trainer_leave_out_and_goes_on_when_it_is_mended(
    stand_in: StandIn, workspace: Path
) -> None:
    stand_in.behave("well")
    settings = (*stand_in.settings, "mining.encoder=cosmos_embed")
    run = bcq.approved(bcq.request(workspace, *settings, platform=stand_in.platform))
    for mode, gate, said in (
        ("wrong ids", "evaluation_coverage", "annotations answered, missing"),
        ("no results", "evaluation_coverage", "results.json"),
        ("empty results", "evaluation_coverage", "results.json"),
        ("no embeddings", "embeddings", "was not written"),
        ("an embedding short", "embeddings", "were embedded, missing '"),
        ("spoiled embeddings", "embeddings", "no finite embedding of"),
        ("no checkpoint", "checkpoint", "folders of 14 digits, and there must be one"),
    ):
        stand_in.behave(mode)
        with pytest.raises(GateError) as stopped:
            runs.run_loop(run)
        assert stopped.value.gate == gate
        assert said in stopped.value.line() and "\n" not in stopped.value.line()
        assert runs.status(run).status == "stopped"
        if gate == "evaluation_coverage":
            assert not list(run.rglob("answers.jsonl")), "nothing partial is used"
    stand_in.behave("well")
    runs.run_loop(run)
    state = load_state(run)
    assert state.status == "complete"
    assert state.best_iteration == "iter1"
    assert "vllm serve" in (run / "serve.txt").read_text()
    mined = state.iterations["iter1"].result(MiningResult)
    assert mined is not None and mined.encoder == "cosmos_embed" and mined.mined_count
    used = {record.command[0] for record in read_records(run)}
    assert used == {"cosmos-rl", "cosmos-rl-evaluate", "cosmos-embed1", "gap_analysis", "tmm"}
    assert {record.platform for record in read_records(run)} == {stand_in.platform}
