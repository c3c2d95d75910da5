"""The two guides on annotation, typed as they are written: files saved under their names, commands run in order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from annotation import CANARY
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
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
            said += done.stdout
    assert names == []
    return said


def test_the_guides_lead_from_a_folder_of_videos_to_training_files(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos", 2)
    with ScriptedEndpoint() as server:
        said = typed("annotate-your-videos.md", server, tmp_path)
        assert server.calls == 2 * 16
        assert "2 videos, 0 with failures" in said
        assert str(Path("results") / "review.html") in said
        items = json.loads((tmp_path / "results/step_4_output/mcq.json").read_text(encoding="utf-8"))["items"]
        assert len(items) == 2
        server.reset()
        again = typed("write-a-prompts-module.md", server, tmp_path)
    assert "2 videos, 0 with failures" in again
    assert sum("packing line" in request.prompt for request in server.requests) == 2
