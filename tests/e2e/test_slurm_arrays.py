"""Sharded work as one job array on a real one-node SLURM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ran import ran
from slurm_cluster import SlurmCluster

from tao_skill_bank.actions.mining.shards import missing_shards, read_plan
from tao_skill_bank.platforms.base import read_exit, read_records

TAO_SKILLS = Path(sys.executable).with_name("tao-skills")
FILES = ("mined.parquet", "source_embeddings.parquet", "target_embeddings.parquet")


def tables(folder: Path, bad: bool = False) -> tuple[Path, Path]:
    """Three weak samples and a pool of thirty images, every fifth of which are the same."""
    rng = np.random.default_rng(3)
    kinds = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(5)]
    names = []
    for number in range(30):
        path = folder / f"{number}.png"
        Image.fromarray(kinds[number % 5]).save(path)
        names.append(str(path))
    if bad:
        (folder / "7.png").write_bytes(b"broken")
    gaps, pool = folder / "gaps.parquet", folder / "pool.parquet"
    pq.write_table(pa.table({"filepath": names[:3], "label": ["A"] * 3}), gaps)
    pq.write_table(pa.table({"filepath": names, "label": ["A"] * 30}), pool)
    return gaps, pool


def mine(folder: Path, output: str, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [TAO_SKILLS, "gaps", "mine", folder / "gaps.parquet", folder / "pool.parquet", "--output", folder / output]
    return ran([*argv, "--encoder", "local", *more], env=os.environ, cwd=folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_an_array_mines_what_one_machine_mines_and_only_what_is_missing_runs_again(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    tables(tmp_path)
    assert mine(tmp_path, "whole").returncode == 0
    done = mine(tmp_path, "cut", "--shards", "5", "--platform", "slurm", "--set", "slurm.partition=main")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    (record,) = read_records(tmp_path / "cut")
    left = read_exit(record)
    assert left is not None and left.exit_code == 0
    shown = slurm.ask("squeue", "--noheader", "--states=all", "--array", "--format=%T", f"--name={record.uid}").split()
    assert shown == ["COMPLETED"] * 5
    plan = read_plan(tmp_path / "cut")
    receipts = sorted((tmp_path / "cut" / "shards").glob("*.json"))
    receipts[2].unlink()
    assert missing_shards(tmp_path / "cut", plan) == [2]
    again = mine(tmp_path, "cut", "--shards", "5", "--platform", "slurm")
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    second = read_records(tmp_path / "cut")[-1]
    assert second.uid != record.uid
    assert slurm.ask(
        "squeue", "--noheader", "--states=all", "--array", "--format=%T", f"--name={second.uid}"
    ).split() == ["COMPLETED"]
    nothing = mine(tmp_path, "cut", "--shards", "5", "--platform", "slurm")
    assert nothing.returncode == 0 and len(read_records(tmp_path / "cut")) == 2, "and nothing when nothing is missing"


@pytest.mark.slow
def test_a_bad_row_and_a_killed_waiter_cost_nothing_but_the_row(slurm: SlurmCluster, tmp_path: Path) -> None:
    tables(tmp_path, bad=True)
    argv = [TAO_SKILLS, "gaps", "mine", "gaps.parquet", "pool.parquet", "--output", tmp_path / "cut"]
    argv += ["--encoder", "local", "--shards", "8", "--platform", "slurm"]
    waiter = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    slurm.until(lambda: list((tmp_path / "cut" / "jobs").glob("*.slurm.json")), "no array is submitted")
    waiter.kill()
    waiter.wait()
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_records(tmp_path / "cut")) == 1, "the array of the killed process is waited for"
    assert "1 rows take no part" in done.stderr
    assert (tmp_path / "cut" / "mining_errors.csv").read_text().splitlines()[1].startswith("8,")


@pytest.mark.slow
def test_an_array_whose_waiter_was_killed_is_canceled_with_all_of_its_tasks(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    tables(tmp_path)
    (tmp_path / "holds.sh").write_text("#!/bin/sh\nsleep 600\n")
    slurm.ask("sbatch", "--exclusive", "--job-name=holds", "--output=/dev/null", tmp_path / "holds.sh")
    argv = [TAO_SKILLS, "gaps", "mine", "gaps.parquet", "pool.parquet", "--output", tmp_path / "cut"]
    argv += ["--encoder", "local", "--shards", "8", "--platform", "slurm"]
    waiter = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        slurm.until(lambda: list((tmp_path / "cut" / "jobs").glob("*.slurm.json")), "no array is submitted")
        waiter.kill()
        waiter.wait()
        (array,) = read_records(tmp_path / "cut")
        cancel = [TAO_SKILLS, "jobs", "cancel", tmp_path / "cut", array.uid]
        done = subprocess.run(cancel, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        slurm.ask("scancel", "--name=holds")
    states = slurm.ask("squeue", "-h", "-r", "--states=all", "-o", "%T", "-n", array.uid).split()
    assert states and set(states) == {"CANCELLED"}
    state = subprocess.run([TAO_SKILLS, "jobs", "status", tmp_path / "cut", array.uid], capture_output=True, text=True)
    assert state.stdout.startswith("canceled"), state.stdout + state.stderr


@pytest.mark.slow
def test_more_shards_than_an_array_may_have_tasks_are_several_a_task(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tao_skill_bank.platforms.slurm.client import SlurmClient
    from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
    from tao_skill_bank.platforms.slurm.script import SlurmSettings
    from tao_skill_bank.platforms.slurm.settings import SlurmConfig
    from tao_skill_bank.sharding import arrays

    platform = SlurmPlatform(SlurmSettings(SlurmConfig(lost_grace_sec=1.0)), SlurmClient())
    assert arrays.max_tasks(platform) == 1001
    assert len(arrays.tasks_of([arrays.Piece(str(n), ("true",)) for n in range(2500)], 1001)) == 1001
    monkeypatch.setattr(arrays, "max_tasks", lambda _platform: 3)
    pieces = [arrays.Piece(str(n), ("sh", "-c", f"echo {n} > {tmp_path}/{n}.out")) for n in range(8)]
    record = arrays.submit_array(platform, pieces, folder=tmp_path, key="many")
    arrays.wait_for_array(platform, record)
    assert sorted(int(p.read_text()) for p in tmp_path.glob("*.out")) == list(range(8))
    logs = sorted(p.name.rsplit(".", 2)[1] for p in (tmp_path / "jobs").glob("*.log"))
    assert logs == ["0", "1", "2"]
    assert json.loads((tmp_path / "jobs" / f"{record.uid}.slurm.json").read_text())["number"].isdigit()


@pytest.mark.slow
def test_annotation_shards_are_one_array_and_its_key_stands_nowhere(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import annotation
    from scripted_endpoint import ScriptedEndpoint
    from videos import make_videos

    monkeypatch.setenv("OPENAI_API_KEY", annotation.CANARY)
    make_videos(tmp_path / "v", 3)
    with ScriptedEndpoint() as server:
        words = annotation.overrides(server.url, tmp_path / "out", tmp_path / "v")
        argv = [TAO_SKILLS, "annotate", "run", "--shards", "2", "--platform", "slurm", *words, "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["failed"] == 0 and server.calls == 3 * 16
        assert subprocess.run(argv, capture_output=True, check=False, cwd=tmp_path).returncode == 0
        assert server.calls == 3 * 16, "nothing is paid for twice"
    (record,) = read_records(tmp_path / "out")
    assert "TAO_ANNOTATE_VLM_KEY" in record.secrets
    shown = slurm.ask("scontrol", "--details", "show", "job")
    assert record.uid in shown and annotation.CANARY not in shown
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or annotation.CANARY.encode() not in path.read_bytes(), path
