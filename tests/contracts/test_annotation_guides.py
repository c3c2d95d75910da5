"""The two guides on annotation, typed as they are written: files saved under their names, commands run in order."""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from annotation import CANARY
from ran import at_a_shell
from scripted_endpoint import ScriptedEndpoint
from videos import make_videos

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
PROGRAM = f"{sys.executable} -m tao_skill_bank.cli"


def typed(guide: str, server: ScriptedEndpoint, folder: Path) -> str:
    """Save and run what a guide says; returns what the commands print."""
    text = (GUIDES / guide).read_text(encoding="utf-8").replace("http://127.0.0.1:8000", server.url)
    said = ""
    names = re.findall(r"^Save as `([\w.]+)`", text, re.MULTILINE)
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind != "console":
            (folder / names.pop(0)).write_text(block, encoding="utf-8")
            continue
        for line in block.splitlines():
            command = line.replace("tao-skills", PROGRAM, 1)
            environment = {**os.environ, "OPENAI_API_KEY": CANARY, "XDG_CONFIG_HOME": str(folder / "config")}
            done = at_a_shell(command, cwd=folder, env=environment)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            said += done.stdout
    assert names == []
    return said


def read_by_the_loaders(out: Path, question: str) -> None:
    """What each trainer reads first is there, in its form; the libraries themselves are in `test_export_loaders`."""
    daft = pytest.importorskip("nvidia_tao_daft.validators.tao_vl_reason_v1_0.validator", reason="nvidia-tao-daft")
    assert daft.TaoVlReasonV1_0Validator().validate_dataset(out / "tao/train").is_valid()
    turns = [record["conversations"] for record in json.loads((out / "llava/train/annotations.json").read_text())]
    assert all(first["value"].startswith("<video>\n") and last["from"] == "gpt" for first, last in turns)
    info = json.loads((out / "factory/dataset_info.json").read_text())
    rows = json.loads((out / "factory" / info["factory_train"]["file_name"]).read_text())
    assert all((out / "factory" / row["videos"][0]).is_file() for row in rows)
    rows = _lines(out / "swift/train.jsonl")
    assert all(Path(row["videos"][0]).is_file() and len(row["messages"]) == 2 for row in rows)
    both = [*rows, *_lines(out / "swift/val.jsonl")]
    asked = {row["messages"][0]["content"] for row in both}
    assert f"<video>{question}" in asked
    with tarfile.open(out / "shards/train-000000.tar") as tar:
        assert sorted(Path(name).suffix for name in tar.getnames()) == [".json", ".mp4"]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_guides_lead_from_a_folder_of_videos_to_training_files(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos", 2)
    with ScriptedEndpoint() as server:
        said = typed("annotate-your-videos.md", server, tmp_path)
        assert server.calls == 2 * 16
        assert "2 videos, 0 with failures" in said
        assert str(Path("results") / "review.html") in said
        items = json.loads((tmp_path / "results/step_4_output/mcq.json").read_text(encoding="utf-8"))["items"]
        assert len(items) == 2
        out = typed("from-videos-to-a-model.md", server, tmp_path)
        assert server.calls == 2 * 16
        assert "no rate" in out
        read_by_the_loaders(tmp_path / "out", items[0]["question"])
        server.reset()
        again = typed("write-a-prompts-module.md", server, tmp_path)
    assert "2 videos, 0 with failures" in again
    assert sum("packing line" in request.prompt for request in server.requests) == 2
