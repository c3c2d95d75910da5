from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill_bank.platforms.memory import check_engine_memory, check_own_memory, memory_of

GIB = 1 << 30


def test_every_network_gets_room_for_its_loaders_and_tables_need_little() -> None:
    assert memory_of("visual_changenet") == memory_of("grounding_dino") == memory_of("run_sdg.sh")
    assert memory_of("visual_changenet").shm_size == "16g"
    assert memory_of("visual_changenet").ulimits == {"memlock": -1, "stack": 67108864}
    assert memory_of("gap_analysis").shm_size == "2g"
    assert memory_of("gap_analysis").ulimits == {}


@pytest.mark.parametrize(("total", "status"), [(64 * GIB, "ok"), (16 * GIB, "ok"), (8 * GIB, "warn"), (None, "skip")])
def test_an_engine_s_machine_is_held_against_the_shared_memory(total: int | None, status: str) -> None:
    assert check_engine_memory(total).status == status


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        ("dataset: {classify: {workers: 0}}", "ok", "without workers"),
        ("dataset: {classify: {workers: 4}}", "warn", "for 4 data loaders"),
        ("dataset: {classify: {}}", "warn", "for 8 data loaders"),
        ("task: classify", "warn", "for 8 data loaders"),
    ],
)
def test_a_small_dev_shm_is_told_before_the_loaders_end_in_a_bus_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, status: str, words: str
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(spec)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"total": 64 << 20})())
    found = check_own_memory(str(path))
    assert (found.status, words in found.text) == (status, True)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"total": 8 * GIB})())
    assert check_own_memory(str(path)).status == "ok"


def test_a_machine_without_dev_shm_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("dataset: {classify: {workers: 2}}")
    assert check_own_memory(str(path), tmp_path / "gone").status == "skip"
