"""A sample, the verdicts on it, and how many items are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tao_skill_bank.annotate.quality.error_rate import LEAST_JUDGED, draw, measure, read_sample
from tao_skill_bank.cli import cli
from tao_skill_bank.core.errors import InputError

ITEMS = {f"{i:04x}": "mcq" if i % 4 else "bcq" for i in range(400)}


def judged(sample: Any, errors: int, number: int) -> dict[str, tuple[str, str]]:
    return {digest: ("reject" if i < errors else "accept", "") for i, digest in enumerate(list(sample.items)[:number])}


@pytest.mark.parametrize(
    ("errors", "low", "high"), [(4, 0.0110, 0.0993), (0, 0.0, 0.0362)], ids=["four of a hundred", "none"]
)
def test_the_interval_is_exact(errors: int, low: float, high: float) -> None:
    sample = draw(ITEMS, 100, 0)
    found = measure(sample, ITEMS, judged(sample, errors, 100)).all
    assert found.rate == errors / 100
    assert (round(found.low or 0, 4), round(found.high or 0, 4)) == (low, high)


def test_a_sample_is_drawn_in_proportion_and_by_its_seed() -> None:
    sample = draw(ITEMS, 50, 0)
    tasks = list(sample.items.values())
    assert (tasks.count("bcq"), tasks.count("mcq")) in ((12, 38), (13, 37))
    assert draw(ITEMS, 50, 0) == sample
    assert draw(ITEMS, 50, 1).items != sample.items
    assert len(draw(ITEMS, 1000, 0).items) == 400


def test_too_few_verdicts_and_changed_items_measure_nothing() -> None:
    sample = draw(ITEMS, 100, 0)
    few = measure(sample, ITEMS, judged(sample, 1, LEAST_JUDGED - 1))
    assert few.tags() == []
    assert few.all.line() == "19 of 100 judged, 1 wrong: no rate"
    assert measure(sample, ITEMS, judged(sample, 1, LEAST_JUDGED)).tags()
    gone = {digest: task for digest, task in ITEMS.items() if digest != next(iter(sample.items))}
    changed = measure(sample, gone, judged(sample, 1, 100))
    assert (changed.changed, changed.tags(), changed.lines()) == (1, [], [])


def test_intervals_cover_the_truth_in_at_least_nineteen_of_twenty_draws() -> None:
    sample = draw({f"{i:05x}": "mcq" for i in range(200)}, 200, 0)
    intervals = {}
    errors = np.random.default_rng(0).binomial(200, 0.03, 2000)
    for count in sorted(set(errors.tolist())):
        found = measure(sample, sample.items, judged(sample, count, 200)).all
        intervals[count] = (found.low or 0.0) <= 0.03 <= (found.high or 1.0)
    assert np.mean([intervals[count] for count in errors.tolist()]) >= 0.95


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": "tao-skill-bank-sample-v1", "seed": 1e999, "items": []}'])
def test_a_sample_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text(text)
    with pytest.raises(InputError, match=r"sample\.json: is no sample"):
        read_sample(tmp_path)


def test_the_rate_stands_in_the_files_and_in_the_card(tmp_path: Path) -> None:
    step = tmp_path / "r/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    with step.open("w", encoding="utf-8") as handle:
        for i in range(40):
            item = {
                "question": f"Does cart {i} move?",
                "answer": "Yes",
                "explanation": "It does.",
                "reasoning": "Seen.",
            }
            video = tmp_path / f"{i}.mp4"
            video.write_bytes(b"video %d" % i)
            row = {"video": str(video), "prompt_key": "normal_bcq", "qa_output": json.dumps({"items": [item]})}
            handle.write(json.dumps(row) + "\n")

    def says(*arguments: str) -> str:
        run = CliRunner().invoke(cli, ["annotate", *arguments], catch_exceptions=False)
        assert run.exit_code == 0, run.output
        return run.output

    says("sample", str(tmp_path / "r"), "--n", "25", "--seed", "0")
    drawn = json.loads((tmp_path / "r/sample.json").read_text())["items"]
    with (tmp_path / "r/verdicts.jsonl").open("w") as handle:
        for i, item in enumerate(drawn):
            handle.write(json.dumps({"digest": item["digest"], "verdict": "reject" if i == 0 else "accept"}) + "\n")
    assert "25 of 25 judged, 1 wrong: 4.00 %" in says("error-rate", str(tmp_path / "r"))
    value = json.loads((tmp_path / "r/step_4_output/bcq.json").read_text())
    assert value["metadata"]["tags"] == ["error_rate=0.0400", "error_rate_95=0.0010-0.2035", "error_sample=25"]
    assert len(value["items"]) == 39
    says("export", str(tmp_path / "r"), "--format", "tao", "--to", str(tmp_path / "out"))
    assert "Error rate: all: 25 of 25 judged, 1 wrong: 4.00 %" in (tmp_path / "out/README.md").read_text()
    assert json.loads((tmp_path / "out/train/bcq.json").read_text())["metadata"]["tags"][0] == "error_rate=0.0400"
