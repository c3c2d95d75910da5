"""Videos through PyAV: one probe, one pass of decoding. No system ffmpeg is needed.

Times are seconds from the first picture; a variable frame rate is no special case, because every picture carries its
own time. Pictures are turned upright and scaled down.
"""

from __future__ import annotations

import io
import math
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.extras import pyav
from tao_skill_bank.core.seal import Identity, opened

FRAME_SIDE = 512
"""Longest side of a frame that is sent, in pixels."""
_JPEG_QUALITY = 80
_SHORTEST = 0.04
_HEADER_ERROR = 0.5


class VideoError(InputError):
    """A video that cannot be annotated; the others go on."""


@dataclass(frozen=True)
class Probe:
    """What one look at a video says. `duration` in seconds; `width` and `height` as shown, upright."""

    duration: float
    width: int
    height: int
    rotation: int

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


def probe(path: Path, known: Identity | None = None) -> Probe:
    """Look at a video: its container, and its first picture; `known` is the file that it must be.

    Raises:
        VideoError: It is missing, empty, damaged, or holds no pictures.
    """
    try:
        about = guard.status(path)
    except InputError as error:
        raise VideoError(error.what, where=path, fix=error.fix) from None
    if about is None:
        raise VideoError("no such video", where=path, fix="check the path")
    if not stat.S_ISREG(about.st_mode):
        # Opening a pipe would wait for ever for somebody who writes.
        raise VideoError("is no regular file", where=path, fix="take it out")
    if about.st_size == 0:
        raise VideoError("the file is empty", where=path, fix="replace it or take it out")
    with _opened(path, known) as (container, stream):
        first = next(_pictures(container, stream), None)
        if first is None:
            raise VideoError("holds no picture that can be decoded", where=path, fix="replace it or take it out")
        rotation = int(getattr(first[1], "rotation", 0) or 0) % 360
        duration = _duration(container, stream)
        # A header may tell less than there is; what exceeds it by less than half a second is rounding.
        if (end := _last_end(container, stream)) > duration + _HEADER_ERROR:
            duration = end
        width, height = first[1].width, first[1].height
    if rotation in (90, 270):
        width, height = height, width
    return Probe(round(max(duration, _SHORTEST), 3), width, height, rotation)


def average_rate(path: Path) -> float:
    """The average frame rate of a video: frames a second, with three digits.

    Raises:
        VideoError: It cannot be read, or says nothing of it.
    """
    with _opened(path, None) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise VideoError("has no frame rate", where=path, fix="take it out")
        return round(float(rate), 3)


def frames_at(
    path: Path, times: Iterable[float], side: int = FRAME_SIDE, known: Identity | None = None
) -> dict[float, bytes]:
    """Pictures as JPEG for each time: the last one shown at or before it (the first where there is none before).

    Raises:
        VideoError: Decoding stopped before any picture, or it is not the file that is `known`.
    """
    wanted = sorted(set(times))
    found: dict[float, bytes] = {}
    with _opened(path, known) as (container, stream):
        shown: Any = None
        encoded: bytes | None = None
        position = 0
        for seconds, picture in _pictures(container, stream):
            while position < len(wanted) and shown is not None and seconds > wanted[position] + 1e-6:
                encoded = encoded or _jpeg(shown, side)
                found[wanted[position]] = encoded
                position += 1
            if position == len(wanted):
                break
            shown, encoded = picture, None
        if shown is None:
            raise VideoError("holds no picture that can be decoded", where=path, fix="replace it or take it out")
        for time in wanted[position:]:
            encoded = encoded or _jpeg(shown, side)
            found[time] = encoded
    return found


def spread(start: float, end: float, number: int) -> tuple[float, ...]:
    """`number` evenly spaced times of a span, in the middle of equal parts, in whole milliseconds."""
    part = (end - start) / number
    return tuple(round(start + (i + 0.5) * part, 3) for i in range(number))


def chunk_length(duration: float, options: Sequence[float], most: int) -> float:
    """The first option that cuts `duration` into at most `most` chunks, else the last option. Seconds."""
    return next((option for option in options if duration / option <= most), options[-1])


def chunks(duration: float, length: float) -> list[tuple[float, float]]:
    """(start, end) of chunks of `length` seconds. A rest below half a second belongs to the chunk before it.

    Containers round durations up by a picture or two; a rest of that size is no chunk.
    """
    number = max(1, math.ceil((duration - 0.5) / length))
    edges = [round(i * length, 3) for i in range(number)]
    return [(start, edges[i + 1] if i + 1 < number else duration) for i, start in enumerate(edges)]


def highlight(moment: float, duration: float, before: float, after: float, least: float = 2.0) -> tuple[float, float]:
    """The window around a moment: [moment - before, moment + after] inside the video, at least `least` seconds.

    Where the video is shorter than `least`, the window is the whole video.
    """
    moment = min(max(moment, 0.0), duration)
    start, end = max(0.0, moment - before), min(duration, moment + after)
    if end - start < least:
        middle = (start + end) / 2
        start = min(max(0.0, middle - least / 2), max(0.0, duration - least))
        end = min(duration, start + least)
    return round(start, 3), round(end, 3)


@contextmanager
def readable(path: Path, known: Identity | None) -> Iterator[BufferedReader]:
    """A video's file, open for reading, if it is the one that is known.

    Raises:
        VideoError: It is not, or cannot be opened.
    """
    try:
        with opened(path, known) as handle:
            yield handle
    except InputError as error:
        # Another file than the one listed, no regular file, or one outside the folders that a person allowed.
        raise VideoError(error.what, where=path, fix=error.fix) from None
    except OSError as error:
        raise VideoError(error.strerror or str(error) or "cannot be read", where=path, fix="check the path") from None


@contextmanager
def _opened(path: Path, known: Identity | None) -> Iterator[tuple[Any, Any]]:
    av = pyav()
    try:
        with readable(path, known) as file, av.open(file, metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoError("holds no video stream", where=path, fix="take it out")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except (av.error.FFmpegError, av.error.InvalidDataError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"cannot be read: {reason}", where=path, fix="replace it or take it out") from None


def _pictures(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """(seconds, picture) in the order shown. Damage in the middle ends a video early, not the run."""
    import av

    origin: float | None = None
    last = 0.0
    try:
        for picture in container.decode(stream):
            at = picture.time
            if at is None:
                at = (origin or 0.0) + last
            if origin is None:
                origin = at
            last = max(last, at - origin)
            yield last, picture
    except av.error.FFmpegError:
        if origin is None:
            raise


def _duration(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(container.duration) / 1_000_000
    # A container that was never closed carries no length: its pictures tell.
    last = 0.0
    for seconds, _picture in _pictures(container, stream):
        last = seconds
    rate = float(stream.average_rate or 25)
    return last + 1 / rate


def _last_end(container: Any, stream: Any) -> float:
    """When the last picture ends, by the packets that are left, in seconds from the beginning; 0 where none says."""
    import av

    start = stream.start_time or 0
    last = 0
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                last = max(last, packet.pts - start + (packet.duration or 0))
    except av.error.FFmpegError:
        pass
    return float(last * stream.time_base) if stream.time_base else 0.0


def _jpeg(picture: Any, side: int) -> bytes:
    scale = min(1.0, side / max(picture.width, picture.height))
    width, height = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
    image = picture.to_image(width=width, height=height)
    rotation = int(getattr(picture, "rotation", 0) or 0) % 360
    if rotation:
        image = image.rotate(rotation, expand=True)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()
