"""One finished run and its page, for the whole session; tests only look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from report_runs import RunBuilder
from studio_server import Page, page_of


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two iterations and an acceptance set."""
    return RunBuilder(tmp_path_factory.mktemp("studio"), iterations=2).build()


@pytest.fixture(scope="session")
def page(finished: Path) -> Iterator[Page]:
    """The page of its workspace."""
    with page_of(finished.parent.parent) as found:
        yield found
