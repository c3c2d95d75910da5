"""Make an environment in which NVIDIA's own Visual ChangeNet and gap analysis run, and register it.

The packages are `nvidia-tao-pytorch`, `-ds` and `-core` of one release, held to the digests in its facts; what they
import comes from a lock with hashes. PyTorch's CPU build is another file on every index, so it is pinned by its version
alone. NVIDIA builds for Python 3.12; on a CPU the compiled parts of the wheels are not used, so they are unpacked, and
an earlier or later Python serves as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BusyError, InputError, StageFailedError
from tao_skill_bank.data.releases.facts import Release, newest, release_named

Device = Literal["cpu", "cuda"]
Said = Callable[[str], None]

TORCH = "torch==2.13.0"
COMMANDS = {
    "visual_changenet": "nvidia_tao_pytorch.cv.visual_changenet.entrypoint.visual_changenet",
    "gap_analysis": "nvidia_tao_ds.rcca.gap_analysis.entrypoint.gap_analysis",
}
BUILT_FOR = (3, 12)
SERVE_ON_CPU = ((3, 11), (3, 12), (3, 13))
READY = "ready"
LOCK = ".lock"
_LIMIT_SEC = 3600
_SIZES = re.compile(r"# (\d+) MB to fetch, (\d+) MB on disk")


@dataclass(frozen=True)
class Installation:
    """What will be made.

    Attributes:
        device: `cpu`, with stand-ins for what has no CPU form, or `cuda`.
    """

    release: Release
    device: Device
    folder: Path
    python: str
    python_version: tuple[int, int]

    @property
    def bin(self) -> Path:
        """The folder with TAO's commands."""
        return self.folder / "bin"

    def lines(self) -> list[str]:
        """What will happen, what is fetched and how large, a line each."""
        wheels = self.release.raw["wheels"]
        own = sum(int(w["size"]) for w in wheels.values()) / 1e6
        names = ", ".join(f"{name} {self.release.version}" for name in wheels)
        found = ".".join(map(str, self.python_version))
        fits = (
            "" if self.python_version == BUILT_FOR else "; NVIDIA builds for 3.12, whose compiled parts a CPU needs not"
        )
        sizes = _SIZES.search(_lock(self.device))
        rest = f"about {sizes[1]} MB to fetch, {sizes[2]} MB on disk" if sizes else "size not measured"
        torch = "its CPU build from your index, by version" if self.device == "cpu" else "with CUDA, by hash"
        lines = [
            f"TAO {self.release.version} for {self.device.upper()} in {self.folder}",
            f"Python {found}: {self.python}{fits}",
            f"from the Python index: {names} ({own:.0f} MB, by digest)",
            f"and {_count(self.device)} packages they import, by hash, with {TORCH} ({torch}): {rest}",
        ]
        if self.device == "cuda":
            lines.append("not tested: no release of this bank has run its CUDA environment")
        return lines


def plan_installation(
    release: str | None = None,
    device: Device | None = None,
    folder: Path | None = None,
    python: str | None = None,
) -> Installation:
    """What an installation would make; looks for a Python, changes nothing.

    Args:
        release: `7.3.0`; None: the newest known one.
        device: None: `cuda` where `nvidia-smi` is there, else `cpu`.
        folder: None: below the user's data folder.
        python: The interpreter; None: a fitting one is looked for.

    Raises:
        InputError: An unknown release, no fitting Python, or a folder that holds something else.
    """
    facts = release_named(release or newest())
    chosen: Device = device or ("cuda" if shutil.which("nvidia-smi") else "cpu")
    wanted = SERVE_ON_CPU if chosen == "cpu" else (BUILT_FOR,)
    found, version = find_python(wanted, python)
    home = Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")) / "tao-skills"
    place = (folder or home / f"tao-{facts.version}-{chosen}").absolute()
    if place.exists() and not (place.is_dir() and (set(os.listdir(place)) <= {LOCK} or (place / "env").is_dir())):
        raise InputError("holds something else", where=place, fix="name an empty or a new folder: --folder DIR")
    return Installation(facts, chosen, place, found, version)


def find_python(wanted: Sequence[tuple[int, int]], given: str | None = None) -> tuple[str, tuple[int, int]]:
    """A Python of a wanted version: the given one, this one, then those on the PATH and of pyenv.

    Raises:
        InputError: None is there; the message says which is needed.
    """
    named = [f"python{a}.{b}" for a, b in wanted]
    managed = [str(p) for n in named for p in sorted(Path.home().glob(f".pyenv/versions/*/bin/{n}"))]
    base = getattr(sys, "_base_executable", sys.executable)
    for candidate in [given] if given else [base, *named, *managed]:
        version = _version_of(str(candidate))
        if version in wanted and version is not None:
            return str(shutil.which(str(candidate)) or candidate), version
    needed = " or ".join(f"{a}.{b}" for a, b in wanted)
    raise InputError(
        f"Python {needed} is needed", where=given or "python", fix="install one, or name it: --python PATH"
    )


