"""The annotation tools: nothing is bought before a person said yes; the spec names no path outside the roots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_types import ElicitResult
from scripted_endpoint import ScriptedEndpoint
from server_calls import MODES, call, ok
from videos import make_videos

from mcp_server.server import build_server
from tao_skill_bank.annotate import api


@pytest.fixture
def paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ScriptedEndpoint, dict[str, Any]]]:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    make_videos(tmp_path / "v", 2)
    with ScriptedEndpoint() as server:
        model = {"backend": "openai", "openai": {"base_url": f"{server.url}/v1", "model_name": "scripted"}}
        section = {"vlm": model, "llm": model, "data": {"video_root": str(tmp_path / "v")}}
        spec = {"autolabel_type": "video_reasoning_annotation", "video_reasoning_annotation": section}
        (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        yield server, {"results_dir": str(tmp_path / "out"), "spec": str(tmp_path / "spec.yaml")}


def test_the_estimate_is_a_few_lines_and_calls_nobody(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    data = ok(call(build_server([tmp_path]), "estimate_annotation", paid[1]))
    assert data["summary"].startswith("2 videos, about 3")
    assert paid[0].calls == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", MODES)
def test_without_a_persons_yes_nothing_is_bought(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path, mode: str
) -> None:
    server = build_server([tmp_path])
    asked = ok(call(server, "start_annotation", {**paid[1], "max_cost": 2.5, "max_calls": 40}, mode=mode))
    assert asked["status"] == "needs_approval"
    assert "--max-calls 40 --max-cost 2.5 --detach" in asked["command"]
    no = ElicitResult(action="accept", content={"approve": False})
    declined = call(server, "start_annotation", paid[1], mode=mode, elicit=no)
    assert (ok(declined)["status"], len(declined.asked)) == ("declined", 1)
    assert "no limit set" in declined.asked[0]
    assert paid[0].calls == 0
    assert not (tmp_path / "out").exists()


def test_an_approved_run_works_in_the_background_to_its_end(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    server = build_server([tmp_path])
    yes = ElicitResult(action="accept", content={"approve": True})
    assert ok(call(server, "start_annotation", paid[1], elicit=yes))["status"] == "started"
    for worker in api._STARTED:
        worker.wait(60)
    end = time.monotonic() + 10
    here = {"results_dir": paid[1]["results_dir"]}
    data = ok(call(server, "get_annotation_status", here))
    assert time.monotonic() < end
    assert (data["status"], paid[0].calls) == ("complete", 32)
    assert "items: mcq 2" in data["summary"]
    assert ok(call(server, "stop_annotation", here))["stop_requested"] is False


def test_a_spec_that_names_a_folder_outside_the_roots_is_refused(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    spec = Path(paid[1]["spec"])
    (tmp_path / "root").mkdir()
    inside = tmp_path / "root" / "spec.yaml"
    inside.write_text(spec.read_text(encoding="utf-8"), encoding="utf-8")
    answer = call(
        build_server([tmp_path / "root"]),
        "estimate_annotation",
        {"results_dir": str(tmp_path / "root/out"), "spec": str(inside)},
    )
    assert answer.error
    assert "outside the allowed folders" in answer.text
