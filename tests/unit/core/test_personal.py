"""A person's roots: one file in the configuration folder, set by a person, read at every call."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tao_skill_bank.commands.roots import cli
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.personal import (
    add_root,
    config_folder,
    is_personal,
    listed_roots,
    personal_roots,
    remove_root,
    roots_path,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def test_a_folder_that_is_added_counts_until_it_is_removed(home: Path) -> None:
    work = home / "boards of 2024"
    work.mkdir()
    assert personal_roots() == []
    assert add_root(work) == work
    assert add_root(work / ".." / work.name) == work
    assert personal_roots() == [work]
    assert remove_root(work) == work
    assert personal_roots() == []


def test_a_link_is_kept_as_the_folder_that_it_leads_to_and_can_be_removed_by_its_name(home: Path) -> None:
    (home / "disk").mkdir()
    (home / "link").symlink_to(home / "disk")
    assert add_root(home / "link") == home / "disk"
    assert remove_root(home / "link") == home / "disk"


def test_a_relative_folder_is_taken_from_where_the_person_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "work").mkdir()
    monkeypatch.chdir(home)
    assert add_root(Path("work")) == home / "work"


def test_a_folder_that_went_away_stays_listed_and_does_not_count(home: Path) -> None:
    work = home / "stick"
    work.mkdir()
    add_root(work)
    work.rmdir()
    assert personal_roots() == []
    assert listed_roots() == [(work, False)]


@pytest.mark.parametrize("name", ["/", "~", "~/..", "~/.config/tao-skills", "~/.config/tao-skills/allowed-prompts"])
def test_a_folder_that_is_too_much_is_refused(home: Path, name: str) -> None:
    folder = Path(os.path.expanduser(name))
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError):
        add_root(Path(name))
    assert not roots_path().exists()


def test_a_name_that_ends_in_a_blank_is_refused_for_the_list_could_not_hold_it(home: Path) -> None:
    (home / "boards ").mkdir()
    with pytest.raises(InputError, match="ends in a blank"):
        add_root(home / "boards ")


def test_a_relative_folder_of_settings_counts_as_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "settings")
    assert roots_path() == home / ".config/tao-skills/roots"


def test_a_file_or_nothing_is_no_folder(home: Path) -> None:
    (home / "file").touch()
    for name in ("file", "nothing"):
        with pytest.raises(InputError, match="no such folder"):
            add_root(home / name)


def test_the_file_is_the_persons_alone_and_keeps_what_a_person_wrote_in_it(home: Path) -> None:
    (home / "a").mkdir()
    (home / "b").mkdir()
    roots_path().parent.mkdir(parents=True)
    roots_path().write_text(f"# mine\n\n  {home}/a  \n")
    roots_path().chmod(0o600)
    add_root(home / "b")
    assert personal_roots() == [home / "a", home / "b"]
    remove_root(home / "a")
    assert roots_path().read_text() == f"# mine\n\n{home}/b\n"
    assert roots_path().stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_may_write_to_allows_nothing(home: Path, mode: int) -> None:
    (home / "a").mkdir()
    add_root(home / "a")
    roots_path().chmod(mode)
    with pytest.raises(InputError, match="others may write"):
        personal_roots()


@pytest.mark.parametrize("text", ["relative/folder\n", "/a\n~/b\n", "/a\0b\n"])
def test_a_line_that_is_no_absolute_folder_is_named(home: Path, text: str) -> None:
    roots_path().parent.mkdir(parents=True)
    roots_path().write_text(text)
    roots_path().chmod(0o600)
    with pytest.raises(InputError, match="not an absolute folder"):
        personal_roots()


def test_what_is_not_listed_cannot_be_removed_and_the_nearest_is_named(home: Path) -> None:
    (home / "boards").mkdir()
    add_root(home / "boards")
    with pytest.raises(InputError, match=r"did you mean '.*/boards'"):
        remove_root(home / "board")


def test_of_folders_that_are_added_at_once_none_is_lost(home: Path) -> None:
    folders = [home / f"w{number}" for number in range(12)]
    for folder in folders:
        folder.mkdir()
    threads = [threading.Thread(target=add_root, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(personal_roots()) == sorted(folders)


def test_the_variable_moves_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert config_folder() == tmp_path / "elsewhere/tao-skills"
    assert is_personal(tmp_path / "elsewhere/tao-skills/roots")
    assert not is_personal(tmp_path / "elsewhere/other")


def test_the_commands_add_list_and_remove(home: Path) -> None:
    work = home / "work"
    work.mkdir()
    run = CliRunner()
    assert "tao-skills roots add FOLDER" in run.invoke(cli, ["list"]).output
    assert str(work) in run.invoke(cli, ["add", str(work)]).output
    assert run.invoke(cli, ["list"]).output == f"{work}\n"
    shown = json.loads(run.invoke(cli, ["list", "--json"]).output)
    assert shown == {"file": str(roots_path()), "roots": [{"folder": str(work), "exists": True}]}
    assert run.invoke(cli, ["remove", str(work)]).exit_code == 0
    assert personal_roots() == []
