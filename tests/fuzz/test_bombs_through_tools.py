"""Files that are small on disk and large in memory, named in a call of a tool: one line, and the server lives on."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path

import bombs
import pytest
from server_calls import call, ok

from mcp_server.server import build_server

MB = 1 << 20


def png(path: Path, side: int) -> None:
    """A black picture of `side` × `side` pixels; a row costs next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + side // 8)) for _ in range(side)) + packed.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("p/PASS/a.png", "p/bridge/b.png", "g/a.png", "g/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        png(tmp_path / name, 64)
    png(tmp_path / "p" / "bridge" / "b.png", 60_000)
    assert (tmp_path / "p" / "bridge" / "b.png").stat().st_size < MB
    return tmp_path


def test_a_picture_of_billions_of_pixels_is_refused_and_the_server_answers_on(pictures: Path) -> None:
    server = build_server([pictures])
    call(server, "list_skills")
    before = most_memory()
    places = {"pictures": f"{pictures}/p", "goldens": f"{pictures}/g", "workspace": f"{pictures}/w"}
    answer = call(server, "make_workspace", places)
    assert answer.error and "b.png" in answer.text, answer.text
    assert len(answer.text) < 2000
    assert most_memory() - before < 500 * MB
    assert not (pictures / "w" / "kpi").exists()
    assert ok(call(server, "list_skills"))


@pytest.mark.slow  # it writes hundreds of millions of rows
def test_a_parquet_that_unpacks_without_end_is_refused_and_the_server_answers_on(tmp_path: Path) -> None:
    server = build_server([tmp_path])
    call(server, "list_skills")
    bombs._rows(tmp_path / "gaps.parquet", "x", 300_000_000)
    assert (tmp_path / "gaps.parquet").stat().st_size < 50 * MB
    before = most_memory()
    answer = call(server, "route_samples", {"gaps_parquet": f"{tmp_path}/gaps.parquet", "results_dir": f"{tmp_path}/r"})
    assert answer.error and "\n" not in answer.text, answer.text
    assert most_memory() - before < 1024 * MB
    assert not (tmp_path / "r").exists()
    assert ok(call(server, "list_skills"))
