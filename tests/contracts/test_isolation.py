"""The suite's own guards: nothing is left changed for the next test, and the end of a run says what was skipped."""

from __future__ import annotations

import collections
import os
import sys
from pathlib import Path

import pytest
import skipped
import slurm_cluster
from isolation import Shared

from tao_skill_bank.platforms import jobs, local


def test_a_name_that_stands_for_something_else_is_named_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared()
    with monkeypatch.context() as changed:
        changed.setattr(jobs, "submit", None)
        changed.setattr(local.LocalPlatform, "name", "other", raising=False)
        assert shared.changes() == [
            "tao_skill_bank.platforms.jobs.submit",
            "tao_skill_bank.platforms.local.LocalPlatform.name",
        ]
        assert shared.changes() == []
    assert "tao_skill_bank.platforms.jobs.submit" in shared.changes()


def test_a_variable_a_folder_and_a_search_path_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared = Shared()
    monkeypatch.setenv("NOBODY_SET_THIS", "1")
    monkeypatch.delenv("PATH")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = shared.changes()
    assert found == ["os.environ['NOBODY_SET_THIS']", "os.environ['PATH']", "sys.path", "the working folder"]


def test_what_is_imported_meanwhile_is_no_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared = Shared()
    monkeypatch.setitem(sys.modules, "tao_skill_bank.of_a_test", collections)
    monkeypatch.setattr("tao_skill_bank.of_a_test", os, raising=False)
    assert shared.changes() == []


def reasons(*texts: str) -> collections.Counter[str]:
    return collections.Counter(texts)


def test_the_command_names_what_lacks_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "apt-get" else None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = skipped.lacking(reasons("no Docker engine: dockerd is not here", "npm is not installed", "no tmpfs here"))
    assert said == "sudo apt-get install -y docker.io busybox-static nodejs npm"
    assert skipped.lacking(reasons("no tmpfs here")) == ""
    # As the cluster's own fixture says it.
    monkeypatch.setattr("os.geteuid", lambda: 0)
    slurm = slurm_cluster.why_not()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert skipped.lacking(reasons(str(slurm))) == "sudo apt-get install -y slurm-wlm munge"


def test_what_is_here_and_cannot_be_started_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    said = skipped.lacking(reasons("no Docker engine: a Docker engine is started as root on Linux only", "no SLURM"))
    assert said == ""


def test_on_a_mac_homebrew_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/opt/brew" if name == "brew" else None)
    assert skipped.lacking(reasons("npm is not installed", "no SLURM")) == "brew install node"
