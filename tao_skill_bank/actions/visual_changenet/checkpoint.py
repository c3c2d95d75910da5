"""The local ChangeNet's checkpoint file: it says in its first line what it is, and reading one runs nothing.

    TAO Skill Bank local ChangeNet checkpoint 1, and a line feed
    <length of the header in bytes, 8 bytes, little-endian>
    <header: JSON with sorted keys>
    <every tensor as little-endian float32, in the header's order>

The files are called `.pth` because that is what TAO calls its own; PyTorch cannot read them, nor this module PyTorch's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tao_skill_bank.actions.visual_changenet.network import IMAGE_SIZE, Architecture, Network
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError

MAGIC = b"TAO Skill Bank local ChangeNet checkpoint 1\n"
WHAT = "local CPU stand-in for NVIDIA TAO Visual ChangeNet; not a PyTorch file; its scores are its own"
MOST_HEADER_BYTES = 1 << 20
MOST_FILE_BYTES = 64 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Network(_Strict):
    channels: int = Field(ge=1, le=3)
    widths: list[int] = Field(min_length=1, max_length=5)
    image_size: int = Field(ge=IMAGE_SIZE, le=IMAGE_SIZE)


class Trained(_Strict):
    """How a checkpoint came about.

    Attributes:
        epoch: Epochs finished before it, the first being 0.
        step: Optimizer steps made.
        batch_size: Pairs a step.
        continued_from: Digest of the checkpoint it went on from, or None.
    """

    epoch: int
    step: int
    rows: int
    seed: int
    batch_size: int
    continued_from: str | None


class _Header(_Strict):
    what: str
    network: _Network
    lights: list[str]
    trained: Trained
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A model read from its file.

    Attributes:
        digest: SHA-256 of its tensors.
    """

    network: Network
    lights: tuple[str, ...]
    trained: Trained
    digest: str

    @property
    def architecture(self) -> Architecture:
        """Its sizes."""
        return self.network.architecture


def save(path: Path, network: Network, lights: Sequence[str], trained: Trained) -> str:
    """Write a checkpoint in one step; equal weights give equal bytes. Returns the digest of the tensors."""
    payload = b"".join(np.ascontiguousarray(value, "<f4").tobytes() for value in network.state().values())
    architecture = network.architecture
    header = _Header(
        what=WHAT,
        network=_Network(
            channels=architecture.channels,
            widths=list(architecture.widths),
            image_size=architecture.image_size,
        ),
        lights=list(lights),
        trained=trained,
        sha256=hashlib.sha256(payload).hexdigest(),
    )
    text = fsio.canonical_json(header.model_dump()).encode("utf-8")
    fsio.write_bytes(path, MAGIC + len(text).to_bytes(8, "little") + text + payload)
    return header.sha256


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: No such file; a file of another kind (a PyTorch one is named as such); a damaged one.
    """
    data = _read(path)
    header, start = _header(path, data)
    architecture = Architecture(header.network.channels, tuple(header.network.widths), header.network.image_size)
    payload = memoryview(data)[start:]
    network = Network(architecture, 0)
    expected = 4 * sum(math.prod(shape) for shape in network.shapes().values())
    if len(payload) != expected:
        raise _damaged(path, f"{len(payload)} bytes of weights instead of {expected}")
    if hashlib.sha256(payload).hexdigest() != header.sha256:
        raise _damaged(path, "its weights do not have the digest in its header")
    values = np.frombuffer(payload, "<f4")
    if not np.isfinite(values).all():
        raise _damaged(path, "it holds weights that are not finite numbers")
    place = 0
    state: dict[str, Any] = {}
    for name, shape in network.shapes().items():
        state[name] = values[place : place + math.prod(shape)].reshape(shape)
        place += math.prod(shape)
    network.load_state(state)
    return Checkpoint(network, tuple(header.lights), header.trained, header.sha256)


def described(path: Path) -> Architecture | None:
    """What network a file of the bank's own is of, by its first lines; None for any other file (TAO's, or none).

    Raises:
        InputError: It says that it is the bank's own, and is damaged.
    """
    try:
        with guard.open_read(path) as handle:
            head = handle.read(len(MAGIC) + 8 + MOST_HEADER_BYTES)
    except OSError:
        return None
    if not head.startswith(MAGIC):
        return None
    header, _ = _header(path, head)
    return Architecture(header.network.channels, tuple(header.network.widths), header.network.image_size)


def _read(path: Path) -> bytes:
    try:
        with guard.open_read(path) as handle:
            data = handle.read(MOST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InputError("no such checkpoint", where=path, fix="name a .pth file of a finished training") from None
    except IsADirectoryError:
        raise InputError("is a folder, not a checkpoint", where=path, fix="name the .pth file in it") from None
    if not data.startswith(MAGIC):
        if data.startswith((b"PK\x03\x04", b"\x80\x02")):
            what = "is a PyTorch file, which the local ChangeNet cannot use"
            raise InputError(what, where=path, fix="run it with TAO (--platform docker), or train one here")
        what = "is not a checkpoint of the local ChangeNet" if data else "is empty"
        raise InputError(what, where=path, fix="name a .pth file that `visual_changenet train` wrote here")
    if len(data) > MOST_FILE_BYTES:
        raise _damaged(path, f"more than {MOST_FILE_BYTES >> 20} MB")
    return data


def _header(path: Path, data: bytes) -> tuple[_Header, int]:
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > MOST_HEADER_BYTES or start + length > len(data):
        raise _damaged(path, "its header is cut off")
    try:
        header = _Header.model_validate(json.loads(data[start : start + length].decode("utf-8")))
    except (ValueError, RecursionError, ValidationError):
        raise _damaged(path, "its header cannot be read") from None
    if not all(1 <= width <= 256 for width in header.network.widths) or header.network.channels == 2:
        raise _damaged(path, "its header describes a network that does not exist")
    return header, start + length


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"is damaged: {what}", where=path, fix="copy it again, or train anew")
