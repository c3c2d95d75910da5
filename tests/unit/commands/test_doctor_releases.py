from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.commands.doctor_checks import keep, on_index, release_text, seen_last


def test_a_release_on_the_index_that_is_not_known_is_a_note_with_what_to_do() -> None:
    fine, text, fix = release_text(["7.3.0", "7.10.0", "7.4.1", "7.1.0", "6.0.0"])
    assert not fine
    assert "the Python index has 7.4.1, 7.10.0: specs are checked as for 7.3.0" in text
    assert fix.startswith("make releases")


@pytest.mark.parametrize(
    ("listed", "fine", "words"),
    [
        (["7.3.0", "7.0.1"], True, "nothing newer"),
        ([], True, "was not asked"),
        (None, False, "does not answer"),
    ],
)
def test_an_index_without_news_or_without_an_answer_is_told_as_such(
    listed: list[str] | None, fine: bool, words: str
) -> None:
    assert release_text(listed)[0] == fine
    assert words in release_text(listed)[1]


def test_a_release_that_the_index_had_is_named_later_without_asking(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "releases.json"
    path.parent.mkdir()
    assert seen_last(path) == []
    keep(["7.3.0", "7.4.1"], path)
    fine, text, _ = release_text([], seen_last(path))
    assert not fine
    assert "had 7.4.1 when asked last" in text
    # Asked now, the answer counts and not the memory; and without news there is nothing to say.
    assert release_text(["7.3.0"], seen_last(path))[0]
    keep(["7.3.0"], path)
    assert release_text([], seen_last(path))[0]


@pytest.mark.parametrize("content", ["", "[]", '{"versions": 3}', '{"versions": [1, "x; rm", "7.9.0"]}'])
def test_what_is_remembered_is_read_as_versions_or_not_at_all(tmp_path: Path, content: str) -> None:
    path = tmp_path / "releases.json"
    path.write_text(content)
    assert seen_last(path) in ([], ["7.9.0"])


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("pip", 30), subprocess.CalledProcessError(1, "pip"), OSError()]
)
def test_an_index_that_does_not_answer_is_no_failure(error: Exception) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    assert on_index(run) is None


def test_the_versions_are_read_from_what_pip_lists() -> None:
    def run(*_: Any, **__: Any) -> Any:
        return subprocess.CompletedProcess([], 0, "nvidia-tao-pytorch (7.4.0)\nAvailable versions: 7.4.0, 7.3.0\n", "")

    assert on_index(run) == ["7.4.0", "7.3.0"]
