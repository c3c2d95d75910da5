"""Files beside a job's record that are cut off, empty or edited: one line or a state, never a trace of Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tao_skill_bank.commands.jobs import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.settings import checked_settings
from tao_skill_bank.platforms.base import JobRecord, job_state, new_record, read_exit, write_record
from tao_skill_bank.platforms.kubernetes import KubernetesPlatform
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.changenet.config import RunConfig

BROKEN = [b"", b"{", b"[]", b"null", b'{"pid": "x"}', b"\xff\x00", b'{"exit_code": "x"}']


def record(folder: Path, platform: str = "local") -> JobRecord:
    made = new_record(key="a.b", platform=platform, command=["tmm"], outputs=[], cwd=folder, results_dir=folder)
    write_record(made)
    return made


@pytest.mark.parametrize("text", BROKEN)
def test_an_exit_record_that_was_changed_is_named_in_one_line(text: bytes, tmp_path: Path) -> None:
    job = record(tmp_path)
    beside(job.path, "exit.json").write_bytes(text)
    with pytest.raises(InputError, match=r"exit\.json: exit record cannot be read") as caught:
        read_exit(job)
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize("text", BROKEN)
def test_a_claim_that_cannot_be_read_is_somebodys_and_the_job_is_never_run_again(text: bytes, tmp_path: Path) -> None:
    job = record(tmp_path)
    beside(job.path, "claim.json").write_bytes(text)
    beside(job.path, "child.json").write_bytes(text)
    assert job_state(job) == "lost"
    LocalPlatform().cancel(job)
    assert beside(job.path, "claim.json").read_bytes() == text


def test_a_pod_that_is_about_to_write_its_claim_runs(tmp_path: Path) -> None:
    class Cluster:
        def create(self, namespace: str, body: dict[str, object]) -> None:
            raise AssertionError

        def read(self, namespace: str, name: str) -> dict[str, object]:
            return {"active": 1, "succeeded": 0, "failed": 0}

        def delete(self, namespace: str, name: str) -> None:
            raise AssertionError

    names = ("specs_file", "training_csv", "validation_csv", "kpi_test_csv", "images_dir")
    values = dict.fromkeys(names, "") | {"workspace": str(tmp_path), "platform": "kubernetes"}
    on = KubernetesPlatform(checked_settings(RunConfig, values, "test"), Cluster())
    job = record(tmp_path, "kubernetes")
    beside(job.path, "claim.json").write_bytes(b"")
    assert on.status(job) == "running"


@pytest.mark.parametrize("tail", ["0", "-5", "x"])
def test_a_log_is_shown_by_its_last_lines_one_at_least(tail: str, tmp_path: Path) -> None:
    job = record(tmp_path)
    beside(job.path, "log").write_text("one\ntwo\n")
    done = CliRunner().invoke(cli, ["logs", str(tmp_path), job.uid, "--tail", tail])
    assert done.exit_code == 2 and "one" not in done.stdout


def test_a_log_without_end_or_lines_is_read_from_its_end_only(tmp_path: Path) -> None:
    job = record(tmp_path)
    with beside(job.path, "log").open("wb") as handle:
        handle.seek(1 << 36)
        handle.write(b"\xff\xfelast")
    assert LocalPlatform().logs(job, 1).endswith("last")
    assert len(LocalPlatform().logs(job, 10**9)) <= 65536
