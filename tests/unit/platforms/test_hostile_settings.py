"""Settings of platforms that are odd, wrong or hostile: each refused in one line, or taken as it was meant."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.platforms import platform_named, worker
from tao_skill_bank.platforms.base import JobRecord, new_record
from tao_skill_bank.platforms.container import plan_container, settings_of
from tao_skill_bank.platforms.docker.engine import Engine
from tao_skill_bank.platforms.gpu_rules import memory_of
from tao_skill_bank.platforms.kubernetes import KubernetesPlatform
from tao_skill_bank.platforms.slurm.checks import _container
from tao_skill_bank.platforms.slurm.client import SlurmClient
from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
from tao_skill_bank.tasks.changenet.config import RunConfig

CANARY = "canary-9d20"


class HasPyxis(SlurmClient):
    """A cluster whose `srun` has Pyxis."""

    def run(self, argv: Any, **_more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, "--container-image", "")


def config(workspace: Path, platform: str, *settings: str) -> RunConfig:
    names = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    values: dict[str, Any] = {name: str(workspace / name) for name in names}
    given = apply_settings(RunConfig, {**values, "workspace": str(workspace), "platform": platform}, settings)
    return checked_settings(RunConfig, given, "settings")


def record(workspace: Path, platform: str) -> JobRecord:
    run = workspace / "results" / "run"
    return new_record(
        key="iter1.train.train",
        platform=platform,
        command=["visual_changenet", "train", "-e", str(workspace / "spec.yaml")],
        outputs=[run / "train"],
        cwd=workspace,
        results_dir=run,
    )


@pytest.mark.parametrize(
    ("setting", "group", "name", "text"),
    [
        ("docker.gpus=0", "docker", "gpus", "0"),
        ("slurm.time_limit=60", "slurm", "time_limit", "60"),
        ("slurm.time_limit=1-12:30:00", "slurm", "time_limit", "1-12:30:00"),
        ("slurm.memory=8000", "slurm", "memory", "8000"),
        ("slurm.memory=64G", "slurm", "memory", "64G"),
        ("slurm.partition=123", "slurm", "partition", "123"),
        ("kubernetes.cpus=4", "kubernetes", "cpus", "4"),
        ("kubernetes.memory=64Gi", "kubernetes", "memory", "64Gi"),
    ],
)
def test_a_number_is_as_good_as_its_text(setting: str, group: str, name: str, text: str, tmp_path: Path) -> None:
    assert getattr(getattr(config(tmp_path, "local", setting), group), name) == text


@pytest.mark.parametrize(
    "setting",
    [
        "slurm.time_limit=soon",
        "slurm.time_limit=1h",
        "slurm.memory=lots",
        "slurm.memory=-4",
        "kubernetes.cpus=many",
        "kubernetes.memory=32GiB",
        "kubernetes.namespace=Bad_Name",
        "docker.gpus=true",
    ],
)
def test_what_a_cluster_would_refuse_with_the_first_job_is_refused_before(setting: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=setting.partition("=")[0].replace(".", r"\.")):
        config(tmp_path, "local", setting)


@pytest.mark.parametrize("image", ["  ", "Bad Image!", "UPPER/case", "-rm", "name:tag:tag", "../containers", "a@b"])
@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_what_is_no_images_name_is_refused_before_an_engine_is_asked(image: str, platform: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image"):
        platform_named(config(tmp_path, platform, f"{platform}.image='{image}'"))


def test_an_empty_image_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image is named"):
        platform_named(config(tmp_path, "docker", "docker.image=''"))


@pytest.mark.parametrize(
    "image",
    [
        "tao-skill-bank",
        "own:1",
        "localhost:5000/a/b_c:v1.2-x",
        "nvcr.io/nvidia/tao/tao-toolkit:7.1.0-pyt",
        f"Host.Example:80/a@sha256:{'0' * 64}",
        f"sha256:{'a' * 64}",
    ],
)
def test_images_are_named_as_engines_name_them(image: str, tmp_path: Path) -> None:
    found: Any = platform_named(config(tmp_path, "docker", f"docker.image='{image}'"))
    assert found.settings.own_image == image


@pytest.mark.parametrize("platform", ["docker", "slurm", "kubernetes"])
def test_an_image_may_be_a_key_of_the_versions_on_every_platform(platform: str, tmp_path: Path) -> None:
    settings = [f"{platform}.image=images.tao_toolkit.pyt"] + ["slurm.container=pyxis"] * (platform == "slurm")
    found: Any = platform_named(config(tmp_path, platform, *settings)).settings  # type: ignore[attr-defined]
    assert "/tao-toolkit:" in getattr(found, "containers", found).own_image


def test_a_mount_that_says_read_only_is_mounted_at_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "ws").mkdir()
    found = settings_of(config(tmp_path / "ws", "docker", f"docker.mounts=['{tmp_path}/more:ro']")).mounts
    assert [(b.target, b.read_only) for b in found] == [(f"{tmp_path}/more", True)]
    both = settings_of(config(tmp_path / "ws", "docker", f"docker.mounts=['{tmp_path}/more:/in:ro']")).mounts
    assert [b.target for b in both] == ["/in"]


@pytest.mark.parametrize("mode", ["rw", "/in:rw", "/in:z", "/a:/b"])
def test_a_mount_with_a_mode_that_mounts_never_have_is_refused(mode: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"docker\.mounts"):
        settings_of(config(tmp_path, "docker", f"docker.mounts=['{tmp_path}:{mode}']"))


@pytest.mark.parametrize(("platform", "key"), [("docker", "docker.secrets"), ("slurm", "slurm.pass_env")])
@pytest.mark.parametrize("name", [f"HF_TOKEN={CANARY}", "A,B", "a b", "ALL", "", "1A", "job", "BASH_FUNC_x%%"])
def test_only_names_of_variables_are_handed_on_and_no_value_is_repeated(
    platform: str, key: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=key.replace(".", r"\.")) as caught:
        platform_named(config(tmp_path, platform, f"{key}=['{name}']"))
    assert CANARY not in caught.value.line()


@pytest.mark.parametrize(
    "extra", ["--arra=0-9", "--job-n=x", "--wra=touch", "--reque", "--clusters=b", "--clus=b", "--outp=/x"]
)
def test_the_beginning_of_an_argument_is_refused_like_the_argument(extra: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"slurm\.extra"):
        platform_named(config(tmp_path, "slurm", f"slurm.extra=['{extra}']"))


@pytest.mark.parametrize("extra", ["--constraint=a100", "--gres-flags=enforce-binding", "--time-min=5", "--qos=high"])
def test_other_arguments_of_sbatch_are_passed_on(extra: str, tmp_path: Path) -> None:
    found: Any = platform_named(config(tmp_path, "slurm", f"slurm.extra=['{extra}']"))
    assert found.settings.request.extra == (extra,)


@pytest.mark.parametrize("folder", ["a:b", "a,b", "a:/etc"])
def test_pyxis_is_given_no_path_that_its_mounts_would_take_apart(folder: str, tmp_path: Path) -> None:
    workspace = tmp_path / folder
    workspace.mkdir(parents=True)
    on = SlurmPlatform.of(config(workspace, "slurm", "slurm.container=pyxis"))
    with pytest.raises(InputError, match="colon or comma"):
        on.planned(record(workspace, "slurm"))


def test_a_path_that_reads_like_a_variable_reaches_the_pod_as_it_is(tmp_path: Path) -> None:
    workspace = tmp_path / "$(HOME) of $(USER)"
    workspace.mkdir()
    on = KubernetesPlatform(config(workspace, "kubernetes"))
    made = record(workspace, "kubernetes")
    container = on.manifest(made)["spec"]["template"]["spec"]["containers"][0]
    seen = [text.replace("$$(", "\0").replace("$(", "replaced(").replace("\0", "$(") for text in container["args"]]
    assert seen == plan_container(on.settings, made).arguments


def test_a_path_with_a_colon_is_refused_before_a_cluster_does(tmp_path: Path) -> None:
    workspace = tmp_path / "a:b"
    workspace.mkdir()
    with pytest.raises(InputError, match="colon"):
        KubernetesPlatform(config(workspace, "kubernetes")).manifest(record(workspace, "kubernetes"))


@pytest.mark.parametrize(
    ("name", "memory"), [("rtx_a4000", None), ("NVIDIA RTX A1000", None), ("a40", 48), ("A10G", 24)]
)
def test_a_small_card_is_not_taken_for_a_large_one(name: str, memory: int | None) -> None:
    assert memory_of(name) == memory


def test_what_narrows_the_users_own_queue_hides_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = tmp_path / "squeue"
    shown.write_text('#!/bin/sh\n[ -z "$SQUEUE_PARTITION" ] && echo "7|RUNNING|None|u|u"\nexit 0\n')
    shown.chmod(0o755)
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert SlurmClient().jobs_named(["u"])["u"].number == "7"


def test_a_command_asked_to_end_has_a_whole_grace_to_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after: list[int] = []

    class Slow:
        pid = 1 << 30
        waits = 0

        def wait(self, timeout: float) -> int:
            self.waits += 1
            if killed_after:
                return -9
            raise subprocess.TimeoutExpired("x", timeout)

    child = Slow()
    monkeypatch.setattr(worker.os, "killpg", lambda _pid, _signal: killed_after.append(child.waits))
    # Here they would be those of every other test.
    monkeypatch.setattr(worker, "descendants", lambda _pid: [])
    monkeypatch.setattr(worker, "reap_orphans", lambda _pid: None)
    # It is asked to end within the second wait: the third is the first whole one.
    assert worker._wait(child, lambda: child.waits >= 2) == -9  # type: ignore[arg-type]
    assert killed_after == [3]


def test_an_engines_address_that_is_none_is_one_line() -> None:
    with pytest.raises(BankError):
        _ = Engine("-oProxyCommand=x").facts


def test_offline_no_cluster_pulls_an_image(tmp_path: Path) -> None:
    run = config(tmp_path, "slurm", "slurm.container=pyxis", "offline=true")
    with pytest.raises(InputError, match="Pyxis would pull this image"):
        _container(HasPyxis(), SlurmPlatform.of(run).settings, run)
    named = config(tmp_path, "slurm", "slurm.container=pyxis", "offline=true", "slurm.image=/shared/tao.sqsh")
    assert _container(HasPyxis(), SlurmPlatform.of(named).settings, named).status == "ok"
    for settings, policy in (((), None), (("offline=true",), "Never")):
        on = KubernetesPlatform(config(tmp_path, "kubernetes", *settings))
        container = on.manifest(record(tmp_path, "kubernetes"))["spec"]["template"]["spec"]["containers"][0]
        assert container.get("imagePullPolicy") == policy
