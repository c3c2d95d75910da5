"""A real Docker engine: jobs, faults, and a run of the loop."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import docker_engine
import pytest
import stubborn
import tiny
from docker_engine import TOOLS_IMAGE, DockerEngine, pack_tools
from verdict_places import told_everywhere

from tao_skill_bank import runs
from tao_skill_bank.core.errors import EngineUnreachableError, InputError, InputErrors
from tao_skill_bank.platforms.base import ENDED, JobRecord, new_record, read_exit, read_records
from tao_skill_bank.platforms.container import ContainerSettings
from tao_skill_bank.platforms.docker import engine as docker_engine_module
from tao_skill_bank.platforms.docker import platform as docker_platform
from tao_skill_bank.platforms.docker.checks import Gpu
from tao_skill_bank.platforms.docker.engine import Engine, EngineFacts
from tao_skill_bank.platforms.docker.platform import DockerPlatform
from tao_skill_bank.platforms.images import pull_image
from tao_skill_bank.platforms.worker import beside

pytestmark = docker_engine.MARKS
CANARY = "canary-7d41e0b2"


@pytest.fixture
def engine(docker_daemon: DockerEngine) -> DockerEngine:
    return docker_daemon


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "run").mkdir(parents=True)
    return folder


def platform_on(engine: DockerEngine, workspace: Path, **more: Any) -> DockerPlatform:
    settings = {"own_image": TOOLS_IMAGE, "network": "none", "host": engine.host, **more}
    return DockerPlatform(ContainerSettings(workspace, "train:none", "data:none", "generator:none", **settings))


def job(workspace: Path, script: str, *, category: str = "visual_changenet") -> JobRecord:
    run = workspace / "run"
    return new_record(
        key="iter1.train.train",
        platform="docker",
        command=[category, "train", script],
        outputs=[run / "out"],
        cwd=workspace,
        results_dir=run,
    )


def ended(platform: DockerPlatform, record: JobRecord) -> str:
    until(lambda: platform.status(record) in ENDED)
    return platform.status(record)


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "it does not happen"
        time.sleep(0.02)


def names(engine: DockerEngine) -> list[str]:
    with engine.client() as client:
        found = client.containers(all=True)
    return [name.lstrip("/") for c in found for name in c["Names"]]


def test_a_job_leaves_its_record_its_output_and_how_it_ended_and_no_container(
    engine: DockerEngine, workspace: Path
) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo hello; id -u; pwd; echo made > run/out/file"))
    assert ended(platform, record) == "complete"
    assert platform.logs(record).splitlines() == ["hello", str(os.getuid()), str(workspace)]
    assert (workspace / "run" / "out" / "file").read_text() == "made\n"
    assert record.uid not in names(engine)
    assert read_records(workspace / "run") == [record]
    assert record.image == TOOLS_IMAGE and record.argv[:2] == ["docker", "run"]


def test_a_job_that_ends_with_a_status_is_failed_with_it(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo no; exit 7"))
    assert ended(platform, record) == "failed"
    found = read_exit(record)
    assert found is not None and found.exit_code == 7 and platform.logs(record) == "no"


def test_a_command_that_the_image_does_not_have_is_failed(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "x", category="embedding"))
    assert ended(platform, record) == "failed"
    assert "embedding" in platform.logs(record) and "not found" in platform.logs(record)


def test_a_missing_image_is_one_line_and_leaves_nothing(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace, own_image="nowhere/image:1")
    with pytest.raises(InputError, match=r"nowhere/image:1: the image is not on this engine \(pull it"):
        platform.submit(job(workspace, "true"))
    assert read_records(workspace / "run") == []


def test_an_image_without_a_shell_is_failed_and_says_so(engine: DockerEngine, workspace: Path) -> None:
    def no_shell(tar: tarfile.TarFile) -> None:
        tar.add(docker_engine.__file__, "file.txt")

    engine.load("empty:test", no_shell)
    platform = platform_on(engine, workspace, own_image="empty:test")
    record = platform.submit(job(workspace, "true"))
    assert platform.status(record) == "failed"
    assert "/bin/sh" in platform.logs(record)
    assert record.uid not in names(engine)


def test_an_engine_that_is_not_there_is_one_line(workspace: Path, tmp_path: Path) -> None:
    platform = platform_on(DockerEngine(tmp_path / "none"), workspace)
    with pytest.raises(EngineUnreachableError, match="the engine does not answer: No such file or directory"):
        platform.submit(job(workspace, "true"))


def test_a_job_outlives_its_submitter_and_is_taken_up(engine: DockerEngine, workspace: Path) -> None:
    first = platform_on(engine, workspace)
    record = first.submit(job(workspace, "echo began >> run/times; while [ ! -e go ]; do sleep 0.05; done; echo done"))
    until(lambda: (workspace / "run" / "times").exists())
    other = platform_on(engine, workspace)
    assert other.status(record) == "running"
    (workspace / "go").touch()
    assert ended(other, record) == "complete"
    assert (workspace / "run" / "times").read_text() == "began\n"


KILLED = """
import os, signal, sys
from pathlib import Path
from tao_skill_bank.platforms.docker import engine as docker_engine
from tao_skill_bank.platforms.base import new_record
from tao_skill_bank.platforms.container import ContainerSettings
from tao_skill_bank.platforms.docker.platform import DockerPlatform

