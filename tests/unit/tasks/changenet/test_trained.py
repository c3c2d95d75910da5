"""Who trained: by the checkpoint, the platform and the job's record; never a yes where nothing says it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flat
import pytest
from report_runs import RunBuilder

from tao_skill_bank import __version__
from tao_skill_bank.actions.visual_changenet import checkpoint
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.platforms.base import JobRecord, new_record, write_record
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.changenet.trained import found_trained, known, trained_by, with_checkpoint
from tao_skill_bank.tasks.registry import load_state

SPEC = {
    "model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}, "classify": {"difference_module": "learnable"}},
    "dataset": {"classify": {"image_width": 160, "image_height": 120}},
}


@dataclass
class Where:
    """A platform, as far as it is asked."""

    tao: bool

    def tao_own(self, command: str) -> bool:
        return self.tao


def own(path: Path) -> Path:
    trained = checkpoint.Trained(epoch=1, step=2, rows=3, seed=4, batch_size=5, continued_from=None)
    checkpoint.save(path, Network(Architecture(1), 0), ("White",), trained)
    return path


def torch(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04 a zip, as PyTorch writes them")
    return path


def record(folder: Path, **more: Any) -> JobRecord:
    made = new_record(
        key="iter1.train.train", platform="x", command=["visual_changenet"], outputs=[], cwd=folder, results_dir=folder
    ).model_copy(update=more)
    write_record(made)
    return made


@pytest.mark.parametrize("tao", [True, False])
def test_a_checkpoint_of_the_banks_own_is_a_stand_ins_whatever_ran_it(tmp_path: Path, tao: bool) -> None:
    found = trained_by(own(tmp_path / "a.pth"), SPEC, Where(tao), None)  # type: ignore[arg-type]
    assert (found.by, found.image_size) == ("stand-in", (64, 64))
    assert "fan_tiny" not in (found.network or "")
    assert "the bank's own small network" in (found.network or "")


def test_a_checkpoint_that_is_not_the_banks_is_taos_where_taos_own_ran(tmp_path: Path) -> None:
    found = trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), None)  # type: ignore[arg-type]
    assert (found.by, found.network) == ("tao", "fan_tiny_8_p4_hybrid · learnable")
    assert found.image_size == (160, 120)
    assert found.software == __version__


def test_a_checkpoint_of_an_image_of_ones_own_is_nobodys_that_is_known(tmp_path: Path) -> None:
    found = trained_by(torch(tmp_path / "a.pth"), SPEC, Where(False), None)  # type: ignore[arg-type]
    assert (found.by, found.network, found.image_size) == ("unknown", None, None)


def test_a_damaged_file_of_the_banks_own_is_still_the_banks_own(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint.MAGIC + b"\xff" * 20)
    assert trained_by(path, SPEC, Where(True), None).by == "stand-in"  # type: ignore[arg-type]


def test_image_release_digest_and_machine_are_those_of_the_job(tmp_path: Path) -> None:
    made = record(tmp_path, image="nvcr.example/tao/tao-toolkit:7.1.0-pyt", image_digest="sha256:" + "a" * 64)
    beside(made.path, "claim.json").write_text(json.dumps({"pid": 1, "host": "node-3"}), encoding="utf-8")
    found = trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), made)  # type: ignore[arg-type]
    assert (found.release, found.image_digest, found.host) == ("7.1.0-pyt", "sha256:" + "a" * 64, "node-3")
    assert found.submitted_from


def test_a_digest_in_the_reference_itself_is_the_images(tmp_path: Path) -> None:
    made = record(tmp_path, image="nvcr.example/tao:7.1.0-pyt@sha256:" + "b" * 64)
    found = trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), made)  # type: ignore[arg-type]
    assert (found.release, found.image_digest) == ("7.1.0-pyt", "sha256:" + "b" * 64)


def test_an_own_image_of_a_tag_is_no_release_of_tao(tmp_path: Path) -> None:
    made = record(tmp_path, image="bank-cpu:1")
    found = trained_by(own(tmp_path / "a.pth"), SPEC, Where(False), made)  # type: ignore[arg-type]
    assert (found.image, found.release) == ("bank-cpu:1", None)


def test_the_release_of_a_pip_installed_tao_is_read_beside_its_command(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.12/site-packages/nvidia_tao_pytorch-7.3.0.dist-info").mkdir(parents=True)
    made = record(tmp_path, argv=[str(tmp_path / "bin/visual_changenet"), "train"])
    found = trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), made)  # type: ignore[arg-type]
    assert (found.image, found.release) == (None, "7.3.0")


def test_the_machine_of_a_container_is_its_engines_and_not_the_container(tmp_path: Path) -> None:
    made = record(tmp_path, image="nvcr.io/nvidia/tao/tao-toolkit:7.1.0-pyt", host="gpu-box")
    beside(made.path, "claim.json").write_text(json.dumps({"pid": 1, "host": "3f2a9c41d0b7"}), encoding="utf-8")
    assert trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), made).host == "gpu-box"  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": 1}', '{"host": ""}'])
def test_a_claim_that_names_no_machine_leaves_it_unknown(tmp_path: Path, text: str) -> None:
    made = record(tmp_path)
    beside(made.path, "claim.json").write_text(text, encoding="utf-8")
    assert trained_by(torch(tmp_path / "a.pth"), SPEC, Where(True), made).host is None  # type: ignore[arg-type]


def test_a_given_checkpoint_says_what_it_is_or_nothing(tmp_path: Path) -> None:
    assert found_trained(own(tmp_path / "a.pth")).by == "stand-in"
    assert found_trained(torch(tmp_path / "b.pth")).by == "unknown"
    assert found_trained(tmp_path / "gone.pth").by == "unknown"
    assert len(with_checkpoint(Trained(), tmp_path / "a.pth").checkpoint_sha256 or "") == 64


@pytest.mark.parametrize(
    ("platform", "image", "by"),
    [
        ("local", None, "stand-in"),
        ("slurm", None, "stand-in"),  # without containers a cluster runs the bank's own
        ("docker", "bank-cpu:1", "stand-in"),
        ("docker", None, "unknown"),  # TAO's image may have run; a record that does not say so is no yes
        ("kubernetes", None, "unknown"),
        ("virtualenv", None, "unknown"),
        ("no such platform", None, "unknown"),
    ],
)
def test_of_an_earlier_record_only_what_cannot_be_otherwise_is_told(
    tmp_path: Path, platform: str, image: str | None, by: str
) -> None:
    class Earlier(RunBuilder):
        def _config(self) -> Any:
            config = super()._config()
            return config.model_copy(update={"docker": config.docker.model_copy(update={"image": image})})

    run = Earlier(tmp_path / "r", iterations=0, platform=platform, pictures=False, trainer="unknown").build()
    state = load_state(run)
    baseline = state.iterations["baseline"]
    flat.put(baseline, trained=Trained())
    assert known(state, baseline).by == by


def test_an_earlier_record_with_a_checkpoint_of_the_banks_own_is_a_rehearsal_on_any_platform(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "r", iterations=0, platform="docker", pictures=False).build()
    state = load_state(run)
    baseline = state.iterations["baseline"]
    flat.put(baseline, trained=Trained())
    own(Path(baseline.best_ckpt_path or ""))
    assert known(state, baseline).by == "stand-in"


def test_what_was_recorded_as_unknown_is_not_guessed_later(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "r", iterations=0, platform="local", pictures=False).build()
    state = load_state(run)
    baseline = state.iterations["baseline"]
    flat.put(baseline, trained=Trained(software="0.1.0"))
    assert known(state, baseline).by == "unknown"
