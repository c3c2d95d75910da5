"""A file that is sent to a browser is closed, whatever the browser does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tao_skill_bank.studio.pictures import file_response

SIZE = 3 << 20
Send = Callable[[Any], Awaitable[None]]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "long.mp4"
    path.write_bytes(bytes(SIZE))
    return path


def held(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{number}") == str(path)
    return found


def answered(response: Response, send: Send, version: str, gone: asyncio.Event) -> Awaitable[None]:
    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "asgi": {"spec_version": version}, "method": "GET", "headers": []}
    return response(scope, receive, send)


def test_an_answer_that_is_never_sent_holds_no_file(video: Path) -> None:
    gc.disable()
    try:
        responses = [
            file_response(video, asked) for asked in (None, "bytes=5-", "bytes=-7", "bytes=99999999-", "bytes=x-")
        ]
        assert held(video) == 0 and len(responses) == 5
    finally:
        gc.enable()


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_an_answer_that_is_sent_whole_holds_no_file_afterwards(video: Path, version: str) -> None:
    sent: list[int] = []

    async def send(message: Any) -> None:
        sent.append(len(message.get("body", b"")))

    async def told() -> None:
        await answered(file_response(video, None), send, version, asyncio.Event())

    asyncio.run(told())
    assert sum(sent) == SIZE and held(video) == 0


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_browser_that_goes_away_leaves_no_file_open(video: Path, after: int) -> None:
    seen: list[int] = []

    async def told() -> None:
        gone, forever = asyncio.Event(), asyncio.Event()
        count = 0

        async def send(message: Any) -> None:
            nonlocal count
            count += message["type"] == "http.response.body"
            if count >= after:
                seen.append(held(video))
                gone.set()
                await forever.wait()

        response = file_response(video, "bytes=10-")
        await answered(response, send, "2.3", gone)
        assert held(video) == 0, "while the answer is still known to somebody"
        del response

    asyncio.run(told())
    assert seen == [min(after, 1)]


def test_a_socket_that_breaks_or_a_server_that_stops_leaves_no_file_open(video: Path) -> None:
    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection reset")

    async def told() -> None:
        response = file_response(video, None)
        with contextlib.suppress(Exception):
            await answered(response, broken, "2.4", asyncio.Event())
        assert held(video) == 0

        begun = asyncio.Event()

        async def slow(message: Any) -> None:
            if message["type"] == "http.response.body":
                begun.set()
                await asyncio.Event().wait()

        response = file_response(video, None)
        task = asyncio.ensure_future(answered(response, slow, "2.4", asyncio.Event()))
        await begun.wait()
        assert held(video) == 1
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert held(video) == 0

    asyncio.run(told())
