"""A tiny workspace, a server that may touch it, and a finished run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from server_calls import TARGET, served

from mcp_server.roots import BankServer


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny workspace; tests that write take a copy."""
    return tiny.make_workspace(tmp_path_factory.mktemp("drawn") / "workspace")


@pytest.fixture
def workspace(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "workspace", copy_function=shutil.copyfile)


@pytest.fixture
def server(workspace: Path) -> BankServer:
    return served(workspace)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of one iteration, with the stand-in model; tests read it, or write what belongs beside it."""
    from tao_skill_bank import runs

    root = tiny.make_workspace(tmp_path_factory.mktemp("finished") / "workspace")
    with tiny.fake_model():
        run = tiny.approved(tiny.request(root, TARGET, 1))
        runs.run_loop(run)
    yield run
