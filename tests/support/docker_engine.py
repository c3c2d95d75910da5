"""A Docker engine of the tests' own, in temporary folders, and images made without any registry.

The bank's image holds what its Dockerfile would install: this interpreter, this environment's packages (but for what
only tests need), the package and the C libraries. It is imported once an engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

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
    "PIL",
    "pillow.libs",
    "threadpoolctl.py",
    "omegaconf",
    "antlr4",
    "hydra",
    "packaging",
    "filelock",
]
_STDLIB_OUT = ("test", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo", "config-*")
_PACKAGES_OUT = ("tests", "include", "*.pyi", "libarrow_flight*", "*gandiva*", "_flight*")
_TOOLS = ("sh", "mv", "date", "sync", "cat", "sleep", "id", "env", "dd", "touch")


def unavailable() -> str | None:
    """Why no engine can be started here, None if one can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "a Docker engine is started as root on Linux only"
    missing = [name for name in ("dockerd", "containerd", "runc", "busybox") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (Debian: docker.io, busybox-static)" if missing else None


IS_THERE = pytest.mark.skipif(unavailable() is not None, reason=f"no Docker engine: {unavailable()}")
MARKS = [IS_THERE, pytest.mark.xdist_group("docker")]


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
        """Start it and wait until it answers.

        A daemon gives up where its containerd is not back within its own ten seconds, as on a busy machine: it is
        started again then, as systemd would.
        """
        for _ in range(3):
            if self._started():
                return
            self._end_containerd()
        raise AssertionError((self.folder / "dockerd.log").read_text()[-2000:])

    def _started(self) -> bool:
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
        from docker.errors import DockerException

        limit = time.monotonic() + 90
        while True:
            # A socket that takes connections is not yet an engine that answers.
            with contextlib.suppress(OSError, DockerException), socket.socket(socket.AF_UNIX) as knock:
                knock.connect(f"{at}/docker.sock")
                with self.client() as client:
                    client.ping()
                return True
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < limit, "the engine does not answer"
            time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon (only the one started here)."""
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(60)
        self.process = None
        if how == signal.SIGKILL:
            # As systemd does: what the daemon started goes with it, but for the jobs' own keepers.
            self._end_containerd()

    def _end_containerd(self) -> None:
        try:
            containerd = int((self.folder / "exec" / "containerd" / "containerd.pid").read_text())
            if b"containerd" not in Path(f"/proc/{containerd}/cmdline").read_bytes():
                return
            os.kill(containerd, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        while Path(f"/proc/{containerd}").exists():
            time.sleep(0.02)

    @contextlib.contextmanager
    def client(self, timeout: int = 60) -> Iterator[Any]:
        """The SDK's low-level client."""
        from docker import APIClient

        client = APIClient(base_url=self.host, version="auto", timeout=timeout)
        try:
            yield client
        finally:
            client.close()

    def load(self, name: str, pack: Callable[[tarfile.TarFile], None], changes: Sequence[str] = ()) -> None:
        """Make an image of what `pack` puts into an archive."""
        packed = self.folder / "image.tar"
        with tarfile.open(packed, "w") as tar:
            pack(tar)
        repository, _, tag = name.partition(":")
        with self.client(300) as client:
            client.import_image_from_file(str(packed), repository=repository, tag=tag, changes=list(changes))
        packed.unlink()

    def derive(self, name: str, base: str, files: dict[str, tuple[bytes, int]], changes: Sequence[str]) -> None:
        """Make an image of another one, some files (path → content, mode) and settings (`ENV A=b`)."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, (content, mode) in files.items():
                info = tarfile.TarInfo(path)
                info.size, info.mode = len(content), mode
                tar.addfile(info, BytesIO(content))
        repository, _, tag = name.partition(":")
        with self.client() as client:
            made = client.create_container(base, command=["/bin/sh"])["Id"]
            client.put_archive(made, "/", packed.getvalue())
            client.commit(made, repository=repository, tag=tag, changes=list(changes))
            client.remove_container(made)


def pack_tools(tar: tarfile.TarFile) -> None:
    """A 2 MB image: a shell and its tools (busybox), no Python; its `visual_changenet ACTION SCRIPT` runs a script."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    tar.add(busybox, "bin/busybox")
    for name in (*_TOOLS, "test", "kill", "ps", "true", "false", "mkdir", "seq"):
        _link(tar, f"bin/{name}", "busybox")
    script = tarfile.TarInfo("bin/visual_changenet")
    script.mode, script.size = 0o755, len(_STAND_IN)
    tar.addfile(script, BytesIO(_STAND_IN))
    _folder(tar, "tmp", 0o1777)


_STAND_IN = b"""#!/bin/sh
# In place of TAO's command: runs its second argument.
eval "$2"
"""


def pack_bank(tar: tarfile.TarFile) -> None:
    """The bank's CPU image, made of what is installed here: what its Dockerfile installs, but for pandas."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(os.path.realpath(sys.executable))
    stdlib, site = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    tar.add(interpreter, "opt/python/bin/python3")
    tar.add(stdlib, f"opt/python/lib/{version}", filter=_without(_STDLIB_OUT))
    for name in _PACKAGES:
        if (site / name).exists():
            tar.add(site / name, f"opt/packages/{name}", filter=_without(_PACKAGES_OUT))
    tar.add(ROOT / "tao_skill_bank", "opt/app/tao_skill_bank")
    tar.add(ROOT / "versions.yaml", "opt/app/versions.yaml")
    tools = [Path(os.path.realpath(found)) for tool in _TOOLS if (found := shutil.which(tool)) is not None]
    for tool, path in zip(_TOOLS, tools, strict=True):
        tar.add(path, f"bin/{tool}")
    objects = [p for name in _PACKAGES for p in (site / name).rglob("*.so*")]
    for needed in _libraries_of([*tools, interpreter, *(stdlib / "lib-dynload").glob("*.so"), *objects]):
        if site in needed.parents:
            continue
        # The interpreter's own library may lie in a folder that only its owner may enter.
        own = needed.name.startswith("libpython")
        tar.add(os.path.realpath(needed), f"opt/python/lib/{needed.name}" if own else str(needed).lstrip("/"))
    _folder(tar, "tmp", 0o1777)


def _without(names: Sequence[str]) -> Callable[[tarfile.TarInfo], tarfile.TarInfo | None]:
    def keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = info.name.rpartition("/")[2]
        return None if any(fnmatch(name, pattern) for pattern in names) else info

    return keep


def _folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    tar.addfile(info)


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


@pytest.fixture(scope="session")
def docker_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """One engine for the session, with the small image; skipped, with the reason, where none can be started."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(f"no Docker engine: {reason}")
    found = DockerEngine(tmp_path_factory.mktemp("dk"))
    try:
        found.start()
        found.load(TOOLS_IMAGE, pack_tools)
        yield found
    finally:
        found.end()


@pytest.fixture(scope="session")
def bank_image(docker_daemon: DockerEngine) -> str:
    """The bank's CPU image on that engine."""
    docker_daemon.load(BANK_IMAGE, pack_bank, BANK_CONFIG)
    return BANK_IMAGE
