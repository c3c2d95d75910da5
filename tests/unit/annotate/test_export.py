"""Checked items as the files of six trainers: split by content, whole or not at all."""

from __future__ import annotations

import errno
import itertools
import json
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from videos import make_videos

from tao_skill_bank.annotate.export.split import joined, parse_split, split_of
from tao_skill_bank.cli import cli
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError

LAYOUTS = ("tao", "llava", "sharegpt", "swift", "hf", "webdataset")
NUMBER = 6


def rows_of(videos: list[Path]) -> list[dict[str, Any]]:
    rows = []
    for i, video in enumerate(videos):
        thing = ("cart", "box", "lamp", "door", "rack", "belt")[i % 6]
        yes = "Yes" if i % 3 else "No"
        bcq = {"question": f"Does the {thing} move?", "answer": yes, "explanation": "It does.", "reasoning": "Seen."}
        mcq = {
            "question": f"Which {thing} is nearest to the gate?",
            "choices": ["The red one", "The blue one", "The grey one"],
            "answer": "ABC"[i % 3],
            "reasoning": "It stands beside it.",
        }
        for kind, item in (("bcq", bcq), ("mcq", mcq)):
            text = json.dumps({"items": [item]})
            rows.append(
                {"video": str(video), "prompt_key": f"normal_{kind}", "qa_output": text, "video_length": 1.0}
                | {"camera": f"cam{i // 2}"}
            )
    return rows


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    rows = rows_of(make_videos(folder / "videos", NUMBER, seconds=1.0))
    step = folder / "results/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    step.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "results"


def export(results: Path, to: Path, *more: str, layout: str = "swift") -> tuple[int, str]:
    """Exit status of the command, and what it says."""
    arguments = ["annotate", "export", str(results), "--format", layout, "--to", str(to), "--json", *more]
    run = CliRunner().invoke(cli, arguments)
    error = run.exception
    return (error.exit_code, error.line()) if isinstance(error, BankError) else (run.exit_code, run.output)


def done(results: Path, to: Path, *more: str, layout: str = "swift") -> dict[str, Any]:
    code, said = export(results, to, *more, layout=layout)
    assert code == 0, said
    return dict(json.loads((to / "export.json").read_text(encoding="utf-8")))


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_card_provenance_and_equal_bytes_for_equal_input(
    layout: str, results: Path, tmp_path: Path
) -> None:
    info = done(results, tmp_path / "out", "--media", "copy", layout=layout)
    first = tree(tmp_path / "out")
    assert done(results, tmp_path / "out", "--media", "copy", layout=layout) == info
    assert tree(tmp_path / "out") == first
    card = first["README.md"].decode()
    assert "Licence: unspecified" in card
    assert "Error rate: not measured" in card
    records = lines(tmp_path / "out/provenance.jsonl")
    assert len(records) == sum(sum(counts.values()) for counts in info["counts"].values())
    assert len({record["id"] for record in records}) == len(records)
    assert all(len(record["sha256"]) == 64 for record in records)


def test_one_content_is_never_on_two_sides_and_every_side_has_one(results: Path, tmp_path: Path) -> None:
    info = done(results, tmp_path / "out")
    assert info["videos"] == {"train": 4, "val": 1, "test": 1}
    of_video: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        for record in lines(tmp_path / f"out/{split}.jsonl"):
            of_video.setdefault(record["videos"][0], set()).add(split)
    assert [len(sides) for sides in of_video.values()] == [1] * NUMBER


def test_a_kept_split_moves_no_video_and_a_joined_one_parts_no_camera(results: Path, tmp_path: Path) -> None:
    first = done(results, tmp_path / "a")["split"]
    assert done(results, tmp_path / "b", "--seed", "7")["split"] != first
    assert done(results, tmp_path / "b", "--seed", "7", "--keep-split", str(tmp_path / "a"))["split"] == first
    assert done(results, tmp_path / "c", "--group-field", "camera", "--split", "50/50")["videos"]["train"] in (2, 4)
    assert export(results, tmp_path / "d", "--group-field", "nothing")[0] == 2


