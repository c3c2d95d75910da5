"""Half-written files that a killed process left are swept away; what somebody is writing now is not."""

from __future__ import annotations

import os
from pathlib import Path

from tao_skill_bank.core import fsio, guard


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if fsio.is_temporary(path.name)]


def test_a_file_that_is_being_written_outlives_a_sweep_of_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "stop_request.json"
    with fsio.atomic_file(target) as handle:
        handle.write(b"{}")
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert temporary.exists()
    assert target.read_bytes() == b"{}" and half_written(tmp_path) == []


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        with fsio.atomic_file(tmp_path / "stop_request.json"):
            os._exit(9)
    os.waitpid(child, 0)
    (temporary,) = half_written(tmp_path)
    fsio.sweep(temporary)
    assert list(tmp_path.iterdir()) == []
    fsio.sweep(temporary)


def test_what_a_worker_under_a_fence_has_half_written_is_swept_away(tmp_path: Path) -> None:
    with guard.fenced(lambda: None), fsio.atomic_file(tmp_path / "report.html"):
        (temporary,) = half_written(tmp_path)
        fsio.sweep(temporary)
        assert not temporary.exists()
        temporary.touch()
