from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import BusyError, InputError, StageFailedError
from tao_skill_bank.core.personal import register_virtualenv, virtualenv_bin, virtualenv_path
from tao_skill_bank.data.releases.facts import known
from tao_skill_bank.platforms.tao_environment import install as module
from tao_skill_bank.platforms.tao_environment.check import train_eight_rows
from tao_skill_bank.platforms.tao_environment.install import find_python, install, plan_installation
from tao_skill_bank.platforms.virtualenv import VirtualenvPlatform

FAKE_TRAINER = """#!{python}
import sys
from pathlib import Path
spec, out = Path(sys.argv[3]), Path(sys.argv[-1].split("=")[-1])
rows = (spec.parent / "rows.csv").read_text().splitlines()
{body}
"""
GOOD = """
assert len(rows) == 9 and sum("PASS" in r for r in rows) == 4
(out / "train").mkdir(parents=True)
(out / "train" / "model_epoch_000_step_00002.pth").write_bytes(b"x")
"""
GAPS = """
assert len((spec.parent / "inference.csv").read_text().splitlines()) == 9
(spec.parent / "kpi_gaps.parquet").write_bytes(b"x")
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["platforms", *map(str, args)])


def commands(folder: Path, body: str, gaps: str = GAPS) -> Path:
    folder.mkdir(parents=True)
    for name, text in (("visual_changenet", body), ("gap_analysis", gaps)):
        path = folder / name
        path.write_text(FAKE_TRAINER.format(python=sys.executable, body=text))
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize("release", known())
def test_a_dry_run_says_what_would_be_fetched_how_large_and_by_which_python(release: str, home: Path) -> None:
    done = run("install", "virtualenv", "--release", release, "--cpu", "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"nvidia-tao-pytorch {release}, nvidia-tao-ds {release}, nvidia-tao-core {release} (" in done.output
    assert re.search(r"Python 3\.1[123]: /", done.output)
    assert re.search(r"about \d+ MB to fetch, \d+ MB on disk", done.output)
    assert not (home / "data").exists()


def test_an_environment_for_cuda_is_said_to_be_untested(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_python", lambda wanted, given: ("/usr/bin/python3.12", wanted[0]))
    done = run("install", "virtualenv", "--cuda", "--dry-run")
    assert "not tested" in done.output
    assert "for CUDA" in done.output
    assert "Python 3.12: /usr/bin/python3.12" in done.output


def test_the_python_that_is_needed_is_named_where_none_fits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Python 2\.9 or 3\.99 is needed \(install one, or name it: --python PATH\)"):
        find_python(((2, 9), (3, 99)))
    with pytest.raises(InputError, match=r"Python 3\.11"):
        find_python(((3, 11),), str(tmp_path / "python"))
    here = sys.version_info[:2]
    assert find_python((here,), sys.executable)[1] == here


def test_the_locks_hold_hashes_and_no_address_and_only_the_one_for_cuda_has_its_libraries() -> None:
    for device in ("cpu", "cuda"):
        lock = module._text(f"{device}.lock")
        entries = [e for e in re.split(r"\n(?=[A-Za-z0-9])", lock) if not e.startswith("#")]
        assert all("--hash=sha256:" in entry and "==" in entry for entry in entries)
        assert "://" not in lock
        names = {entry.partition("==")[0] for entry in entries}
        assert {"torchvision", "timm", "pytorch-lightning", "setuptools", "fairscale"} <= names
        assert ("torch" in names, "triton" in names) == ((device == "cuda"),) * 2


def test_an_environment_is_checked_by_training_eight_rows(tmp_path: Path) -> None:
    assert train_eight_rows(commands(tmp_path / "good", GOOD)).startswith(
        "trained 8 rows for one epoch (model_epoch_000"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no such operator')", "no such operator"),
        ("print('nothing done')", "nothing done"),
        (GOOD.replace("00002", "00000"), "no checkpoint on 8 rows"),
        (GOOD + "\nsys.exit('late Error: of memory')", "late Error: of memory"),
    ],
)
def test_one_that_does_not_train_is_no_environment(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(StageFailedError, match=words):
        train_eight_rows(commands(tmp_path / "bad", body))


@pytest.mark.parametrize("gaps", ["sys.exit('Error: no such GPU')", "print('Error: no such GPU')"])
def test_one_whose_gap_analysis_does_nothing_is_no_environment_either(tmp_path: Path, gaps: str) -> None:
    with pytest.raises(StageFailedError, match=r"gap_analysis .*Error: no such GPU"):
        train_eight_rows(commands(tmp_path / "half", GOOD, gaps))


def test_a_registered_environment_is_the_virtualenv_platform_without_a_setting(tmp_path: Path) -> None:
    config: Any = type("Config", (), {"virtualenv": type("V", (), {"bin": None})()})()
    with pytest.raises(InputError, match="tao-skills platforms install virtualenv"):
        VirtualenvPlatform.of(config)
    assert "none registered" in VirtualenvPlatform.reach()
    folder = commands(tmp_path / "tao" / "bin", GOOD)
    (tmp_path / "tao/env/lib/python3.11/site-packages/nvidia_tao_pytorch-7.2.0.dist-info").mkdir(parents=True)
    register_virtualenv(folder)
    assert VirtualenvPlatform.of(config).folder == virtualenv_bin() == folder
    assert VirtualenvPlatform.reach() == f"TAO 7.2.0 in {folder}, registered"
    config.virtualenv.bin = str(tmp_path)
    assert VirtualenvPlatform.of(config).folder == tmp_path, "a setting goes before it"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("relative/bin\n", 0o600, "no absolute folder"),
        ("/a\n/b\n", 0o600, "no absolute folder"),
        ("/a\n", 0o666, "others may write"),
    ],
)
def test_a_registration_that_others_may_write_or_that_names_no_folder_is_refused(
    text: str, mode: int, words: str
) -> None:
    path = virtualenv_path()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(InputError, match=words):
        virtualenv_bin()
    assert words in VirtualenvPlatform.reach()


def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        plan_installation("7.3.0", "cpu", tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]


def test_an_installation_is_not_begun_where_another_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "tao"
    (folder / "env").mkdir(parents=True)
    (folder / "env" / "half made").touch()
    words = ("install", "virtualenv", "--release", "7.3.0", "--cpu", "--folder", folder)
    with module.alone(plan_installation("7.3.0", "cpu", folder)):
        refused = run(*words)
        assert isinstance(refused.exception, BusyError)
        assert refused.exception.line() == f"{folder}: another installation is at work here (wait for it)"
    assert (folder / "env" / "half made").exists()


def test_a_folder_in_which_an_installation_was_killed_at_once_can_be_used_again(tmp_path: Path) -> None:
    (tmp_path / module.LOCK).touch()
    assert plan_installation("7.3.0", "cpu", tmp_path).folder == tmp_path


def test_a_step_that_fails_is_told_in_one_line_and_nothing_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    wanted = plan_installation("7.3.0", "cpu", tmp_path / "tao")
    with pytest.raises(StageFailedError, match="cannot install what builds: ERROR"):
        install(wanted)
    assert virtualenv_bin() is None
    assert plan_installation("7.3.0", "cpu", tmp_path / "tao").folder == wanted.folder, "the next call begins anew"


@pytest.mark.parametrize("args", [("install", "docker"), ("install", "k8s"), ("install", "nowhere")])
def test_only_what_can_be_installed_is_installed(args: tuple[str, ...]) -> None:
    done = run(*args)
    assert done.exit_code != 0
    assert isinstance(done.exception, InputError)


def test_a_platform_is_still_shown_by_its_name() -> None:
    assert "Platform: virtualenv (Installed TAO)" in run("virtualenv").output
    assert "Platform: slurm" in run("cluster").output
    assert '"name": "virtualenv"' in run("virtualenv", "--json").output
    assert run("--json").output.startswith("[")
