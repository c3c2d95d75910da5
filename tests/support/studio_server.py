"""The studio's own server on a workspace, answering over real HTTP for as long as a test looks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tao_skill_bank.studio.serve import Served, served


@dataclass
class Page:
    """A server, its address, and a client that has its token."""

    served: Served
    client: httpx2.Client

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.served.studio.port}"

    @property
    def token(self) -> str:
        return self.served.studio.token

    def get(self, path: str, **params: Any) -> httpx2.Response:
        return self.client.get(path, params=params)

    def json(self, path: str, **params: Any) -> Any:
        found = self.get(path, **params)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, value: Any = None, **params: Any) -> httpx2.Response:
        return self.client.post(path, json=value if value is not None else {}, params=params)


@contextlib.contextmanager
def page_of(workspace: Path) -> Iterator[Page]:
    found = served(workspace)
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        base = f"http://127.0.0.1:{found.studio.port}"
        with httpx2.Client(base_url=base, headers={"x-studio-token": found.studio.token}, timeout=60) as client:
            yield Page(found, client)
    finally:
        found.server.should_exit = True
        thread.join(20)
