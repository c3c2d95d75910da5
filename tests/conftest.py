"""What holds for the whole suite, and a cache folder of the session's own: no test reads or fills the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

pytest_plugins = ["isolation", "quick_start", "skipped"]

# Examples are slow or quick by what else the machine does; that is no property of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`TAO_CACHE_DIR` for this session and the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAO_CACHE_DIR", os.fspath(tmp_path_factory.mktemp("cache")))
        yield
