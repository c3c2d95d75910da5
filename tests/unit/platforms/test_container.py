"""Containers planned without any engine: what is mounted, as whom it runs, what is refused, what never shows."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.core.errors import EngineUnreachableError, InputError
from tao_skill_bank.core.settings import checked_settings
from tao_skill_bank.platforms.base import JobRecord, new_record
from tao_skill_bank.platforms.container import paths_in, plan_container, settings_of
from tao_skill_bank.platforms.docker.checks import sold_as
from tao_skill_bank.platforms.docker.engine import Engine
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig

CANARY = "canary-3f1c"


def config(workspace: Path, **more: Any) -> RunConfig:
    names = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    values = {name: str(workspace / name) for name in names}
    return checked_settings(RunConfig, {"workspace": str(workspace), "platform": "docker", **values, **more}, "test")


@pytest.mark.parametrize("scheme", ["tcp", "ssh", "http"])
def test_a_password_in_the_engines_address_is_shown_by_no_message_and_kept_by_no_run(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{scheme}://ana:{CANARY}@127.0.0.1:1"
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineUnreachableError) as caught:
        _ = Engine().api
    assert CANARY not in caught.value.line()
    assert "127.0.0.1:1" in caught.value.line()
    with pytest.raises(InputError, match=r"give the address in DOCKER_HOST") as refused:
        config(tmp_path, docker={"host": address})
    assert CANARY not in refused.value.line()
    assert config(tmp_path, docker={"host": "ssh://ana@machine"}).docker.host == "ssh://ana@machine"


def job(workspace: Path, command: list[str]) -> JobRecord:
    run = workspace / "results" / "run"
    return new_record(
        key="iter1.train.train",
        platform="docker",
        command=command,
        outputs=[run / "iter1" / "train"],
        cwd=workspace,
        results_dir=run,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


TRAIN = ["visual_changenet", "train"]


def test_the_workspace_is_seen_at_its_own_path_and_written_as_the_caller(workspace: Path) -> None:
    plan = plan_container(settings_of(config(workspace)), job(workspace, TRAIN))
    assert [b.option() for b in plan.binds] == [f"type=bind,source={workspace},target={workspace}"]
    assert plan.user == f"{os.getuid()}:{os.getgid()}"
    assert set(plan.env) >= {"HOME", "USER"}


def test_a_path_outside_the_workspace_is_refused_by_name(workspace: Path) -> None:
    command = [*TRAIN, "-e", "/etc/spec.yaml"]
    with pytest.raises(InputError, match=r"/etc/spec\.yaml: lies outside the workspace"):
        plan_container(settings_of(config(workspace)), job(workspace, command))


def test_a_path_that_only_a_link_leads_out_of_the_workspace_is_refused(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (workspace / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"a link to {tmp_path}/elsewhere"):
        plan_container(settings_of(config(workspace)), job(workspace, [*TRAIN, f"a={workspace}/images"]))


def test_dots_do_not_lead_out_of_the_workspace(workspace: Path) -> None:
    with pytest.raises(InputError, match="lies outside"):
        plan_container(settings_of(config(workspace)), job(workspace, [*TRAIN, f"a={workspace}/../x"]))


def test_an_output_below_a_read_only_mount_is_refused(workspace: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    settings = settings_of(config(workspace, docker={"mounts": [str(weights)]}))
    plan_container(settings, job(workspace, [*TRAIN, f"b={weights}/fan.pth"]))
    record = job(workspace, TRAIN).model_copy(update={"outputs": [str(weights / "out")]})
    with pytest.raises(InputError, match="lies outside"):
        plan_container(settings, record)


def test_a_mount_that_is_not_there_is_refused_rather_than_made_by_the_engine(workspace: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        settings_of(config(workspace, docker={"mounts": [str(workspace / "gone")]}))


@pytest.mark.parametrize("mount", ["weights", "/tmp:inside", "/tmp,readonly"])
def test_a_mount_that_the_engine_would_read_otherwise_is_refused(workspace: Path, mount: str) -> None:
    with pytest.raises(InputError, match="not an absolute folder"):
        settings_of(config(workspace, docker={"mounts": [mount]}))


@pytest.mark.parametrize("name", [".ssh", ".aws/credentials.d", ".config/tao-skills", ".gnupg", ".kube"])
def test_no_mount_hands_a_container_a_persons_keys(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in (name, ".cache/huggingface"):
        (tmp_path / "home" / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home" / name)
    for named in (tmp_path / "home" / name, tmp_path / "link"):
        with pytest.raises(InputError, match="would hand the machine to a container"):
            settings_of(config(workspace, docker={"mounts": [str(named)]}))
    assert settings_of(config(workspace, docker={"mounts": [str(tmp_path / "home/.cache/huggingface")]}))


@pytest.mark.parametrize("how", ["named", "by dots", "by a link", "as the workspace", "at another place inside"])
@pytest.mark.parametrize(
    "source", ["/", "/proc", "/sys/fs", "/etc", "/etc/ssl", "/dev", "/var/run", "home", "socket", "sockets"]
)
def test_no_mount_hands_a_container_the_machine(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, how: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "sockets").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path / "sockets")
        listener.bind("docker.sock")
    real = {"home": tmp_path / "home", "socket": tmp_path / "sockets/docker.sock", "sockets": tmp_path / "sockets"}
    named = str(real.get(source, source))
    if not Path(named).exists():
        pytest.skip(f"{named} is not here")
    link = tmp_path / "link"
    link.symlink_to(named)
    given = {"by dots": f"{workspace}/../..{'/..' * 9}{named}", "by a link": str(link)}.get(how, named)
    with pytest.raises(InputError, match="would hand the machine to a container"):
        if how == "as the workspace":
            settings_of(config(Path(named)))
        else:
            mount = f"{given}:/inside" if how == "at another place inside" else given
            settings_of(config(workspace, docker={"mounts": [mount]}))


def test_taos_images_get_every_gpu_and_an_own_image_none(workspace: Path) -> None:
    line = plan_container(settings_of(config(workspace)), job(workspace, TRAIN)).argv()
    assert " ".join(line).count("--gpus all --shm-size 16g --ulimit memlock=-1 --ulimit stack=67108864") == 1
    assert "--ipc" not in line
    own = plan_container(settings_of(config(workspace, docker={"image": "bank:1"})), job(workspace, TRAIN))
    assert own.gpus is None and "--gpus" not in own.argv() and own.env["OMP_NUM_THREADS"] == "1"


def test_gpus_are_named_by_number(workspace: Path) -> None:
    plan = plan_container(settings_of(config(workspace, docker={"gpus": "0,2"})), job(workspace, TRAIN))
    assert plan.argv()[plan.argv().index("--gpus") + 1] == '"device=0,2"'


@pytest.mark.parametrize("gpus", ["some", "-1", "0;1", ""])
def test_what_names_no_gpu_is_refused(workspace: Path, gpus: str) -> None:
    with pytest.raises(InputError, match="not GPUs"):
        settings_of(config(workspace, docker={"gpus": gpus}))


def test_each_line_runs_in_the_image_that_has_it(workspace: Path) -> None:
    settings = settings_of(config(workspace))
    assert settings.image_for("visual_changenet").endswith("-pyt")
    assert {settings.image_for(c).rpartition("-")[2] for c in ("gap_analysis", "embedding", "tmm")} == {"services"}
    with pytest.raises(InputError, match="did you mean 'embedding'"):
        settings.image_for("embeding")


def test_the_generator_keeps_its_own_image_beside_an_image_for_all_lines(workspace: Path) -> None:
    settings = settings_of(config(workspace, docker={"image": "bank:1"}))
    assert settings.image_for("tmm") == "bank:1"
    assert "anomalygen" in settings.image_for("run_sdg.sh")


def test_offline_takes_the_network_away_whatever_else_is_set(workspace: Path) -> None:
    settings = settings_of(config(workspace, offline=True, docker={"network": "host"}))
    plan = plan_container(settings, job(workspace, TRAIN))
    assert plan.network == "none" and plan.env["HF_HUB_OFFLINE"] == "1"
    assert plan_container(settings_of(config(workspace)), job(workspace, TRAIN)).network is None


def test_a_credential_is_only_a_name_in_the_plan(workspace: Path) -> None:
    plan = plan_container(settings_of(config(workspace)), job(workspace, TRAIN), environment={"HF_TOKEN": CANARY})
    assert plan.secrets == ("HF_TOKEN",)
    assert CANARY not in repr(plan) and CANARY not in " ".join(plan.argv())


def test_a_value_in_place_of_a_credentials_name_is_refused(workspace: Path) -> None:
    with pytest.raises(InputError, match="give names, never values"):
        settings_of(config(workspace, docker={"secrets": ["HF_TOKEN=abc"]}))


def test_a_job_of_a_folder_without_a_run_needs_no_configuration(workspace: Path) -> None:
    assert settings_of(Work(workspace=str(workspace))).gpus == "auto"


def test_data_services_work_in_a_folder_of_the_run_and_not_in_the_users(workspace: Path) -> None:
    plan = plan_container(settings_of(config(workspace)), job(workspace, ["tmm", "nearest_neighbors"]))
    assert plan.workdir == str(workspace / "results" / "run" / "jobs" / "cwd")


def test_paths_are_found_as_arguments_and_as_values() -> None:
    line = ["a", "-e", "/x/spec.yaml", "k=/y", "q='/z z'", "n=1", "/p=q", "rel/x"]
    assert paths_in(line) == ["/x/spec.yaml", "/y", "/z z", "/p=q"]


@pytest.mark.parametrize(("mebibytes", "gigabytes"), [(46068, 48), (49140, 48), (23028, 24), (24564, 24), (81559, 80)])
def test_a_gpus_memory_is_read_as_it_is_sold(mebibytes: int, gigabytes: int) -> None:
    assert sold_as(mebibytes) == gigabytes


def test_cosmos_rl_runs_in_its_own_image_with_the_hook_of_its_own_package(workspace: Path) -> None:
    settings = settings_of(VlmConfig(workspace=str(workspace), platform="docker", kpi=str(workspace / "kpi.json")))
    spec = str(workspace / "results/run/iter1/train/train.toml")
    command = ["cosmos-rl", "--config", spec, "tools/custom_hooks/tao_sft_example.py"]
    plan = plan_container(settings, job(workspace, command))
    assert plan.image == "nvcr.io/nvidia/tao/tao-toolkit:7.0.1-cosmos-rl"
    assert plan.program[-4:] == tuple(command)
    assert {k: plan.env[k] for k in ("TAO_API_RESULTS_DIR", "TAO_API_JOB_ID", "WANDB_MODE")} == {
        "TAO_API_RESULTS_DIR": str(workspace / "results/run/iter1"),
        "TAO_API_JOB_ID": "train",
        "WANDB_MODE": "disabled",
    }
    assert plan.memory is not None
    assert dict(plan.memory.ulimits) == {"memlock": -1, "stack": 67108864}
    evaluate = plan_container(settings, job(workspace, ["cosmos-rl-evaluate", "--config", spec]))
    assert evaluate.program == ("cosmos-rl-evaluate", "--config", spec)
    assert evaluate.image == plan.image


def test_the_hook_is_found_by_the_images_interpreter_and_must_be_there(workspace: Path) -> None:
    import subprocess
    import sys

    settings = settings_of(VlmConfig(workspace=str(workspace), platform="docker", kpi=str(workspace / "kpi.json")))
    command = ["cosmos-rl", "--config", str(workspace / "t.toml"), "tools/custom_hooks/tao_sft_example.py"]
    plan = plan_container(settings, job(workspace, command))
    package, tools = workspace / "site/cosmos_rl", workspace / "bin"
    package.mkdir(parents=True)
    tools.mkdir()
    (package / "__init__.py").write_text("")
    (tools / "python3").symlink_to(sys.executable)
    said = tools / "cosmos-rl"
    said.write_text('#!/bin/sh\necho "$@"\n')
    said.chmod(0o755)
    env = {"PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": str(workspace / "site")}
    missing = subprocess.run(plan.program, env=env, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "cosmos_rl has no tools/custom_hooks/tao_sft_example.py" in missing.stderr
    hook = package / "tools/custom_hooks/tao_sft_example.py"
    hook.parent.mkdir(parents=True)
    hook.write_text("")
    found = subprocess.run(plan.program, env=env, capture_output=True, text=True, check=False)
    assert found.stdout == f"--config {workspace / 't.toml'} {hook}\n"