workspace, host, image, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
real = {name: getattr(docker_engine.Engine, name) for name in ("create", "start")}

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def create(self, plan):
    if where == "before create":
        die()
    return real["create"](self, plan)

def start(self, *arguments):
    if where == "before start":
        die()
    real["start"](self, *arguments)
    die()

docker_engine.Engine.create, docker_engine.Engine.start = create, start
settings = ContainerSettings(workspace, "t", "d", "g", own_image=image, network="none", host=host)
run = workspace / "run"
script = sys.argv[5] if sys.argv[5:] else "echo ran >> run/times; while [ ! -e go ]; do sleep 0.05; done"
DockerPlatform(settings).submit(new_record(key="iter1.train.train", platform="docker",
    command=["visual_changenet", "train", script], outputs=[run / "out"], cwd=workspace, results_dir=run))
"""


@pytest.mark.parametrize("where", ["before create", "before start", "after start"])
def test_a_submitter_killed_at_any_instant_leaves_nothing_that_runs_twice(
    engine: DockerEngine, workspace: Path, where: str
) -> None:
    argv = [sys.executable, "-c", KILLED, str(workspace), engine.host, TOOLS_IMAGE, where]
    assert subprocess.run(argv, check=False, timeout=60).returncode == -signal.SIGKILL
    (record,) = read_records(workspace / "run")
    platform = platform_on(engine, workspace)
    times = workspace / "run" / "times"
    if where == "after start":
        assert platform.status(record) == "running"
        (workspace / "go").touch()
        assert ended(platform, record) == "complete" and times.read_text() == "ran\n"
    else:
        assert platform.peek(record) == "pending"
        assert platform.status(record) == "lost" and not times.exists()
        # Whoever still holds the container, or makes it now, cannot make it run any more.
        late = platform_on(engine, workspace)
        late.submit(record)
        until(lambda: late.engine.container(record.uid)["State"]["Status"] == "exited")  # type: ignore[index]
        assert platform.status(record) == "lost" and not times.exists()
    assert platform_on(engine, workspace).engine.of_run(record.results_dir) in ([], [(record.uid, "exited")])


def test_a_cancel_ends_every_process_of_a_job_that_refuses_though_its_submitter_was_killed(
    engine: DockerEngine, workspace: Path
) -> None:
    mark, ready = f"mark-{secrets.token_hex(6)}", workspace / "ready"
    argv = [sys.executable, "-c", KILLED, str(workspace), engine.host, TOOLS_IMAGE, "after start"]
    died = subprocess.run([*argv, stubborn.script(mark, ready)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    until(ready.exists)
    assert len(stubborn.living(mark)) >= 3
    (record,) = read_records(workspace / "run")
    platform = platform_on(engine, workspace)
    platform.cancel(record)
    assert ended(platform, record) == "canceled" and record.uid not in names(engine)
    assert stubborn.living(mark) == []


def test_a_container_somebody_kills_is_failed_and_never_complete(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo up; while :; do sleep 1; done"))
    until(lambda: "up" in platform.logs(record))
    with engine.client() as client:
        client.kill(record.uid)
    assert ended(platform, record) == "failed"
    assert platform.logs(record).splitlines()[-1].startswith("the container ended with status 137")


def test_a_container_somebody_removes_is_lost(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo up; while :; do sleep 1; done"))
    until(lambda: "up" in platform.logs(record))
    with engine.client() as client:
        client.remove_container(record.uid, force=True)
    assert platform.status(record) == "lost"


def test_a_canceled_job_is_asked_to_end_and_its_children_with_it(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    script = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    record = platform.submit(job(workspace, script))
    until(lambda: "up" in platform.logs(record))
    platform.cancel(record)
    assert ended(platform, record) == "canceled"
    assert "asked" in platform.logs(record).splitlines()


def test_a_job_that_ignores_being_asked_is_killed(
    engine: DockerEngine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_platform, "GRACE_SEC", 1)
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "trap '' TERM; echo up; while :; do sleep 0.05; done"))
    until(lambda: "up" in platform.logs(record))
    platform.cancel(record)
    assert ended(platform, record) == "canceled" and record.uid not in names(engine)


def test_canceling_what_has_ended_changes_nothing(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "true"))
    assert ended(platform, record) == "complete"
    platform.cancel(record)
    assert platform.status(record) == "complete" and not beside(record.path, "cancel").exists()


@pytest.mark.slow  # containerd does not always come back within its own ten seconds on a busy machine
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_restarted_in_mid_job_leaves_the_job_failed_and_the_next_one_runs(
    tmp_path: Path, workspace: Path, how: signal.Signals
) -> None:
    own = DockerEngine(tmp_path / "dk")
    own.start()
    try:
        own.load(TOOLS_IMAGE, pack_tools)
        platform = platform_on(own, workspace)
        record = platform.submit(job(workspace, "echo up; echo ran >> run/times; while :; do sleep 1; done"))
        until(lambda: "up" in platform.logs(record))
        own.end(how)
        assert platform.status(record) in ("running", "failed"), "an engine that is away decides nothing"
        own.start()
        assert ended(platform, record) in ("failed", "lost")
        again = platform.submit(job(workspace, "echo ran >> run/times"))
        assert ended(platform, again) == "complete"
        assert (workspace / "run" / "times").read_text() == "ran\nran\n"
    finally:
        own.end()


def test_an_engine_that_answers_with_an_error_of_its_own_has_said_nothing_of_a_job(
    engine: DockerEngine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docker.errors import APIError
    from requests import Response

    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo up; while [ ! -e go ]; do sleep 0.05; done"))
    until(lambda: "up" in platform.logs(record))
    response = Response()
    response.status_code = 500

    def ending(_uid: str) -> Any:
        raise APIError("grpc: the client connection is closing", response=response)

    with monkeypatch.context() as patched:
        patched.setattr(platform.engine.api, "inspect_container", ending)
        assert platform.status(record) == "running"
        with pytest.raises(EngineUnreachableError, match="the engine does not answer: 500 Server Error"):
            platform.peek(record)
    (workspace / "go").touch()
    assert ended(platform, record) == "complete"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A workspace on a disk of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    try:
        (folder / "run").mkdir()
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("ending", ["", "; exit 0"])
def test_a_full_disk_never_ends_complete(engine: DockerEngine, small_disk: Path, ending: str) -> None:
    platform = platform_on(engine, small_disk)
    script = f"cat /bin/busybox > run/out/big; cat /bin/busybox{ending}"
    record = platform.submit(job(small_disk, script))
    assert ended(platform, record) == "failed"
    (small_disk / "run" / "out" / "big").unlink()
    assert ended(platform_on(engine, small_disk), record) == "failed"


def test_a_credential_reaches_the_job_and_shows_nowhere(
    engine: DockerEngine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{CANARY} \\t$HOME 'x'")
    platform = platform_on(engine, workspace)
    script = 'printf "length %s\\n" "${#HF_TOKEN}"; while [ ! -e go ]; do sleep 0.05; done'
    record = platform.submit(job(workspace, script))
    until(lambda: "length" in platform.logs(record))
    with engine.client() as client:
        inspected = json.dumps(client.inspect_container(record.uid))
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    (workspace / "go").touch()
    assert ended(platform, record) == "complete"
    assert platform.logs(record) == f"length {len(os.environ['HF_TOKEN'])}"
    assert "HF_TOKEN" in record.secrets
    assert CANARY not in inspected and CANARY not in shown
    for folder in (workspace, engine.folder / "data" / "containers"):
        found = subprocess.run(["grep", "-rl", CANARY, str(folder)], capture_output=True, text=True, check=False)
        assert found.stdout == ""


def test_a_job_whose_credentials_do_not_arrive_does_not_run(
    engine: DockerEngine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setattr(docker_platform, "secret_lines", lambda names: [""] * 0)
    platform = platform_on(engine, workspace)
    monkeypatch.setattr(platform.engine, "start", lambda made, lines: _start_and_hang_up(platform, made))
    record = platform.submit(job(workspace, "touch run/ran"))
    assert ended(platform, record) == "failed"
    assert "the credentials did not arrive" in platform.logs(record)
    assert not (workspace / "run" / "ran").exists()


def _start_and_hang_up(platform: DockerPlatform, made: str) -> None:
    stream = platform.engine.api.attach_socket(made, params={"stdin": 1, "stream": 1})
    platform.engine.api.start(made)
    docker_engine_module._hang_up(stream)


def test_what_a_container_writes_belongs_to_the_user(
    engine: DockerEngine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "run" / "jobs").mkdir()
    (workspace / "run" / "out").mkdir()
    for folder in (workspace, *(p for p in workspace.rglob("*"))):
        os.chown(folder, 4321, 8765)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    monkeypatch.setattr(os, "getgid", lambda: 8765)
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, 'echo "$USER" in "$HOME"; touch "$HOME/x" && echo made > run/out/file'))
    assert ended(platform, record) == "complete"
    assert platform.logs(record) == "user in /tmp"
    for made in (workspace / "run" / "out" / "file", beside(record.path, "log"), beside(record.path, "exit.json")):
        assert (made.stat().st_uid, made.stat().st_gid) == (4321, 8765)


def test_offline_containers_have_no_network(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace, network="host", offline=True)
    record = platform.submit(job(workspace, "while [ ! -e go ]; do sleep 0.05; done"))
    found = platform.engine.container(record.uid)
    assert found is not None and found["HostConfig"]["NetworkMode"] == "none"
    (workspace / "go").touch()
    assert ended(platform, record) == "complete"


def test_the_same_job_handed_over_again_runs_once(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo ran >> run/times; while [ ! -e go ]; do sleep 0.05; done"))
    until(lambda: (workspace / "run" / "times").exists())
    platform_on(engine, workspace).submit(record)
    (workspace / "go").touch()
    assert ended(platform, record) == "complete"
    platform_on(engine, workspace).submit(record)
    assert platform.status(record) == "complete"
    assert (workspace / "run" / "times").read_text() == "ran\n"


# -- the loop ----------------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from tao_skill_bank import runs
runs.run_loop(Path(sys.argv[1]))
"""


