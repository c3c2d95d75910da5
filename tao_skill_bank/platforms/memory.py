"""Shared memory and limits of a command: data loaders hand batches over in `/dev/shm`, and end in a bus error without.

An engine gives a container 64 MiB unless it is told otherwise. `--ipc host` would hand it the host's own `/dev/shm` and
cancel the size that was asked for, so the two never stand together here: a size is asked for, and nothing is shared.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tao_skill_bank.core.overrides import get
from tao_skill_bank.core.yamlio import read_yaml
from tao_skill_bank.platforms.base import PlatformCheck

DEVICE = Path("/dev/shm")
LEAST_GIB = 1
TRAINER = "visual_changenet"
_UNLIMITED = -1
_STACK_BYTES = 64 << 20


@dataclass(frozen=True)
class Memory:
    """What a command's container is given.

    Attributes:
        shm_gib: Size of its `/dev/shm`, GiB.
        ulimits: Name → limit, bytes; -1 for none.
    """

    shm_gib: int
    ulimits: Mapping[str, int] = field(default_factory=dict)

    @property
    def shm_size(self) -> str:
        """As `--shm-size` takes it."""
        return f"{self.shm_gib}g"


# Locked memory and a deep stack are what NVIDIA's images ask for at their start when PyTorch's loaders run in them.
_TORCH: Final = Memory(16, {"memlock": _UNLIMITED, "stack": _STACK_BYTES})
_TABLES: Final = Memory(2)
_OF: Final = {"gap_analysis": _TABLES, "tmm": _TABLES, "auto_label": _TABLES}


def memory_of(command: str) -> Memory:
    """What the container of a TAO command or of the generator is given; the networks all load batches alike."""
    return _OF.get(command, _TORCH)


def check_engine_memory(total_bytes: int | None) -> PlatformCheck:
    """Whether an engine's machine can hold the shared memory that a training is given."""
    wanted = memory_of(TRAINER).shm_gib
    text = f"{wanted} GiB of /dev/shm for each training, not shared with the host"
    if total_bytes is None:
        return PlatformCheck(name="shared memory", status="skip", text=f"{text}; the engine does not tell its memory")
    has = total_bytes >> 30
    if has < wanted:
        text += f", and the engine's machine has {has} GiB in all (fewer dataset.classify.workers need less)"
    return PlatformCheck(name="shared memory", status="warn" if has < wanted else "ok", text=text)


def check_own_memory(specs_file: str, device: Path = DEVICE) -> PlatformCheck:
    """Whether this machine's `/dev/shm` suffices for the data loaders of a spec that runs here, outside containers."""
    workers = _workers(specs_file)
    if not workers:
        return PlatformCheck(name="shared memory", status="ok", text="not needed: the spec loads without workers")
    try:
        has = shutil.disk_usage(device).total
    except OSError:
        return PlatformCheck(name="shared memory", status="skip", text=f"no {device} here")
    text = f"{device} holds {has >> 20} MiB for {workers} data loaders"
    if has < LEAST_GIB << 30:
        text += ": they may end in a bus error (dataset.classify.workers: 0, or a larger one)"
        return PlatformCheck(name="shared memory", status="warn", text=text)
    return PlatformCheck(name="shared memory", status="ok", text=text)


def _workers(specs_file: str) -> int:
    """`dataset.classify.workers` of a spec; TAO's default of 8 where it says nothing."""
    from tao_skill_bank.core.errors import InputError

    try:
        spec = read_yaml(Path(specs_file))
    except InputError:
        return 0  # the check of the spec says why
    value = get(spec, "dataset.classify.workers", 8)
    return value if isinstance(value, int) else 8
