"""Who is let in: whoever has the address, on this machine, under its own name."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from studio_server import Page


def test_the_page_opens_by_its_address_and_by_nothing_less(page: Page) -> None:
    assert httpx2.get(page.served.url()).status_code == 200
    for wrong in (page.base + "/", page.base + "/?token=", page.base + "/?token=" + "x" * 32, page.base + "/api/runs"):
        assert httpx2.get(wrong).status_code == 403
    assert httpx2.get(page.base + "/api/runs", headers={"Cookie": f"token={page.token}"}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost.evil.example", "[::1]", "127.0.0.1:1"])
def test_another_host_is_refused_whatever_its_token(page: Page, host: str) -> None:
    assert page.client.get("/api/runs", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_another_page_is_refused_whatever_its_token(page: Page, origin: str) -> None:
    assert page.client.get("/api/runs", headers={"Origin": origin}).status_code == 403
    assert page.client.get("/api/runs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_the_own_page_is_let_in_under_both_of_its_names(page: Page) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{page.served.studio.port}"
        assert page.client.get("/api/runs", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_a_token_in_the_address_changes_nothing(page: Page, finished: Path) -> None:
    found = httpx2.post(f"{page.base}/api/runs/{finished.name}/stop?token={page.token}")
    assert found.status_code == 403


def test_no_answer_lets_a_page_fetch_or_run_what_is_not_its_own(page: Page) -> None:
    for path in ("/", "/api/runs", "/api/nothing"):
        found = page.get(path)
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy and "unsafe" not in policy
        assert (
            found.headers["referrer-policy"] == "no-referrer" and found.headers["x-content-type-options"] == "nosniff"
        )


@pytest.mark.parametrize("name", ["../../etc", "..", ".", "nothing", "%2e%2e", "<b>x</b>", "a\0b", "a\0/../b"])
def test_a_run_is_a_name_and_no_path(page: Page, name: str) -> None:
    found = page.get("/api/samples", run=name)
    assert found.status_code == 400 and "no run" in found.json()["error"]


def test_a_picture_that_a_csv_names_outside_the_workspace_is_refused(page: Page, finished: Path) -> None:
    from tao_skill_bank.core import roots
    from tao_skill_bank.core.roots import OutsideError
    from tao_skill_bank.studio.sources import RunSources

    with roots.confined(page.served.studio.folders):
        sources = RunSources(finished)
        with pytest.raises(OutsideError):
            sources.picture(sources.source("kpi"), "/etc", "hostname", 0)


def test_the_address_is_the_first_line_and_an_interrupt_ends_the_server(finished: Path) -> None:
    command = [sys.executable, "-m", "tao_skill_bank.cli", "studio", str(finished.parent.parent), "--no-open"]
    with subprocess.Popen(
        [*command, "--open", "#/samples?set=kpi"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        url = running.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:") and url.endswith("#/samples?set=kpi")
        assert "Ctrl-C" in running.stdout.readline()
        assert httpx2.get(url.partition("#")[0]).status_code == 200
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode in (0, 130) and err == ""


def test_a_folder_that_is_not_there_and_a_port_that_is_taken_are_one_line_each(page: Page, tmp_path: Path) -> None:
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.studio.serve import served

    with pytest.raises(InputError, match="no such folder"):
        served(tmp_path / "nothing")
    with pytest.raises(InputError, match="cannot be had"):
        served(tmp_path, page.served.studio.port)