def test_records_are_what_each_trainer_reads(results: Path, tmp_path: Path) -> None:
    done(results, tmp_path / "llava", "--media", "copy", "--tar", layout="llava")
    record = json.loads((tmp_path / "llava/train/annotations.json").read_text())[0]
    assert set(record) == {"id", "video", "video_fps", "conversations"}
    assert record["video_fps"] == 4.0
    assert (tmp_path / "llava/train" / record["video"]).is_file()
    assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt"]
    assert record["conversations"][0]["value"].startswith("<video>\n")
    with tarfile.open(tmp_path / "llava/train/videos.tar.gz") as tar:
        assert record["video"] in tar.getnames()

    done(results, tmp_path / "set", "--answers", "think", layout="sharegpt")
    info = json.loads((tmp_path / "set/dataset_info.json").read_text())
    assert info["set_train"]["file_name"] == "set_train.json"
    assert info["set_train"]["tags"]["assistant_tag"] == "assistant"
    record = json.loads((tmp_path / "set/set_train.json").read_text())[0]
    assert record["messages"][0]["content"].count("<video>") == 1
    assert record["messages"][1]["content"].startswith("<think>\nSeen.\n</think>\n\n")

    done(results, tmp_path / "swift", "--answers", "think_answer", "--media", "copy")
    record = lines(tmp_path / "swift/train.jsonl")[0]
    assert record["messages"][1]["content"].endswith("</answer>")
    assert Path(record["videos"][0]).is_absolute()
    assert Path(record["videos"][0]).parent == tmp_path / "swift/videos"

    done(results, tmp_path / "tao", layout="tao")
    value = json.loads((tmp_path / "tao/train/mcq.json").read_text())
    assert value["format"] == "tao-vl-reason-v1.0"
    assert {"video_id", "question", "answer", "reasoning", "item_index"} == set(value["items"][0])
    assert (tmp_path / "tao/train/mcq_openended.json").is_file()

    done(results, tmp_path / "wds", "--media", "copy", layout="webdataset")
    with tarfile.open(tmp_path / "wds/train-000000.tar") as tar:
        names = tar.getnames()
        assert {member.mtime for member in tar.getmembers()} == {0}
    assert all(name == name.lower() and name.count(".") == 1 for name in names)
    assert Counter(name.split(".")[1] for name in names) == {"json": 4, "mp4": 4}


def test_tao_files_pass_the_strict_validator(results: Path, tmp_path: Path) -> None:
    daft = pytest.importorskip("nvidia_tao_daft.validators.tao_vl_reason_v1_0.validator", reason="nvidia-tao-daft")
    for media in ("copy", "link", "reference"):
        done(results, tmp_path / media, "--media", media, layout="tao")
        for split in ("train", "val", "test"):
            found = daft.TaoVlReasonV1_0Validator().validate_dataset(tmp_path / media / split)
            assert found.is_valid(), found
            assert not found.warnings


def test_balance_only_leaves_out(results: Path, tmp_path: Path) -> None:
    before = {record["id"] for record in lines_of(results, tmp_path / "a")}
    info = done(results, tmp_path / "b", "--balance", "yes-no", "--tasks", "bcq")
    after = lines(tmp_path / "b/provenance.jsonl")
    answers = Counter(
        record["messages"][1]["content"] for split in info["counts"] for record in lines(tmp_path / f"b/{split}.jsonl")
    )
    assert answers == {"Yes": 2, "No": 2}
    assert {record["id"] for record in after} <= before
    assert info["left_out_for_balance"] == {"yes-no": 2}


def lines_of(results: Path, to: Path) -> list[dict[str, Any]]:
    done(results, to)
    return lines(to / "provenance.jsonl")


