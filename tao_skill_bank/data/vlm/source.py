"""The bytes of a file as UTF-8, whatever they were packed in: plain, gzip or zstd, UTF-8 or UTF-16, of any size."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

# Small enough that what is made of a block is still in the cache when it is judged.
BLOCK = 1 << 19
# One item may not be larger: whoever forgets a closing quote gets an answer instead of a full memory.
LARGEST_ITEM = 64 << 20
SPACE = b" \t\n\r"
_GZIP, _ZSTD, _PICKLE = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x80"
_MARKS = ((codecs.BOM_UTF8, ""), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Recoded:
    """Text of another encoding as UTF-8."""

    def __init__(self, stream: _Readable, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")

    def read(self, size: int, /) -> bytes:
        while True:
            data = self._stream.read(size)
            # Half a character may be held back: nothing read is the end only where nothing is left.
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return text.encode("utf-8", "surrogatepass")


class Source:
    """The bytes of a file, decompressed and in UTF-8 without its mark, and how much of the file has been read."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path = path
        self._raw = raw
        self._size = max(1, raw.seek(0, 2))
        raw.seek(0)
        magic = raw.read(4)
        raw.seek(0)
        if path.suffix.lower() in (".pkl", ".pickle") or (magic[:1] == _PICKLE and magic[1:2] <= b"\x05"):
            raise InputError("is a pickle, which could run anything", where=path, fix="export it as JSON Lines or CSV")
        self._stream: _Readable = raw
        if magic[:2] == _GZIP:
            self._stream = gzip.GzipFile(fileobj=raw, mode="rb")
        elif magic == _ZSTD:
            import pyarrow as pa

            self._stream = pa.CompressedInputStream(raw, "zstd")
        self._head = self._bytes(4)
        for mark, encoding in _MARKS:
            if self._head.startswith(mark):
                self._head = self._head[len(mark) :]
                if encoding:
                    self._stream, self._head = _Recoded(_Joined(self._head, self._stream), encoding), b""
                break

    @property
    def share(self) -> float:
        """How much of the file has been read, 0..1."""
        return min(1.0, self._raw.tell() / self._size)

    def read(self, size: int = BLOCK) -> bytes:
        """At most about `size` bytes; empty at the end only.

        Raises:
            InputError: Damaged compression, or text that its encoding does not allow.
        """
        if self._head:
            head, self._head = self._head, b""
            return head + self._bytes(max(1, size - len(head)))
        return self._bytes(size)

    def _bytes(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, OSError) as error:  # a bad gzip and a bad zstd are an OSError without a number
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(
                f"damaged compressed file: {error}", where=self.path, fix="compress or copy it again"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(f"is not {error.encoding} text", where=self.path, fix="export it as UTF-8") from None

    def text(self) -> io.TextIOWrapper:
        """The rest of it as text, lines as they are."""
        return io.TextIOWrapper(io.BufferedReader(_Raw(self), BLOCK), encoding="utf-8", newline="")


class _Joined:
    """Some bytes, then a stream."""

    def __init__(self, head: bytes, stream: _Readable) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int, /) -> bytes:
        head, self._head = self._head, b""
        return head or self._stream.read(size)


class _Raw(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._left or self._source.read(len(into))
        size = min(len(data), len(into))
        into[:size], self._left = data[:size], data[size:]
        return size


@contextmanager
def opened(path: Path, key: str) -> Iterator[Source]:
    """A file to read from.

    `key` is the setting that names it: `predictions_json`.

    Raises:
        InputError: No such file, a folder, a pickle.
    """
    if guard.is_folder(path):
        raise InputError("is a folder", where=path, fix=f"name a file: {key}=FILE")
    try:
        raw = guard.open_read(path)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix=f"check {key}=") from None
    with raw:
        yield Source(path, raw)


def suffix_of(path: Path) -> str:
    """The suffix that says what a file holds, in lower case: `.csv` of `a.CSV.gz`."""
    name = path.name.lower()
    for packing in (".gz", ".zst"):
        name = name.removesuffix(packing)
    return Path(name).suffix