def without_clock(text: str) -> str:
    """TAO's status file writes date and time in fields of their own."""
    return re.sub(r'"(date|time)": "[^"]*"', "", text)


def test_a_run_killed_in_mid_stage_is_taken_up_and_leaves_what_the_same_run_here_leaves(
    engine: DockerEngine, bank_image: str, tmp_path: Path
) -> None:
    workspace = tiny.make_workspace(tmp_path / "workspace", pairs=2, pool=6, acceptance=False)
    settings = [f"docker.host={engine.host}", f"docker.image='{bank_image}'", "docker.network=none", "num_epochs=1"]
    wanted = tiny.request(workspace, iterations=1, platform="docker", settings=settings)
    run = tiny.approved(wanted)
    worker = subprocess.Popen([sys.executable, "-c", RUN, str(run)])
    until(lambda: any(r.uid in names(engine) for r in read_records(run)))
    worker.kill()
    worker.wait()
    runs.run_loop(run)
    here = tiny.approved(tiny.request(workspace, iterations=1, settings=["num_epochs=1"]))
    runs.run_loop(here)
    found, expected = tiny.snapshot(run), tiny.snapshot(here)
    assert sorted(found) == sorted(expected)
    different = {name for name in found if without_clock(found[name]) != without_clock(expected[name])}
    assert different == {"deft_state.json", "best_model.json"}, "these name the platform"
    verdict = told_everywhere(run, here)
    assert verdict.trained.host == os.uname().nodename, "the engine's machine, which is this one"
    assert verdict.head.startswith("rehearsal: ") and verdict.final, "the image is the bank's own, without TAO"
    assert verdict.line == told_everywhere(here, run).line
    logs = [[(line.iter, line.stage, line.status) for line in runs.status(r, limit=100).log] for r in (run, here)]
    assert logs[0] == logs[1] and {status for _, _, status in logs[0]} == {"ok"}
    assert len({r.key for r in read_records(run)}) == len(read_records(run))
    assert not [n for n in names(engine) if any(n == r.uid for r in read_records(run))]


