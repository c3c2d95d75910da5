"""cosmos-rl's stand-in as a Docker image and as the OCI bundle of a SLURM cluster; either misbehaves on request."""

from __future__ import annotations

import json
import shutil
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path

from docker_engine import BANK_CONFIG, DockerEngine, pack_bank

IMAGE = "tao-skill-bank-cosmos-stand-in:test"
FAKE = Path(__file__).with_name("fake_cosmos.py")
# What the bank itself does: the same in both.
_BANKS = ("gap_analysis", "tmm")
_ENTRY = """#!/bin/sh
case "$1" in
  /bin/sh|cosmos-rl|cosmos-rl-evaluate|bash) exec "$@" ;;
  *) exec /opt/python/bin/python3 -m tao_skill_bank.actions "$@" ;;
esac
"""
_BASH = '#!/bin/sh\n[ "$1" = -lc ] || exit 2\nexec /bin/sh -c "$2"\n'
# No index is reached from here: that it was asked is what counts.
_PIP = '#!/bin/sh\n[ "$*" = "-m pip install protobuf<7" ] || exit 2\n: >/tmp/protobuf\n'
_PATHS = "/opt/cosmos:/opt/python/bin:/bin"
_PACKAGES = "/opt/app:/opt/packages:/opt/site"


def files(mode: str) -> dict[str, tuple[bytes, int]]:
    """What the stand-in has beside the bank's own image: path → content, mode of the file."""
    program = b"#!/opt/python/bin/python3\n" + FAKE.read_bytes()
    banks = '#!/bin/sh\nexec /opt/python/bin/python3 -m tao_skill_bank.actions "${{0##*/}}" "$@"\n'.format()
    return {
        "opt/entry.sh": (_ENTRY.encode(), 0o755),
        "opt/mode": (mode.encode(), 0o644),
        "opt/cosmos/cosmos-rl": (program, 0o755),
        "opt/cosmos/cosmos-rl-evaluate": (program, 0o755),
        "opt/cosmos/cosmos-embed1": (program, 0o755),
        "opt/cosmos/bash": (_BASH.encode(), 0o755),
        "opt/cosmos/python": (_PIP.encode(), 0o755),
        **{f"opt/cosmos/{name}": (banks.encode(), 0o755) for name in _BANKS},
        "opt/site/cosmos_rl/__init__.py": (b"", 0o644),
        "opt/site/cosmos_rl/tools/custom_hooks/tao_sft_example.py": (b"", 0o644),
    }


class StandIn(ABC):
    """Where the stand-in runs.

    Attributes:
        platform: Its name.
        settings: The settings of a run there.
    """

    platform: str
    settings: tuple[str, ...]

    @abstractmethod
    def behave(self, mode: str) -> None:
        """Take a mode on, for the jobs from now on."""


class InDocker(StandIn):
    """As an image."""

    platform = "docker"

    def __init__(self, engine: DockerEngine, bank: str) -> None:
        self._engine, self._bank = engine, bank
        self.settings = (f"docker.host={engine.host}", f"docker.image='{IMAGE}'", "docker.network=none")

    def behave(self, mode: str) -> None:
        """The image, made anew."""
        changes = ['ENTRYPOINT ["/opt/entry.sh"]', f"ENV PATH={_PATHS}", f"ENV PYTHONPATH={_PACKAGES}"]
        self._engine.derive(IMAGE, self._bank, files(mode), changes)


class InSlurm(StandIn):
    """As an OCI bundle, which `srun --container` hands to runc.

    Args:
        folder: Where the bundle is made, about 350 MB.
        workspace: What it mounts, at its own path.
    """

    platform = "slurm"

    def __init__(self, folder: Path, workspace: Path) -> None:
        self._root = folder / "cosmos-stand-in" / "rootfs"
        self._root.mkdir(parents=True)
        packed = folder / "image.tar"
        with tarfile.open(packed, "w") as tar:
            pack_bank(tar)
        with tarfile.open(packed) as tar:
            tar.extractall(self._root, filter="fully_trusted")
        packed.unlink()
        bundle = self._root.parent
        (bundle / "config.json").write_text(json.dumps(_oci(self._root, workspace)))
        self.settings = (
            "slurm.container=oci",
            f"slurm.bundle={bundle}",
            "slurm.gpus=0",
            "slurm.lost_grace_sec=1",
        )

    def behave(self, mode: str) -> None:
        """The files of the bundle, in place."""
        for name, (content, permissions) in files(mode).items():
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(permissions)

    def remove(self) -> None:
        """The bundle is large."""
        shutil.rmtree(self._root)


def _oci(root: Path, workspace: Path) -> dict[str, object]:
    """A bundle's config.json; SLURM puts the program and the job's variables in."""
    own = dict(line.removeprefix("ENV ").split("=", 1) for line in BANK_CONFIG if line.startswith("ENV "))
    env = {**own, "PATH": _PATHS, "PYTHONPATH": _PACKAGES}
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": False},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh"],
            "env": [f"{name}={value}" for name, value in env.items()],
            "cwd": "/",
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": str(workspace), "type": "none", "source": str(workspace), "options": ["rbind", "rw"]},
        ],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    }