@contextlib.contextmanager
def alone(wanted: Installation) -> Iterator[None]:
    """Keep every other installation out of the folder until this one is made and checked: each begins by clearing it.

    Raises:
        BusyError: Another one is at work there.
    """
    from filelock import Timeout

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(guard.locked(wanted.folder / LOCK, timeout=0, make=True))
        except Timeout:
            raise BusyError("another installation is at work here", where=wanted.folder, fix="wait for it") from None
        yield


def install(wanted: Installation, said: Said = lambda _: None) -> Path:
    """Make the environment; one that is ready is left as it is. Returns the folder with TAO's commands.

    Raises:
        StageFailedError: A step failed; its last line is told, and the next call begins anew.
    """
    if (wanted.folder / READY).is_file():
        said(f"ready since before: {wanted.folder}")
        return wanted.bin
    for name in ("env", "bin", "wheels", "stand_ins"):
        shutil.rmtree(wanted.folder / name, ignore_errors=True)
        (wanted.folder / name).mkdir(parents=True)
    _run([wanted.python, "-m", "venv", str(wanted.folder / "env")], "make the environment")
    python = wanted.folder / "env" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    lock = wanted.folder / "wheels" / f"{wanted.device}.lock"
    lock.write_text(_lock(wanted.device), encoding="utf-8")
    first = wanted.folder / "wheels" / "build.lock"
    first.write_text(_entries(_lock(wanted.device), ("setuptools", "wheel", "numpy", "packaging")), encoding="utf-8")
    hashed = ["--require-hashes", "--no-deps", "--no-build-isolation"]
    said("what builds the rest")
    _run([*pip, "install", *hashed[:2], "-r", str(first)], "install what builds")
    if wanted.device == "cpu":
        said(f"{TORCH}, from your index")
        _run([*pip, "install", TORCH], f"install {TORCH}")
    said(f"{_count(wanted.device)} packages by hash")
    _run([*pip, "install", *hashed, "-r", str(lock)], "install what TAO imports")
    _unpack(wanted, pip, said)
    _write_commands(wanted, python)
    shutil.rmtree(wanted.folder / "wheels")
    return wanted.bin


def finish(wanted: Installation) -> None:
    """Say of an environment that it was made and checked."""
    (wanted.folder / READY).write_text(f"{wanted.release.version} {wanted.device}\n", encoding="utf-8")


def _unpack(wanted: Installation, pip: Sequence[str], said: Said) -> None:
    """NVIDIA's wheels into the environment, each held to the digest in the facts of its release."""
    wheels = wanted.folder / "wheels"
    names = [f"{name}=={wanted.release.version}" for name in wanted.release.raw["wheels"]]
    said(", ".join(names))
    more = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--dest", str(wheels)]
    _run([*pip, "download", *more, *names], "fetch NVIDIA's packages")
    target = next((wanted.folder / "env" / "lib").glob("python3*/site-packages"))
    for facts in wanted.release.raw["wheels"].values():
        path = wheels / facts["file"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != facts["sha256"]:
            what = f"{facts['file']} is not the one that the facts of TAO {wanted.release.version} were read from"
            raise StageFailedError(what, where=wheels, fix="check the index; make releases reads them anew")
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)


def _write_commands(wanted: Installation, python: Path) -> None:
    stand_ins = wanted.folder / "stand_ins"
    stand_ins.joinpath("sitecustomize.py").write_text(_text("sitecustomize.py"), encoding="utf-8")
    path = f"{wanted.folder}/env/bin"
    lines = ["WANDB_MODE=offline", "TELEMETRY_OPT_OUT=yes", f"TAO_STAND_INS={wanted.device}"]
    if wanted.device == "cpu":
        lines.append("OMP_NUM_THREADS=1")
        path += f":{stand_ins}"
        _script(stand_ins / "nvidia-smi", "echo 'GPU 0: none, a stand-in so that TAO starts (UUID: none)'")
    for name, module in COMMANDS.items():
        code = f'import sys; from {module} import main; sys.argv[0] = "{name}"; main()'
        _script(
            wanted.bin / name,
            f"export PATH='{path}':\"$PATH\" PYTHONPATH='{stand_ins}'\n"
            f"export {' '.join(lines)}\nexec '{python}' -c '{code}' \"$@\"",
        )


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _run(command: Sequence[str], what: str) -> None:
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_SEC)
    except (subprocess.SubprocessError, OSError) as error:
        output = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        told = [line for line in output if line.startswith("ERROR")] or output or [str(error)]
        fix = "fix that and call it again; set PIP_INDEX_URL or PIP_FIND_LINKS for an index of your own"
        raise StageFailedError(f"cannot {what}: {told[0]}", where="platforms install", fix=fix) from None


def _version_of(python: str) -> tuple[int, int] | None:
    code = "import sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=30)
        major, minor = done.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return int(major), int(minor)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _lock(device: Device) -> str:
    return _text(f"{device}.lock")


def _count(device: Device) -> int:
    return len(re.findall(r"^[A-Za-z0-9]", _lock(device), re.MULTILINE))


def _entries(lock: str, names: Sequence[str]) -> str:
    """The entries of a lock for these packages."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock)
    return "\n".join(e for e in entries if e.partition("==")[0] in names) + "\n"
