"""Pairs are chosen as a brute-force search chooses them, half Yes and half No, within the budget; doubts as planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tao_skill_bank.core.errors import GateError, InputError
from tao_skill_bank.data.bcq import causes
from tao_skill_bank.data.bcq.answers import Answered, Said, judge
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.data.bcq.vectors import hashed_words, pairs, unit
from tao_skill_bank.metrics.shares import apportioned
from tao_skill_bank.tasks.vlm_bcq import selecting, specs, training
from tao_skill_bank.tasks.vlm_bcq.evaluators import Candidate
from tao_skill_bank.tasks.vlm_bcq.handoff import serve_line
from tao_skill_bank.tasks.vlm_bcq.selecting import Found
from tao_skill_bank.tasks.vlm_bcq.stages.merge import is_validation, join_rows


def test_the_nearest_pool_pairs_are_those_of_a_brute_force_search() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        pool, targets = unit(rng.normal(size=(40, 6))), unit(rng.normal(size=(5, 6)))
        places = np.sort(rng.choice(40, 25, replace=False))
        ids = [f"p{n:02d}" for n in range(40)]
        found = selecting.nearest(targets, pool, ids, places, 3)
        best: dict[int, float] = {}
        for target in targets:
            for place in sorted(places, key=lambda p, t=target: -float(pool[p] @ t))[:3]:
                best[int(place)] = max(best.get(int(place), -2.0), float(pool[place] @ target))
        assert {f.place: f.similarity for f in found} == pytest.approx(best, abs=1e-5)
        assert [f.similarity for f in found] == sorted((f.similarity for f in found), reverse=True)


def test_the_cosine_of_a_pair_is_the_weighted_sum_of_its_parts() -> None:
    rng = np.random.default_rng(2)
    video, text = unit(rng.normal(size=(4, 5))), unit(np.stack([hashed_words(w) for w in ("a b", "b c", "c", "d")]))
    made = pairs(video, text, 0.7)
    assert np.allclose(made @ made.T, 0.7 * video @ video.T + 0.3 * text @ text.T, atol=1e-5)


def test_a_budget_is_shared_by_failures_and_halved_by_answers() -> None:
    assert apportioned({"a": 5, "b": 3, "c": 3}, 10) == {"a": 4, "b": 3, "c": 3}
    assert sum(apportioned({"a": 1, "b": 1, "c": 1}, 10).values()) == 10
    assert selecting.budget_of(9, None) == 18
    assert selecting.budget_of(9000, None) == 2000
    yes, no = [Found(n, 0, 1.0) for n in range(50)], [Found(n, 0, 1.0) for n in range(50, 100)]
    assert len(selecting.balanced(yes, no, 10)) == 10
    assert sum(f.place < 50 for f in selecting.balanced(yes, no, 10)) == 5
    # Where one answer is short, the other fills up to 60 % of what is chosen, whatever was asked for.
    for few in range(5):
        short = selecting.balanced(yes, no[:few], 10)
        assert (sum(f.place < 50 for f in short), len(short) - few) == 2 * (max(few + 1, 3 * few // 2),)
        assert len(selecting.balanced(yes[:few], no, 10)) == len(short)
    for number in range(1, 12):
        for few in range(7):
            found = selecting.balanced(yes[:few], no, number)
            rest = len(found) - min(few, number // 2)
            assert rest <= max(0.6 * len(found), (len(found) + 1) // 2)
    chosen = selecting.choose({"a": (yes[:2], no[:2]), "b": (yes, no)}, {"a": 10, "b": 10}, 20)
    assert (len(chosen["a"]), len(chosen["b"])) == (4, 16)


def answered(id: str, content: str, gt: str, answer: str, **more: Any) -> Answered:
    key = more.get("key", "q?")
    record = Record(1, id, f"{content}.mp4", Path("/x"), key, key, key, gt, None, {})  # type: ignore[arg-type]
    object.__setattr__(record, "_content", content)
    return Answered(record, answer, answer, "ok", None)  # type: ignore[arg-type]


def test_forty_planted_wrong_labels_are_found_with_this_recall_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    monkeypatch.setattr(Record, "content", property(lambda self: self.video.removesuffix(".mp4")))
    true = rng.integers(0, 2, 400).astype(bool)
    centres = unit(rng.normal(size=(2, 16)))
    vectors = unit(centres[true.astype(int)] + 0.15 * rng.normal(size=(400, 16)))
    wrong = set(rng.choice(400, 40, replace=False).tolist())
    said = np.array([t != (n in wrong) for n, t in enumerate(true)])
    rows = [answered(str(n), f"v{n}", "yes" if said[n] else "no", "yes" if true[n] else "no") for n in range(400)]
    found = causes.doubts(rows, vectors, said, np.array([f"v{n}" for n in range(400)]), vectors)
    hit = {int(doubt.id) for doubt in found}
    recall, precision = len(hit & wrong) / 40, len(hit & wrong) / len(hit)
    assert recall >= 0.85
    assert precision == 1.0


def test_a_cell_is_a_cause_only_if_it_is_large_worse_and_no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [answered(f"n{n}", f"a{n}", "no", "yes" if n < 20 else "no", key="is it night?") for n in range(40)]
    rows += [answered(f"d{n}", f"b{n}", "no", "yes" if n < 2 else "no", key="is it red?") for n in range(60)]
    rows += [answered(f"s{n}", f"c{n}", "no", "yes", key="few?") for n in range(4)]
    found = {cell.name: cell for cell in causes.cells(rows, lambda row: row.record.key)}
    assert found["is it night?"].cause
    assert not found["is it red?"].cause
    assert not found["few?"].cause
    assert (found["is it night?"].wrong, found["is it night?"].fp, found["is it night?"].fn) == (20, 20, 0)


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        ("Yes.", "auto", ("yes", "ok")),
        ("<think>no, yes</think> No", "auto", ("no", "ok")),
        ("<think>no", "auto", (None, "cut_off")),
        ("<answer>yes</answer> no <answer>No</answer>", "auto", ("no", "ok")),
        ("It may be.", "auto", (None, "neither")),
        ("Yes and no", "auto", (None, "both")),
        ("  ", "auto", (None, "empty")),
        (None, "auto", (None, "empty")),
        ("yes", "answer_tag", (None, "neither")),
        ("<think>yes", "anywhere", ("yes", "ok")),
    ],
)
def test_an_answer_stands_where_the_setting_says(text: str | None, mode: str, found: tuple[Any, str]) -> None:
    assert judge(Said(text), mode) == found


def test_what_would_train_no_step_or_crash_is_refused_before_it_starts() -> None:
    sound = {"train": {"train_batch_per_replica": 8, "train_policy": {"mini_batch": 2}}}
    specs.check_train_spec(sound, 40, "spec")
    for change, said in (
        ({"train": {"train_batch_per_replica": 8, "train_policy": {"mini_batch": 3}}}, "no multiple of mini_batch 3"),
        ({**sound, "policy": {"parallelism": {"dp_shard_size": 8}}}, "more than the 5 rows of a shard"),
        ({**sound, "custom": {"vision": {"nframes": 8, "fps": 1}}}, "nframes and fps"),
    ):
        with pytest.raises(InputError, match=said):
            specs.check_train_spec(change, 40, "spec")


def test_a_training_leaves_one_time_folder_with_sound_epochs_or_is_not_used(tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(GateError) as caught:
            training.candidates(tmp_path, tmp_path / "status.json")
        assert caught.value.gate == "checkpoint"
        return caught.value.what

    assert "0 folders of 14 digits" in refused()
    home = tmp_path / "20260101120000" / "safetensors"
    assert home.mkdir(parents=True) is None
    assert "no safetensors/epoch_<N>" in refused()
    for epoch in (1, 2, 3):
        (home / f"epoch_{epoch}").mkdir()
    assert "neither config.json" in refused()
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    for epoch in (1, 2, 3):
        (home / f"epoch_{epoch}/config.json").write_text("{}")
        (home / f"epoch_{epoch}/model.safetensors.index.json").write_text(index)
        (home / f"epoch_{epoch}/model-1.safetensors").write_text("x")
    assert "model-2.safetensors is missing or empty" in refused()
    for epoch in (1, 2, 3):
        (home / f"epoch_{epoch}/model-2.safetensors").write_text("x")
    (tmp_path / "status.json").write_text('{"epoch": 1, "val/avg_loss": 0.5}\n{"epoch": 2, "val/avg_loss": 0.2}\n')
    found = training.candidates(tmp_path, tmp_path / "status.json")
    assert {kind: Path(path).name for kind, path in found.items()} == {"best_val": "epoch_2", "last": "epoch_3"}
    (tmp_path / "20260101120001").mkdir()
    assert "2 folders of 14 digits" in refused()


@pytest.mark.parametrize("sign", ["\u2028", "\x85"])
def test_an_epoch_of_which_a_sign_is_told_that_ends_a_line_elsewhere_is_counted(tmp_path: Path, sign: str) -> None:
    told = [{"epoch": 1, "val/avg_loss": 0.5}, {"epoch": 2, "val/avg_loss": 0.2, "message": f"saved{sign}as asked"}]
    status = tmp_path / "status.json"
    status.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in told), encoding="utf-8")
    assert training.validation_losses(status) == {1: 0.5, 2: 0.2}


def test_what_serves_a_model_names_its_base_where_it_is_an_adapter() -> None:
    whole, adapter = Candidate("last", "/r/epoch_1"), Candidate("last", "/r/epoch_1", "/w/model/base")
    assert serve_line(whole, rehearsal=False).startswith("vllm serve /r/epoch_1 --host")
    said = serve_line(adapter, rehearsal=False)
    assert said.startswith("vllm serve /w/model/base --enable-lora --lora-modules best=/r/epoch_1 ")
    for told in (serve_line(Candidate("file", "/w/answers.json"), rehearsal=False), serve_line(whole, rehearsal=True)):
        assert told.startswith("# ")


def row(id: str, video: str, answer: str, asked: str = "Q?") -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<video>\n{asked}"}, {"from": "gpt", "value": answer}]
    return {"id": id, "video": video, "conversations": turns}


def test_equal_rows_are_merged_once_and_contradictions_stop_unless_a_teacher_said_them() -> None:
    def joined(rows: list[dict[str, Any]], annotated: list[dict[str, Any]]) -> tuple[list[str], int]:
        # `copy/1.mp4` is `1.mp4` under another name.
        kept, dropped = join_rows(rows, annotated, lambda found: Path(found["video"]).name)
        return [r["id"] for r in kept], dropped

    for other in ("1.mp4", "copy/1.mp4"):
        assert joined([row("a", "1.mp4", "Yes"), row("b", other, "Yes")], [row("c", other, "No")]) == (["a"], 1)
        with pytest.raises(GateError, match="an earlier row of the same video and question Yes"):
            joined([row("a", "1.mp4", "Yes"), row("b", other, "No")], [])
    assert joined([row("a", "1.mp4", "Yes"), row("a", "copy/1.mp4", "Yes")], []) == (["a"], 0)
    with pytest.raises(GateError, match="stands for two videos or questions"):
        joined([row("a", "1.mp4", "Yes"), row("a", "2.mp4", "Yes")], [])


def test_every_tenth_video_is_validation_by_its_bytes() -> None:
    assert is_validation("0000000a" + "0" * 56)
    assert not is_validation("00000001" + "0" * 56)


def test_no_cause_is_said_of_so_many_cells_as_could_be_one_and_unreadable_answers_are_counted() -> None:
    none = {name: [] for name in ("question_key", "kind", "negation", "duration", "brightness", "motion")}
    found = {**none, "rows": {"all": 40, "wrong": 2}, "unreadable": [{"why": "empty", "count": 30}]}
    assert causes.counted(found) == "2 of 40 answers are wrong and readable; 30 cannot be read"
    assert causes.without_cause(found).startswith("No cell could stand out")
    found |= {"question_key": [{"n": 10}, {"n": 9}], "kind": [{"n": 12}], "unreadable": []}
    assert causes.counted(found) == "2 of 40 answers are wrong and readable"
    assert causes.without_cause(found).startswith("No cell stands out of 2 that have 10 rows or more")
