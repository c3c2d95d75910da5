"""The generator in a container: a stand-in that behaves like AnomalyGen, and badly; a real engine, a whole run."""

from __future__ import annotations

import os
from pathlib import Path

import docker_engine
import fake_generator
import pytest
import tiny
from docker_engine import DockerEngine

from tao_skill_bank import runs
from tao_skill_bank.core.errors import GateError, InputErrors
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.platforms.base import JobRecord, read_records
from tao_skill_bank.tasks.registry import load_state

pytestmark = docker_engine.MARKS
IMAGE = "anomalygen-stand-in:test"
SCRIPTS = "/opt/anomalygen"


def behave(engine: DockerEngine, bank: str, behaviour: str) -> None:
    """Make the stand-in's image anew: the same name, so the run's configuration and approval stay."""
    line = f'#!/bin/sh\nexec /opt/python/bin/python3 {SCRIPTS}/fake_generator.py {behaviour} %s "$@"\n'
    files = {
        f"{SCRIPTS}/fake_generator.py": (Path(fake_generator.__file__).read_bytes(), 0o644),
        f"{SCRIPTS}/prep_testcase.sh": ((line % "prep").encode(), 0o755),
        f"{SCRIPTS}/run_sdg.sh": ((line % "sdg").encode(), 0o755),
    }
    files = {path.lstrip("/"): content for path, content in files.items()}
    engine.derive(IMAGE, bank, files, [f"ENV ANOMALYGEN_SCRIPTS={SCRIPTS}", 'ENTRYPOINT ["/bin/env"]'])


def jobs_of(run: Path, name: str) -> list[JobRecord]:
    """Every record of one of the generator's lines, those of attempts that were moved aside as well."""
    found = [p for p in run.rglob("jobs/*.json") if p.name.count(".") == 1]
    records = [JobRecord.model_validate_json(p.read_bytes()) for p in found]
    return [r for r in records if r.key.startswith(f"iter1.anomalygen.{name}")]


def test_a_generator_that_behaves_badly_stops_the_run_each_time_and_a_good_one_ends_it(
    docker_daemon: DockerEngine, bank_image: str, tmp_path: Path
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", acceptance=False)
    home = fake_generator.add_assets(workspace)
    settings = [
        f"docker.host={docker_daemon.host}",
        f"docker.image='{bank_image}'",
        "docker.network=none",
        "docker.gpus=none",
        "anomalygen.mode=inline",
        "anomalygen.num_SDG=5",
        f"anomalygen.container='{IMAGE}'",
        "mining.strategy=nearest",
    ]
    wanted = tiny.request(
        workspace, target="FAR < 0.01% at recall=99%", iterations=1, platform="docker", settings=settings
    )
    with pytest.raises(InputErrors) as lacking:
        runs.plan_run(wanted)
    assert any(IMAGE in fault and "not on this engine" in fault for fault in lacking.value.faults)
    behave(docker_daemon, bank_image, "good")
    run = tiny.approved(wanted)
    for number, (behaviour, words) in enumerate(
        {
            "no_roi": "MISSING 2 allotted / 0 test cases",
            "fewer_rows": "MISSING 2 allotted / 2 test cases / 1 rows / 1 paired images",
            "unpaired": "has no partner",
        }.items(),
        1,
    ):
        behave(docker_daemon, bank_image, behaviour)
        with pytest.raises(GateError) as caught:
            runs.run_loop(run)
        assert caught.value.gate == "allocation" and words in caught.value.line()
        assert load_state(run).status == "stopped"
        # Once each time, never again by itself; and nothing is generated where AMP found no place.
        assert (len(jobs_of(run, "amp")), len(jobs_of(run, "sdg"))) == (number, number - 1)
    behave(docker_daemon, bank_image, "good")
    runs.run_loop(run)
    state = load_state(run)
    assert state.status == "complete"
    assert state.iterations["iter1"].anomalygen_by_label == {"bridge": 3, "missing": 2}
    combined = read_pairs(Path(str(state.iterations["iter1"].combined_training_csv)))
    assert sum(name.startswith("PCB+") for name in combined.object_name) == 5
    (sdg,) = [r for r in read_records(run) if r.key.startswith("iter1.anomalygen.sdg")]
    assert sdg.image == IMAGE
    mount = f"type=bind,source={home}/base_checkpoints,target=/workspace/paidf-anomalygen/checkpoints,readonly"
    assert mount in sdg.mounts and sdg.argv[sdg.argv.index("--workdir") + 1] == "/workspace/paidf-anomalygen"
    assert "HF_HUB_DISABLE_XET=1" in sdg.argv
    made = list((run / "iter1" / "anomalygen" / "sdg").rglob("*.png"))
    assert len(made) == 10 and {p.stat().st_uid for p in made} == {os.getuid()}
