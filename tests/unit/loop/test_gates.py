"""Every rule that stops a run, fired."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import yaml
from flat import put
from PIL import Image

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError, GateError, NeedsApprovalError, StageFailedError
from tao_skill_bank.data.changenet.tables import REQUIRED_COLUMNS, PairTable, write_pairs
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.state import Attempt, StageRecord
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.changenet import synthetic
from tao_skill_bank.tasks.changenet.results import AnomalygenResult, RoutingResult
from tao_skill_bank.tasks.changenet.stages import merge
from tao_skill_bank.tasks.changenet.stages.merge import refuse_lost_rows
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state


class Canned(LocalPlatform):
    """`visual_changenet` is a piece of Python; the rest is real."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def argv(self, command: Sequence[str]) -> list[str]:
        if command[0] == "visual_changenet":
            return [sys.executable, "-c", self.code, *command]
        return super().argv(command)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tiny.make_workspace(tmp_path / "w")


def opened(workspace: Path, *settings: str, platform: LocalPlatform | None = None) -> Run:
    folder = tiny.approved(tiny.request(workspace, settings=settings))
    return Run.of(load_state(folder), platform or LocalPlatform())


def begin(run: Run, label: str, stage: str) -> None:
    run.state.iteration(label).attempt = Attempt.model_validate(
        {"stage": stage, "n": 1, "timestamp": "2026-01-01_000000", "started_at": "2026-01-01T00:00:00.000000Z"}
    )


def weak(run: Run, rows: dict[str, str]) -> Path:
    """An RCA of the baseline that found these weak images: file → label."""
    path = run.root / "baseline" / "kpi_gaps.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(rows)
    columns: dict[str, Any] = {"filepath": list(rows), "label": list(rows.values())}
    pq.write_table(pa.table({**columns, "siamese_score": [0.5] * n, "weakness": [0.1] * n}), path)
    put(run.state.iteration("baseline"), rca_gaps_parquet=str(path))
    return path


def commit_training(run: Run) -> None:
    """The baseline's training, as the engine would have written it down."""
    moment = "2026-01-01T00:00:00.000000Z"
    record = {"seq": 1, "ts": moment, "stage": "train", "status": "ok", "summary": "x", "duration_sec": 0}
    run.state.iteration("baseline").stages.append(StageRecord.model_validate(record))


def kpi_image(run: Run, number: int) -> str:
    return str(run.workspace / "images" / "kp" / f"C{number}_SolderLight.png")


def work(run: Run, label: str, stage: str) -> Any:
    begin(run, label, stage)
    TASK.stages[stage].check_needs(run, label)
    return TASK.stages[stage].work(run, label)


def stopped(run: Run, label: str, stage: str) -> GateError:
    with pytest.raises(GateError) as caught:
        work(run, label, stage)
    assert "\n" not in caught.value.line()
    return caught.value


def routed(run: Run, mining: dict[str, str], anomalygen: dict[str, str]) -> None:
    """Routing of iteration 1, as it would have come out."""
    iteration = run.state.iteration("iter1")
    for name, rows in (("mining", mining), ("anomalygen", anomalygen)):
        path = run.root / "iter1" / f"{name}_gaps.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        files = pa.array(list(rows), pa.string())
        pq.write_table(pa.table({"filepath": files, "label": pa.array(list(rows.values()), pa.string())}), path)
        put(iteration, **{f"routing_{name}_parquet": str(path)})


# -- approval --------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_plan_is_approved(workspace: Path) -> None:
    request = tiny.request(workspace)
    before = sorted(p for p in workspace.rglob("*"))
    with pytest.raises(NeedsApprovalError) as caught:
        runs.open_run(request, approve=None, how="flag")
    assert caught.value.digest == runs.plan_run(request).digest
    with pytest.raises(NeedsApprovalError):
        runs.open_run(request, approve="0" * 64, how="flag")
    assert sorted(p for p in workspace.rglob("*")) == before


@pytest.mark.parametrize(
    "change", [{"iterations": 3}, {"target": "FAR <= 1% at recall=99%"}, {"settings": ("seed=5",)}]
)
def test_a_changed_parameter_voids_the_approval(workspace: Path, change: dict[str, Any]) -> None:
    digest = runs.plan_run(tiny.request(workspace)).digest
    assert runs.plan_run(tiny.request(workspace)).digest == digest
    with pytest.raises(NeedsApprovalError):
        runs.open_run(tiny.request(workspace, **change), approve=digest, how="flag")


