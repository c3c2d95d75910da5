"""From an evaluation and its annotation ids to the page of causes, and to pairs like the failures, one command each."""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import bcq
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from ran import at_a_shell

from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import BankError

ROOT = Path(__file__).resolve().parents[2]


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=True)


def ten(root: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Ten annotations, and the evaluator's rows: shuffled, by id, one answer wrong each way, one unreadable."""
    answers = ["Yes", "No"] * 5
    records = [bcq.record(f"clip-{n}", f"{n}.mp4", answers[n]) for n in range(10)]
    path = bcq.write_set(root, "kpi", records, videos=range(10))
    said = {**{n: answers[n].lower() for n in range(10)}, 0: "no", 1: "yes", 2: None}
    rows = [
        {
            "video_id": f"clip-{n}",
            "question": f"<video>\n{bcq.ASKED}",
            "response": said[n],
            "gt": answers[n],
            "full_response": "<think>hm" if said[n] is None else f"<think>yes or no?</think>\n{said[n]}",
        }
        for n in range(10)
    ]
    random.Random(1).shuffle(rows)
    return path, rows


def test_two_commands_lead_from_results_json_to_the_page_of_causes(tmp_path: Path) -> None:
    annotations, rows = ten(tmp_path)
    results = tmp_path / "out" / "results.json"
    results.parent.mkdir()
    results.write_text(json.dumps(rows))
    judged = run("evaluate", "vlm", annotations, "--results", results)
    assert judged.exit_code == 0, judged.output
    folder = Path(judged.output.splitlines()[-1])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["TP"], metrics["TN"], metrics["FP"], metrics["FN"]) == (3, 4, 1, 1)
    assert (metrics["unreadable_yes"], metrics["fn_rate"], metrics["fp_rate"]) == (1, 0.4, 0.2)
    assert metrics["why"] == {"cut_off": 1}
    shown = run("rca", "vlm", folder)
    assert shown.exit_code == 0, shown.output
    page = Path(shown.output.splitlines()[-1])
    assert page.name == "rca.html"
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 8
    assert "raise max_tokens" in text
    assert "http://" not in text
    assert "https://" not in text
    gaps = page.parent / "kpi_gaps.jsonl"
    assert [json.loads(line)["error_type"] for line in gaps.read_text().splitlines()] == ["FN", "FP"]
    pool = bcq.write_set(tmp_path, "pool", [bcq.record("p", "11.mp4"), bcq.record("q", "10.mp4", "No")], (10, 11))
    mined = run("gaps", "mine", gaps, "--pool", pool)
    assert mined.exit_code == 0, mined.output
    table = pq.read_table(mined.output.splitlines()[-1]).to_pylist()
    assert {row["id"] for row in table} == {"p", "q"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-2], "8 of 10 annotations answered, missing"),
        (lambda rows: [*rows, rows[0]], "is answered twice"),
        (lambda rows: [{**rows[0], "question": "Other?"}, *rows[1:]], "was asked another question"),
        (lambda rows: [{**row, "gt": "No"} for row in rows], "has the truth 'no'"),
        (lambda rows: [{**rows[0], "video_id": "clip-77"}, *rows[1:]], "is of no annotation"),
        (lambda rows: [], "0 of 10 annotations answered"),
        (lambda rows: {"a": 1}, "is no list of answers"),
    ],
)
def test_an_evaluation_that_does_not_cover_the_annotations_is_not_used(tmp_path: Path, change: Any, said: str) -> None:
    annotations, rows = ten(tmp_path)
    results = tmp_path / "results.json"
    results.write_text(json.dumps(change(sorted(rows, key=lambda row: row["video_id"]))))
    found = run("evaluate", "vlm", annotations, "--results", results)
    assert isinstance(found.exception, BankError)
    assert found.exception.exit_code == 4
    assert said in found.exception.line()
    assert not (tmp_path / "evaluation").exists()


def test_an_evaluator_that_skipped_a_video_and_paired_by_position_is_told_by_the_truths(tmp_path: Path) -> None:
    annotations, rows = ten(tmp_path)
    rows.sort(key=lambda row: row["video_id"])
    shifted = [{**row, "response": after["response"]} for row, after in pairwise(rows)]
    (tmp_path / "r").mkdir()
    (tmp_path / "r/results.json").write_text(json.dumps(shifted))
    found = run("evaluate", "vlm", annotations, "--results", tmp_path / "r")
    assert isinstance(found.exception, BankError)
    assert "9 of 10 annotations answered, missing 'clip-9'" in found.exception.line()


def test_shards_are_read_together_and_a_gap_among_them_is_named(tmp_path: Path) -> None:
    annotations, rows = ten(tmp_path)
    folder = tmp_path / "r" / "deep"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"results_shard{number}.json").write_text(json.dumps(rows[number::2]))
    assert run("evaluate", "vlm", annotations, "--results", tmp_path / "r").exit_code == 0
    (folder / "results_shard0.json").rename(folder / "results_shard2.json")
    found = run("evaluate", "vlm", annotations, "--results", tmp_path / "r")
    assert "results_shard0.json is missing" in str(found.exception)
    (folder / "results.json").write_text("[]")
    found = run("evaluate", "vlm", annotations, "--results", tmp_path / "r")
    assert "exactly one results.json" in str(found.exception)


def test_paths_join_where_path_and_question_are_unique(tmp_path: Path) -> None:
    annotations, rows = ten(tmp_path)
    by_path = [{**row, "video_id": f"{row['video_id'].split('-')[1]}.mp4"} for row in rows]
    (tmp_path / "r.json").write_text(json.dumps(by_path))
    assert run("evaluate", "vlm", annotations, "--results", tmp_path / "r.json").exit_code == 0


def test_the_commands_of_the_guide_lead_from_results_to_causes_to_pairs_to_a_plan(tmp_path: Path) -> None:
    guide = (ROOT / "docs/guides/yes-no-models.md").read_text()
    annotations, rows = ten(tmp_path)
    assert annotations.is_file()
    (tmp_path / "results.json").write_text(json.dumps(rows))
    bcq.write_set(tmp_path, "pool", [bcq.record("p", "11.mp4"), bcq.record("q", "10.mp4", "No")], (10, 11))
    shutil.copytree(bcq.drawn(), tmp_path / "drawn")
    typed = [line for block in re.findall(r"```console\n(.*?)```", guide, re.DOTALL) for line in block.splitlines()]
    assert len(typed) == 5
    said = ""
    for line in typed:
        command = line.replace("tao-skills", f"{sys.executable} -m tao_skill_bank.cli", 1)
        done = at_a_shell(command, cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        said += done.stdout
    assert "rca.html" in said
    assert "mined.parquet" in said
    assert "plan digest" in said
