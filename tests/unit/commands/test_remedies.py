"""Each thing that is missing gets one command, right for the machine it is missing on."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.commands.doctor_checks import Looks, diagnose
from tao_skill_bank.platforms import platform_class
from tao_skill_bank.platforms.brev import RENTED
from tao_skill_bank.platforms.machine import Machine
from tao_skill_bank.platforms.slurm.platform import LOGIN

AWAY = "the engine does not answer: No such file or directory"


def remedy(name: str, text: str, here: Machine, source: str) -> str:
    return str(platform_class(name).remedy(text, here, source))


def machine(*programs: str, **more: Any) -> Machine:
    """A machine with these programs and nothing else."""
    given = {"system": "Linux", "root": False, "systemd": True, "python": "/v/bin/python", **more}
    return Machine(which=lambda name: f"/usr/bin/{name}" if name in programs else None, **given)


@pytest.mark.parametrize(
    ("here", "command"),
    [
        (machine("dockerd", "apt-get"), "sudo systemctl start docker"),
        (machine("dockerd", systemd=False), "sudo service docker start"),
        (machine("dockerd", root=True), "systemctl start docker"),
        (machine("apt-get"), "sudo apt-get install -y docker.io"),
        (machine("dnf", root=True), "dnf install -y docker"),
        (machine("docker", system="Darwin"), "open -a Docker"),
        (machine("brew", system="Darwin"), "brew install --cask docker"),
        (machine(), ""),
    ],
)
def test_an_engine_that_does_not_answer_is_installed_or_started_as_this_machine_does_it(
    here: Machine, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert remedy("docker", AWAY, here, "/bank") == command
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    assert remedy("docker", AWAY, here, "/bank") == ""


def test_an_engine_that_refuses_this_user_is_opened_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    said = remedy("docker", "the engine does not answer: Permission denied", machine("dockerd"), "/bank")
    assert said == "sudo usermod -aG docker $USER && newgrp docker"


@pytest.mark.parametrize(
    "text",
    ["sinfo is not installed here", "sinfo: fatal: Could not establish a configuration source"],
)
def test_a_machine_that_is_no_login_node_names_one(text: str) -> None:
    assert remedy("slurm", text, machine(), "/bank") == LOGIN


def test_what_a_platform_knows_better_is_left_to_it() -> None:
    assert remedy("slurm", "partition gpu is down", machine(), "/bank") == ""
    assert remedy("docker", "the image is not here", machine("dockerd"), "/bank") == ""
    assert remedy("local", "anything", machine(), "/bank") == ""


@pytest.mark.parametrize(
    ("programs", "modules", "command"),
    [
        ((), ("pip",), "/v/bin/python -m pip install '/my bank[hub]'"),
        (("uv",), (), "uv pip install --python /v/bin/python '/my bank[hub]'"),
        ((), (), "/v/bin/python -m ensurepip && /v/bin/python -m pip install '/my bank[hub]'"),
    ],
)
def test_pip_is_that_of_the_environment_that_runs_the_bank(
    programs: tuple[str, ...], modules: tuple[str, ...], command: str
) -> None:
    here = machine(*programs, has_module=lambda name: name in modules)
    assert here.pip(shlex.quote("/my bank[hub]")) == command


def test_the_command_for_a_missing_extra_is_one_that_this_shell_can_run() -> None:
    """Asked of pip itself with nothing installed: the folder, the extra and the quoting are understood."""
    fix = Machine().pip(shlex.quote(f"{Path(__file__).resolve().parents[3]}[hub]"))
    words = shlex.split(fix)
    assert Path(words[words.index("--python") + 1] if "--python" in words else words[0]) == Path(sys.executable)
    source, extra = words[-1].rstrip("]").split("[")
    assert extra == "hub"
    assert (Path(source) / "pyproject.toml").is_file()
    if words[1:3] == ["-m", "pip"]:
        version = subprocess.run([*words[:3], "--version"], capture_output=True, text=True, check=True)
        assert version.stdout.startswith("pip ")


def test_every_platform_that_lacks_something_names_one_line_and_no_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKER_HOST", "SLURM_HOSTNAME", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = diagnose(Looks(platforms=("virtualenv", "docker", "kubernetes", "brev")))
    for finding in found.findings:
        if finding.group == "platforms":
            assert "tao-doctor-" not in finding.text
            assert "\n" not in finding.fix
            assert finding.fix or finding.outcome != "lacks"
    assert {f.name: f.fix for f in found.findings}["brev"] == RENTED


def test_tao_that_is_installed_beside_the_bank_is_pointed_at() -> None:
    beside = Machine(which=lambda name: f"/opt/tao/bin/{name}")
    found = diagnose(Looks(platforms=("virtualenv",), here=beside))
    finding = next(f for f in found.findings if f.name == "virtualenv")
    assert (finding.outcome, finding.fix) == ("note", "add --set virtualenv.bin=/opt/tao/bin")
