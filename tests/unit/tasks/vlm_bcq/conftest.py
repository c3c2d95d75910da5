"""One whole local run for every test that only reads it."""

from __future__ import annotations

from pathlib import Path

import bcq
import pytest

from tao_skill_bank import runs


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that came to its end; nobody writes to it."""
    folder = bcq.workspace(tmp_path_factory.mktemp("finished") / "w")
    run = bcq.approved(bcq.request(folder))
    runs.run_loop(run)
    return run
