"""Which encoder embeds on which platform: TAO's own knows SigLIP and CLIP only, and wants to be told their weights."""

from __future__ import annotations

from pathlib import Path

import fake_generator
import pytest
import tiny
import yaml

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError, InputError, InputErrors
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig

PLACES = dict.fromkeys(("training_csv", "validation_csv", "kpi_test_csv", "images_dir", "specs_file"), "/w/x")
SIGLIP = "google/siglip-base-patch16-224"


def config(platform: str, *settings: str) -> RunConfig:
    return checked_settings(
        RunConfig,
        {"workspace": "/w", "platform": platform, **PLACES, **apply_settings(RunConfig, {}, settings)},
        "test",
    )


@pytest.mark.parametrize(
    ("platform", "settings", "tao"),
    [
        ("local", (), False),
        ("docker", (), True),
        ("docker", ("docker.image='own:1'",), False),
        ("slurm", (), False),
        ("slurm", ("slurm.container=pyxis",), True),
        ("slurm", ("slurm.container=pyxis", "slurm.image='own:1'"), False),
        ("kubernetes", ("kubernetes.claim=data",), True),
        ("kubernetes", ("kubernetes.claim=data", "kubernetes.image='own:1'"), False),
    ],
)
def test_taos_images_get_siglip_by_name_and_path_and_the_banks_own_choose(
    platform: str, settings: tuple[str, ...], tao: bool
) -> None:
    given = config(platform, *settings)
    assert platform_named(given).tao_own("embedding") is tao
    spec = specs.encoder_spec(given, tao=tao)
    assert spec == ({"model": "SigLIP", "model_path": SIGLIP} if tao else {"model": "auto"})


def test_a_folder_of_weights_is_handed_on_and_the_local_encoder_is_not_taos() -> None:
    given = config("docker", "mining.encoder=clip", "mining.encoder_path=/w/clip")
    assert specs.encoder_spec(given, tao=True) == {"model": "CLIP", "model_path": "/w/clip"}
    with pytest.raises(InputError, match="TAO's embedding has no encoder 'local'"):
        specs.encoder_spec(config("docker", "mining.encoder=local"), tao=True)


def test_offline_the_weights_of_taos_encoder_have_to_be_there(tmp_path: Path) -> None:
    """The installed TAO of this test has an `embedding` of its own, so nothing of the bank's stands in for it."""
    workspace = tiny.make_workspace(tmp_path / "w", acceptance=False)
    folder = fake_generator.install(tmp_path / "bin")
    (folder / "embedding").write_text("#!/bin/sh\nexit 1\n")
    (folder / "embedding").chmod(0o755)

    def planned(*settings: str) -> list[str]:
        given = (f"virtualenv.bin={folder}", *settings)
        shown = runs.plan_run(tiny.request(workspace, iterations=1, platform="virtualenv", settings=given))
        return [c.text for c in shown.checks if c.name == "encoder"]

    assert planned() == [f"TAO's SigLIP {SIGLIP}, fetched from the Hugging Face hub where its image has it not"]
    with pytest.raises(InputErrors) as caught:
        planned("offline=true")
    assert [f"would download {SIGLIP}" in fault for fault in caught.value.faults] == [True]
    with pytest.raises(BankError, match="the encoder's weights are not there"):
        planned("offline=true", f"mining.encoder_path={workspace}/siglip")
    (workspace / "siglip").mkdir()
    assert planned("offline=true", f"mining.encoder_path={workspace}/siglip") == [f"TAO's SigLIP {workspace}/siglip"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the file of the backbone's weights is not there"),
        (b"", "the file of the backbone's weights is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a pointer of Git LFS, and no weights"),
        (b"PK\x03\x04 as torch writes", "ok"),
    ],
    ids=["gone", "empty", "pointer", "weights"],
)
def test_a_plan_looks_into_the_file_of_the_backbones_weights(tmp_path: Path, content: bytes | None, said: str) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", acceptance=False)
    weights = workspace / "backbone.pth"
    spec = yaml.safe_load((workspace / "specs" / "baseline_spec.yaml").read_text())
    spec["model"]["backbone"]["pretrained_backbone_path"] = str(weights)
    (workspace / "specs" / "baseline_spec.yaml").write_text(yaml.safe_dump(spec))
    if content is not None:
        weights.write_bytes(content)
    given = (f"virtualenv.bin={fake_generator.install(tmp_path / 'bin')}", "mining.encoder=local")
    wanted = tiny.request(workspace, iterations=1, platform="virtualenv", settings=given)
    if said == "ok":
        (check,) = [c for c in runs.plan_run(wanted).checks if c.name == "backbone"]
        assert (check.status, check.text) == ("ok", str(weights))
        # A checkpoint to go on from is read as well.
        spec["train"]["pretrained_model_path"] = str(workspace / "gone.pth")
        (workspace / "specs" / "baseline_spec.yaml").write_text(yaml.safe_dump(spec))
        with pytest.raises(BankError, match=r"the model that the training goes on from is not there") as caught:
            runs.plan_run(wanted)
        assert str(workspace / "gone.pth") in caught.value.line()
    else:
        with pytest.raises(BankError, match=said) as caught:
            runs.plan_run(wanted)
        assert str(weights) in caught.value.line()
