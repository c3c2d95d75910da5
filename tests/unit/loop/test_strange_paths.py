"""A workspace may be called what its owner likes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from tao_skill_bank import runs
from tao_skill_bank.loop.log import log_path, read_log
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture
def fake_model() -> Iterator[None]:
    with tiny.fake_model():
        yield


@pytest.mark.parametrize("name", ["plant [7] it's, a=b", "Werk {1} (neu) $HOME"])
def test_a_whole_loop_runs_in_a_workspace_with_spaces_brackets_and_quotes_in_its_path(
    tmp_path: Path, fake_model: None, name: str
) -> None:
    workspace = tiny.make_workspace(tmp_path / name)
    run = tiny.approved(tiny.request(workspace, target="FAR < 0.001% at recall=100%", iterations=1))
    runs.run_loop(run)
    assert load_state(run).status == "complete"
    lines = read_log(log_path(run))
    assert lines[-1].stage == "loop_stop" and {line.status for line in lines} == {"ok"}
    assert sorted(p.name for p in workspace.iterdir()) == ["augmentation", "images", "kpi", "results", "specs", "train"]
