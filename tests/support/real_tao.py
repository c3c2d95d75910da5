"""NVIDIA's own Visual ChangeNet and gap analysis on this machine's CPU, installed as anybody installs them.

It is for proofs alone, in an environment of its own, and is kept in the tests' cache. `TAO_REAL_BIN` may name a folder
with the commands of a TAO that is installed already, `TAO_REAL_BIN_7_1_0` that of one release.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from node_clients import CACHE

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.data.releases.facts import newest
from tao_skill_bank.platforms.tao_environment.install import finish, install, plan_installation


def real_tao_bin(release: str | None = None) -> Path:
    """The folder with TAO's `visual_changenet` and `gap_analysis`; skips the test where it cannot be made."""
    wanted = release or newest()
    given = os.environ.get(f"TAO_REAL_BIN_{wanted.replace('.', '_')}")
    given = given or (os.environ.get("TAO_REAL_BIN") if release is None else None)
    if given:
        return Path(given)
    folder = CACHE / f"tao-{wanted}-cpu"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        try:
            made = plan_installation(wanted, "cpu", folder)
            commands = install(made)
        except BankError as error:
            pytest.skip(f"the real TAO could not be installed: {error.line()}")
        finish(made)
    return commands
