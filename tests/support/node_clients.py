"""Real clients from the npm registry, installed once into a cache folder; without one, its tests are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

CACHE = Path(os.environ.get("TAO_TEST_CACHE") or Path.home() / ".cache" / "tao-skill-bank-tests")
# Client → the packages it is made of, each with its version.
CLIENTS = {
    "claude": ("@anthropic-ai/claude-code@2.1.329",),
    "inspector": ("@modelcontextprotocol/inspector@2.12.0", "node@22.23.3"),
    "conformance": ("@modelcontextprotocol/conformance@0.1.16", "node@22.23.3"),
    "skills": ("skills@1.7.4", "node@22.23.3"),
    "codex": ("@openai/codex@0.169.0",),
}


def client_folder(name: str) -> Path:
    """The folder of an installed client's commands (`node_modules/.bin`).

    Skips the test where there is no npm, or the registry cannot be reached.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    packages = CLIENTS[name]
    folder = CACHE / "-".join(p.rpartition("/")[2].replace("@", "-") for p in packages)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if not (folder / "ready").exists():
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=folder)
            if done.returncode != 0:
                pytest.skip(f"npm could not install {' '.join(packages)}: {done.stderr.strip()[-200:]}")
            (folder / "ready").touch()
    return folder / "node_modules" / ".bin"


def path_with(*folders: Path) -> str:
    """PATH with these folders in front."""
    return os.pathsep.join([*(str(f) for f in folders), os.environ["PATH"]])
