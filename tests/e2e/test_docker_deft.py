"""Runs of the loop in containers: what breaks in mid-stage, and one action by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker_engine
import pytest
import tiny
import yaml
from docker_engine import DockerEngine

from tao_skill_bank import runs
from tao_skill_bank.core.errors import GateError, InputError, StageFailedError
from tao_skill_bank.platforms.base import JobRecord, read_exit, read_records
from tao_skill_bank.tasks.registry import load_state

pytestmark = docker_engine.MARKS
IMAGE = "tao-skill-bank-in-trouble:test"
REAL = 'exec /opt/python/bin/python3 -m tao_skill_bank.actions "$@"'
CANCELER = """
import sys, time
from pathlib import Path
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.platforms.jobs import cancel, job_state
run, limit = Path(sys.argv[1]), time.monotonic() + 60
while time.monotonic() < limit:
    for record in read_records(run):
        if job_state(record) == "running":
            cancel(record)
            raise SystemExit(0)
    time.sleep(0.01)
raise SystemExit(1)
"""


def behave(engine: DockerEngine, bank: str, training: str) -> None:
    """The bank's image under the same name, but `visual_changenet train` runs a shell line."""
    script = f'#!/bin/sh\nif [ "$1 $2" = "visual_changenet train" ]; then\n{training}\nfi\n{REAL}\n'
    files = {"opt/entry.sh": (script.encode(), 0o755)}
    engine.derive(IMAGE, bank, files, ['ENTRYPOINT ["/opt/entry.sh"]'])


def every_record(run: Path) -> list[JobRecord]:
    found = [p for p in run.rglob("jobs/*.json") if p.name.count(".") == 1]
    return [JobRecord.model_validate_json(p.read_bytes()) for p in found]


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "it does not happen"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_stage_that_is_canceled_fails_writes_nothing_or_has_no_image_stops_the_run_and_is_taken_up(
    docker_daemon: DockerEngine, bank_image: str, tmp_path: Path
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=2, pool=6, acceptance=False)
    settings = (f"docker.host={docker_daemon.host}", f"docker.image='{IMAGE}'", "docker.network=none", "num_epochs=1")
    behave(docker_daemon, bank_image, REAL)
    run = tiny.approved(tiny.request(workspace, iterations=1, platform="docker", settings=settings))
    seen = 0
    for training, said in (
        ("while :; do sleep 1; done", "ended canceled"),
        ("echo the GPU is on fire; exit 7", "ended exit status 7: the GPU is on fire"),
        ("kill -9 $$", "ended exit status 137"),
        ("exit 0", "without a new checkpoint"),
        ("", "the image is not on this engine"),
    ):
        behave(docker_daemon, bank_image, training or REAL)
        if not training:
            with docker_daemon.client() as client:
                client.remove_image(IMAGE, force=True)
        argv = [sys.executable, "-c", CANCELER, str(run)]
        canceler = subprocess.Popen(argv) if "while" in training else None
        with pytest.raises((StageFailedError, GateError, InputError)) as caught:
            runs.run_loop(run)
        assert said in caught.value.line()
        assert canceler is None or canceler.wait() == 0
        assert load_state(run).status in ("failed", "stopped"), "never complete"
        made = every_record(run)
        assert len(made) == seen + bool(training), "once each time, never again by itself"
        seen = len(made)
    behave(docker_daemon, bank_image, REAL)
    runs.run_loop(run)
    assert load_state(run).status == "complete"
    kept = read_records(run)
    assert len({r.key for r in kept}) == len(kept)
    for record in kept:
        ended = read_exit(record)
        assert ended is not None and ended.exit_code == 0
    with docker_daemon.client() as client:
        names = [name.lstrip("/") for c in client.containers(all=True) for name in c["Names"]]
    assert not {r.uid for r in every_record(run)} & set(names), "no container is left behind"


RUN = """
import sys
from pathlib import Path
from tao_skill_bank import runs
runs.run_loop(Path(sys.argv[1]))
"""


@pytest.mark.slow  # it restarts the session's engine
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_whose_engine_is_restarted_in_mid_stage_is_finished_by_taking_it_up(
    docker_daemon: DockerEngine, bank_image: str, tmp_path: Path, how: signal.Signals
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=2, pool=6, acceptance=False)
    settings = (f"docker.host={docker_daemon.host}", f"docker.image='{IMAGE}'", "docker.network=none", "num_epochs=1")
    behave(docker_daemon, bank_image, f"touch {tmp_path}/w/began; while [ ! -e {tmp_path}/w/go ]; do sleep 0.1; done")
    run = tiny.approved(tiny.request(workspace, iterations=1, platform="docker", settings=settings))
    worker = subprocess.Popen([sys.executable, "-c", RUN, str(run)], stderr=subprocess.PIPE, text=True)
    until((workspace / "began").exists)
    docker_daemon.end(how)
    docker_daemon.start()
    (workspace / "go").touch()
    said = worker.communicate(timeout=120)[1]
    assert worker.returncode != 0 and load_state(run).status == "failed", said
    (first,) = every_record(run)
    behave(docker_daemon, bank_image, REAL)
    runs.run_loop(run)
    assert load_state(run).status == "complete"
    again = [r for r in every_record(run) if r.key == first.key]
    assert len(again) == 2 and len({r.key for r in read_records(run)}) == len(read_records(run))


def test_one_action_by_itself_runs_in_a_container_once_it_is_approved(
    docker_daemon: DockerEngine, bank_image: str, tmp_path: Path
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    spec = yaml.safe_load((workspace / "specs/baseline_spec.yaml").read_text())
    for key, name in (("train_dataset", "training_set"), ("validation_dataset", "validation_set")):
        csv_path = f"{workspace}/train/base/{name}.csv"
        spec["dataset"]["classify"][key] = {"csv_path": csv_path, "images_dir": f"{workspace}/images"}
    (workspace / "train.yaml").write_text(yaml.safe_dump(spec))
    out = workspace / "out"

    def said(*words: str) -> tuple[int, str]:
        argv = [sys.executable, "-m", "tao_skill_bank.cli", "jobs", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=workspace, timeout=60)
        return done.returncode, done.stdout + done.stderr

    settings = ["--set", f"docker.host={docker_daemon.host}", "--set", "docker.network=none"]
    start = ["start", "visual_changenet", "train", "-e", "train.yaml", "--results-dir", "out", "--platform", "docker"]
    code, text = said(*start, *settings, "train.num_epochs=1")
    assert code == 2 and text.count("the image is not on this engine") >= 1 and not out.exists()
    settings += ["--set", f"docker.image='{bank_image}'"]
    code, text = said(*start, *settings, "train.num_epochs=1")
    assert code == 0 and "[  ok] workspace inside" in text and not out.exists()
    digest = text.split()[-1]
    code, text = said(*start, *settings, "--approve", digest, "train.num_epochs=2")
    assert code == 5 and not out.exists(), "another epoch is another plan"
    code, text = said(*start, *settings, "--approve", digest, "train.num_epochs=1")
    assert code == 0, text
    job = text.partition(":")[0]
    until(lambda: not said("status", str(out), job)[1].startswith(("pending", "running")))
    assert said("status", str(out), job)[1].startswith("complete: visual_changenet train -e"), said(
        "logs", str(out), job
    )
    assert list((out / "train").glob("model_epoch_*.pth"))
    assert {p.stat().st_uid for p in out.rglob("*")} == {os.getuid()}
