"""What is looked at of a video: its bytes' digest, a few frames, how bright it is and how much moves.

Frames are chosen by their number in the stream, so that the same packets in another container give the same picture.
One pass of decoding serves everything; what was seen is kept for the process, by path, size and time of change.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.extras import pyav

FRAMES = 8
"""Frames that a model, an encoder and the looks of a video see."""
SIDE = 48
_FACTS, _FACT_SIDE, _LOOK_SIDE = 16, 64, 16
_FLAT = 2.0
Bytes = npt.NDArray[np.uint8]


class ClipError(InputError):
    """A video that cannot be looked at."""


@dataclass(frozen=True)
class Clip:
    """One video as it was seen.

    Attributes:
        frames: uint8 [8, 48, 48, 3], RGB, spread evenly.
        looks: SHA-256 of the 8 frames as 16x16 luma in 16 steps; None where all of them are flat.
        duration: Seconds.
        brightness: Mean luma of 16 frames at 64x64, 0..255.
        motion: Mean |difference| of neighbours among those.
        pictures: How many frames the stream has.
    """

    frames: Bytes
    looks: str | None
    duration: float
    brightness: float
    motion: float
    pictures: int


def content_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes; kept for the process while the file does not change."""
    return _content(str(path), *_stamp(path))


def clip_of(path: Path) -> Clip:
    """Look at a video; kept for the process while the file does not change.

    Raises:
        ClipError: It holds no picture that can be decoded.
    """
    return _clip(str(path), *_stamp(path))


def stills(path: Path, number: int, side: int) -> list[tuple[float, Bytes]]:
    """`number` spread frames with their seconds, as RGB with a longest side of at most `side`, for people.

    Raises:
        ClipError: It holds no picture that can be decoded.
    """
    with _opened(str(path)) as (container, stream):
        packets = max(1, sum(1 for packet in container.demux(stream) if packet.size))
        container.seek(0)
        wanted = spread(packets, number)
        kept: dict[int, tuple[float, Bytes]] = {}
        for place, picture in enumerate(_decoded(container, stream)):
            if place in wanted or not kept:
                scale = min(1.0, side / max(picture.width, picture.height))
                size = {"width": max(2, round(picture.width * scale)), "height": max(2, round(picture.height * scale))}
                kept[place] = (float(picture.time or 0.0), np.asarray(picture.to_image(**size).convert("RGB")))
    if not kept:
        raise ClipError("holds no picture", where=path, fix="replace it or take it out")
    last = kept[max(kept)]
    return [kept.get(place, last) for place in wanted]


def spread(count: int, number: int) -> list[int]:
    """`number` places of `count`, each in the middle of an equal part."""
    return [min(count - 1, int((i + 0.5) * count / number)) for i in range(number)]


def _stamp(path: Path) -> tuple[int, int]:
    found = guard.status(path)
    if found is None:
        raise ClipError("no such video", where=path, fix="restore it")
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=100_000)
def _content(path: str, size: int, changed: int) -> str:
    return fsio.sha256_file(Path(path))


@lru_cache(maxsize=4096)
def _clip(path: str, size: int, changed: int) -> Clip:
    with _opened(path) as (container, stream):
        return _seen(container, stream, path)


@contextmanager
def _opened(path: str) -> Iterator[tuple[Any, Any]]:
    av = pyav()
    try:
        with guard.open_read(path, "video") as file, av.open(file, metadata_errors="replace") as container:
            if not container.streams.video:
                raise ClipError("holds no picture", where=path, fix="replace it or take it out")
            stream = container.streams.video[0]
            # Starting threads takes longer than decoding a short clip does.
            stream.thread_type = "NONE"
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        # An empty or damaged file has a place before its beginning looked for, which its reader refuses.
        if not isinstance(error, av.error.FFmpegError) and error.errno != errno.EINVAL:
            raise
        raise ClipError("holds no picture", where=path, fix="replace it or take it out") from None


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The pictures in the order shown; damage behind the first one ends a video early."""
    import av

    seen = False
    try:
        for picture in container.decode(stream):
            seen = True
            yield picture
    except av.error.FFmpegError:
        if not seen:
            raise


def _seen(container: Any, stream: Any, path: str) -> Clip:
    packets = sum(1 for packet in container.demux(stream) if packet.size)
    container.seek(0)
    wanted = sorted({*spread(max(packets, 1), FRAMES), *spread(max(packets, 1), _FACTS)})
    kept: dict[int, Any] = {}
    number, last, end = 0, None, 0.0
    for picture in _decoded(container, stream):
        if number in wanted:
            kept[number] = _rgb(picture)
        last, number = picture, number + 1
        end = max(end, picture.time or 0.0)
    if last is None:
        raise ClipError("holds no picture", where=path, fix="replace it or take it out")
    if number < packets:
        # Damage in the middle: what can be seen is spread anew over what there is.
        tail = _rgb(last)
        kept = {place: kept.get(place, tail) for place in wanted}
    chosen = [kept[place] for place in spread(packets, FRAMES)]
    facts = np.stack([_luma(_sized(kept[place], _FACT_SIDE)) for place in spread(packets, _FACTS)])
    rate = float(stream.average_rate or 25)
    return Clip(
        frames=np.stack([_sized(frame, SIDE) for frame in chosen]),
        looks=_looks(chosen),
        duration=round(max(end + 1 / rate, 1 / rate), 3),
        brightness=float(facts.mean()),
        motion=float(np.abs(np.diff(facts, axis=0)).mean()),
        pictures=number,
    )


def _rgb(picture: Any) -> Bytes:
    found: Bytes = picture.to_ndarray(format="rgb24")
    return found


def _sized(frame: Bytes, side: int) -> Bytes:
    if frame.shape[:2] == (side, side):
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BOX), dtype=np.uint8)


def _luma(frame: Bytes) -> npt.NDArray[np.float64]:
    red, green, blue = (frame[..., i].astype(np.float64) for i in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _looks(frames: list[Bytes]) -> str | None:
    lumas = [_luma(frame) for frame in frames]
    if all(luma.std() < _FLAT for luma in lumas):
        return None
    small = [_luma(_sized(frame, _LOOK_SIDE)).astype(np.uint8) >> 4 for frame in frames]
    return hashlib.sha256(b"".join(part.tobytes() for part in small)).hexdigest()
