"""The second loop in containers: cosmos-rl's command lines and files by a stand-in that misbehaves on request."""

from __future__ import annotations

from pathlib import Path

import bcq
import docker_engine
import pytest
from docker_engine import DockerEngine

from tao_skill_bank import runs
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.tasks.registry import load_state

REASON = docker_engine.unavailable()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=f"no Docker engine: {REASON}"),
    pytest.mark.xdist_group("docker"),
]
IMAGE = "tao-skill-bank-cosmos-stand-in:test"
FAKE = Path(bcq.__file__).with_name("fake_cosmos.py")
ENTRY = """#!/bin/sh
case "$1" in
  /bin/sh|cosmos-rl|cosmos-rl-evaluate) PATH="/opt/cosmos:$PATH" PYTHONPATH=/opt/site exec "$@" ;;
  *) exec /opt/python/bin/python3 -m tao_skill_bank.actions "$@" ;;
esac
"""


def behave(engine: DockerEngine, bank: str, mode: str) -> None:
    """The stand-in's image, in a mode."""
    program = b"#!/opt/python/bin/python3\n" + FAKE.read_bytes()
    files = {
        "opt/entry.sh": (ENTRY.encode(), 0o755),
        "opt/mode": (mode.encode(), 0o644),
        "opt/cosmos/cosmos-rl": (program, 0o755),
        "opt/cosmos/cosmos-rl-evaluate": (program, 0o755),
        "opt/cosmos/python3": (b'#!/bin/sh\nexec /opt/python/bin/python3 "$@"\n', 0o755),
        "opt/site/cosmos_rl/__init__.py": (b"", 0o644),
        "opt/site/cosmos_rl/tools/custom_hooks/tao_sft_example.py": (b"", 0o644),
    }
    engine.derive(IMAGE, bank, files, ['ENTRYPOINT ["/opt/entry.sh"]'])


@pytest.mark.slow
def test_a_run_in_containers_is_stopped_by_what_the_evaluator_and_trainer_leave_out_and_goes_on_when_it_is_mended(
    docker_daemon: DockerEngine, bank_image: str, tmp_path: Path
) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    base = workspace / "model/base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("weights")
    settings = (f"docker.host={docker_daemon.host}", f"docker.image='{IMAGE}'", "docker.network=none")
    behave(docker_daemon, bank_image, "well")
    run = bcq.approved(bcq.request(workspace, *settings, platform="docker"))
    for mode, gate in (
        ("wrong ids", "evaluation_coverage"),
        ("no results", "evaluation_coverage"),
        ("empty results", "evaluation_coverage"),
    ):
        behave(docker_daemon, bank_image, mode)
        with pytest.raises(GateError) as stopped:
            runs.run_loop(run)
        assert stopped.value.gate == gate
        assert not list(run.rglob("answers.jsonl")), "nothing partial is used"
    behave(docker_daemon, bank_image, "no checkpoint")
    with pytest.raises(GateError) as stopped:
        runs.run_loop(run)
    assert stopped.value.gate == "checkpoint"
    behave(docker_daemon, bank_image, "well")
    runs.run_loop(run)
    state = load_state(run)
    assert state.status == "complete"
    assert state.best_iteration == "iter1"
    assert "vllm serve" in (run / "serve.txt").read_text()
