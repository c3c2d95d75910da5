"""`make demo` and the set-up of `make test` in fresh clones, on machines that are otherwise than this one.

Each machine is several things at once, so that a few runs cover them all: what installs, whose Python, the path, the
user, the home, the language, the umask, the network. What is fetched is fetched once, by `make wheelhouse` (or taken
from TAO_TEST_WHEELHOUSE).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_clients import uv_command
from pips import index_settings
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
OWN = str(Path(sys.base_prefix) / "bin/python3")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: nothing to clone again"),
]


@dataclass(frozen=True)
class Machine:
    """What is otherwise than here.

    Attributes:
        folder: Where the clone lies, below a folder of its own.
        python: What `PYTHON=` names; empty: what `make` finds.
        home: "empty" (may be written to), "read-only", "absent" (a path to nothing) or "unset".
        language: LANG and LC_ALL.
        uv: Whether uv is on the PATH.
        umask: Of everything that is run.
        root: Whether the super-user runs it.
        network: Whether there is one.
    """

    folder: str = "bank"
    python: str = ""
    home: str = "empty"
    language: str = "C.UTF-8"
    uv: bool = False
    umask: str = "022"
    root: bool = True
    network: bool = True

    def before(self) -> list[str]:
        """What a command line is put behind."""
        network = [] if self.network else ["unshare", "--net"]
        user = [] if self.root else ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return [*network, *user, "sh", "-c", f'umask {self.umask}; exec "$@"', "sh"]


MACHINES = {
    "pip of this Python, a path with spaces, LANG=C": Machine("my boards/the bank", OWN, language="C"),
    "Debian's python3, umask 077, no HOME": Machine(python="/usr/bin/python3", umask="077", home="unset"),
    "nobody, HOME read-only, no network": Machine(root=False, home="read-only", network=False),
    "uv, HOME that is not there, a path with spaces": Machine("a bank", uv=True, home="absent"),
}


@pytest.fixture(scope="module")
def wheelhouse() -> Iterator[Path]:
    """What the locks name, where everybody may read it."""
    given = os.environ.get("TAO_TEST_WHEELHOUSE")
    if given:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="house-") as name:
        folder = Path(name) / "wheel house"
        subprocess.run(["make", "wheelhouse", f"WHEELHOUSE={folder}"], cwd=ROOT, check=True, capture_output=True)
        for path in (folder.parent, folder):
            path.chmod(0o755)
        yield folder


class Clone:
    """A fresh clone on a machine."""

    def __init__(self, folder: Path, machine: Machine, wheelhouse: Path) -> None:
        self.machine = machine
        self.root = folder / machine.folder
        home = folder / "home"
        home.mkdir()
        _run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(self.root)])
        self.env = index_settings() | {"PATH": "/usr/bin:/bin", "LANG": machine.language, "LC_ALL": machine.language}
        places = {"empty": home, "read-only": home, "absent": folder / "nowhere"}
        if machine.home in places:
            self.env["HOME"] = str(places[machine.home])
        if machine.uv:
            self.env["PATH"] = f"{uv_command().parent}:{self.env['PATH']}"
        else:
            self.env["TAO_SKILL_BANK_NO_UV"] = "1"
        if not machine.root:
            # What is read-only to a user is what others own.
            for path in [folder, *self.root.rglob("*"), self.root, *folder.iterdir()]:
                if path != home or machine.home != "read-only":
                    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            os.chmod(home, 0o555)
        self.made = ["make", f"WHEELHOUSE={wheelhouse}", *([f"PYTHON={machine.python}"] if machine.python else [])]

    def types(self, *words: str) -> str:
        """The last line of what a command prints; it succeeds."""
        done = ran([*self.machine.before(), *words], cwd=self.root, env=self.env, encoding="utf-8")
        assert done.returncode == 0, f"{words}: {done.stdout[-1500:]}{done.stderr[-2500:]}"
        return done.stdout.rstrip().rpartition("\n")[2]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(params=MACHINES)
def clone(request: pytest.FixtureRequest, wheelhouse: Path) -> Iterator[Clone]:
    machine = MACHINES[request.param]
    if machine.python and not Path(machine.python).exists():
        pytest.skip(f"{machine.python} is not on this machine")
    if not (machine.root and machine.network):
        tried = subprocess.run([*machine.before(), "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"another user or a cut network cannot be had here: {tried.stderr.strip()[-80:]}")
    # Not below pytest's own folder: every session that begins closes that to other users.
    with tempfile.TemporaryDirectory(prefix="machine-") as folder:
        os.chmod(folder, 0o755)
        yield Clone(Path(folder), machine, wheelhouse)


def test_the_demo_runs_to_the_reports_path_and_the_tests_are_set_up_and_begin(clone: Clone) -> None:
    report = Path(clone.types(*clone.made, "demo"))
    assert report.name == "DEFT_Loop_Report.html"
    assert report.stat().st_size > 10_000
    clone.types(*clone.made, ".venv/.dev-ready")
    clone.types(".venv/bin/python", "scripts/check_tree.py")
    clone.types(
        ".venv/bin/pytest", "-q", "-p", "no:cacheprovider", "tests/unit/core", "tests/contracts/test_cli_groups.py"
    )
    # Nothing that is not ignored was written into the clone.
    status = ["git", "-c", f"safe.directory={clone.root}", "-C", str(clone.root), "status", "--short"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
