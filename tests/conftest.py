"""What holds for the whole suite, and a cache folder of the session's own: no test reads or fills the user's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest

pytest_plugins = ["interrupts", "isolation", "quick_start", "skipped"]

# Examples are slow or quick by what else the machine does; that is no property of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A command that failed a test is shown with what it said: its exit status alone tells nobody."""
    made = yield
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
        for name, said in (("standard output", error.stdout), ("standard error", error.stderr)):
            text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
            made.get_result().sections.append((f"The command's {name}", text[-20_000:]))


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`TAO_CACHE_DIR` for this session and the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAO_CACHE_DIR", os.fspath(tmp_path_factory.mktemp("cache")))
        yield
