"""The complete demo run in containers and on a cluster: every file it leaves is that of the same run here."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import docker_engine
import pytest
import tiny
from docker_engine import DockerEngine
from slurm_cluster import SlurmCluster

from tao_skill_bank import runs
from tao_skill_bank.commands.demo import DEMOS
from tao_skill_bank.demo import make_demo_workspace
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms.base import read_exit, read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
NAMES_THE_PLATFORM = {"deft_state.json", "best_model.json"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_workspace(tmp_path_factory.mktemp("demo") / "workspace", 7)


def finished(workspace: Path, platform: str, *settings: str) -> Path:
    """The run that `tao-skills demo` makes, on another platform."""
    wanted = Request(
        workspace=workspace,
        kpi_target=DEMOS["changenet"].target,
        max_iterations=3,
        platform=platform,
        settings=("seed=7", *settings),
    )
    run = tiny.approved(wanted)
    began = time.monotonic()
    runs.run_loop(run)
    sys.stderr.write(f"\ndemo on {platform}: {time.monotonic() - began:.0f} s\n")
    assert runs.status(run).status == "complete"
    records = read_records(run)
    assert {r.platform for r in records} == {platform}
    assert len({r.key for r in records}) == len(records), "nothing ran twice"
    exits = [read_exit(r) for r in records]
    assert all(one is not None and one.exit_code == 0 for one in exits)
    return run


@pytest.fixture(scope="module")
def here(workspace: Path) -> Iterator[dict[str, str]]:
    yield files(finished(workspace, "local"))


def files(run: Path) -> dict[str, str]:
    """Relative path → content without times; TAO's status file writes date and time in fields of their own."""
    found = tiny.snapshot(run)
    return {name: re.sub(r'"(date|time)": "[^"]*"', "", text) for name, text in found.items()}


def assert_same(run: Path, here: dict[str, str], platform: str) -> None:
    found = files(run)
    assert sorted(found) == sorted(here)
    assert {name for name in found if found[name] != here[name]} <= NAMES_THE_PLATFORM
    assert found["best_model.json"].replace(f'"{platform}"', '"local"') == here["best_model.json"]


@docker_engine.IS_THERE
@pytest.mark.xdist_group("docker")
def test_the_demo_in_containers_leaves_what_it_leaves_here(
    workspace: Path, here: dict[str, str], docker_daemon: DockerEngine, bank_image: str
) -> None:
    settings = (f"docker.host={docker_daemon.host}", f"docker.image='{bank_image}'", "docker.network=none")
    run = finished(workspace, "docker", *settings)
    assert_same(run, here, "docker")
    assert {r.image for r in read_records(run)} == {bank_image}
    owners = {p.stat().st_uid for p in run.rglob("*")}
    assert owners == {workspace.stat().st_uid}


def test_the_demo_on_slurm_leaves_what_it_leaves_here(
    workspace: Path, here: dict[str, str], slurm: SlurmCluster
) -> None:
    run = finished(workspace, "slurm")
    assert_same(run, here, "slurm")
    known = Counter(slurm.ask("squeue", "--noheader", "--states=all", "--format=%j").split())
    assert all(known[r.uid] <= 1 for r in read_records(run)), "the controller knows no job twice"
