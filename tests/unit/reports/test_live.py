"""The page that follows a run: on loopback only, anew when the run has moved on, never for another host's name."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.state import save_state
from tao_skill_bank.reports.deft.live import LiveReport, LiveServer
from tao_skill_bank.tasks.registry import load_state

MakeRun = Callable[..., Path]


def ask(server: LiveServer, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    host = server.address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host, timeout=120)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_follows_the_run(make_run: MakeRun) -> None:
    run = make_run(iterations=1, status="running")
    with LiveServer(run) as server:
        status, headers, page = ask(server)
        assert status == 200
        assert "IN PROGRESS" in page
        assert headers["Cache-Control"] == "no-store"
        _, _, mark = ask(server, "/mark")
        assert f'data-live="{mark}"' in page
        state = load_state(run)
        state.status = "stopped"
        state.stop_reason = "silent-drop: nobody takes scratch"
        save_state(state)
        assert ask(server, "/mark")[2] != mark
        assert "STOPPED: silent-drop" in ask(server)[2]


def test_the_page_is_rendered_once_while_nothing_changes(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from tao_skill_bank.reports.deft import live

    calls: list[str] = []
    real = live.report_html

    def counted(*args: object, **kwargs: object) -> str:
        calls.append("")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(live, "report_html", counted)
    report = LiveReport(make_run())
    assert report.page() == report.page()
    assert len(calls) == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "", "127.0.0.1.nip.io"]
)
def test_a_name_that_is_not_this_machines_is_refused(make_run: MakeRun, host: str) -> None:
    with LiveServer(make_run()) as server:
        status, _, body = ask(server, Host=host)
    assert status in (400, 421)
    assert "DEFT" not in body


def test_only_the_page_is_served(make_run: MakeRun) -> None:
    with LiveServer(make_run()) as server:
        for path in ("/deft_state.json", "/../deft_state.json", "/%2e%2e/", "/mark?x"):
            assert ask(server, path)[0] == 404
        assert ask(server, method="POST")[0] == 501
        status, headers, body = ask(server, method="HEAD")
        assert (status, body) == (200, "")
        assert int(headers["Content-Length"]) > 10_000
        assert server.address.startswith("http://127.0.0.1:")


def test_a_state_that_cannot_be_read_is_said_in_a_line_and_the_server_goes_on(make_run: MakeRun) -> None:
    run = make_run()
    with LiveServer(run) as server:
        kept = (run / "deft_state.json").read_bytes()
        (run / "deft_state.json").write_bytes(b"{")
        status, _, body = ask(server)
        assert (status, body.count("\n")) == (503, 1)
        (run / "deft_state.json").write_bytes(kept)
        assert ask(server)[0] == 200


def test_no_run_and_a_taken_port_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run here"):
        LiveServer(tmp_path)
    run = make_run()
    with LiveServer(run) as server:
        port = int(server.address.rstrip("/").rpartition(":")[2])
        with pytest.raises(InputError, match="cannot be used"):
            LiveServer(run, port)
    with pytest.raises(InputError, match="cannot be used"):
        LiveServer(run, 70_000)
