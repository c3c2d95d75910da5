"""The real services that tests of this folder start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from docker_engine import bank_image, docker_daemon
from slurm_cluster import slurm, slurm_cluster

__all__ = ["bank_image", "docker_daemon", "slurm", "slurm_cluster"]


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Chromium, started with the module's FLAGS."""
    with chromium.started(request.module.FLAGS) as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of the axe accessibility checker."""
    package = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
