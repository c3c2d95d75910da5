"""While a training runs, its own status file says how far it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from report_runs import RunBuilder

from tao_skill_bank import runs
from tao_skill_bank.commands.deft import cli
from tao_skill_bank.loop.opening import folder_lock
from tao_skill_bank.platforms.base import tail_of
from tao_skill_bank.tasks.changenet.task import training_progress


def said(folder: Path, *lines: dict[str, Any] | str) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "status.json").write_text(text, encoding="utf-8")
    return folder


def epoch(number: int, loss: float) -> dict[str, Any]:
    return {"message": f"Training loop in progress, epoch {number}.", "kpi": {"train_loss": loss}}


def test_the_banks_own_training_tells_epoch_and_losses(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("train: {num_epochs: 6}\n")
    said(tmp_path, epoch(0, 0.9), epoch(1, 0.5), {"message": "Eval metrics generated.", "kpi": {"val_loss": 0.612345}})
    assert training_progress(tmp_path) == "epoch 2 of 6, train_loss 0.5, val_loss 0.6123"


def test_taos_training_tells_its_epoch_by_number_and_how_many_there_are(tmp_path: Path) -> None:
    said(tmp_path, {"epoch": 3, "max_epoch": 30, "message": "Train metrics generated.", "kpi": {"train_loss": 0.25}})
    assert training_progress(tmp_path) == "epoch 4 of 30, train_loss 0.25"


@pytest.mark.parametrize(
    "last", ['{"epoch": 9, "kp', "[1]", "", '{"kpi": {"train_loss": "NaN"}}', '{"epoch": true}', "[" * 9000]
)
def test_a_line_that_is_half_written_or_odd_changes_nothing(tmp_path: Path, last: str) -> None:
    said(tmp_path, epoch(0, 0.9), last)
    assert training_progress(tmp_path) == "epoch 1, train_loss 0.9"


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0c"])
def test_a_sign_that_ends_a_line_elsewhere_does_not_hide_an_epoch(tmp_path: Path, sign: str) -> None:
    told = {**epoch(1, 0.5), "note": f"one{sign}two"}
    said(tmp_path, epoch(0, 0.9), json.dumps(told, ensure_ascii=False))
    assert training_progress(tmp_path) == "epoch 2, train_loss 0.5"


def test_a_log_whose_progress_bar_returns_to_its_lines_start_shows_the_last_of_it(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes("10%\r50%\r100%\nread “a\u2028b”\n".encode())
    assert tail_of(log, 2) == "100%\nread “a\u2028b”"


@pytest.mark.parametrize("lines", [(), ({"message": "Starting Training.", "status": "STARTED"},)])
def test_before_the_first_epoch_nothing_is_said(tmp_path: Path, lines: tuple[dict[str, Any], ...]) -> None:
    assert training_progress(said(tmp_path, *lines)) is None
    assert training_progress(tmp_path / "not there") is None


def test_status_tells_how_far_the_training_is_while_somebody_works_on_it(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "r", iterations=0, status="running", with_baseline=False, pictures=False).build()
    train = run / "baseline" / "train"
    train.mkdir(parents=True)
    said(train, epoch(0, 0.9), epoch(1, 0.5))
    assert runs.status(run).live is None  # nobody works on it
    with folder_lock(run, "test"):
        view = runs.status(run)
        assert (view.stage, view.live) == ("train", "epoch 2, train_loss 0.5")
        printed = CliRunner().invoke(cli, ["status", str(run)], catch_exceptions=False).output
        assert "now        epoch 2, train_loss 0.5" in printed


def test_a_stage_that_says_nothing_of_itself_shows_nothing(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "r", iterations=0, status="running", pictures=False).build()
    with folder_lock(run, "test"):
        view = runs.status(run)
    assert view.stage != "train" and view.live is None


def test_a_mining_tells_its_step_and_how_many_images_it_has_embedded(tmp_path: Path) -> None:
    from tao_skill_bank.platforms.base import JobRecord, jobs_dir, write_record
    from tao_skill_bank.tasks.changenet.task import mining_progress

    assert mining_progress(tmp_path) is None
    made = {"platform": "local", "command": ["embedding"], "argv": ["embedding"], "outputs": [], "cwd": str(tmp_path)}
    record = JobRecord(
        uid="iter1-data_mining-embed_source-1",
        key="iter1.data_mining.embed_source",
        results_dir=str(tmp_path),
        submitted_at="2026-11-28T20:00:00.000000Z",
        **made,
    )
    write_record(record)
    assert mining_progress(tmp_path) == "embed_source"
    log = jobs_dir(tmp_path) / f"{record.uid}.log"
    log.write_text("4096 of 9000 images embedded\n8192 of 9000 images embedded\n8500 of 90")
    assert mining_progress(tmp_path) == "embed_source: 8192 of 9000 images"
