"""AnomalyGen inline, with a stand-in that keeps its files' forms and can be told to misbehave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fake_generator
import pytest
import tiny

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError, GateError, InputError
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.request import Request
from tao_skill_bank.platforms.base import read_records
from tao_skill_bank.tasks.changenet import generator
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    found = tiny.make_workspace(tmp_path / "w", acceptance=False)
    fake_generator.add_assets(found)
    return found


def wanted(workspace: Path, behaviour: str, *settings: str, platform: str = "virtualenv") -> Request:
    folder = fake_generator.install(workspace.parent / "bin", behaviour)
    given = ("anomalygen.mode=inline", "anomalygen.num_SDG=5", f"virtualenv.bin={folder}", *settings)
    return tiny.request(workspace, target="FAR < 0.01% at recall=99%", iterations=1, platform=platform, settings=given)


def ended(request: Request) -> tuple[DeftState, Path]:
    folder = tiny.approved(request)
    try:
        runs.run_loop(folder)
    finally:
        state = load_state(folder)
    return state, folder


def test_the_generator_makes_what_was_allotted_and_its_pairs_reach_the_training(workspace: Path) -> None:
    state, folder = ended(wanted(workspace, "good", "mining.strategy=nearest"))
    iteration = state.iterations["iter1"]
    out = folder / "iter1" / "anomalygen"
    assert iteration.anomalygen_by_label == {"bridge": 3, "missing": 2}
    for name in ("amp/allocation.json", "testcase.jsonl", "sdg/SDG_result.csv", "sdg_rows.csv"):
        assert (out / name).is_file(), name
    combined = read_pairs(Path(str(iteration.combined_training_csv)))
    made = [n for n in combined.object_name if n.startswith("PCB+")]
    assert len(made) == 5
    jobs = [r.command[0] for r in read_records(folder) if r.key.startswith("iter1.anomalygen.")]
    assert jobs == ["prep_testcase.sh", "run_sdg.sh"]


def test_only_defects_that_were_routed_are_generated(workspace: Path) -> None:
    state, folder = ended(wanted(workspace, "good", "anomalygen.labels=[bridge]"))
    assert state.iterations["iter1"].anomalygen_by_label == {"bridge": 5}
    spec = folder / "iter1" / "anomalygen" / "defect_spec.jsonl"
    assert [json.loads(line)["defect_type"] for line in spec.read_text().splitlines()] == ["PCB+bridge"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("no_roi", "MISSING 2 allotted / 0 test cases"),
        ("fewer_rows", "MISSING 2 allotted / 2 test cases / 1 rows / 1 paired images"),
        ("unpaired", "has no partner"),
        ("other_label", "SCRATCH 0 allotted / 0 test cases / 0 rows / 1 paired images"),
        ("no_allocation", "the allocation cannot be read"),
    ],
)
def test_a_generator_that_makes_less_or_other_than_allotted_stops_the_run(
    workspace: Path, behaviour: str, words: str
) -> None:
    with pytest.raises(GateError) as caught:
        ended(wanted(workspace, behaviour))
    assert caught.value.gate == "allocation"
    assert words in caught.value.line()
    state = load_state(next((workspace / "results").glob("run_*")))
    assert state.status == "stopped"
    assert [r.status for r in state.iterations["iter1"].stages if r.stage == "anomalygen"] == ["error"]


def test_a_pair_that_the_guardrail_blocked_becomes_no_row_and_is_counted(workspace: Path) -> None:
    state, folder = ended(wanted(workspace, "blocked", "mining.strategy=nearest"))
    iteration = state.iterations["iter1"]
    assert iteration.anomalygen_by_label == {"bridge": 2, "missing": 2}
    combined = read_pairs(Path(str(iteration.combined_training_csv)))
    assert "PCB+bridge_00000" not in combined.object_name
    assert len([n for n in combined.object_name if n.startswith("PCB+")]) == 4
    assert any("1 generated pairs are black or were blocked by the guardrail" in w for w in iteration.warnings)
    assert not list((folder / "iter1" / "anomalygen" / "inline_ng").glob("PCB+bridge_00000*"))


def test_a_generation_that_was_blocked_to_the_last_pair_leaves_the_iteration_to_mining(workspace: Path) -> None:
    state, _ = ended(wanted(workspace, "all_blocked", "mining.strategy=nearest"))
    iteration = state.iterations["iter1"]
    assert iteration.anomalygen_count == 0
    assert iteration.mining_mined_count


def test_a_shortfall_is_seen_before_anything_is_generated(workspace: Path) -> None:
    with pytest.raises(GateError):
        ended(wanted(workspace, "no_roi"))
    (folder,) = (workspace / "results").glob("run_*")
    assert len(read_records(folder, "iter1.anomalygen.amp")) == 1
    assert read_records(folder, "iter1.anomalygen.sdg") == []


def test_a_generator_that_fails_is_not_tried_again_by_itself_and_the_run_goes_on_once_it_works(workspace: Path) -> None:
    with pytest.raises(BankError, match="CUDA out of memory"):
        ended(wanted(workspace, "fails"))
    (folder,) = (workspace / "results").glob("run_*")
    assert len(read_records(folder, "iter1.anomalygen.amp")) == 1
    fake_generator.install(workspace.parent / "bin", "good")
    runs.run_loop(folder)
    assert load_state(folder).iterations["iter1"].anomalygen_count == 5


def test_a_platform_without_the_generator_is_refused_in_pre_flight(workspace: Path) -> None:
    with pytest.raises(BankError, match="does not run on this platform"):
        runs.plan_run(wanted(workspace, "good", platform="local"))


def test_base_models_that_are_to_be_downloaded_stand_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", acceptance=False)
    fake_generator.add_assets(workspace, base=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(BankError, match="gated and not here, and HF_TOKEN is not set"):
        runs.plan_run(wanted(workspace, "good"))
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    with pytest.raises(BankError, match="would download its base models, and the run is offline"):
        runs.plan_run(wanted(workspace, "good", "offline=true"))
    summary = runs.plan_run(wanted(workspace, "good"))
    (said,) = [c for c in summary.checks if c.name == "synthetic"]
    assert said.status == "warn"
    assert "after approval the first job downloads them" in said.text
    assert not (workspace / "augmentation" / "anomalygen" / "base_checkpoints").exists()


def test_the_approval_falls_with_the_defect_spec(workspace: Path) -> None:
    request = wanted(workspace, "good")
    before = runs.plan_run(request).digest
    spec = workspace / "augmentation" / "anomalygen" / "datasets" / "PCB" / "defect_spec.jsonl"
    spec.write_text(spec.read_text().replace("free", "cad"))
    assert runs.plan_run(request).digest != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no defect type"),
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"defect_type": "bridge", "spatial_dependency": "free"}', "is no defect type"),
        ('{"defect_type": "PCB+pass", "spatial_dependency": "free"}', "is no defect type"),
        ('{"defect_type": "PCB+bridge", "spatial_dependency": "near"}', "spatial_dependency"),
        ('{"defect_type": "PCB+bridge", "spatial_dependency": "text"}', "needs its prompt"),
        ('{"defect_type": "PCB+bridge", "spatial_dependency": "cad"}\n' * 2, "stands twice"),
    ],
)
def test_a_defect_spec_that_cannot_be_meant_is_refused_with_its_line(workspace: Path, text: str, words: str) -> None:
    spec = workspace / "augmentation" / "anomalygen" / "datasets" / "PCB" / "defect_spec.jsonl"
    spec.write_text(text)
    with pytest.raises(InputError) as caught:
        runs.plan_run(wanted(workspace, "good"))
    assert words in caught.value.line()
    assert str(spec) in caught.value.line()
    assert not (workspace / "results").exists()


def test_a_missing_dataset_checkpoint_or_step_is_named_with_the_setting_that_mends_it(workspace: Path) -> None:
    latest = workspace / "augmentation" / "anomalygen" / "checkpoints" / "PCB" / "checkpoints" / "latest_checkpoint.txt"
    latest.write_text("newest\n")
    with pytest.raises(InputError, match=r"anomalygen\.step"):
        runs.plan_run(wanted(workspace, "good"))
    assert runs.plan_run(wanted(workspace, "good", "anomalygen.step=14000")).digest
    with pytest.raises(InputError, match=r"anomalygen\.checkpoint_dir"):
        runs.plan_run(wanted(workspace, "good", "anomalygen.checkpoint_dir=nowhere"))
    with pytest.raises(InputError, match=r"anomalygen\.dataset_dir_source"):
        runs.plan_run(wanted(workspace, "good", "anomalygen.project=other"))
    with pytest.raises(InputError, match="outside the workspace"):
        runs.plan_run(wanted(workspace, "good", "anomalygen.checkpoint_dir=../elsewhere"))


def test_the_command_lines_are_the_containers_own(tmp_path: Path) -> None:
    spec = generator.DefectLine(defect_type="PCB+bridge", spatial_dependency="free")
    data, tuned, out = tmp_path / "d", tmp_path / "c", tmp_path / "o"
    assets = generator.Assets(data, [spec], data / "defect_spec.jsonl", tuned, 14000, tmp_path / "b")
    amp = generator.amp_command("iter2", 20, assets, assets.defect_spec, out)
    assert " ".join(amp) == (
        f"prep_testcase.sh --name iter2 --num-sdg 20 --dataset-dir {data} --clean-dir {data} "
        f"--defect-spec {data}/defect_spec.jsonl --amp-output-dir {out}/amp --output-jsonl {out}/testcase.jsonl"
    )
    assert " ".join(generator.sdg_command(assets, 1, out)) == (
        f"run_sdg.sh --checkpoint_dir {tuned} --step 14000 --input_jsonl {out}/testcase.jsonl --output_dir {out}/sdg "
        "--model_size 2b --num_gpus 1"
    )


SCRIPT = Path(__file__).parents[4] / "skills" / "paidf-anomalygen" / "scripts" / "check_generated.py"


def test_a_generation_of_ones_own_is_compared_by_the_skills_script(tmp_path: Path) -> None:
    def checked(folder: Path) -> tuple[int, str]:
        argv = [sys.executable, str(SCRIPT), "--output-dir", str(folder)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    home = fake_generator.add_assets(tmp_path)
    data, tuned = home / "datasets" / "PCB", home / "checkpoints" / "PCB"
    assets = generator.Assets(data, [], data / "defect_spec.jsonl", tuned, 14000, home / "base_checkpoints")
    for behaviour in ("good", "unpaired"):
        tools, out = fake_generator.install(tmp_path / f"bin-{behaviour}", behaviour), tmp_path / behaviour
        for line in (
            generator.amp_command("x", 5, assets, assets.defect_spec, out),
            generator.sdg_command(assets, 1, out),
        ):
            subprocess.run([tools / line[0], *line[1:]], check=True)
    made = "BRIDGE: 3 allotted, 3 made and paired\nMISSING: 2 allotted, 2 made and paired\n"
    assert checked(tmp_path / "good") == (0, made)
    code, said = checked(tmp_path / "unpaired")
    assert code == 4 and "has no partner" in said and said.count("\n") == 1
    code, said = checked(tmp_path / "nowhere")
    assert code == 4 and "the allocation cannot be read" in said
