"""The doctor: what it says of a sound bank, a broken one, and platforms that lack things, hang or fail."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.commands import doctor_checks as doctor
from tao_skill_bank.commands.doctor_checks import Diagnosis, Finding, Looks, diagnose
from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import EngineUnreachableError, InputError, InputErrors
from tao_skill_bank.platforms.base import PlatformCheck
from tao_skill_bank.platforms.gpu_rules import spec_batch_size


class Fake:
    """A platform that answers as it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def checks(self, config: Any, only: str | None = None) -> list[PlatformCheck]:
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            self.answer(config)
        return self.answer if isinstance(self.answer, list) else []


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every platform answer with what is given."""

    def put(answer: Any) -> None:
        monkeypatch.setattr("tao_skill_bank.platforms.platform_named", lambda _config: Fake(answer))

    return put


def of(found: Diagnosis, group: str) -> list[Finding]:
    return [f for f in found.findings if f.group == group]


def test_this_bank_is_sound_and_the_local_platform_lacks_nothing() -> None:
    found = diagnose(Looks(platforms=("local",)))
    assert found.sound
    assert [f.outcome for f in of(found, "bank")] == ["ok"] * 5
    assert [f.outcome for f in of(found, "platforms")] == ["ok"]


def test_a_platform_reads_its_scratch_spec_also_for_a_server_that_may_open_nothing_by_itself(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int | None] = []
    platform(lambda config: read.append(spec_batch_size(config.specs_file)))
    monkeypatch.setenv(roots.VARIABLE, "[]")
    with roots.own_files():
        found = diagnose(Looks(platforms=("slurm",)))
    assert [f.outcome for f in of(found, "platforms")] == ["ok"]
    assert read == [8]


def test_everything_that_is_lacking_or_broken_says_what_mends_it(platform: Any) -> None:
    platform(InputErrors("x", ["no image there (docker pull NAME)", "no GPU (run where there is one (or rehearse))"]))
    found = diagnose(Looks(platforms=("docker",), package=Path("/nowhere")))
    assert not found.sound
    assert all(f.fix for f in found.findings if f.outcome != "ok")
    assert [(f.text, f.fix) for f in of(found, "platforms")] == [
        ("no image there", "docker pull NAME"),
        ("no GPU", "run where there is one (or rehearse)"),
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("not named", where="--platform x", fix="name it"), "--platform x: not named"),
        (EngineUnreachableError("does not answer", fix="start it"), "does not answer"),
        (RuntimeError("what a client raises"), "RuntimeError: what a client raises"),
    ],
)
def test_a_platform_that_fails_is_lacking_and_never_breaks_the_bank(platform: Any, error: Exception, text: str) -> None:
    platform(error)
    found = diagnose(Looks(platforms=("slurm",)))
    assert found.sound
    assert [(f.outcome, f.text) for f in of(found, "platforms")] == [("lacks", text)]
    assert of(found, "platforms")[0].fix


def test_a_platform_that_there_is_not_is_bad_input_and_not_lacking() -> None:
    with pytest.raises(InputError, match=r"unknown platform 'dcoker' \(did you mean 'docker'"):
        diagnose(Looks(platforms=("local", "dcoker")))
    assert [f.name for f in of(diagnose(Looks(platforms=("k8s",))), "platforms")][:1] == ["k8s"]


def test_a_platform_that_hangs_is_given_up_and_the_others_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    answers = {"docker": Fake(lambda _config: held.wait(30)), "local": Fake([])}
    monkeypatch.setattr("tao_skill_bank.platforms.platform_named", lambda config: answers[config.platform])
    found = diagnose(Looks(platforms=("docker", "local"), patience_sec=0.05))
    held.set()
    assert [(f.name, f.outcome) for f in of(found, "platforms")] == [("docker", "lacks"), ("local", "ok")]


def test_warnings_of_a_platform_are_shown_and_what_does_not_apply_is_not(platform: Any) -> None:
    made = [("platform", "ok", "answers"), ("gpu", "warn", "none is free"), ("image", "skip", "not asked")]
    platform([PlatformCheck(name=n, status=s, text=t) for n, s, t in made])
    assert [(f.outcome, f.text) for f in of(diagnose(Looks(platforms=("docker",))), "platforms")] == [
        ("ok", "answers"),
        ("note", "gpu: none is free"),
    ]


def test_the_checks_read_an_empty_workspace_that_is_gone_afterwards(platform: Any) -> None:
    seen: list[Path] = []

    def look(config: Any) -> None:
        seen.append(Path(config.workspace))
        assert Path(config.kpi_test_csv).is_file()
        assert Path(config.images_dir).is_dir()

    platform(look)
    diagnose(Looks(platforms=("docker",)))
    assert len(seen) == 1
    assert not seen[0].exists()


def test_credentials_are_named_and_their_values_never_shown() -> None:
    found = diagnose(Looks(platforms=("local",), environ={"NGC_KEY": "nvapi-value", "OTHER": "x"}))
    assert [f.text for f in of(found, "credentials")] == ["NGC_KEY"]
    assert "nvapi-value" not in found.model_dump_json()


def test_a_missing_package_breaks_the_bank_and_names_the_folder_to_install_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "_RUNTIME", ("numpy", "no_such_package"))
    found = diagnose(Looks(platforms=("local",)))
    broken = [f for f in found.findings if f.outcome == "broken"]
    assert [(f.name, f.text) for f in broken] == [("packages", "missing: no_such_package")]
    assert "pip install -e /" in broken[0].fix


def test_the_command_ends_with_0_and_prints_text_or_json() -> None:
    command = [sys.executable, "-m", "tao_skill_bank.cli", "doctor", "--platform", "local"]
    text = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "The bank works." in text.stdout
    assert text.stderr == ""
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert found["sound"] is True
    assert {f["group"] for f in found["findings"]} == {"bank", "machine", "extras", "platforms", "credentials"}


def test_what_a_missing_package_keeps_from_being_looked_at_is_not_called_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_RUNTIME", ("no_such_package",))
    found = {f.name: f for f in of(diagnose(Looks(platforms=("local",))), "bank")}
    assert found["manifests, skills, versions"].outcome == "note"
    assert found["manifests, skills, versions"].text == "not looked at: packages are missing"


def test_manifests_are_named_only_where_there_are_some(tmp_path: Path) -> None:
    (tmp_path / "skills").mkdir()
    names = [f.name for f in of(diagnose(Looks(platforms=("local",), root=tmp_path)), "bank")]
    assert "skills, versions" in names and "manifests, skills, versions" not in names
