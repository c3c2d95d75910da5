"""The bank as a client gets it: what is tracked, without any environment."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = {".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "demo"}


def copy_plugin(folder: Path) -> Path:
    """Copy what git tracks (without git: all but environments and caches) into a new folder."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    if done.returncode != 0 or not names:
        shutil.copytree(ROOT, folder, ignore=lambda _, found: _LEFT_OUT.intersection(found))
        return folder
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder
