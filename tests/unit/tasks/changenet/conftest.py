"""A run whose stages are tried one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from by_hand import Trainings

from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The state of an approved run; its workspace is shared, and nobody changes a file that was there."""
    workspace = tiny.make_workspace(tmp_path_factory.mktemp("by_hand") / "w")
    return load_state(tiny.approved(tiny.request(workspace, settings=("anomalygen.mode=local_standin",))))


@pytest.fixture
def run(opened: Any, tmp_path: Path) -> Trainings:
    state = opened.model_copy(deep=True)
    state.results_dir = str(Path(state.results_dir).with_name(tmp_path.name))
    return Trainings.of(state, LocalPlatform())  # type: ignore[return-value]
