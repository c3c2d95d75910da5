"""A factory of run folders, and an independent counter of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_runs import RunBuilder, counted

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A factory of run folders under the test's own folder."""

    made: list[Path] = []

    def make(**options: Any) -> Path:
        folder = tmp_path / f"run{len(made)}"
        folder.mkdir()
        made.append(folder)
        return RunBuilder(folder, **options).build()

    return make


@pytest.fixture
def count_labels() -> Callable[[Path], Counter[str]]:
    """Counts the labels of a CSV without the project's own reader."""
    return counted
