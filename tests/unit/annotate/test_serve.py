"""The self-hosted endpoint: the plan is what start runs; a stand-in `docker` on PATH keeps what it was told."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tao_skill_bank.annotate.serve import LABEL, ServiceError, plan_service, service_status, start_service, stop_service
from tao_skill_bank.core.errors import InputError

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"


class Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Models)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU and a `docker` that runs nothing; it keeps its arguments in `said`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    state = shlex.quote(str(tmp_path / "container.json"))
    scripts = {
        "nvidia-smi": "echo 'GPU 0: stand-in'",
        "docker": (
            f"printf '%s\\n' \"$*\" >> {shlex.quote(str(tmp_path / 'said'))}\n"
            f'if [ "$1" = container ] && ! cat {state} 2>/dev/null; then echo No such container >&2; exit 1; fi\n'
            f'if [ "$1" = rm ]; then rm -f {state}; fi'
        ),
    }
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    return tmp_path


def container(folder: Path, port: int, *, running: bool = True, label: bool = True) -> None:
    labels = {LABEL: f"{port} {MODEL}"} if label else {}
    found = [{"Config": {"Labels": labels}, "State": {"Running": running}}]
    (folder / "container.json").write_text(json.dumps(found), encoding="utf-8")


def test_a_plan_names_the_image_of_the_bank_listens_on_loopback_and_holds_no_credential(machine: Path) -> None:
    plan = plan_service(MODEL, port=8123, gpus="0,1")
    line = shlex.join(plan.argv)
    assert "--publish 127.0.0.1:8123:8000" in line
    assert "--tensor-parallel-size 2" in line
    assert "--env HF_TOKEN " in line
    assert "hf_canary" not in line
    assert plan.image in plan.argv
    assert plan.overrides[1].endswith("base_url='http://127.0.0.1:8123/v1'")
    assert plan.missing == []


def test_a_machine_without_a_gpu_gets_the_plan_and_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = plan_service(MODEL)
    assert plan.missing == ["no docker command", "no NVIDIA GPU"]
    with pytest.raises(InputError, match="run the planned command line"):
        start_service(plan)


def test_a_service_is_started_by_the_planned_line_watched_and_stopped(machine: Path, answering: int) -> None:
    plan = plan_service(MODEL, port=answering)
    container(machine, answering)
    view = start_service(plan, wait_sec=0)
    assert (view.state, view.base_url, view.model_name) == ("healthy", plan.base_url, MODEL)
    assert (machine / "said").read_text().splitlines()[0] == " ".join(plan.argv[1:])
    assert stop_service(plan.name)
    assert service_status(plan.name).state == "absent"
    assert not stop_service(plan.name)


def test_a_server_that_does_not_answer_yet_is_starting_and_an_ended_one_has_exited(machine: Path) -> None:
    container(machine, 9)
    assert service_status("serve-vlm-x").state == "starting"
    container(machine, 9, running=False)
    assert service_status("serve-vlm-x").state == "exited"


def test_an_engine_that_does_not_answer_says_nothing_of_a_service(machine: Path) -> None:
    (machine / "bin" / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    for look in (service_status, stop_service):
        with pytest.raises(ServiceError, match="Cannot connect to the Docker daemon"):
            look("serve-vlm-model")


def test_a_container_of_somebody_else_is_left_alone(machine: Path) -> None:
    container(machine, 9, label=False)
    with pytest.raises(InputError, match="somebody else"):
        stop_service("database")
    assert "stop" not in (machine / "said").read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"model": "a b"}, "--model"),
        ({"model": "--privileged"}, "--model"),
        ({"model": MODEL, "port": 0}, "--port"),
        ({"model": MODEL, "gpus": "two"}, "--gpus"),
        ({"model": MODEL, "name": "Bad Name"}, "--name"),
    ],
)
def test_what_cannot_be_planned_names_its_option(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        plan_service(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_server_that_sends_the_look_elsewhere_is_not_healthy_and_nobody_else_is_asked(
    machine: Path, answering: int, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    class Redirecting(Models):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", f"http://127.0.0.1:{answering}/v1/models")
            self.end_headers()

    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{answering}")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        container(machine, server.server_address[1])
        try:
            assert service_status("serve-vlm-x").state == "starting"
        finally:
            server.shutdown()
            thread.join()


def test_a_label_that_would_lead_the_look_to_another_host_is_somebody_elses(machine: Path) -> None:
    found = [{"Config": {"Labels": {LABEL: f"80@elsewhere.example {MODEL}"}}, "State": {"Running": True}}]
    (machine / "container.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(InputError, match="somebody else"):
        service_status("serve-vlm-x")
