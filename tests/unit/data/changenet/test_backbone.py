from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError, StageFailedError
from tao_skill_bank.data.changenet.backbone import FILE_NAME, REPOSITORY, stage_backbone, staged_backbone, weights_fault


def refuse(repository: str, file_name: str, revision: str | None) -> Path:
    raise AssertionError("the network was asked")


@pytest.mark.parametrize("name", ["model.safetensors", "radio.pth", "radio.ckpt"])
def test_a_staged_file_is_reused_without_asking_the_network(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    (tmp_path / "README.md").write_text("x")
    assert stage_backbone(tmp_path, fetch=refuse) == (tmp_path / name).resolve()


def test_a_missing_file_is_fetched_into_the_folder(tmp_path: Path) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def fetch(repository: str, file_name: str, revision: str | None) -> Path:
        asked.append((repository, file_name, revision))
        (tmp_path / "cache").write_bytes(b"weights")
        return tmp_path / "cache"

    path = stage_backbone(tmp_path / "backbone", revision="abc", fetch=fetch)
    assert asked == [(REPOSITORY, FILE_NAME, "abc")]
    assert path == (tmp_path / "backbone/model.safetensors").resolve()
    assert path.read_bytes() == b"weights"
    assert stage_backbone(tmp_path / "backbone", fetch=refuse) == path


def test_a_failed_or_empty_download_leaves_nothing(tmp_path: Path) -> None:
    def empty(*_: object) -> Path:
        (tmp_path / "cache").write_bytes(b"")
        return tmp_path / "cache"

    with pytest.raises(StageFailedError, match="is empty"):
        stage_backbone(tmp_path / "backbone", fetch=empty)
    assert list((tmp_path / "backbone").iterdir()) == []


def test_several_or_empty_weight_files_are_refused(tmp_path: Path) -> None:
    assert staged_backbone(tmp_path / "none") is None
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.pth: is empty"):
        staged_backbone(tmp_path)
    (tmp_path / "b.ckpt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds 2 weight files: a\.pth, b\.ckpt"):
        staged_backbone(tmp_path)


def test_a_file_that_is_no_weight_file_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no weight file"):
        stage_backbone(tmp_path, file_name="config.json", fetch=refuse)


def test_the_hub_s_errors_are_one_line_and_name_the_token_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = types.ModuleType("huggingface_hub")

    def hf_hub_download(repository: str, file_name: str, *, revision: str | None) -> str:
        raise RuntimeError("401 for this repository\nmore text")

    hub.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(StageFailedError) as error:
        stage_backbone(tmp_path)
    line = error.value.line()
    assert "download failed: RuntimeError: 401 for this repository" in line
    assert "HF_TOKEN is set" in line
    assert "hf_secret" not in line
    assert "\n" not in line
    assert list(tmp_path.iterdir()) == []


def test_without_the_hub_s_client_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"\[hub\] extra"):
        stage_backbone(tmp_path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a pointer of Git LFS, and no weights"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "is a page of text, and no weights"),
        (b"PK\x03\x04 as torch writes", None),
        (b"@\x00\x00\x00\x00\x00\x00\x00{}", None),
    ],
    ids=["empty", "pointer", "page", "zip", "safetensors"],
)
def test_a_named_weight_file_that_holds_no_weights_is_told_by_its_beginning(
    tmp_path: Path, data: bytes, said: str | None
) -> None:
    (tmp_path / "radio.pth").write_bytes(data)
    assert weights_fault(tmp_path / "radio.pth") == said