# -- before a run, and beside one --------------------------------------------------------------------------------


def faults(tmp_path: Path, *settings: str) -> list[str]:
    workspace = tiny.make_workspace(tmp_path / "workspace")
    with pytest.raises(InputErrors) as caught:
        runs.plan_run(tiny.request(workspace, iterations=1, platform="docker", settings=settings))
    return caught.value.faults


def test_a_plan_names_every_image_that_is_missing_and_the_gpu_that_is_not_there(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = faults(tmp_path, f"docker.host={engine.host}")
    assert sum("the image is not on this engine (pull it" in line for line in found) == 2
    assert sum("no NVIDIA GPU is here" in line for line in found) == 1


def test_a_plan_on_an_engine_that_is_away_says_only_that(tmp_path: Path) -> None:
    found = faults(tmp_path, f"docker.host=unix://{tmp_path}/none.sock")
    assert len(found) == 1 and "the engine does not answer" in found[0]


def test_a_plan_refuses_an_image_of_another_architecture(engine: DockerEngine, tmp_path: Path) -> None:
    layer = BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        pack_tools(tar)
    layers = [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]
    config = {"architecture": "arm64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": layers}}
    manifest = [{"Config": "config.json", "RepoTags": ["arm:test"], "Layers": ["layer.tar"]}]
    parts = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    saved = BytesIO()
    with tarfile.open(fileobj=saved, mode="w") as tar:
        for name, data in {**parts, "layer.tar": layer.getvalue()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    with engine.client() as client:
        list(client.load_image(saved.getvalue()))
    found = faults(tmp_path, f"docker.host={engine.host}", "docker.image='arm:test'")
    assert any("the image is for arm64, and the engine's machine is amd64" in line for line in found)


def test_a_plan_refuses_inputs_that_a_link_leads_out_of_the_workspace(engine: DockerEngine, tmp_path: Path) -> None:
    workspace = tiny.make_workspace(tmp_path / "workspace")
    (workspace / "images").rename(tmp_path / "elsewhere")
    (workspace / "images").symlink_to(tmp_path / "elsewhere")
    settings = [f"docker.host={engine.host}", f"docker.image='{TOOLS_IMAGE}'"]
    with pytest.raises(InputErrors) as caught:
        runs.plan_run(tiny.request(workspace, iterations=1, platform="docker", settings=settings))
    assert any(f"{tmp_path}/elsewhere lies outside" in line for line in caught.value.faults)
    mounted = [*settings, f"docker.mounts=['{tmp_path}/elsewhere']"]
    shown = runs.plan_run(tiny.request(workspace, iterations=1, platform="docker", settings=mounted))
    assert any(c.name == "workspace inside" and c.status == "ok" for c in shown.checks)


def test_a_batch_that_the_gpu_cannot_hold_is_refused(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tao_skill_bank.platforms.docker.checks.gpus_here", lambda: [Gpu("NVIDIA A10", 24)])
    settings = [f"docker.host={engine.host}", f"docker.image='{TOOLS_IMAGE}'", "docker.gpus=all"]
    found = faults(tmp_path, *settings, "batch_size=16")
    assert any("batch size 16 does not fit a GPU of 24 GB: at most 8" in line for line in found)


def test_the_commands_of_jobs_and_images_answer_for_docker(engine: DockerEngine, workspace: Path) -> None:
    platform = platform_on(engine, workspace)
    record = platform.submit(job(workspace, "echo up; while :; do sleep 0.05; done"))
    until(lambda: "up" in platform.logs(record))
    run = str(workspace / "run")

    def said(*words: str) -> str:
        argv = [sys.executable, "-m", "tao_skill_bank.cli", *words]
        environment = {**os.environ, "DOCKER_HOST": engine.host}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)
        return done.stdout + done.stderr

    assert said("jobs", "list", run).split()[:3] == ["running", "docker", record.uid]
    assert said("jobs", "logs", run, record.uid) == "up\n"
    assert said("jobs", "cancel", run, record.uid) == f"{record.uid}: canceled\n"
    assert said("jobs", "status", run, record.uid).startswith("canceled: visual_changenet train")
    assert "no job 'other'" in said("jobs", "status", run, "other")
    assert "answers, unix://" in said("platforms", "docker")
    assert "[fail] images.tao_toolkit.pyt" in said("images", "check", "images.tao_toolkit.pyt")
    assert said("images", "resolve", "images.tao_toolkit.pyt") == "nvcr.io/nvidia/tao/tao-toolkit:7.1.0-pyt\n"
    assert "nothing is pulled offline" in said("images", "pull", "images.tao_toolkit.pyt", "--offline")


def test_an_image_for_amd64_only_is_refused_elsewhere_before_anything_is_downloaded(engine: DockerEngine) -> None:
    elsewhere = Engine(engine.host)
    elsewhere.__dict__["facts"] = EngineFacts("28", "arm64", rootless=False, gpus=False)
    with pytest.raises(InputError, match="this image is for amd64 only, and the engine's machine is arm64"):
        pull_image(elsewhere, "images.metropolis_sdg.paidf_anomalygen")
