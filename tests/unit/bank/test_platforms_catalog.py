from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill_bank.bank.platforms_catalog import load_catalog
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms import KNOWN, own_name

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/list_tao_platforms.py"


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *args], capture_output=True, text=True, check=False)


def test_the_list_has_a_line_a_platform_and_the_prompt_defaults() -> None:
    lines = load_catalog().lines()
    assert lines[0] == "Supported TAO execution platforms:"
    assert lines[-3:] == ["Prompt defaults:", "- long_running_enabled: true", "- status_interval_minutes: 5"]
    assert [line.split()[1] for line in lines[1:7]] == [
        "local",
        "virtualenv",
        "docker",
        "slurm",
        "brev",
        "kubernetes",
    ]
    assert next(line for line in lines if "slurm" in line).endswith("aliases: cluster")


def test_the_catalogue_lists_what_a_run_can_be_sent_to_and_every_alias_leads_there() -> None:
    platforms = load_catalog().platforms
    assert {platform.name for platform in platforms} == set(KNOWN)
    assert [own_name(alias) for platform in platforms for alias in (platform.name, *platform.aliases)] == [
        platform.name for platform in platforms for _ in (platform.name, *platform.aliases)
    ]
    assert own_name("slrm") == "slrm"


@pytest.mark.parametrize("name", ["slurm", "cluster"])
def test_slurm_names_its_credentials_and_one_of_two_ssh_identities(name: str) -> None:
    lines = load_catalog().named(name).lines()
    assert lines[0] == "Platform: slurm (SLURM)"
    required = lines[lines.index("Required credentials:") + 1 : lines.index("Required credential groups:")]
    assert [line.split()[1] for line in required] == ["SLURM_USER", "SLURM_HOSTNAME", "SLURM_PARTITION"]
    assert all("How to get it: " in line for line in required)
    group = lines[lines.index("Required credential groups:") + 1]
    assert group.startswith("- ssh_identity: one of [SSH_KEY_PATH, SSH_AUTH_SOCK]")
    assert [line for line in lines if line.endswith(":")] == [
        "Required credentials:",
        "Required credential groups:",
        "Optional credentials:",
        "Storage:",
        "Preflight checks:",
    ]


def test_local_needs_nothing() -> None:
    lines = load_catalog().named("local").lines()
    assert lines[1:5] == ["Required credentials:", "- None", "Optional credentials:", "- None"]


def test_an_unknown_platform_shows_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"unknown platform 'slrm'.*'slurm'"):
        load_catalog().named("slrm")


def test_the_script_prints_the_same_as_text_and_json() -> None:
    assert run("--skill-bank", ".", "--format", "text").stdout.splitlines() == load_catalog().lines()
    listed = json.loads(run("--format", "json").stdout)
    assert listed["prompt_defaults"] == {"long_running_enabled": True, "status_interval_minutes": 5}
    one = json.loads(run("--platform", "k8s", "--format", "json").stdout)
    assert one["name"] == "kubernetes"


def test_the_script_ends_with_one_line_and_status_2_on_an_unknown_name() -> None:
    done = run("--platform", "dokcer")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "'docker'" in done.stderr
