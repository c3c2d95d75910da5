"""What people ask, played through one session of a real server from the texts alone, each to the answer they wanted.

`docs/what-agents-see.md` has the calls and characters that each took (TAO_UPDATE_SNAPSHOTS=1 writes them anew).
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from agent_session import NO, YES, AgentSession, agent_session
from report_runs import RunBuilder
from scripted_endpoint import ScriptedEndpoint
from slurm_cluster import SlurmCluster, slurm, slurm_cluster
from videos import make_videos

__all__ = ["slurm", "slurm_cluster"]
PLAYED = Path(__file__).with_name("played.json")
TARGET = "FAR < 1% at recall=99%"
ASIDE = "skill://tao-run-deft-aoi/references/nearby-questions.md"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asked").resolve()


@pytest.fixture(scope="module")
def workspace(root: Path) -> Path:
    return tiny.make_workspace(root / "workspace")


@pytest.fixture(scope="module")
def connected(root: Path) -> Iterator[AgentSession]:
    # No engine: what needs one has to say so before anybody approves.
    with agent_session(root, DOCKER_HOST=f"unix://{root}/none.sock", OPENAI_API_KEY="unused-unused") as session:
        yield session


@pytest.fixture
def agent(connected: AgentSession, request: pytest.FixtureRequest) -> Iterator[AgentSession]:
    """The session; at the end what the request took is held against what the page says."""
    yield connected
    counted(connected, request)


def counted(connected: AgentSession, request: pytest.FixtureRequest) -> None:
    """Hold what a request took against what is kept, or keep it; `pytest -s` shows it."""
    name = request.node.name.removeprefix("test_")
    took = {"calls": connected.calls, "characters": connected.characters}
    # How often a whole run is asked about is the machine's speed.
    whole = request.node.get_closest_marker("slow") is not None
    print(f"\n{name.replace('_', ' ')}: {took['calls']} calls, {took['characters']:,} characters")
    kept: dict[str, Any] = json.loads(PLAYED.read_text()) if PLAYED.exists() else {}
    if os.environ.get("TAO_UPDATE_SNAPSHOTS") == "1":
        PLAYED.write_text(json.dumps({**kept, name: {**took, "whole_run": whole}}, indent=2, sort_keys=True) + "\n")
        return
    # Paths and times vary a little.
    assert whole or took["characters"] == pytest.approx(kept[name]["characters"], rel=0.15)


def test_improve_my_object_detector(agent: AgentSession, root: Path) -> None:
    asked = "Improve my object detector"
    agent.request(asked)
    scope = agent.call("list_skills", wish=asked)["scope"]
    assert scope.startswith("object detection is not improved here, only Visual ChangeNet")
    assert "make_workspace" in scope
    folder = root / "detection"
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations/instances_train.json").write_text("{}")
    refused = agent.call("plan_deft_run", workspace=str(folder), kpi_target=TARGET, max_iterations=1)["error"]
    assert "looks like object detection" in refused
    assert "--" not in refused.replace("--platform docker`", "")


def test_is_everything_installed(agent: AgentSession) -> None:
    agent.request("Is everything installed?")
    found = agent.call("check_platform")
    assert found["ready"] is True
    assert any(line.startswith("ok packages") for line in found["lines"])
    assert any(line.startswith("lacks docker") for line in found["lines"])


def test_approve_it_for_me(agent: AgentSession, workspace: Path) -> None:
    agent.request("Run the loop until FAR is below 1 % at recall 99 %. Approve it for me, I am busy.", NO)
    arguments = {"workspace": str(workspace), "kpi_target": TARGET, "max_iterations": 1}
    plan = agent.call("plan_deft_run", **arguments)
    started = agent.call("start_deft_run", **arguments)
    assert started["status"] == "declined"
    assert plan["digest"] in agent.asked[0]
    assert "you cannot" in agent.read(ASIDE)
    assert not (workspace / "results").exists()


def test_folders_of_good_and_bad_boards(agent: AgentSession, workspace: Path, root: Path) -> None:
    agent.request("I have folders of good and bad boards, improve my model", NO)
    for number, picture in enumerate(sorted((workspace / "images" / "kp").glob("*.png"))):
        kind = "good" if number % 3 else "bridge"
        target = root / "raw" / kind / f"b{number}" / "C1.png"
        target.parent.mkdir(parents=True)
        target.write_bytes(picture.read_bytes() + bytes([number]))
    (root / "goldens").mkdir()
    (root / "goldens/C1.png").write_bytes(next((workspace / "images/golden/kp").glob("*.png")).read_bytes())
    there = {"workspace": str(root / "laid")}
    first = agent.call("plan_deft_run", workspace=str(root / "raw"), kpi_target=TARGET, max_iterations=1)["error"]
    assert "make_workspace" in first
    made = agent.call("make_workspace", pictures=str(root / "raw"), goldens=str(root / "goldens"), **there)
    assert made["next_step"] == "plan_deft_run"
    plan = agent.call("plan_deft_run", kpi_target=TARGET, max_iterations=1, **there)
    assert plan["estimate_minutes"] > 0, plan


def test_where_does_my_vlm_fail(agent: AgentSession, root: Path) -> None:
    agent.request("Here are my VLM's answers: where does it fail, and what next?")
    rows = [
        {"video_id": f"{n}.mp4", "question": f"Is there {what}?", "response": said, "gt": right}
        for n, (what, said, right) in enumerate(
            [("a fall", "Yes", "No"), ("a fall", "No", "No"), ("smoke", "No", "Yes"), ("smoke", "Yes", "Yes")] * 3
        )
    ]
    (root / "answers.json").write_text(json.dumps(rows))
    found = agent.call("analyze_vlm_gaps", predictions_json=str(root / "answers.json"), results_dir=str(root / "gaps"))
    assert (found["fp"], found["fn"]) == (3, 3)
    assert {line["question"] for line in found["questions"]} == {"Is there a fall?", "Is there smoke?"}
    assert "gaps mine" in agent.read("skill://tao-run-deft-vlm")


def test_why_does_my_model_pass_these_boards(agent: AgentSession, workspace: Path, root: Path) -> None:
    agent.request("Why does my model pass these boards? Are some labels wrong?")
    rng = np.random.default_rng(0)
    folder = root / "experiment"
    folder.mkdir()
    with (workspace / "kpi/testing_set.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    with (folder / "inference.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], "siamese_score"], lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(rows):
            high = row["label"] != "PASS" and number % 6
            writer.writerow({**row, "siamese_score": f"{rng.uniform(0.6, 0.9) if high else rng.uniform(0, 0.3):.4f}"})
    (folder / "train.yaml").write_bytes((workspace / "specs/baseline_spec.yaml").read_bytes())
    agent.read("skill://tao-analyze-gaps-visual-changenet")
    out = root / "experiment/rca_results/first"
    found = agent.call(
        "analyze_vcn_gaps",
        inference_results_dir=str(folder),
        train_config=str(folder / "train.yaml"),
        results_dir=str(out),
        kpi_media_path=str(workspace / "images"),
        report=True,
        check_labels=True,
    )
    assert found["status"] == "done", found
    assert found["images"]
    seen = [{"image": name, "verdict": "mislabeled", "note": "the solder is whole"} for name in found["images"]]
    checked = agent.call("check_rca_report", results_dir=str(out), verdicts=seen, who="Ana")
    assert checked["ok"], checked


def test_train_once_on_slurm_or_docker_without_a_gpu(agent: AgentSession, workspace: Path, root: Path) -> None:
    agent.request("Train once with learning rate 1e-4 on our SLURM cluster; then on Docker with a GPU", YES)
    agent.read("skill://tao-train-visual-changenet")
    agent.read(ASIDE)
    what = {"category": "visual_changenet", "spec": str(workspace / "specs/baseline_spec.yaml"), "action": "train"}
    once = {**what, "results_dir": str(root / "train"), "overrides": {"train.optim.lr": 1e-4}}
    docker = agent.call("start_action", platform="docker", settings=["docker.gpus=1"], **once)["error"]
    assert "the engine does not answer" in docker
    slurm = agent.call("start_action", platform="slurm", settings=["slurm.host=nobody.invalid"], **once)["error"]
    assert re.search(r"SLURM|ssh|nobody.invalid", slurm)
    assert agent.asked == []
    mistyped = {**once, "overrides": {"train.optim.lr": "fast"}}
    assert "train.optim.lr" in agent.call("start_action", **mistyped)["error"]
    assert not (root / "train").exists()


def test_continue_compare_and_stop(agent: AgentSession, root: Path) -> None:
    agent.request("Continue yesterday's run; which of my two runs is better; stop it")
    one = RunBuilder(root / "one", pictures=False, passes=40).build()
    RunBuilder(root / "two", pictures=False, passes=40, skill=0.5, iterations=1).build()
    agent.read(ASIDE)
    [listed] = agent.call("list_runs", workspace=str(root / "one/workspace"))["runs"]
    assert str(one) in listed
    other = agent.call("list_runs", workspace=str(root / "two/workspace"))["runs"][0].partition(": ")[0]
    compared = agent.call("compare_runs", runs=[str(one), other])
    assert compared["lines"]
    assert agent.call("stop_deft_run", results_dir=str(one))["stop_requested"] is False


def test_no_internet_what_gpu_and_how_long(agent: AgentSession, workspace: Path) -> None:
    agent.request("We have no internet at the plant; what GPU do I need and how long will it take?")
    told = agent.read(ASIDE)
    assert re.search(r"GPU memory.*GB", told)
    plan = agent.call("plan_deft_run", workspace=str(workspace), kpi_target=TARGET, max_iterations=3, offline=True)
    assert plan["estimate_minutes"] > 0


def test_which_threshold_and_will_it_hold(agent: AgentSession, root: Path) -> None:
    agent.request("Which threshold should the line use, and will it hold?")
    rng = np.random.default_rng(1)
    rows = [("PASS", rng.uniform(0, 0.4)) for _ in range(300)] + [("bridge", rng.uniform(0.5, 1)) for _ in range(60)]
    lines = ["label,siamese_score", *(f"{label},{score:.4f}" for label, score in rows)]
    (root / "scores.csv").write_text("\n".join(lines) + "\n")
    agent.read(ASIDE)
    point = agent.call("analyze_kpi", csv=str(root / "scores.csv"), images=False)["recall_100"]
    frozen = agent.call("certify_threshold", scores=str(root / "scores.csv"), target=TARGET, threshold=0.45)
    assert point["far"] == 0
    assert frozen["shown"] is False
    assert frozen["needed_defect_rows"] > 0


def annotation(root: Path, url: str) -> dict[str, str]:
    make_videos(root / "v", 2)
    model = {"backend": "openai", "openai": {"base_url": f"{url}/v1", "model_name": "our-own"}}
    section = {"vlm": model, "llm": model, "data": {"video_root": str(root / "v")}}
    (root / "spec.yaml").write_text(
        yaml.safe_dump({"autolabel_type": "video_reasoning_annotation", "video_reasoning_annotation": section})
    )
    return {"results_dir": str(root / "annotated"), "spec": str(root / "spec.yaml")}


@pytest.mark.slow
def test_qa_data_at_most_two_dollars(agent: AgentSession, root: Path) -> None:
    agent.request("QA data from these videos with our vLLM, at most 2 dollars", YES)
    with ScriptedEndpoint() as server:
        asked = annotation(root, server.url)
        agent.read("skill://tao-generate-video-reasoning-annotations")
        refused = agent.call("start_annotation", **asked, max_cost=2.0)["error"]
        assert "price of 'our-own'" in refused
        assert server.calls == 0 and agent.asked == []
        price = {"our-own": [0.1, 0.4]}
        assert "$" in agent.call("estimate_annotation", **asked, price=price)["summary"]
        assert agent.call("start_annotation", **asked, max_cost=2.0, price=price)["status"] == "started"
        assert "at most $2" in agent.asked[0]
        done = agent.follow("get_annotation_status", r'"status": "(?!working)', results_dir=asked["results_dir"])
    assert done["status"] == "complete"
    assert "items: mcq 2" in done["summary"]


@pytest.mark.slow
def test_run_the_loop_until_the_target(agent: AgentSession, workspace: Path, root: Path) -> None:
    agent.request("Run the loop on this workspace until FAR is below 1 % at recall 99 %", YES)
    agent.read("skill://tao-run-deft-aoi")
    agent.read("skill://tao-run-deft-aoi/references/preflight.md")
    own = shutil.copytree(workspace, root / "run-here")
    wanted = {"workspace": str(own), "kpi_target": TARGET, "max_iterations": 1, "settings": ["num_epochs=1"]}
    agent.call("plan_deft_run", **wanted)
    started = agent.call("start_deft_run", **wanted)
    assert started["status"] == "started"
    run = started["results_dir"]
    ended = agent.follow("get_deft_status", r'"status": "(?!running)', results_dir=run, wait_sec=25)
    assert ended["status"] == "complete", ended
    assert ended["verdict"].startswith("rehearsal: ")
    assert Path(agent.call("render_report", results_dir=run)["path"]).is_file()


@pytest.mark.slow
def test_stop_a_run_and_take_it_up_the_next_day(agent: AgentSession, workspace: Path, root: Path) -> None:
    own = str(shutil.copytree(workspace, root / "taken-up"))
    wanted = {"workspace": own, "kpi_target": TARGET, "max_iterations": 1, "settings": ["num_epochs=1"]}
    agent.request(f"Start the loop ({json.dumps(wanted)}), and stop it", YES)
    run = agent.call("start_deft_run", **wanted)["results_dir"]
    assert agent.call("stop_deft_run", results_dir=run)["stop_requested"] is True
    assert agent.follow("get_deft_status", r'"status": "(?!running)', results_dir=run)["status"] == "stopped"
    agent.request("Continue yesterday's run", YES)
    agent.read(ASIDE)
    [listed] = agent.call("list_runs", workspace=own)["runs"]
    again = agent.call("start_deft_run", results_dir=listed.partition(": ")[0])
    assert (again["status"], again["results_dir"]) == ("started", run)
    ended = agent.follow("get_deft_status", r'"status": "(?!running)', results_dir=run, wait_sec=25)
    assert ended["status"] == "complete", ended
    assert [phase["phase"] for phase in ended["phases"]] == ["baseline", "iter1"]


@pytest.mark.slow
def test_train_once_on_a_slurm_cluster_that_answers(
    slurm: SlurmCluster, root: Path, workspace: Path, request: pytest.FixtureRequest
) -> None:
    with agent_session(root, SLURM_CONF=str(slurm.conf)) as agent:
        agent.request("Train once with learning rate 1e-4 on our SLURM cluster", YES)
        agent.read("skill://tao-train-visual-changenet")
        agent.read(ASIDE)
        ready = agent.call("check_platform", platform="slurm")
        assert ready["ready"] is True, ready
        spec = yaml.safe_load((workspace / "specs/baseline_spec.yaml").read_text())
        for key, name in (("train_dataset", "training_set"), ("validation_dataset", "validation_set")):
            csv_path = workspace / "train/base" / f"{name}.csv"
            spec["dataset"]["classify"][key] = {"csv_path": str(csv_path), "images_dir": str(workspace / "images")}
        (root / "once.yaml").write_text(yaml.safe_dump(spec))
        started = agent.call(
            "start_action",
            category="visual_changenet",
            action="train",
            spec=str(root / "once.yaml"),
            results_dir=str(root / "on-slurm"),
            overrides={"train.optim.lr": 1e-4, "train.num_epochs": 1},
            platform="slurm",
        )
        assert "slurm" in agent.asked[0], started
        job, there = started["job"], str(root / "on-slurm")
        ended = agent.follow("get_jobs", rf'"{job}": "(?!pending|running)', results_dir=there, job=job)
        assert ended["jobs"][job].startswith("complete"), ended
        assert list((root / "on-slurm").rglob("*.pth"))
        counted(agent, request)
