"""Real clients from the npm and Python registries, each installed once into a cache folder that all tests share.

Without a registry (or npm) the tests of that client are skipped, with the reason. Workers of one session share the
folder and the attempt: who comes second waits for the lock and finds the client, or the reason why it is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock
from ran import ran


def _cache() -> Path:
    """TAO_TEST_CACHE, else the folder in the home, else (one that cannot be written to) one of the machine's."""
    folder = Path(os.environ.get("TAO_TEST_CACHE") or Path.home() / ".cache" / "tao-skill-bank-tests")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return Path(tempfile.gettempdir()) / f"tao-skill-bank-tests-{os.getuid()}"
    return folder


CACHE = _cache()
INSTALL_LIMIT_SEC = 240
# Client → the packages it is made of, each with its version. Node 20 is too old for some; theirs comes along.
CLIENTS = {
    "claude": ("@anthropic-ai/claude-code@2.1.329",),
    "inspector": ("@modelcontextprotocol/inspector@2.12.0", "node@22.23.3"),
    "conformance": ("@modelcontextprotocol/conformance@0.1.16", "node@22.23.3"),
    "skills": ("skills@1.7.4", "node@22.23.3"),
    "codex": ("@openai/codex@0.171.0",),
    "gemini": ("@google/gemini-cli@0.61.0", "node@22.23.3"),
    "opencode": ("opencode-ai@1.18.33",),
}
AGENTSKILLS = "skills-ref==0.1.1"
UV = "uv==0.13.8"
PIPX = "pipx==1.18.4"


def client_folder(name: str) -> Path:
    """The folder of an installed npm client's commands (`node_modules/.bin`).

    Skips the test where there is no npm, or the registry cannot be reached.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    packages = CLIENTS[name]
    folder = CACHE / "-".join(p.rpartition("/")[2].replace("@", "-") for p in packages)
    _installed(folder, [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages])
    return folder / "node_modules" / ".bin"


def agentskills() -> list[str]:
    """The command line of the Agent Skills reference validator; skips where it cannot be installed."""
    packages = _python_packages(AGENTSKILLS)
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from skills_ref.cli import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", code, str(packages)]


def uv_command() -> Path:
    """The uv program: the one at hand, else one from the registry; skips where it cannot be installed."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    return Path(found) if found is not None else _python_packages(UV) / "bin" / "uv"


def pipx_command() -> Path:
    """The pipx program, as a script for this interpreter; skips where it cannot be installed."""
    return _python_packages(PIPX) / "bin" / "pipx"


def _python_packages(requirement: str) -> Path:
    """The folder of a package from the Python registry and what it needs, beside the cache's others."""
    folder = CACHE / requirement.replace("==", "-")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _installed(folder, [*command, "--target", str(folder / "packages"), requirement])
    return folder / "packages"


def path_with(*folders: Path) -> str:
    """PATH with these folders in front."""
    return os.pathsep.join([*(str(f) for f in folders), os.environ["PATH"]])


def _installed(folder: Path, command: list[str]) -> None:
    """Run an installation once; one that failed is not tried again in the same session."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        failed = folder / "failed"
        if (folder / "ready").exists():
            return
        if not failed.exists() or failed.read_text().partition("\n")[0] != session:
            said = _run(command, folder)
            if said is None:
                failed.unlink(missing_ok=True)
                (folder / "ready").touch()
                return
            failed.write_text(f"{session}\n{said}")
        pytest.skip(f"{folder.name} could not be installed: {failed.read_text().partition(chr(10))[2]}")


def _run(command: list[str], folder: Path) -> str | None:
    """Why it failed, in a few words; None when it did not."""
    try:
        done = ran(command, timeout=INSTALL_LIMIT_SEC, cwd=folder)
    except subprocess.TimeoutExpired:
        return f"no answer within {INSTALL_LIMIT_SEC} s"
    return None if done.returncode == 0 else done.stderr.strip()[-200:] or f"exit status {done.returncode}"
