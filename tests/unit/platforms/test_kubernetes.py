"""Kubernetes: the manifest fits the published schema, holds no secret, and the four verbs end as everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError
from tao_skill_bank.platforms import kubernetes as module
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import JobRecord, new_record, read_records
from tao_skill_bank.platforms.kubernetes import KubernetesPlatform, job_name
from tao_skill_bank.platforms.worker import beside, write_whole
from tao_skill_bank.tasks.changenet.config import RunConfig

GOLDEN = Path(__file__).with_name("golden") / "kubernetes_train.json"


class Cluster:
    """The in-memory twin of a cluster."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.away = False

    def create(self, namespace: str, body: dict[str, Any]) -> None:
        if self.away:
            raise EngineUnreachableError("the cluster does not answer")
        self.jobs[body["metadata"]["name"]] = {}

    def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.jobs.get(name)

    def delete(self, namespace: str, name: str) -> None:
        self.jobs.pop(name, None)


def config(workspace: Path, **given: Any) -> RunConfig:
    files = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    return RunConfig.model_validate(
        {"workspace": str(workspace), "platform": "kubernetes", "kubernetes": given}
        | {key: str(workspace / key) for key in files}
    )


def record(workspace: Path, uid: str | None = None) -> JobRecord:
    made = new_record(
        key="iter1.train.train",
        platform="kubernetes",
        command=[
            "visual_changenet",
            "train",
            "-e",
            f"{workspace}/spec.yaml",
            f"results_dir={workspace}/results/run/iter1",
        ],
        outputs=[workspace / "results" / "run" / "iter1" / "train"],
        cwd=workspace,
        results_dir=workspace / "results" / "run",
    )
    return made if uid is None else made.model_copy(update={"uid": uid})


FULL = {
    "namespace": "tao",
    "claim": "aoi",
    "sub_path": "plants/a",
    "secret": "tao-keys",
    "pull_secret": "ngc",
    "service_account": "runner",
    "node_selector": ["gpu=a100"],
}


@pytest.mark.parametrize("given", [{}, FULL, {"host_path": "/mnt/ws"}], ids=["plain", "full", "host"])
def test_a_manifest_fits_the_published_schema(given: dict[str, Any], tmp_path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    body = KubernetesPlatform.of(config(tmp_path, **given)).manifest(record(tmp_path))
    validate.validate(body, validate.latest_version(), strict=True)
    broken = json.loads(json.dumps(body))
    broken["spec"]["backoffLimit"] = "none"
    with pytest.raises(validate.ValidationError):
        validate.validate(broken, validate.latest_version(), strict=True)


def test_the_manifest_of_a_training_is_the_golden_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1000)
    monkeypatch.setattr("os.getgid", lambda: 1001)
    monkeypatch.setattr("tao_skill_bank.platforms.container.user_name", lambda: "ana")
    workspace = Path("/plant/workspace")
    body = KubernetesPlatform.of(config(workspace, **FULL)).manifest(
        record(workspace, "iter1-train-train-0123456789ab")
    )
    assert body == json.loads(GOLDEN.read_text())


def test_secrets_are_references_and_their_values_stand_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-4711")
    platform = KubernetesPlatform(config(tmp_path, secret="tao-keys"), Cluster())
    made = platform.submit(record(tmp_path))
    assert made.secrets == ["HF_TOKEN", "NGC_KEY"]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"canary-4711" not in path.read_bytes()


def test_the_four_verbs_end_as_on_every_platform(tmp_path: Path) -> None:
    cluster, clock = Cluster(), [0.0]
    platform = KubernetesPlatform(config(tmp_path), cluster, lambda: clock[0])
    done = platform.submit(record(tmp_path))
    assert platform.status(done) == "pending" and [r.uid for r in read_records(Path(done.results_dir))] == [done.uid]
    ended = {"exit_code": 0, "started_at": "", "ended_at": "", "canceled": False, "error": None}
    write_whole(beside(done.path, "exit.json"), ended)
    assert platform.status(done) == "complete"
    killed = platform.submit(record(tmp_path))
    cluster.jobs[job_name(killed.uid)] = {"failed": 1}
    assert [platform.status(killed) for _ in range(2)] == ["failed", "failed"]
    gone = platform.submit(record(tmp_path))
    cluster.jobs.clear()
    assert platform.status(gone) == "pending"
    clock[0] = 60.0
    assert platform.status(gone) == "lost"
    silent = platform.submit(record(tmp_path))
    cluster.jobs[job_name(silent.uid)] = {"succeeded": 1}
    platform.status(silent)
    clock[0] = 120.0
    assert platform.status(silent) == "lost", "succeeded without an exit record is never complete"
    stopped = platform.submit(record(tmp_path))
    platform.cancel(stopped)
    assert platform.status(stopped) == "canceled" and job_name(stopped.uid) not in cluster.jobs


def test_a_job_that_a_silent_cluster_may_have_taken_cannot_begin(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.away = True
    platform = KubernetesPlatform(config(tmp_path), cluster)
    with pytest.raises(EngineUnreachableError):
        platform.submit(record(tmp_path))
    (left,) = read_records(tmp_path / "results" / "run")
    assert platform.status(left) == "lost"


def test_without_the_client_nothing_is_written_and_one_line_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kubernetes", None)
    with pytest.raises(InputError) as raised:
        KubernetesPlatform.of(config(tmp_path)).submit(record(tmp_path))
    assert "pip install '.[kubernetes]'" in raised.value.line() and "\n" not in raised.value.line()
    assert list(tmp_path.iterdir()) == []


def test_names_of_jobs_are_dns_labels_and_stay_apart() -> None:
    one, two = (f"Iter1-data_mining-{'x' * 60}-{end}" for end in ("0123456789ab", "0123456789ac"))
    assert job_name(one) != job_name(two) and len(job_name(one)) <= 63 and job_name(one).islower()


def test_both_a_claim_and_a_host_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both a claim and a host path"):
        KubernetesPlatform.of(config(tmp_path, claim="a", host_path="/b"))


def test_brev_is_refused_in_one_line_that_names_the_other_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("", "canary-brev-token"):
        monkeypatch.setenv("BREV_API_TOKEN", token)
        with pytest.raises(BankError) as raised:
            platform_named(config(tmp_path).model_copy(update={"platform": "brev"}))
        said = raised.value.line()
        assert "never submitted to" in said and "ssh://USER@MACHINE" in said and "\n" not in said
        assert "canary" not in said


def test_the_registry_knows_its_aliases(tmp_path: Path) -> None:
    for alias in ("kubernetes", "k8s", "local-k8s"):
        made = platform_named(config(tmp_path).model_copy(update={"platform": alias}))
        assert isinstance(made, module.KubernetesPlatform)
