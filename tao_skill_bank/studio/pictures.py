"""Pictures and videos as the browser gets them: whole files in ranges, small ones made and kept."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core import guard
from tao_skill_bank.reports.pictures import shrunk

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

MOST_PIXELS = 100_000_000
KEPT_BYTES = 96 << 20
KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
}
_CHUNK = 1 << 18
_MOST_DIGITS = 18
"""Of a byte's number; a file with more bytes there is not."""


class Thumbnails:
    """Small pictures, kept up to a number of bytes; also of what a browser cannot show (TIFF, BMP, 16 bits)."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._found: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path, edge: int) -> bytes | None:
        """A picture as WebP with no side longer than `edge`; None where it cannot be read."""
        about = guard.status(path)
        if about is None:
            return None
        key = (str(path), about.st_mtime_ns, edge)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        # Small pictures are enlarged by the page: every pixel of theirs counts.
        made = shrunk(path, edge, most_pixels=MOST_PIXELS, lossless_to=96, quality=88, method=2)
        if made is not None:
            with self._lock:
                if key not in self._found:
                    self._found[key] = made
                    self._bytes += len(made)
                while self._bytes > self._most:
                    self._bytes -= len(self._found.popitem(last=False)[1])
        return made


@dataclass(frozen=True)
class Part:
    """A part of a file: bytes `first` to `last` of `size`. Nothing of it is open until its bytes are read."""

    path: Path
    first: int
    last: int
    size: int
    kind: str

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1)

    def chunks(self) -> Generator[bytes, None, None]:
        """The bytes; the file is open from the first one until the end, or until the generator is closed."""
        left = len(self)
        with guard.open_read(self.path) as handle:
            handle.seek(self.first)
            while left > 0 and (data := handle.read(min(_CHUNK, left))):
                left -= len(data)
                yield data


def part_of(path: Path, asked: str | None) -> Part | None:
    """A file, or what a `Range` header asks of it; None where it asks for what is not there.

    Raises:
        OSError: It cannot be opened.
    """
    with guard.open_read(path) as handle:
        size = os.fstat(handle.fileno()).st_size
    kind = KINDS.get(path.suffix.lower(), "application/octet-stream")
    first, last = 0, size - 1
    if asked is not None and asked.startswith("bytes=") and "," not in asked:
        low, _, high = asked[6:].strip().partition("-")
        if not (low + high).isdecimal() or max(len(low), len(high)) > _MOST_DIGITS:
            return None
        if low:
            first, last = int(low), min(int(high), size - 1) if high else size - 1
        else:
            first = max(0, size - int(high))
        if first > last:
            return None
    return Part(path, first, last, size, kind)


def file_response(path: Path, asked: str | None) -> Response:
    """A file, or the part of it that a `Range` header asks for.

    The file is opened when its first byte is sent, so an answer that is never sent holds nothing; and it is closed
    when the answer ends, whether it was sent whole, the browser went away, or the server was told to stop.
    """
    from starlette.responses import Response, StreamingResponse

    part = part_of(path, asked)
    if part is None:
        return Response(status_code=416)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(len(part))}
    partial = asked is not None and asked.startswith("bytes=")
    if partial:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{part.size}"
    chunks = part.chunks()

    class Sent(StreamingResponse):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            with contextlib.closing(chunks):
                await super().__call__(scope, receive, send)

    return Sent(chunks, 206 if partial else 200, media_type=part.kind, headers=headers)