@pytest.mark.parametrize(
    "bad",
    [
        ("--split", "80/30"),
        ("--split", "eighty"),
        ("--tasks", "mcqs"),
        ("--balance", "evenly"),
        ("--keep-split", "nowhere"),
        ("--tar",),
        ("--tasks", "open_qa"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_writes_nothing(
    bad: tuple[str, ...], results: Path, tmp_path: Path
) -> None:
    code, said = export(results, tmp_path / "out", *bad)
    assert code == 2, said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_anything_else_is_left_alone(results: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    assert export(results, tmp_path / "out")[0] == 2
    done(results, tmp_path / "own")
    (tmp_path / "own/notes.txt").write_text("mine")
    assert export(results, tmp_path / "own", layout="hf")[0] == 2
    assert (tmp_path / "own/notes.txt").read_text() == "mine"
    (tmp_path / "own/notes.txt").unlink()
    done(results, tmp_path / "own", layout="hf")
    assert not (tmp_path / "own/train.jsonl").exists()


@pytest.mark.parametrize("moment", ["it looks", "it moves the earlier one"])
def test_of_two_exports_that_take_one_place_at_once_the_later_stands_whole(
    moment: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, rename = tmp_path / "e", guard.rename
    done(results, place)

    def rename_as_the_other_comes(source: Path, target: Path) -> None:
        if moment == "it looks" or source != place:
            monkeypatch.setattr(guard, "rename", rename)
            done(results, place)
        rename(source, target)

    monkeypatch.setattr(guard, "rename", rename_as_the_other_comes)
    done(results, place, layout="hf")
    assert json.loads((place / "export.json").read_text())["layout"] == "hf"
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


def test_an_export_that_cannot_take_its_place_leaves_the_earlier_one_there(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, rename = tmp_path / "e", guard.rename
    done(results, place)
    before = tree(place)

    def full(source: Path, target: Path) -> None:
        if target == place and source.suffix == ".tmp":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        rename(source, target)

    monkeypatch.setattr(guard, "rename", full)
    assert export(results, place)[0] != 0
    assert tree(place) == before and [p.name for p in tmp_path.iterdir()] == ["e"]


def test_a_video_that_is_gone_stops_every_export_and_nothing_is_left(results: Path, tmp_path: Path) -> None:
    rows = [*lines(results / "step_3_qa/qa_output.jsonl")]
    gone = {**rows[0], "video": str(tmp_path / "gone.mp4")}
    step = tmp_path / "r/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    step.write_text("".join(json.dumps(row) + "\n" for row in [gone, *rows[2:]]))
    for layout, media in itertools.product(
        ("tao", "llava", "sharegpt", "swift", "hf", "webdataset"), ("reference", "copy")
    ):
        code, said = export(tmp_path / "r", tmp_path / "new/deep/out", "--media", media, layout=layout)
        assert code == 2
        assert "gone.mp4" in said
        assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_said_in_a_line(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, said = export(results, tmp_path / "file/deep/out")
    assert code == 2
    assert "file/deep" in said
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_records_name_the_videos_as_the_archive_beside_them_holds_them(results: Path, tmp_path: Path) -> None:
    done(results, tmp_path / "out", "--tar", layout="llava")
    [record, *_] = json.loads((tmp_path / "out/train/annotations.json").read_text(encoding="utf-8"))
    with tarfile.open(tmp_path / "out/train/videos.tar.gz") as tar:
        assert record["video"] in tar.getnames()


def test_shares_are_met_by_largest_remainder_with_one_each() -> None:
    groups = {f"{i:02d}": f"{i:02d}" for i in range(25)}
    sizes = Counter(split_of(groups, parse_split("80/10/10"), 0).values())
    assert sizes == {"train": 20, "val": 3, "test": 2}
    few = {f"{i}": f"{i}" for i in range(3)}
    assert Counter(split_of(few, parse_split("98/1/1"), 0).values()) == {"train": 1, "val": 1, "test": 1}
    with pytest.raises(InputError):
        split_of(
            joined({"a": "1", "b": "2"}, {"a": "x", "b": "x"}), parse_split("50/50"), 0, {"1": "train", "2": "val"}
        )


def test_videos_whose_names_say_nothing_in_latin_letters_are_told_apart(tmp_path: Path) -> None:
    made = make_videos(tmp_path / "v", 3, seconds=1.0)
    videos = [made[0].rename(tmp_path / "v/视频.mp4"), made[1].rename(tmp_path / "v/影片.mp4"), made[2]]
    step = tmp_path / "r/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    step.write_text("".join(json.dumps(row) + "\n" for row in rows_of(videos)), encoding="utf-8")
    done(tmp_path / "r", tmp_path / "out", "--media", "copy", "--split", "100")
    names = sorted(path.name for path in (tmp_path / "out/videos").iterdir())
    assert len(names) == 3
    assert all(name.isascii() and name.endswith(".mp4") for name in names)
    assert len({record["videos"][0] for record in lines(tmp_path / "out/train.jsonl")}) == 3


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\u2029", "\x1c"])
def test_a_sign_that_ends_a_line_elsewhere_stands_in_the_task_file_as_it_was_written(
    sign: str, results: Path, tmp_path: Path
) -> None:
    row = lines(results / "step_3_qa/qa_output.jsonl")[0]
    item = json.loads(row["qa_output"])["items"][0]
    said = f"It is seen{sign}from the start."
    row["qa_output"] = json.dumps({"items": [{**item, "reasoning": said}]}, ensure_ascii=False)
    step = tmp_path / "results/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    step.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert CliRunner().invoke(cli, ["annotate", "check", str(tmp_path / "results")]).exit_code == 0
    text = (tmp_path / "results/step_4_output/bcq.json").read_text(encoding="utf-8")
    assert [entry["reasoning"] for entry in json.loads(text)["items"]] == [said]
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
