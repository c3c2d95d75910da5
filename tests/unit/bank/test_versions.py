from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.bank.versions import load_versions, resolve_image
from tao_skill_bank.core.errors import InputError

TEXT = "images:\n  tao:\n    pyt: reg/tao:1\n    ds: reg/tao:2\ndigests:\n  reg/tao:2: sha256:abc\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "versions.yaml").write_text(TEXT)
    return tmp_path


def test_a_key_resolves_to_its_reference(root: Path) -> None:
    assert resolve_image("images.tao.pyt", root) == "reg/tao:1"


def test_a_pinned_reference_runs_by_its_digest(root: Path) -> None:
    assert resolve_image("images.tao.ds", root) == "reg/tao:2@sha256:abc"


def test_an_unknown_key_names_the_near_ones(root: Path) -> None:
    with pytest.raises(InputError, match=r"no image is named 'images.tao.pyy' \(did you mean 'images.tao.pyt'"):
        resolve_image("images.tao.pyy", root)


def test_the_banks_own_file_names_every_image_that_the_loop_uses() -> None:
    from tao_skill_bank.tasks.changenet.config import AnomalygenConfig, RunConfig

    fields = RunConfig.model_fields
    keys = [fields["train_container"].default, fields["data_services_container"].default]
    keys.append(AnomalygenConfig.model_fields["container"].default)
    known = load_versions(bank_root()).resolved()
    assert all(key in known for key in keys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: [", "not valid YAML"),
        ("images: {a: b}", r"images\.a"),
        ("image: {}", "images: Field required"),
        ("- a", "the file"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    (tmp_path / "versions.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as caught:
        load_versions(tmp_path)
    assert "\n" not in caught.value.line()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_versions(tmp_path)
