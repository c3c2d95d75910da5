"""The tables of a run as frames: the figures of the state and of the files, and one line where there are none."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import tiny

from tao_skill_bank import frames, runs
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with tiny.fake_model():
        workspace = tiny.make_workspace(tmp_path_factory.mktemp("frames") / "w")
        folder = tiny.approved(tiny.request(workspace, target="FAR < 0.001% at recall=100%", iterations=1))
        runs.run_loop(folder)
    moved = folder.parent.parent.parent / "moved"
    shutil.move(folder, moved)
    return moved


def test_iterations_hold_the_figures_of_the_state(run: Path) -> None:
    state, frame = load_state(run), frames.iterations(run)
    assert list(frame.index) == ["baseline", "iter1"]
    for label, row in frame.iterrows():
        record = state.iterations[str(label)]
        assert (row.far_pct, row.threshold, row.best) == (
            *(record.far_pct, record.threshold),
            label == state.best_iteration,
        )
        assert row.far_low_pct <= row.far_pct <= row.far_high_pct
        assert Path(row.checkpoint).is_file()
    assert frame.training_rows["iter1"] == state.iterations["iter1"].training_rows


def test_scores_predict_what_the_iteration_counted(run: Path) -> None:
    record = load_state(run).iterations["iter1"]
    frame = frames.scores(run, "iter1")
    counted = record.evaluations[0]
    assert counted.inference_csv == record.inference_csv
    wrong = frame.predicted_defect & ~frame.is_defect
    assert (wrong.sum(), (frame.predicted_defect & frame.is_defect).sum()) == (counted.fp, counted.tp)


def test_every_training_row_has_its_provenance(run: Path) -> None:
    counts = load_state(run).iterations["iter1"].provenance_counts
    frame = frames.provenance(run, "iter1")
    assert counts is not None
    assert len(frame) == counts["total"]
    assert not frame[["source", "kind", "label"]].isna().any().any()
    merged = next((run / "iter1").rglob("train_combined_iter1.csv"))
    with merged.open(encoding="utf-8", newline="") as file:
        assert frame.object_name.tolist() == [row["object_name"] for row in csv.DictReader(file)]


def test_weaknesses_and_stages_are_those_on_disk(run: Path) -> None:
    assert {"filepath", "label"} <= set(frames.weaknesses(run, "baseline").columns)
    assert frames.weaknesses(run).equals(frames.weaknesses(run, "baseline")), "the last that was analysed"
    lines = read_log(run / LOG_FILE)
    frame = frames.stages(run)
    assert [(seq, row.stage, row.status) for seq, row in frame.iterrows()] == [
        (x.seq, x.stage, x.status) for x in lines
    ]
    assert str(frame.ended_at.dt.tz) == "UTC"


def test_what_is_not_there_is_said_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no iteration 'iter9'.*baseline, iter1"):
        frames.scores(run, "iter9")
    with pytest.raises(InputError, match=r"baseline has no merged training set \(name one of iter1\)"):
        frames.provenance(run, "baseline")
    with pytest.raises(InputError):
        frames.iterations(tmp_path)


def test_damaged_files_of_a_run_are_one_line_each(run: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "hurt"
    shutil.copytree(run, hurt)
    origin = next((hurt / "iter1").rglob("*_provenance.csv"))
    kept = origin.read_text()
    origin.write_text(kept.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(InputError, match=r"has \d+ rows for the \d+ of train_combined_iter1.csv"):
        frames.provenance(hurt, "iter1")
    origin.write_text("row,origin\n1,base\n")
    with pytest.raises(InputError, match="source"):
        frames.provenance(hurt, "iter1")
    for file in hurt.rglob("kpi_gaps.parquet"):
        file.write_text("bad")
    with pytest.raises(InputError, match=r"kpi_gaps.parquet: is no parquet file"):
        frames.weaknesses(hurt)
