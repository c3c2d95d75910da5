from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.platforms.container import settings_of
from tao_skill_bank.platforms.releases import installed_release, release_that_runs
from tao_skill_bank.tasks.changenet.config import RunConfig


def config(tmp_path: Path, platform: str, *settings: str) -> RunConfig:
    empty: dict[str, Any] = dict.fromkeys(
        ("training_csv", "validation_csv", "kpi_test_csv", "images_dir", "specs_file"), ""
    )
    values = apply_settings(RunConfig, {}, settings)
    return checked_settings(RunConfig, {**empty, **values, "workspace": str(tmp_path), "platform": platform}, "test")


def environment(tmp_path: Path, version: str, place: str = "env/lib/python3.12/site-packages") -> Path:
    (tmp_path / place / f"nvidia_tao_pytorch-{version}.dist-info").mkdir(parents=True)
    bin_folder = tmp_path / place.split("/")[0] / "bin" if place.startswith("env") else tmp_path / "bin"
    bin_folder.mkdir(exist_ok=True)
    command = bin_folder / "visual_changenet"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    return bin_folder


def test_on_this_machine_s_cpu_a_run_rehearses_the_release_of_the_images(tmp_path: Path) -> None:
    assert release_that_runs(config(tmp_path, "local")).release == "7.1.0"
    runs = release_that_runs(config(tmp_path, "local", "release=7.2"))
    assert (runs.release, runs.sure) == ("7.2.0", True)
    assert "the bank's own" in runs.text


@pytest.mark.parametrize("place", ["env/lib/python3.12/site-packages", "tao"])
def test_an_environment_says_its_release_by_the_package_that_is_installed(tmp_path: Path, place: str) -> None:
    folder = environment(tmp_path, "7.3.0", place)
    assert installed_release(folder) == "7.3.0"
    runs = release_that_runs(config(tmp_path, "virtualenv", f"virtualenv.bin={folder}"))
    assert runs.release == "7.3.0"
    with pytest.raises(InputError, match=r"release 7\.1\.0 is asked for, and .* is 7\.3\.0"):
        release_that_runs(config(tmp_path, "virtualenv", f"virtualenv.bin={folder}", "release=7.1.0"))


def test_an_installed_release_that_is_not_known_is_checked_as_the_newest_and_said_so(tmp_path: Path) -> None:
    folder = environment(tmp_path, "9.0.0")
    runs = release_that_runs(config(tmp_path, "virtualenv", f"virtualenv.bin={folder}"))
    assert (runs.release, runs.sure) == ("7.3.0", False)
    assert "9.0.0, which is not known" in runs.text


def test_an_image_says_its_release_by_its_tag(tmp_path: Path) -> None:
    tagged = config(tmp_path, "slurm", "slurm.container=pyxis", "train_container=my.reg/tao:7.2.0-pyt")
    assert release_that_runs(tagged).release == "7.2.0"
    untagged = config(tmp_path, "slurm", "slurm.container=pyxis", "train_container=my.reg/tao:mine")
    assert not release_that_runs(untagged).sure
    told = config(tmp_path, "slurm", "slurm.container=pyxis", "train_container=my.reg/tao:mine", "release=7.1.0")
    assert release_that_runs(told).release == "7.1.0"
    other = config(tmp_path, "slurm", "slurm.container=pyxis", "train_container=r/tao:7.1.0-pyt", "release=7.2.0")
    with pytest.raises(InputError, match=r"7\.2\.0 is asked for"):
        release_that_runs(other)


def test_a_release_chooses_its_images_and_one_that_nobody_saw_is_refused_by_name(tmp_path: Path) -> None:
    seven_two = settings_of(config(tmp_path, "docker", "release=7.2.0"))
    assert seven_two.image_for("gap_analysis").endswith("tao-toolkit:7.2.0-data-services")
    with pytest.raises(InputError, match=r"no pyt image of TAO 7\.2\.0 was seen \(it is there for 7\.1\.0"):
        seven_two.image_for("visual_changenet")
    assert settings_of(config(tmp_path, "docker", "release=7.1.0")).image_for("visual_changenet").endswith("7.1.0-pyt")
    named = settings_of(config(tmp_path, "docker", "release=7.2.0", "train_container=r/t:7.2.0-pyt"))
    assert named.image_for("visual_changenet") == "r/t:7.2.0-pyt"


@pytest.mark.parametrize("text", ["9", "7.9.1", "latest"])
def test_a_release_that_is_not_known_is_refused_with_the_known_ones(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"not known \(one of 7\.1\.0, 7\.2\.0, 7\.3\.0"):
        release_that_runs(config(tmp_path, "local", f"release={text}"))
