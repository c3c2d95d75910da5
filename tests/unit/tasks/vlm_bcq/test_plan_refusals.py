"""What a plan refuses before anything is paid for: specs, ready-made embeddings, faults of several files at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bcq
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank import runs
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.bcq.clips import clip_of
from tao_skill_bank.data.bcq.questions import question_key
from tao_skill_bank.data.bcq.records import read_set
from tao_skill_bank.demo_vlm import write_video
from tao_skill_bank.loop.request import Request
from tao_skill_bank.tasks.vlm_bcq.config import EmbeddingsConfig, MiningConfig, VlmConfig
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bcq.workspace(tmp_path_factory.mktemp("refusals") / "w")


def faults(folder: Path, *settings: str) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        runs.plan_run(bcq.request(folder, *settings))
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("train", "[custom.vision]\nnframes = 8\nfps = 1\n", "custom.vision has nframes and fps"),
        (
            "train",
            "[train]\ntrain_batch_per_replica = 3\n[train.train_policy]\nmini_batch = 2\n",
            "train_batch_per_replica 3 is no multiple of mini_batch 2",
        ),
        ("evaluate", "no toml", "not readable as TOML"),
    ],
)
def test_a_spec_that_no_training_or_evaluation_could_use_stops_a_rehearsal_too(
    folder: Path, name: str, text: str, said: str
) -> None:
    path = folder / "specs" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    try:
        (fault,) = faults(folder)
    finally:
        path.unlink()
    assert f"{name}.toml" in fault
    assert said in fault


def table(path: Path, rows: list[tuple[str, Any, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    # Not in the order in which the columns are usually named.
    columns = {"modality": [r[2] for r in rows], "embedding": [r[1] for r in rows], "filepath": [r[0] for r in rows]}
    pq.write_table(pa.table(columns), path)


def test_ready_made_embeddings_are_looked_through_when_a_run_is_planned(tmp_path: Path) -> None:
    folder = bcq.workspace(tmp_path / "w")
    rng = np.random.default_rng(3)
    held = {
        name: [(str(p), rng.normal(size=4).tolist(), "video") for p in sorted((folder / name / "media").glob("*.mp4"))]
        for name in ("kpi", "pool")
    }
    homes = {name: folder / "embeddings" / f"{name}.parquet" for name in held}
    for name, rows in held.items():
        table(homes[name], rows)
    planned = runs.plan_run(bcq.request(folder))
    assert any(c.name == "encoder" and c.text == "ready-made embeddings" for c in planned.checks)
    for change, said in (
        (held["pool"][1:], f"no video embedding of {held['pool'][0][0]}"),
        ([(r[0], [1.0, float("nan")], r[2]) for r in held["pool"]], "no finite embedding of"),
        ([(r[0], [1.0, 2.0], r[2]) for r in held["pool"]], "video embeddings of 2 and of 4 numbers"),
    ):
        table(homes["pool"], change)
        (fault,) = faults(folder)
        assert said in fault
    homes["pool"].write_text("no table")
    assert "is no table of filepath, embedding and modality" in faults(folder)[0]


def test_frames_are_taken_where_frames_are_asked_for_whatever_lies_in_embeddings(folder: Path, tmp_path: Path) -> None:
    table(tmp_path / "embeddings" / "pool.parquet", [("/other.mp4", [1.0], "video")])
    config = VlmConfig(
        workspace=str(folder),
        kpi="",
        mining=MiningConfig(encoder="frames"),
        embeddings=EmbeddingsConfig(pool=str(tmp_path / "embeddings" / "pool.parquet")),
    )
    records = read_set("kpi", folder / "kpi/annotations.json", folder, strict=True).records[:3]
    encoder = Encoder(config)
    assert encoder.name == "frames 1"
    assert encoder.pairs(records).shape[0] == 3


def test_faults_of_one_set_do_not_hide_a_leak_of_another(tmp_path: Path) -> None:
    folder = bcq.workspace(tmp_path / "w")
    kpi, base, pool = (json.loads((folder / n / "annotations.json").read_text()) for n in ("kpi", "base", "pool"))
    (folder / "base/media" / base[0]["video"]).write_bytes((folder / "kpi/media" / kpi[0]["video"]).read_bytes())
    pool[4]["id"] = pool[1]["id"]
    (folder / "pool/annotations.json").write_text(json.dumps(pool))
    found = faults(folder)
    assert f"pool/annotations.json row 5: id {pool[1]['id']!r} is also row 2" in found
    assert "base row 1 = kpi row 1: same content" in found


def test_a_missing_answer_is_told_beside_a_fault_of_a_row(tmp_path: Path) -> None:
    rows = [bcq.record("a", "0.mp4"), bcq.record("b", "1.mp4"), bcq.record("a", "2.mp4")]
    path = bcq.write_set(tmp_path, "kpi", rows, (0, 1, 2))
    with pytest.raises(InputErrors) as caught:
        read_set("kpi", path, tmp_path, strict=True, measured=True)
    assert caught.value.faults == [
        "kpi/annotations.json row 3: id 'a' is also row 1",
        "kpi: no 'No' answers (FP rate cannot be measured)",
    ]


def test_a_video_that_looks_nearly_like_one_of_the_evaluation_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    folder = bcq.workspace(tmp_path / "w")
    kpi, pool = (json.loads((folder / n / "annotations.json").read_text()) for n in ("kpi", "pool"))
    frames = clip_of(folder / "kpi/media" / kpi[0]["video"]).frames
    write_video(folder / "pool/media" / pool[0]["video"], np.clip(frames.astype(int) + 9, 0, 255).astype(np.uint8))
    planned = runs.plan_run(bcq.request(folder))
    (told,) = (check for check in planned.checks if check.name == "look-alikes")
    assert told.status == "warn"
    assert "first pool row 1 ~ kpi row 1 (0.99" in told.text


def test_a_plan_without_a_target_is_told_one_that_this_task_reads(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        runs.plan_run(Request(task="vlm_bcq", workspace=folder))
    assert caught.value.fix == "for example 'balanced accuracy >= 95%'"


def test_questions_that_the_pool_lacks_are_counted_even_where_that_is_accepted(tmp_path: Path) -> None:
    folder = bcq.workspace(tmp_path / "w")

    def told(*settings: str) -> dict[str, Any]:
        return {check.name: check for check in runs.plan_run(bcq.request(folder, *settings)).checks}

    whole = told()
    keys = read_set("kpi", folder / "kpi/annotations.json", folder, strict=True).keys
    assert whole["weak questions"].text.startswith(f"the pool has both answers of {len(keys)} of {len(keys)} questions")
    assert "training-side videos is at cosine" in whole["look-alikes"].text or whole["look-alikes"].status == "warn"
    assert any(c.isdigit() for c in whole["duplicates"].text)
    pool = json.loads((folder / "pool/annotations.json").read_text())
    kept = [row for row in pool if question_key(row["conversations"][0]["value"]) != keys[0]]
    (folder / "pool/annotations.json").write_text(json.dumps(kept))
    assert told()["weak questions"].status == "warn"
    accepted = told(f"routing.accept_dropped=['{keys[0]}']")["weak questions"]
    assert accepted.status == "ok"
    assert f"of {len(keys) - 1} of {len(keys)} questions" in accepted.text and keys[0] in accepted.text
