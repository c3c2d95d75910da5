"""Guides typed as they are written: a stranger's pictures become a report, and a new stage runs in the loop."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from ran import at_a_shell
from tiny import approved, fake_model, make_workspace, request

from tao_skill_bank import runs

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs/guides"
PROGRAM = f"{sys.executable} -m tao_skill_bank.cli"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path, **more: str) -> str:
    """A line of a guide at a shell; what it prints."""
    done = at_a_shell(command, cwd=folder, env={**os.environ, **more})
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def section(guide: str, title: str) -> str:
    """The text below a heading of a guide, up to the next one of its rank."""
    return (GUIDES / guide).read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]


def export(folder: Path) -> None:
    """Pictures as the guide shows them: a folder a label, a folder a board below it, goldens of the same names."""
    rng = np.random.default_rng(5)
    for board in range(40):
        for number, label in enumerate(("good", "good", "bridge" if board % 2 else "Pin Hole")):
            golden = np.full((48, 48, 3), 90, dtype=np.uint8)
            golden[12:36, 18:30] = 150 + board % 7 * 5
            capture = np.clip(golden + rng.normal(0, 4, golden.shape), 0, 255).astype(np.uint8)
            if label != "good":
                capture[4:14, 20:40] = 240
            for side, picture in (("goldens", golden), (f"export/{label}", capture)):
                path = folder / side / f"board{board}" / f"U{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)


def test_the_guide_leads_from_folders_of_pictures_to_a_report(tmp_path: Path) -> None:
    export(tmp_path)
    said, digest = "", ""
    for title in ("2. Lay out a workspace", "3. Let it be checked", "4. Run it"):
        for kind, block in BLOCK.findall(section("your-own-data.md", title)):
            assert kind == "console"
            for line in block.splitlines():
                said = run(line.replace("tao-skills", PROGRAM, 1).replace("DIGEST", digest), tmp_path)
                digest = next(iter(re.findall(r"plan digest +(\w+)", said)), digest)
    report = Path(said.splitlines()[-1])
    verdict, approval = said.splitlines()[-3:-1]
    assert re.search(r"rehearsal: (shown|met, not shown|not met|cannot be told)", verdict)
    assert approval == "plan approved by flag; nobody was asked"
    assert report.is_relative_to(tmp_path / "W/results")
    assert "pin_hole" in report.read_text(encoding="utf-8")
    counted = json.loads((report.parent / "deft_state.json").read_text(encoding="utf-8"))
    assert counted["status"] == "complete"

    other = shutil.copytree(report.parent, report.parent.with_name("run_before"))
    for line in BLOCK.findall((GUIDES / "reading-the-report.md").read_text(encoding="utf-8"))[0][1].splitlines():
        both = line.replace("OTHER-RUN", str(other)).replace("RUN", str(report.parent))
        assert run(both.replace("tao-skills", PROGRAM, 1), tmp_path).strip() == "compare.html"
    assert "2 runs side by side" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    first = re.findall(
        r"`(tao-skills deft plan -w WORKSPACE [^`]*)`", (GUIDES / "from-rehearsal-to-gpu.md").read_text()
    )
    assert "plan digest" in run(first[0].replace("tao-skills", PROGRAM, 1).replace("WORKSPACE", "W"), tmp_path)


def test_the_stage_of_the_guide_runs_in_the_loop_and_stands_in_the_report(tmp_path: Path) -> None:
    for name in ("tao_skill_bank", "scripts", "skills", "plugin.json", "versions.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    guide = (GUIDES / "add-a-stage.md").read_text(encoding="utf-8")
    saved = re.findall(r"Save as `([\w./]+)`", guide)
    python = [block for kind, block in BLOCK.findall(guide) if kind == "python"]
    assert len(saved) == len(python) == 1
    (tmp_path / saved[0]).write_text(python[0], encoding="utf-8")
    edits = re.findall(r"^\| `([\w./]+\.py)` \| `(.+?)` \| (.+) \|$", guide, re.MULTILINE)
    assert {name for name, _, _ in edits} == {"tao_skill_bank/tasks/changenet/stages/__init__.py"}, "the task's list"
    for name, there, becomes in edits:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count(there) == 1, there
        (tmp_path / name).write_text(text.replace(there, "\n".join(re.findall("`(.+?)`", becomes))), encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "tests/support")])
    for line in BLOCK.findall(section("add-a-stage.md", "2. Name it"))[0][1].splitlines():
        run(line.replace(".venv/bin/python", sys.executable), tmp_path, PYTHONPATH=paths)
    assert "count_labels" in (tmp_path / "tao_skill_bank/schemas/deft_state.schema.json").read_text(encoding="utf-8")
    workspace = make_workspace(tmp_path / "w")
    before, under_way = begun_before(workspace), begun_before(workspace, "data_merge")
    loop = (
        "from pathlib import Path; from tiny import *; import tao_skill_bank; fake_model().start();"
        f"assert Path(tao_skill_bank.__file__).is_relative_to({str(tmp_path)!r});"
        f"results = approved(request(Path({str(workspace)!r}), iterations=1)); runs.run_loop(results); print(results)"
    )
    results = Path(run(f"{sys.executable} -c {json.dumps(loop)}", tmp_path, PYTHONPATH=paths).splitlines()[-1])
    counts = json.loads((results / "iter1/label_counts/counts.json").read_text(encoding="utf-8"))
    combined = (results / "iter1/dataset/train_combined_iter1.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert counts == dict(Counter(row.split(",")[2] for row in combined))
    stages = stages_of(results)
    merged = stages.index("data_merge")
    assert stages[merged : merged + 3] == ["data_merge", "count_labels", "train"]
    assert '<span class="key part count_labels">' in (results / "DEFT_Loop_Report.html").read_text(encoding="utf-8")
    # Runs of the version before the stage: the one that has ended stays ended, the other goes on in its own order.
    asked = f"{sys.executable} -m tao_skill_bank.cli deft"
    assert json.loads(run(f"{asked} status {before} --json", tmp_path, PYTHONPATH=paths))["status"] == "complete"
    kept = (before / "deft_state.json").read_bytes()
    run(f"{asked} run --results-dir {before} --yes", tmp_path, PYTHONPATH=paths)
    assert (before / "deft_state.json").read_bytes() == kept
    loop = f"from pathlib import Path; from tiny import *; fake_model().start();runs.run_loop(Path({str(under_way)!r}))"
    run(f"{sys.executable} -c {json.dumps(loop)}", tmp_path, PYTHONPATH=paths)
    assert json.loads((under_way / "deft_state.json").read_text())["status"] == "complete"
    assert stages_of(under_way) == stages_of(before)
    assert "count_labels" not in stages_of(before)


def begun_before(workspace: Path, last: str = "") -> Path:
    """A run of this version, without the stage of the guide: whole, or up to this stage."""
    with fake_model():
        results = approved(request(workspace, iterations=1))
        if not last:
            runs.run_loop(results)
        while last and last not in stages_of(results):
            runs.run_loop(results, once=True)
    return results


def stages_of(results: Path) -> list[str]:
    """The stages of all iterations so far, in their order."""
    state = json.loads((results / "deft_state.json").read_text(encoding="utf-8"))
    return [record["stage"] for iteration in state["iterations"].values() for record in iteration["stages"]]


def test_the_platform_of_the_guide_is_found_asked_and_planned_on(tmp_path: Path) -> None:
    guide = (GUIDES / "add-a-platform.md").read_text(encoding="utf-8")
    blocks = dict(BLOCK.findall(guide))
    site = tmp_path / "site"
    info = site / "nice_platform-1.dist-info"
    info.mkdir(parents=True)
    (site / re.findall(r"Save as `([\w./]+)`", guide)[0]).write_text(blocks["python"], encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nice-platform\nVersion: 1\n", encoding="utf-8")
    (points,) = tomllib.loads(blocks["toml"])["project"]["entry-points"].items()
    named = [f"{name} = {value}" for name, value in points[1].items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{points[0]}]", *named, ""]), encoding="utf-8")
    make_workspace(tmp_path / "W")
    said = [
        run(line.replace("tao-skills", PROGRAM, 1), tmp_path, PYTHONPATH=str(site))
        for line in blocks["console"].splitlines()
    ]
    assert "- nice (nice): this machine's CPU, gently aliases: gentle" in said[0]
    assert "nice" in said[1]
    assert "plan digest" in said[2]
    assert "platform        nice" in said[2]
