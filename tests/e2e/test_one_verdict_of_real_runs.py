"""Real runs of the bank's own network, here, in containers and as batch jobs: one verdict in every place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker_engine
import pytest
import tiny
from report_runs import RunBuilder
from verdict_places import told_everywhere

from tao_skill_bank import runs
from tao_skill_bank.loop.log import log_path, read_log
from tao_skill_bank.platforms.base import read_records

# A word each: what no network so small reaches, and what any does.
ASKED = {"FAR < 0.1% at recall=100%": "not met", "recall >= 1% at FAR <= 100%": "shown"}
Settings = Callable[[pytest.FixtureRequest], tuple[str, ...]]


def _docker(request: pytest.FixtureRequest) -> tuple[str, ...]:
    engine, image = request.getfixturevalue("docker_daemon"), request.getfixturevalue("bank_image")
    return (f"docker.host={engine.host}", f"docker.image='{image}'", "docker.network=none")


def _slurm(request: pytest.FixtureRequest) -> tuple[str, ...]:
    request.getfixturevalue("slurm")
    return ("slurm.lost_grace_sec=1",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "settings"),
    [
        pytest.param("local", lambda _: (), id="local"),
        pytest.param("docker", _docker, id="docker", marks=docker_engine.MARKS),
        pytest.param("slurm", _slurm, id="slurm"),
    ],
)
def test_every_place_says_the_same_of_a_real_run_wherever_it_ran(
    request: pytest.FixtureRequest, tmp_path: Path, platform: str, settings: Settings
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=2, pool=6)
    other = RunBuilder(tmp_path / "o", iterations=0, pictures=False).build()
    own = (*settings(request), "num_epochs=1", "mining.strategy=nearest")
    for asked, word in ASKED.items():
        run = tiny.approved(tiny.request(workspace, target=asked, iterations=1, platform=platform, settings=own))
        runs.run_loop(run)
        assert {record.platform for record in read_records(run)} == {platform}
        found = told_everywhere(run, other)
        # The image and the node's interpreter are the bank's own: a rehearsal, whatever ran it.
        assert (found.final, found.may_ship, found.head) == (True, False, f"rehearsal: {word}"), found.line
        assert found.set == "acceptance set" and found.asked == asked
        assert read_log(log_path(run))[-1].summary.endswith(f"; {found.line}")