def test_a_changed_file_of_the_plan_voids_the_approval_of_a_run_that_is_taken_up(workspace: Path) -> None:
    folder = tiny.approved(tiny.request(workspace))
    again = tiny.request(workspace, results_dir=folder)
    names = "train/base/training_set train/base/validation_set kpi/testing_set kpi/acceptance_set "
    for name in (names + "augmentation/mining_pool/mining_pool").split():
        assert runs.open_run(again, approve=None, how="flag") == folder
        csv = workspace / f"{name}.csv"
        before = csv.read_text()
        csv.write_text("".join(before.splitlines(keepends=True)[:-1]))
        with pytest.raises(NeedsApprovalError, match="changed since"):
            runs.open_run(again, approve=None, how="flag")
        csv.write_text(before)


def test_the_engine_runs_no_stage_of_a_run_without_approval(workspace: Path) -> None:
    folder = tiny.approved(tiny.request(workspace))
    state = load_state(folder)
    state.approval = None
    (folder / "deft_state.json").write_text(state.model_dump_json())
    with pytest.raises(NeedsApprovalError):
        runs.run_loop(folder)
    assert not (folder / "baseline").exists()


# -- training and evaluation -----------------------------------------------------------------------------------------


def test_training_that_leaves_no_new_checkpoint_stops_the_run_whatever_its_exit_status(workspace: Path) -> None:
    run = opened(workspace, platform=Canned("pass"))
    assert stopped(run, "baseline", "train").gate == "no-new-checkpoint"


def test_a_failed_training_is_an_error_with_the_last_line_it_said(workspace: Path) -> None:
    run = opened(workspace, platform=Canned("raise SystemExit('the GPU is on fire')"))
    with pytest.raises(BankError, match="the GPU is on fire"):
        work(run, "baseline", "train")


def leaves_checkpoints(*epochs: int) -> Canned:
    """A training that ends well with checkpoints of these epochs."""
    return Canned(
        "import sys, pathlib\n"
        "from tao_skill_bank.core.overrides import parse_override\n"
        "out = pathlib.Path(dict(parse_override(a) for a in sys.argv if '=' in a)['results_dir']) / 'train'\n"
        f"[(out / f'model_epoch_{{e:03d}}_step_{{e + 5:05d}}.pth').write_text('x') for e in {epochs}]"
    )


def test_a_training_that_ends_well_before_its_last_epoch_has_failed(workspace: Path) -> None:
    run = opened(workspace, platform=leaves_checkpoints(0))
    with pytest.raises(StageFailedError, match="after epoch 0, and its spec promises a checkpoint of epoch 1"):
        work(run, "baseline", "train")


@pytest.mark.parametrize(
    ("label", "score", "gate"), [("bridge", "", "all-scores-missing"), ("PASS", "0.5", "no-no-pass-row")]
)
def test_an_inference_that_decides_nothing_stops_the_run(workspace: Path, label: str, score: str, gate: str) -> None:
    code = (
        "import sys, pathlib\n"
        "out = pathlib.Path([a for a in sys.argv if a.startswith('inference.results_dir=')][0].split('=', 1)[1])\n"
        "(out / 'inference.csv').write_text('input_path,golden_path,label,object_name,siamese_score\\n"
        f"a,b,{label},C1,{score}\\n')"
    )
    run = opened(workspace, platform=Canned(code))
    put(run.state.iteration("baseline"), best_ckpt_path=str(workspace / "specs" / "baseline_spec.yaml"))
    assert stopped(run, "baseline", "evaluate").gate == gate


