"""What SLURM is given, as text: command lines, Pyxis, ssh; and what its answers are taken for."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.platforms import jobs
from tao_skill_bank.platforms.base import JobRecord, new_record, write_record
from tao_skill_bank.platforms.container import inside
from tao_skill_bank.platforms.gpu_rules import check_batch, largest_batch, memory_of
from tao_skill_bank.platforms.slurm.checks import Partition, checks, chosen
from tao_skill_bank.platforms.slurm.client import SlurmClient
from tao_skill_bank.platforms.slurm.platform import SlurmPlatform
from tao_skill_bank.platforms.slurm.script import (
    Request,
    SlurmSettings,
    check_extra,
    enroot_image,
    job_script,
    sbatch_argv,
)
from tao_skill_bank.platforms.slurm.settings import SlurmConfig
from tao_skill_bank.platforms.work import Work
from tao_skill_bank.platforms.worker import beside, claim
from tao_skill_bank.tasks.changenet.config import RunConfig

UID = "iter1-train-train-0123456789ab"


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("SLURM_")] + ["HF_TOKEN", "NGC_KEY", "SSH_KEY_PATH"]:
        monkeypatch.delenv(name, raising=False)


def config(workspace: str, **given: Any) -> RunConfig:
    files = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    values: dict[str, Any] = {key: f"{workspace}/{key}" for key in files}
    return RunConfig.model_validate({**values, "workspace": workspace, "platform": "slurm", "slurm": given})


def record(workspace: str, command: str = "visual_changenet") -> JobRecord:
    made = new_record(
        key="iter1.train.train",
        platform="slurm",
        command=[command, "train", "-e", f"{workspace}/spec.yaml"],
        outputs=[],
        cwd=Path(workspace),
        results_dir=Path(workspace) / "results" / "run",
    )
    return made.model_copy(update={"uid": UID})


def test_the_line_that_submits_a_job_names_its_uid_twice_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-4711")
    given = {"partition": "gpu", "account": "aoi", "gpus": 2, "cpus": 8, "memory": "64G", "time_limit": "4:00:00"}
    platform = SlurmPlatform.of(config("/ws 50%", container="pyxis", extra=["--constraint=a100"], **given))
    made = platform.planned(record("/ws 50%"))
    assert sbatch_argv(made, platform.request(made.command)) == [
        "sbatch",
        "--parsable",
        f"--job-name={UID}",
        f"--comment={UID}",
        "--no-requeue",
        f"--output=/ws 50%%/results/run/jobs/{UID}.log",
        "--open-mode=append",
        "--input=/dev/null",
        "--chdir=/ws 50%/results/run/jobs",
        "--export=HF_TOKEN",
        "--nodes=1",
        "--ntasks=1",
        "--partition=gpu",
        "--account=aoi",
        "--time=4:00:00",
        "--mem=64G",
        "--cpus-per-task=8",
        "--gres=gpu:2",
        "--constraint=a100",
        f"/ws 50%/results/run/jobs/{UID}.sh",
    ]
    assert made.secrets == ["HF_TOKEN"] and "canary" not in job_script(made) + made.model_dump_json()
    for command in ("cosmos-rl", "cosmos-rl-evaluate", "embedding", "run_sdg.sh", "dino"):
        assert platform.request([command]).gpus == 2, command
    for command in ("tmm", "gap_analysis"):
        assert not platform.request([command]).gpus, f"{command} needs no GPU"


def test_a_pyxis_line_mounts_the_workspace_at_its_own_path_and_runs_the_tao_line() -> None:
    platform = SlurmPlatform.of(config("/plant/ws", container="pyxis"))
    assert platform.planned(record("/plant/ws")).argv == [
        "srun",
        "--nodes=1",
        "--ntasks=1",
        "--kill-on-bad-exit=1",
        "--export=ALL",
        "--container-image=nvcr.io#nvidia/tao/tao-toolkit:7.1.0-pyt",
        "--container-mounts=/plant/ws:/plant/ws",
        "--container-workdir=/plant/ws",
        "--no-container-mount-home",
        "visual_changenet",
        "train",
        "-e",
        "/plant/ws/spec.yaml",
    ]
    with pytest.raises(InputError, match="lies outside the workspace"):
        platform.planned(record("/plant/ws").model_copy(update={"command": ["visual_changenet", "/etc/passwd"]}))


def test_an_oci_line_names_the_bundle_and_runs_where_and_with_what_the_record_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary")
    platform = SlurmPlatform.of(config("/ws", container="oci", bundle="/bundles/tao", gpus=1))
    made = platform.planned(record("/ws"))
    assert made.argv[4:6] == ["--export=HF_TOKEN", "--container=/bundles/tao"]
    assert made.argv[-5:] == ["/ws", "visual_changenet", "train", "-e", "/ws/spec.yaml"]
    assert "canary" not in job_script(made)
    with pytest.raises(InputError, match="the OCI bundle is not named"):
        SlurmPlatform.of(config("/ws", container="oci"))


def test_a_cosmos_line_in_an_oci_bundle_finds_its_hook_and_leaves_its_status_beside_its_output() -> None:
    platform = SlurmPlatform.of(config("/ws", container="oci", bundle="/bundles/cosmos", gpus=1))
    line = ["cosmos-rl", "--config", "/ws/train.toml", "tools/custom_hooks/tao_sft_example.py"]
    made = platform.planned(record("/ws").model_copy(update={"command": line, "outputs": ["/ws/iter1/train/output"]}))
    in_docker = inside(made)
    assert made.argv[-len(in_docker.program) :] == list(in_docker.program)
    assert made.env["TAO_API_RESULTS_DIR"] == "/ws/iter1/train" and made.env["TAO_API_JOB_ID"] == "output"
    passed = next(word for word in made.argv if word.startswith("--export=")).removeprefix("--export=").split(",")
    assert set(passed) >= {"TAO_API_RESULTS_DIR", "TAO_API_JOB_ID", "WANDB_MODE"}


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ("nvcr.io/nvidia/tao:1", "nvcr.io#nvidia/tao:1"),
        ("localhost:5000/tao:1", "localhost:5000#tao:1"),
        ("vllm/vllm-openai:v1", "vllm/vllm-openai:v1"),
        ("/images/tao.sqsh", "/images/tao.sqsh"),
    ],
)
def test_enroot_writes_the_registry_with_a_hash(image: str, written: str) -> None:
    assert enroot_image(image) == written


@pytest.mark.parametrize("text", ["--requeue", "--job-name=x", "--array=0-9", "-J", "--comment=x", "--export=ALL"])
def test_what_would_take_a_jobs_identity_away_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"slurm\.extra"):
        check_extra([text])


def test_a_plan_that_nobody_approved_hands_the_cluster_no_program_of_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("batch_size: 8\n")
    said = {
        "sinfo": "echo 'cpu*|up|1|idle|(null)|1:00:00'",
        "srun": f'echo "$@" > {tmp_path}/asked; sha256sum < {spec}',
    }
    for name in ("sbatch", "squeue", "scancel", *said):
        (tmp_path / name).write_text(f"#!/bin/sh\n{said.get(name, 'exit 1')}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    programs = (
        "--prolog=/ws/evil",
        "--task-prolog=/ws/evil",
        "--container-image=evil",
        "--bcast=/ws/evil",
        "--prol=evil",
    )
    settings = SlurmSettings(request=Request(extra=(*programs, "--constraint=a100")))
    run = config(str(tmp_path)).model_copy(update={"specs_file": str(spec)})
    assert checks(SlurmClient(), settings, run)[-1].text == "there, the same, and writable"
    asked = (tmp_path / "asked").read_text()
    assert "--constraint=a100" in asked
    assert "evil" not in asked


def test_over_ssh_nothing_but_the_host_stands_in_the_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "ssh"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.argv"\nexec sh -s\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    client = SlurmClient("login1", "ana")
    done = client.run(["sh", "-c", 'echo "$HF_TOKEN it\'s"'], passed={"HF_TOKEN": "canary 'x' $y"})
    assert done.stdout == "canary 'x' $y it's\n"
    said = (tmp_path / "ssh.argv").read_text().splitlines()
    assert said[-2:] == ["ana@login1", "sh -s"] and {"BatchMode=yes", "ControlMaster=auto"} <= set(said)
    assert not any("canary" in word or "HF_TOKEN" in word for word in said)
    stand_in.write_text("#!/bin/sh\necho 'ssh: connect to host login1: timed out' >&2\nexit 255\n")
    with pytest.raises(EngineUnreachableError, match="cannot reach the login node"):
        client.ask(["sinfo"])


def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int = 0) -> SlurmClient:
    """A client whose `squeue` prints that."""
    stand_in = tmp_path / "squeue"
    stand_in.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(text)} >&{1 if code == 0 else 2}\nexit {code}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return SlurmClient()


def test_a_job_counts_only_if_its_comment_says_what_its_name_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f"7|RUNNING|None|{UID}|somebody else\n8|PENDING|Priority|{UID}|{UID}\n9|RUNNING|None|other|{UID}\n"
    found = answering(tmp_path, monkeypatch, lines).jobs_named([UID])
    assert {name: (job.number, job.state) for name, job in found.items()} == {UID: ("8", "PENDING")}


def test_an_array_has_ended_when_every_task_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"7_1|COMPLETED|None|{UID}|{UID}\n7_2|RUNNING|None|{UID}|{UID}\n7_3|FAILED|None|{UID}|{UID}\n"
    assert answering(tmp_path, monkeypatch, lines).jobs_named([UID])[UID].state == "RUNNING"


@pytest.mark.parametrize("said", ["slurm_load_jobs error: Connection reset by peer", "anything at all"])
def test_a_question_that_fails_says_nothing_about_jobs(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineUnreachableError):
        answering(tmp_path, monkeypatch, said, 1).jobs_named([UID])


def test_a_partition_is_chosen_by_name_or_as_the_default_and_must_have_a_node() -> None:
    def line(name: str, **more: Any) -> Partition:
        base = {"default": False, "up": True, "nodes": 2, "state": "idle", "gres": "(null)", "time_limit": "1:00:00"}
        return Partition(name=name, **{**base, **more})

    found = [line("cpu", default=True), line("gpu", gres="gpu:a100:8(S:0-1)"), line("sick", state="drained*")]
    assert chosen(found, None)[0].name == "cpu" and chosen(found, "gpu")[0].gpus() == (8, "a100")
    with pytest.raises(BankError, match="no node of partition sick can run anything"):
        chosen(found, "sick")
    with pytest.raises(InputError, match="no default one"):
        chosen(found[1:], None)


def test_a_batch_must_fit_the_gpus_memory() -> None:
    assert [largest_batch(gb) for gb in (80, 48, 40, 24, 16)] == [1 << 30, 16, 8, 8, 5]
    assert [memory_of(n) for n in ("nvidia_a100-sxm4-80gb", "l40s", "rtx4090", "gpu")] == [80, 48, 24, None]
    check_batch(16, 48, "batch_size")
    with pytest.raises(InputError, match="batch size 17 does not fit a GPU of 48 GB: at most 16"):
        check_batch(17, 48, "batch_size")


def test_the_environment_names_a_remote_cluster_and_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_HOSTNAME", "login1"), ("SLURM_USER", "ana"), ("SLURM_PARTITION", "gpu")):
        monkeypatch.setenv(name, value)
    made = SlurmPlatform.of(Work(slurm=SlurmConfig(), num_gpus=0, workspace="/ws"))
    assert (made.client.host, made.client.user, made.settings.request.partition) == ("login1", "ana", "gpu")
    other = SlurmPlatform.of(Work(slurm=SlurmConfig(host="login2", partition="cpu"), num_gpus=0, workspace="/ws"))
    assert (other.client.host, other.settings.request.partition) == ("login2", "cpu")


def test_jobs_of_this_hosts_cluster_use_the_arithmetic_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    record = new_record(
        key="k", platform="slurm", command=["gap_analysis", "x"], outputs=[], cwd=tmp_path, results_dir=tmp_path
    )
    here = SlurmPlatform(SlurmSettings(), SlurmClient()).planned(record)
    assert "export OPENBLAS_CORETYPE=Haswell\n" in job_script(here)
    elsewhere = SlurmPlatform(SlurmSettings(), SlurmClient("login")).planned(record)
    assert "OPENBLAS_CORETYPE" not in job_script(elsewhere)
    on_gpus = SlurmPlatform(SlurmSettings(gpus=1), SlurmClient())
    assert on_gpus.planned(record.model_copy(update={"command": ["visual_changenet", "train"]})).env == {}


def saying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """`squeue` and `scancel` that do as `script`."""
    for name in ("squeue", "scancel"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def written(tmp_path: Path) -> JobRecord:
    made = record(str(tmp_path)).model_copy(update={"submitted_at": "2026-01-01T00:00:00.000000Z"})
    write_record(made)
    state = made.path.parents[1] / "action.json"
    state.write_text(json.dumps({"config": config(str(tmp_path)).model_dump(mode="json")}))
    return made


def test_looking_at_a_job_whose_submission_is_slow_does_not_give_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(monkeypatch, tmp_path, "exit 0")
    made = written(tmp_path)
    assert jobs.job_state(made) == "pending"
    assert not beside(made.path, "claim.json").exists()
    beside(made.path, "slurm.json").write_text('{"number": "7"}')
    assert jobs.job_state(made) == "lost", "the controller took it, and knows it no more"


def test_a_look_at_a_cluster_that_is_away_says_so_and_a_cancel_still_keeps_a_job_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(monkeypatch, tmp_path, "echo 'Unable to contact slurm controller' >&2; exit 1")
    made = written(tmp_path)
    with pytest.raises(EngineUnreachableError):
        jobs.job_state(made)
    assert jobs.cancel(made) == "canceled"
    assert not claim(made.path, {"pid": 1})


def test_a_job_that_ran_and_that_the_controller_forgot_looks_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(monkeypatch, tmp_path, "exit 0")
    made = written(tmp_path)
    claim(made.path, {"pid": 5, "identity": None})
    assert jobs.job_state(made) == "running"
    os.utime(beside(made.path, "claim.json"), (0, 0))
    assert jobs.job_state(made) == "lost"
