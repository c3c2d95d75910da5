"""The seal of an approval: it stands for one plan of one run of one user, and for nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import toy_task
from toy_task import TASK

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.roots import confined
from tao_skill_bank.loop.approval import approver, is_approved, key_path, sealed, unapproved
from tao_skill_bank.loop.state import Approval

DIGEST = "d" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "w").mkdir()
    return tmp_path


def approval(**more: Any) -> Approval:
    return Approval.model_validate(
        {"digest": DIGEST, "approved_at": "2026-01-01T00:00:00.000000Z", "how": "tty", "by": approver(), **more}
    )


def state_of(home: Path, found: Approval | None) -> toy_task.State:
    return toy_task.State.model_validate(
        {
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": "error < 1%",
            "results_dir": str(home / "w" / "r"),
            "max_iterations": 1,
            "config": {"workspace": str(home / "w"), "numbers": "n"},
            "task": TASK.name,
            "order": TASK.order,
            "approval": None if found is None else found.model_dump(mode="json"),
        }
    )


def given(home: Path, **more: Any) -> Approval:
    return sealed(approval(**more), home / "w" / "r", home / "w")


def test_a_sealed_approval_stands_for_its_plan_and_a_changed_word_of_it_for_none(home: Path) -> None:
    made = given(home)
    assert is_approved(state_of(home, made), DIGEST)
    assert not is_approved(state_of(home, made), "e" * 64)
    assert not is_approved(state_of(home, None), DIGEST)
    assert not is_approved(state_of(home, approval()), DIGEST), "without a seal"
    for change in (
        {"how": "flag"},
        {"approved_at": "2026-01-02T00:00:00.000000Z"},
        {"by": "somebody@else"},
        {"words": ["blind"]},
    ):
        assert not is_approved(state_of(home, made.model_copy(update=change)), DIGEST)
    elsewhere = state_of(home, made)
    elsewhere.results_dir = str(home / "w" / "other")
    assert not is_approved(elsewhere, DIGEST), "copied to another run"


def test_words_that_were_said_beside_an_approval_are_sealed_with_it(home: Path) -> None:
    made = given(home, words=["blind"])
    assert is_approved(state_of(home, made), DIGEST)
    for words in (["spent"], ["blind", "spent"], []):
        assert not is_approved(state_of(home, made.model_copy(update={"words": words})), DIGEST)
    assert not is_approved(state_of(home, made.model_copy(update={"by": "blind", "words": []})), DIGEST)


def test_an_approval_of_nobody_named_stands_too(home: Path) -> None:
    assert is_approved(state_of(home, given(home, by=None)), DIGEST)


def test_another_users_key_and_no_key_stand_for_nothing(home: Path) -> None:
    made = given(home)
    first = key_path().read_bytes()
    assert len(first) == 32 and key_path().stat().st_mode & 0o777 == 0o600
    key_path().write_bytes(bytes(32))
    assert not is_approved(state_of(home, made), DIGEST)
    key_path().unlink()
    assert not is_approved(state_of(home, made), DIGEST)
    for damaged in (first[:-1], first + b"x", b""):
        key_path().write_bytes(damaged)
        key_path().chmod(0o600)
        assert not is_approved(state_of(home, made), DIGEST)
    # The next approval makes a whole key again, and nothing is left beside it.
    assert is_approved(state_of(home, given(home)), DIGEST)
    assert [path.name for path in key_path().parent.iterdir()] == [key_path().name]


def test_a_second_approval_takes_the_same_key(home: Path) -> None:
    given(home)
    first = key_path().read_bytes()
    given(home)
    assert key_path().read_bytes() == first


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660])
def test_a_key_that_others_may_read_is_refused(home: Path, mode: int) -> None:
    made = given(home)
    key_path().chmod(mode)
    for use in (lambda: is_approved(state_of(home, made), DIGEST), lambda: given(home)):
        with pytest.raises(InputError, match="not the user's alone"):
            use()


def test_a_key_that_cannot_be_read_or_made_is_told_in_a_line(home: Path) -> None:
    key_path().mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be read"):
        given(home)
    key_path().rmdir()
    key_path().parent.rmdir()
    key_path().parent.write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"cannot be (made|read)"):
        given(home)


def test_a_key_that_the_disk_has_no_room_for_is_told_by_that_reason(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def full(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(path).endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(InputError, match="cannot be made: No space left"):
        given(home)


def test_who_approves_is_named_with_the_machine() -> None:
    user, _, machine = approver().partition("@")
    assert user and machine == os.uname().nodename


def test_a_key_in_the_workspace_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = given(home)
    for folder in ("w", "w/deep/er"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / folder))
        for use in (lambda: is_approved(state_of(home, made), DIGEST), lambda: given(home)):
            with pytest.raises(InputError, match="would lie in the workspace"):
                use()
    assert not (home / "w" / "deep").exists()


def test_why_no_approval_stands_is_said(home: Path) -> None:
    assert "has not been approved" in unapproved(state_of(home, None), DIGEST)
    assert "has changed since" in unapproved(state_of(home, given(home)), "e" * 64)
    assert "was not given here by this user" in unapproved(state_of(home, approval()), DIGEST)


def test_a_process_that_is_held_to_the_workspace_makes_the_users_first_key(home: Path) -> None:
    with confined([home / "w"]):
        made = given(home)
    assert is_approved(state_of(home, made), DIGEST)
    assert [path.name for path in key_path().parent.iterdir()] == ["approval.key"]
