"""One approval, one job: whoever asks twice, at once or after a kill, starts a command once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms.base import JobRecord, job_state, read_records, write_record
from tao_skill_bank.platforms.jobs import cancel
from tao_skill_bank.platforms.virtualenv import VirtualenvPlatform
from tao_skill_bank.tasks.action import ActionRequest, plan_action, start_action


@pytest.fixture
def request_of(tmp_path: Path) -> ActionRequest:
    tao = tmp_path / "bin"
    tao.mkdir()
    command = tao / "visual_changenet"
    command.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    command.chmod(0o755)
    words = ("visual_changenet", "train", f"results_dir={tmp_path}/out")
    return ActionRequest(words, tmp_path / "out", tmp_path, "virtualenv", (f"virtualenv.bin={tao}",))


def test_an_approval_that_arrives_many_times_at_once_starts_one_job(request_of: ActionRequest) -> None:
    digest = plan_action(request_of).digest

    def start(_: int) -> JobRecord | str:
        try:
            return start_action(request_of, digest)
        except InputError as error:
            return error.line()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(start, range(4)))
    (record,) = (one for one in found if isinstance(one, JobRecord))
    try:
        assert sum("this very command is" in str(one) for one in found if isinstance(one, str)) == 3
        assert [r.uid for r in read_records(request_of.folder)] == [record.uid]
    finally:
        cancel(record)


def test_a_record_whose_writer_was_killed_before_it_submitted_does_not_keep_the_command_from_starting(
    request_of: ActionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(VirtualenvPlatform, "submit", lambda _self, record: write_record(record) or record)
        killed = start_action(request_of, plan_action(request_of).digest)
    with pytest.raises(InputError, match="this very command is pending"):
        start_action(request_of, plan_action(request_of).digest)
    long_ago = killed.model_copy(update={"submitted_at": "2026-01-01T00:00:00.000000Z"})
    write_record(long_ago)
    record = start_action(request_of, plan_action(request_of).digest)
    try:
        assert job_state(killed) == "lost"
        assert record.uid != killed.uid
    finally:
        cancel(record)