@pytest.mark.parametrize(("losses", "kind"), [((0.2, 0.3), "best_val"), ((0.3, 0.2), "latest")])
def test_of_two_checkpoints_that_measure_alike_the_one_that_validation_prefers_is_taken(
    workspace: Path, losses: tuple[float, float], kind: str
) -> None:
    scores = "a,b,PASS,C1,0.1\\na,b,PASS,C2,0.2\\na,b,bridge,C3,0.9\\n"
    code = (
        "import sys, pathlib\n"
        "out = pathlib.Path([a for a in sys.argv if a.startswith('inference.results_dir=')][0].split('=', 1)[1])\n"
        f"(out / 'inference.csv').write_text('input_path,golden_path,label,object_name,siamese_score\\n{scores}')"
    )
    run = opened(workspace, platform=Canned(code))
    folder = run.folder("baseline") / "train"
    folder.mkdir(parents=True)
    for epoch, loss in enumerate(losses):
        (folder / f"model_epoch_{epoch:03d}_step_{epoch + 5:05d}.pth").write_text("x")
        with (folder / "status.json").open("a") as status:
            told = {"kpi": {"val_loss": loss}}
            status.write(json.dumps({"message": "Eval metrics generated.", **told}) + "\n")
            status.write(json.dumps({"epoch": epoch, "message": "Training loop in progress", **told}) + "\n")
    commit_training(run)
    found = work(run, "baseline", "evaluate").result
    assert found.best_ckpt_kind == kind
    assert Path(found.best_ckpt_path).name.startswith(f"model_epoch_{losses.index(0.2):03d}")


# -- routing ---------------------------------------------------------------------------------------------------------


def test_a_weak_label_that_nobody_takes_stops_the_run_unless_the_plan_accepts_it(workspace: Path) -> None:
    run = opened(workspace)
    weak(run, {kpi_image(run, 0): "shift", kpi_image(run, 1): "bridge"})
    error = stopped(run, "iter1", "routing")
    assert error.gate == "silent-drop"
    assert "SHIFT" in error.what and "accept_dropped=[shift]" in str(error)

    accepted = opened(workspace, "routing.accept_dropped=[shift]")
    weak(accepted, {kpi_image(run, 0): "shift", kpi_image(run, 1): "bridge"})
    outcome = work(accepted, "iter1", "routing")
    assert outcome.result.routing_verdicts == {"BRIDGE": "mining+anomalygen", "SHIFT": "dropped (accepted)"}


def test_both_branches_empty_stop_the_run(workspace: Path) -> None:
    run = opened(workspace, "routing.accept_dropped=[shift]")
    weak(run, {kpi_image(run, 0): "Shift "})
    assert stopped(run, "iter1", "routing").gate == "routing-empty"


# -- synthetic pairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "gate"),
    [
        (lambda pairs: shutil.rmtree(pairs / "original_image"), "pregen-missing"),
        (lambda pairs: [p.unlink() for p in (pairs / "original_image").iterdir()], "pregen-missing"),
        (lambda pairs: (pairs / "original_image" / "PCB+bridge_00000.png").unlink(), "pregen-unpaired"),
    ],
)
def test_pairs_that_are_missing_or_unpaired_stop_the_run(workspace: Path, damage: Any, gate: str) -> None:
    run = opened(workspace)
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    damage(workspace / "augmentation" / "anomalygen")
    assert stopped(run, "iter1", "anomalygen").gate == gate


def test_pairs_that_change_during_the_run_stop_it(workspace: Path) -> None:
    run = opened(workspace)
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    work(run, "iter1", "anomalygen")
    pair = workspace / "augmentation" / "anomalygen" / "reconstructed_image" / "PCB+bridge_00000.png"
    shutil.copy(workspace / "images" / "tr" / "C1_SolderLight.png", pair)
    assert stopped(run, "iter1", "anomalygen").gate == "pregen-changed"


def test_no_pair_is_taken_twice_in_a_run_and_only_those_of_a_routed_label(workspace: Path) -> None:
    run = opened(workspace, "anomalygen.num_SDG=2")
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    first = work(run, "iter1", "anomalygen").result
    assert first.anomalygen_by_label == {"bridge": 2}
    put(run.state.iteration("iter1"), anomalygen_used=first.anomalygen_used)
    again = run.state.iteration("iter1").result(RoutingResult).routing_anomalygen_parquet
    put(run.state.iteration("iter2"), routing_anomalygen_parquet=again)
    second = work(run, "iter2", "anomalygen").result
    assert len(second.anomalygen_used) == 1
    assert not set(first.anomalygen_used) & set(second.anomalygen_used)


def test_the_local_stand_in_cuts_from_training_and_labels_its_rows_as_synthetic(workspace: Path) -> None:
    shutil.rmtree(workspace / "augmentation" / "anomalygen")
    run = opened(workspace, "anomalygen.num_SDG=3")
    assert run.state.config.anomalygen.mode == "local_standin"
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    outcome = work(run, "iter1", "anomalygen")
    assert "stand-in" in outcome.summary
    text = Path(outcome.result.anomalygen_rows_csv).read_text()
    assert text.count("synthetic: cut from an NG training sample") == 3
    assert len(list((run.root / "iter1" / "anomalygen" / "standin_ng").glob("*.png"))) == 3


