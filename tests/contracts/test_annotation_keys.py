"""Endpoint keys: in no file, no output, no argument, however they are given, and which of several is used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import annotation
import pytest
from annotation import CANARY, config_for
from scripted_endpoint import Fault, Request, ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.actions.auto_label.cli import ACTIONS
from tao_skill_bank.core.errors import InputError


@pytest.fixture
def server() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as running:
        yield running


@pytest.fixture
def three(tmp_path: Path) -> Path:
    make_videos(tmp_path / "v", 3)
    return tmp_path / "v"


@pytest.mark.parametrize(
    "door", [("tao_skill_bank.actions", "auto_label", "generate"), ("tao_skill_bank.cli", "annotate", "run")]
)
def test_the_key_is_in_no_file_no_output_and_no_argument(
    door: tuple[str, ...], server: ScriptedEndpoint, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    seen: list[str] = []

    def latency(request: Request) -> float:
        assert request.headers["authorization"] == f"Bearer {CANARY}"
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(entry.read_bytes().decode(errors="replace"))
            except OSError:
                continue
        return 0.0

    server.latency = latency
    server.faults = lambda r: Fault(401, json.dumps({"error": {"message": CANARY}})) if r.number > 5 else None
    args = annotation.overrides(server.url, tmp_path / "out", three, f"vlm.openai.api_key={CANARY}")
    command = [sys.executable, "-m", *door, *args]
    command.append(f"{annotation.SECTION}.llm.openai.api_key={CANARY}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert door[-1] == "run" or done.stdout.splitlines()[-1] == "Execution status: FAIL"
    assert CANARY not in done.stdout + done.stderr
    if sys.platform == "linux":
        assert seen
        assert not [line for line in seen if CANARY in line]
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "given",
    [
        f"vlm.openai.apikey={CANARY}",
        f"vlm.openai.api_key=[{CANARY}]",
        f"vlm.openai={{api_key: {CANARY}, nope: 1}}",
        f"vlm={{openai: {{api_key: {CANARY}, model_name: ''}}}}",
        f"vlm.openai.api_key={CANARY}))",
        f"vlm.openai.base_url='http://user:{CANARY}@127.0.0.1:9/v1'",
        f"vlm.openai.base_url='http://127.0.0.1:9/v1?api_key={CANARY}'",
        f"+vlm.openai.api_keys={CANARY}",
    ],
)
def test_a_key_in_the_wrong_place_is_refused_in_a_line_that_does_not_show_it(
    given: str, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    plus, text = given.startswith("+") * "+", given.removeprefix("+")
    args = [*annotation.overrides("http://127.0.0.1:9", tmp_path / "out", three), f"{plus}{annotation.SECTION}.{text}"]
    assert ACTIONS["generate"].run(args) == 1
    shown = capsys.readouterr()
    assert annotation.SECTION in shown.err
    assert CANARY not in shown.out + shown.err
    assert not (tmp_path / "out").exists()
    ACTIONS["generate"].run([*args, "--cfg=job"])
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err


@pytest.mark.parametrize("address", ["localhost:8000", "127.0.0.1:9/v1", "ftp://host/v1", "http://", "http://h:x/v1"])
def test_an_address_that_is_none_is_named_before_anything_is_tried(address: str, three: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"vlm\.openai\.base_url: must be an address"):
        config_for("http://127.0.0.1:9", tmp_path / "out", three, f"vlm.openai.base_url='{address}'")


def test_a_key_of_the_command_line_goes_before_the_specs_and_to_its_vendor_only(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for("http://127.0.0.1:9", tmp_path / "out", three, "vlm.openai.api_key=old-key")
    monkeypatch.setenv("TAO_ANNOTATE_VLM_KEY_GEMINI", "of-the-other")
    assert config.vlm.secret("TAO_ANNOTATE_VLM_KEY") == "old-key"
    monkeypatch.setenv("TAO_ANNOTATE_VLM_KEY_OPENAI", "new-key")
    assert config.vlm.secret("TAO_ANNOTATE_VLM_KEY") == "new-key"
