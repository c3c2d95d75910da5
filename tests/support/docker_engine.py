"""A Docker engine of the tests' own, in temporary folders, and images made without any registry.

The bank's image holds what its Dockerfile would install: this interpreter, this environment's packages (but for what
only tests need), the package and the C libraries. It is imported once an engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BANK_IMAGE = "tao-skill-bank:test"
TOOLS_IMAGE = "busybox:test"
# What the actions import, and what that imports.
_PACKAGES = [
    "numpy",
    "numpy.libs",
    "pyarrow",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions.py",
    "typing_inspection",
    "yaml",
    "_yaml",
    "msgspec",
    "zstandard",
    "PIL",
    "pillow.libs",
    "scipy",
    "scipy.libs",
    "pandas",
    "pytz",
    "dateutil",
    "six.py",
    "tzdata",
    "threadpoolctl.py",
    "omegaconf",
    "antlr4",
    "hydra",
    "packaging",
    "filelock",
    "click",
]
_STDLIB_OUT = ("test", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo", "__pycache__")
_TOOLS = ("sh", "mv", "date", "sync", "cat", "sleep", "id", "env", "dd", "touch")


def unavailable() -> str | None:
    """Why no engine can be started here, None if one can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "a Docker engine is started as root on Linux only"
    missing = [name for name in ("dockerd", "containerd", "runc", "busybox") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (Debian: docker.io, busybox-static)" if missing else None


def _filesystems() -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path("/proc/filesystems").read_text()
    return ""


@dataclass
class DockerEngine:
    """A `dockerd` in a folder.

    Attributes:
        folder: Where everything of it lies.
        driver: `vfs` copies the whole image for every container, so it is used only where nothing better is.
        process: The daemon.
    """

    folder: Path
    driver: str = "overlay2" if "overlay" in _filesystems() else "vfs"
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def host(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        at = self.folder
        argv = [
            "dockerd",
            f"--storage-driver={self.driver}",
            "--iptables=false",
            "--bridge=none",
            f"--data-root={at}/data",
        ]
        argv += [f"--exec-root={at}/exec", f"--pidfile={at}/pid", "-H", self.host]
        with (at / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        limit = time.monotonic() + 60
        while True:
            with contextlib.suppress(Exception):
                self.client().ping()
                break
            assert self.process.poll() is None, (at / "dockerd.log").read_text()[-2000:]
            assert time.monotonic() < limit, "the engine does not answer"
            time.sleep(0.05)
        (at / "docker.sock").chmod(0o666)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon (only the one started here)."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def client(self) -> object:
        """The SDK's low-level client."""
        from docker import APIClient

        return APIClient(base_url=self.host, version="auto", timeout=60)

    def load(self, name: str, root: Path, changes: tuple[str, ...] = ()) -> None:
        """Make an image of a folder."""
        from docker import APIClient

        client = APIClient(base_url=self.host, version="auto", timeout=300)
        packed = self.folder / "image.tar"
        with tarfile.open(packed, "w") as tar:
            tar.add(root, arcname=".")
        repository, _, tag = name.partition(":")
        client.import_image_from_file(str(packed), repository=repository, tag=tag, changes=list(changes))
        packed.unlink()


def tools_root(root: Path) -> Path:
    """The root file system of a 2 MB image: a shell and its tools (busybox), nothing of ours and no Python."""
    (root / "bin").mkdir(parents=True)
    (root / "tmp").mkdir(mode=0o1777)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy2(busybox, root / "bin" / "busybox")
    for name in ("sh", "mv", "date", "sync", "cat", "sleep", "id", "env", "dd", "touch", "test", "kill", "ps", "true"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def bank_root(root: Path) -> Path:
    """The root file system of the bank's CPU image, made of what is installed here."""
    base = Path(sysconfig.get_path("stdlib"))
    python = root / "opt" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    skip = shutil.ignore_patterns(*_STDLIB_OUT, "config-*")
    shutil.copytree(base, python / "lib" / version, ignore=skip, symlinks=True)
    (python / "bin").mkdir()
    interpreter = Path(os.path.realpath(sys.executable))
    shutil.copy2(interpreter, python / "bin" / "python3")
    packages = root / "opt" / "packages"
    packages.mkdir()
    site = Path(sysconfig.get_path("purelib"))
    skip = shutil.ignore_patterns(
        "__pycache__", "tests", "include", "*.pyi", "libarrow_flight*", "*gandiva*", "_flight*"
    )
    for name in _PACKAGES:
        if (found := site / name).is_dir():
            shutil.copytree(found, packages / name, ignore=skip, symlinks=True)
        elif found.exists():
            shutil.copy2(found, packages / name)
    app = root / "opt" / "app"
    shutil.copytree(ROOT / "tao_skill_bank", app / "tao_skill_bank", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "versions.yaml", app)
    (root / "bin").mkdir()
    tools = [Path(os.path.realpath(found)) for tool in _TOOLS if (found := shutil.which(tool)) is not None]
    for tool, path in zip(_TOOLS, tools, strict=True):
        shutil.copy2(path, root / "bin" / tool)
    for needed in _libraries_of([*tools, interpreter, *python.rglob("*.so"), *packages.rglob("*.so*")]):
        if packages not in needed.parents:
            target = root / needed.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(needed, target)
            # The interpreter's own library may lie in a folder that only its owner may enter.
            if needed.name.startswith("libpython"):
                shutil.move(target, python / "lib" / needed.name)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


def _libraries_of(files: list[Path]) -> list[Path]:
    """The shared libraries that these files load, where the loader finds them."""
    out = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    found = {Path(word) for line in out.splitlines() for word in line.split()[:3] if word.startswith("/")}
    return sorted(path for path in found if path.is_file())


BANK_CONFIG = (
    "ENV PYTHONHOME=/opt/python",
    "ENV LD_LIBRARY_PATH=/opt/python/lib",
    "ENV PYTHONPATH=/opt/app:/opt/packages",
    "ENV PYTHONDONTWRITEBYTECODE=1",
    "ENV PATH=/opt/python/bin:/bin",
    'ENTRYPOINT ["/opt/python/bin/python3", "-m", "tao_skill_bank.actions"]',
)
