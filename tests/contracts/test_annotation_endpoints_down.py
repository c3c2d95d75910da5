"""Certificates that nobody signed, proxies that are not there: named, free, and the run goes on later."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation import CANARY, config_for, run
from scripted_endpoint import ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.core.errors import BankError

BACKENDS = ("openai", pytest.param("gemini", marks=pytest.mark.slow))


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("GOOGLE_API_KEY", CANARY)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("down") / "v"
    make_videos(folder, 1, seconds=1.0, fps=2)
    return folder


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose certificate is its own word; no request gets as far as to be read."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key -out cert",
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secret:
                        secret.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def outcome(url: str, folder: Path, videos: Path, backend: str) -> api.StatusView:
    """What `annotate status` says of a run against it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GOOGLE_GEMINI_BASE_URL", url)
        with contextlib.suppress(BankError):
            assert run(config_for(url, folder, videos, backend=backend)).came_to_nothing
    return api.status(folder)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_certificate_that_nobody_signed_is_named_and_costs_nothing(
    backend: str, unsigned: str, videos: Path, tmp_path: Path
) -> None:
    view = outcome(unsigned, tmp_path, videos, backend)
    said = " ".join([view.message or "", *view.failures]).lower()
    assert "certificate" in said, said
    assert (view.answers, view.cost, view.may_cost, view.unknown) == (0, 0.0, 0.0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_proxy_that_is_not_there_is_free_and_gone_the_run_goes_on(
    backend: str, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedEndpoint() as server:
        with monkeypatch.context() as patched:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                patched.setenv(name, nobody)
            view = outcome(server.url, tmp_path, videos, backend)
            assert server.calls == 0, "nothing goes past the proxy"
            assert (view.answers, view.cost, view.may_cost, view.unknown) == (0, 0.0, 0.0, 0)
            assert view.failure_count or view.message
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        assert run(config_for(server, tmp_path, videos, backend=backend)).failed == 0
        assert server.calls > 0