def test_the_staged_pool_names_the_folder_it_lies_in(workspace: Path) -> None:
    run = opened(workspace)
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    work(run, "iter1", "anomalygen")
    said = json.loads((run.root / "synth_pool" / "ingest_summary.json").read_text())
    assert said["images_dir"] == str(run.root / "synth_pool")
    assert Path(said["output_csv"]).is_file()


def test_a_fault_of_the_program_is_not_shown_as_unpaired_images(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_ng: Path, _ok: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(synthetic, "pair_files", broken)
    with pytest.raises(ZeroDivisionError):
        synthetic.verify_pairs(workspace / "augmentation" / "anomalygen")


# -- mining and merging ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "input_path,golden_path,label,object_name\n"])
def test_a_pool_that_is_gone_or_empty_stops_the_run(workspace: Path, content: str | None) -> None:
    run = opened(workspace)
    routed(run, {kpi_image(run, 0): "bridge"}, {})
    work(run, "iter1", "anomalygen")
    put(run.state.iteration("iter1"), anomalygen_rows_csv=str(run.root / "iter1" / "anomalygen" / "sdg_rows.csv"))
    pool = workspace / "augmentation" / "mining_pool" / "mining_pool.csv"
    pool.unlink() if content is None else pool.write_text(content)
    assert stopped(run, "iter1", "data_mining").gate == "mining-pool"


def mined(run: Run) -> Any:
    routed(run, {kpi_image(run, 0): "bridge", kpi_image(run, 1): "PASS"}, {})
    begin(run, "iter1", "anomalygen")
    outcome = TASK.stages["anomalygen"].work(run, "iter1")
    put(run.state.iteration("iter1"), anomalygen_rows_csv=outcome.result.anomalygen_rows_csv)


def test_a_pool_row_whose_test_image_is_a_kpi_image_stops_the_run_before_it_is_merged(workspace: Path) -> None:
    pool = workspace / "augmentation" / "mining_pool" / "mining_pool.csv"
    with pool.open("a") as handle:
        handle.write("../images/kp/,golden/kp/,bridge,C0\n")
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    error = stopped(run, "iter1", "data_mining")
    assert error.gate == "leakage"
    assert "testing_set.csv" in error.what


def test_a_new_row_with_the_bytes_of_an_evaluation_image_is_dropped_and_counted(workspace: Path) -> None:
    shutil.copy(workspace / "images" / "kp" / "C0_SolderLight.png", workspace / "images" / "po" / "C0_SolderLight.png")
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    outcome = work(run, "iter1", "data_mining")
    assert outcome.result.leakage["equal_mined"] == 1
    assert any("dropped" in warning for warning in outcome.warnings)
    assert ",C0\n" not in Path(outcome.result.mining_pool_csv).read_text()


def test_synthetic_images_like_an_evaluation_image_are_counted_with_the_mined_ones(workspace: Path) -> None:
    pairs = workspace / "augmentation" / "anomalygen" / "reconstructed_image"
    almost = np.array(Image.open(workspace / "images" / "kp" / "C0_SolderLight.png"))
    almost[0, 0] += 1
    Image.fromarray(almost).save(pairs / "PCB+bridge_00000.png")
    run = opened(workspace, "anomalygen.num_SDG=1")
    routed(run, {}, {kpi_image(run, 0): "bridge"})
    outcome = work(run, "iter1", "anomalygen")
    assert outcome.result.anomalygen_used == ["PCB+bridge_00000"]
    put(run.state.iteration("iter1"), anomalygen_rows_csv=outcome.result.anomalygen_rows_csv)
    outcome = work(run, "iter1", "data_mining")
    assert outcome.result.leakage["near_duplicates"] == 1
    named = (run.root / "iter1" / "mining_filter" / "near_duplicates.csv").read_text().splitlines()
    assert named[0] == "new,evaluation,cosine,noise_in_common" and len(named) == 2
    assert "PCB+bridge_00000" in named[1] and "images/kp/C0_SolderLight.png" in named[1]
    # Sixteen pixels a side hold too little noise to call it a copy: it is named, and no more is claimed.
    assert outcome.result.leakage["near_copies"] == 0


def test_blank_images_that_look_like_blank_evaluation_images_are_no_near_duplicates(workspace: Path) -> None:
    for path in ("images/kp/C0_SolderLight.png", "images/po/C0_SolderLight.png"):
        value = 200 if "kp" in path else 201
        Image.new("RGB", (16, 16), (value, value, value)).save(workspace / path)
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    outcome = work(run, "iter1", "data_mining")
    named = (run.root / "iter1" / "mining_filter" / "near_duplicates.csv").read_text()
    assert "images/po/C0_SolderLight.png" not in named
    assert outcome.result.leakage["looked"] == outcome.result.mining_mined_count


def test_a_falling_yield_compares_what_is_left_after_the_leakage_check_in_both_iterations(workspace: Path) -> None:
    for number in range(18):
        shutil.copy(
            workspace / "images" / "kp" / f"C{number}_SolderLight.png",
            workspace / "images" / "po" / f"C{number}_SolderLight.png",
        )
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    for kind, name in ((RoutingResult, "routing_mining_parquet"), (AnomalygenResult, "anomalygen_rows_csv")):
        put(run.state.iteration("iter2"), **{name: getattr(run.state.iteration("iter1").result(kind), name)})
    put(run.state.iteration("iter1"), mining_mined_count=11)
    outcome = work(run, "iter2", "data_mining")
    assert outcome.result.mining_mined_count == 5
    assert len(outcome.result.mining_used) > 5
    assert any("mining yields 5 rows after 11" in warning for warning in outcome.warnings)
    put(run.state.iteration("iter1"), mining_mined_count=10)
    assert not any("yields" in warning for warning in work(run, "iter2", "data_mining").warnings)


def test_nothing_new_from_either_source_stops_the_run(workspace: Path) -> None:
    run = opened(workspace, "mining.strategy=nearest", "mining_filter.min_similarity=1.0")
    mined(run)
    assert stopped(run, "iter1", "data_mining").gate == "nothing-new"


def test_an_image_that_vanished_before_the_merge_is_named(workspace: Path) -> None:
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    outcome = work(run, "iter1", "data_mining")
    put(run.state.iteration("iter1"), mining_pool_csv=outcome.result.mining_pool_csv)
    (workspace / "images" / "po" / "C1_SolderLight.png").unlink()
    with pytest.raises(BankError, match=r"C1_SolderLight\.png is missing"):
        work(run, "iter1", "data_merge")


def test_the_merge_keeps_every_row_with_its_provenance_and_prefixes_paths_once(workspace: Path) -> None:
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    work(run, "iter1", "data_mining")
    outcome = work(run, "iter1", "data_merge")
    put(run.state.iteration("iter1"), combined_training_csv=outcome.result.combined_training_csv)
    put(run.state.iteration("iter1"), provenance_csv=outcome.result.provenance_csv)
    rows = Path(outcome.result.combined_training_csv).read_text().splitlines()
    source = [line.split(",")[1] for line in Path(outcome.result.provenance_csv).read_text().splitlines()[1:]]
    assert len(rows) - 1 == len(source) == outcome.result.provenance_counts["total"]
    assert source[:16] == ["base_train"] * 16 and set(source[16:]) == {"mining_pool"}
    assert all(line.startswith("images/") for line in rows[1:])
    shutil.copytree(run.root / "iter1" / "mining_filter", run.root / "iter2" / "mining_filter")
    second = work(run, "iter2", "data_merge").result
    again = Path(second.combined_training_csv).read_text().splitlines()
    assert again[1 : len(rows)] == rows[1:], "iteration 2 grows the combined set, never the base"
    assert not any("images/images/" in line for line in again)


def merged(folder: Path, combined: list[str], provenance: list[str]) -> None:
    (folder / "c.csv").write_text("\n".join(["input_path,golden_path,label,object_name", *combined]) + "\n")
    (folder / "p.csv").write_text("\n".join(["row,source,kind", *(f"{line},real" for line in provenance)]) + "\n")


FIRST, SECOND, NEW = "a,g,PASS,C1", "a,g,PASS,C2", "p,g,bridge,C1"


@pytest.mark.parametrize(
    ("combined", "provenance", "said"),
    [
        ([FIRST, SECOND, NEW], ["1,base_train", "2,base_train", "3,mining_pool"], None),
        ([FIRST, NEW], ["1,base_train", "2,base_train", "3,mining_pool"], "2 rows of 3 were written"),
        ([SECOND, FIRST, NEW], ["1,base_train", "2,base_train", "3,mining_pool"], "c.csv row 1: is not the row"),
        ([FIRST, SECOND, NEW], ["1,base_train", "2,base_train"], "2 provenances of 3 were written"),
        ([FIRST, SECOND, NEW], ["1,base_train", "2,mining_pool", "3,mining_pool"], "p.csv row 2: is not from base"),
        ([FIRST, SECOND, NEW], ["1,base_train", "3,base_train", "2,mining_pool"], "p.csv row 2: is not from base"),
    ],
)
def test_a_merge_is_read_back_row_by_row_with_its_provenance(
    tmp_path: Path, combined: list[str], provenance: list[str], said: str | None
) -> None:
    def part(*rows: str) -> PairTable:
        cells = [row.split(",") for row in rows]
        return PairTable(tmp_path / "x.csv", {n: [c[i] for c in cells] for i, n in enumerate(REQUIRED_COLUMNS)})

    parts = [part(FIRST, SECOND), part(NEW)]
    merged(tmp_path, combined, provenance)
    check = (tmp_path / "c.csv", tmp_path / "p.csv", parts, ["base_train", "mining_pool"])
    if said is None:
        refuse_lost_rows(*check)
        return
    with pytest.raises(GateError, match=said) as caught:
        refuse_lost_rows(*check)
    assert caught.value.gate == "lost-row"


def test_a_row_lost_in_writing_the_merged_set_stops_the_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(workspace, "mining.strategy=all")
    mined(run)
    work(run, "iter1", "data_mining")
    monkeypatch.setattr(
        merge, "write_pairs", lambda path, columns: write_pairs(path, {n: v[:-1] for n, v in columns.items()})
    )
    assert stopped(run, "iter1", "data_merge").gate == "lost-row"


@pytest.mark.parametrize(("threshold", "written", "used"), [(0.25, 0.25, 0.25), (-0.5, -1.0, 0.1)])
def test_the_spec_that_gap_analysis_leaves_is_the_one_it_ran(
    workspace: Path, threshold: float, written: float, used: float
) -> None:
    run = opened(workspace)
    csv = run.root / "baseline" / "inference" / "latest" / "inference.csv"
    kpi = (workspace / "kpi" / "testing_set.csv").read_text().splitlines()
    scores = [f"{line},{0.1 if ',PASS,' in line else 0.9}" for line in kpi[1:]]
    csv.parent.mkdir(parents=True)
    csv.write_text("\n".join([f"{kpi[0]},siamese_score", *scores]) + "\n")
    put(run.state.iteration("baseline"), inference_csv=str(csv))
    put(run.state.iteration("baseline"), threshold=threshold)
    put(run.state.iteration("baseline"), training_spec=str(workspace / "specs" / "baseline_spec.yaml"))
    outcome = work(run, "baseline", "rca")
    spec = yaml.safe_load((Path(outcome.result.rca_results_dir) / "vcn_aoi_spec.yaml").read_text())
    assert spec["threshold"] == written
    assert outcome.result.rca_threshold == used


# -- the end ---------------------------------------------------------------------------------------------------------


def evaluated(state: DeftState, label: str, far: float, status: str = "complete") -> None:
    it = state.iteration(label)
    it.status = status  # type: ignore[assignment]
    put(it, far_pct=far, best_ckpt_path=f"/{label}.pth", threshold=0.5)


def test_the_best_model_is_the_lowest_far_of_the_complete_iterations(workspace: Path) -> None:
    run = opened(workspace)
    evaluated(run.state, "baseline", 5.0)
    evaluated(run.state, "iter1", 3.0)
    evaluated(run.state, "iter2", 1.0, "failed")
    best = run.state.best(complete_only=True)
    assert best is not None and best[0] == "iter1"
    # What the end of the run named counts before the figures, unless that iteration is not whole.
    run.state.status, run.state.best_iteration = "complete", "baseline"
    assert [run.state.best(complete_only=only)[0] for only in (True, False)] == ["baseline"] * 2  # type: ignore[index]
    run.state.best_iteration = "iter2"
    assert [run.state.best(complete_only=only)[0] for only in (True, False)] == ["iter1", "iter2"]  # type: ignore[index]
