"""Annotations are read by row: every fault is named in one pass, with its row, and nothing is guessed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bcq
import pytest

from tao_skill_bank.core.errors import BankError, InputError, InputErrors
from tao_skill_bank.data.bcq.leakage import leaks
from tao_skill_bank.data.bcq.questions import kind_of, question_key
from tao_skill_bank.data.bcq.records import RecordSet, read_set, tool_record


def read(root: Path, records: Any, *, name: str = "kpi", strict: bool = True, **more: Any) -> RecordSet:
    path = bcq.write_set(root, name, records, videos=(0, 1, 2))
    return read_set(name, path, root, strict=strict, **more)


def faults(root: Path, records: Any, **more: Any) -> str:
    with pytest.raises(BankError) as caught:
        read(root, records, **more)
    assert caught.value.exit_code == 2
    return "\n".join([caught.value.line(), *getattr(caught.value, "faults", [])])


GOOD = [bcq.record("a", "0.mp4"), bcq.record("b", "1.mp4", "no."), bcq.record("c", ["2.mp4"], "NO")]


def test_rows_are_read_with_their_key_answer_and_place(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, measured=True)
    assert [(r.id, r.gt, r.key) for r in found.records] == [
        ("a", "yes", "is one of the vehicles red?"),
        ("b", "no", "is one of the vehicles red?"),
        ("c", "no", "is one of the vehicles red?"),
    ]
    assert found.root == tmp_path / "kpi" / "media"
    assert found.answers == {"Yes": 1, "No": 2}
    made = tool_record(found.records[1], tmp_path)
    assert made["video"] == "kpi/media/1.mp4"
    assert made["conversations"][1]["value"] == "No"
    assert made["conversations"][0]["value"].startswith("<video>\n")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"rows": GOOD}, "kpi/annotations.json: must be a JSON array (wrap the records)"),
        ([*GOOD, bcq.record("a", "1.mp4", asked="Other?")], "row 4: id 'a' is also row 1"),
        ([bcq.record("a/b", "0.mp4")], "row 1: id is no file name"),
        ([bcq.record("..", "0.mp4")], "row 1: id is no file name"),
        ([bcq.record("-" + "x" * 200, "0.mp4")], "row 1: id is no file name"),
        ([{**GOOD[0], "id": 7}], "row 1: id is no text: 7"),
        ([{**GOOD[0], "id": ["a"]}], 'row 1: id is no text: ["a"]'),
        ([{**GOOD[0], "id": ""}], "row 1: has no id"),
        ([{k: v for k, v in GOOD[0].items() if k != "id"}], "row 1: has no id"),
        ([*GOOD, bcq.record("d", "gone.mp4")], "row 4: no such video: gone.mp4 (3 of 4 exist below kpi/media)"),
        ([bcq.record("d", "../../../etc/passwd")], "row 1: video lies outside the workspace"),
        ([bcq.record("d", ["0.mp4", "1.mp4"])], "row 1: video is no text and no list of one"),
        ([bcq.record("d", "0.mp4", "Maybe")], "row 1: 'Maybe' is neither yes nor no"),
        ([bcq.record("d", "0.mp4", "Yes, it is")], "row 1: 'Yes, it is' is neither yes nor no"),
        (
            [{**GOOD[0], "conversations": [*GOOD[0]["conversations"], *GOOD[0]["conversations"]]}],
            "row 1: 4 turns; one question, one answer",
        ),
        ([{**GOOD[0], "conversations": GOOD[0]["conversations"][::-1]}], "row 1: turns must be human, then gpt"),
        ([bcq.record("d", "0.mp4", True)], "row 1: gpt's value is no text: true"),
        ([bcq.record("d", "0.mp4", ["Yes"])], 'row 1: gpt\'s value is no text: ["Yes"]'),
        ([bcq.record("d", "0.mp4", asked="<video> what?")], "row 1: at most one <video>, in front of the question"),
        (
            [*GOOD, bcq.record("d", "0.mp4", "No", asked="Is one of the  vehicles RED?")],
            "rows 1 and 4: same video and question, other answers",
        ),
        (GOOD[:1], "kpi: no 'No' answers (FP rate cannot be measured)"),
        (GOOD[1:], "kpi: no 'Yes' answers (FN rate cannot be measured)"),
        ([], "kpi/annotations.json: holds no records"),
        ([1], "row 1: is no object"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_row(tmp_path: Path, records: Any, message: str) -> None:
    assert message in faults(tmp_path, records, measured=True)


@pytest.mark.parametrize("kind", ["text", "empty", "cut short", "without its head"])
def test_a_file_without_pictures_is_named_by_its_row(tmp_path: Path, kind: str) -> None:
    path = bcq.write_set(tmp_path, "kpi", [*GOOD, bcq.record("d", "bad.mp4")], videos=(0, 1, 2))
    good = (tmp_path / "kpi/media/0.mp4").read_bytes()
    found = {"text": b"no video", "empty": b"", "cut short": good[: len(good) // 2], "without its head": good[200:]}
    (tmp_path / "kpi/media/bad.mp4").write_bytes(found[kind])
    with pytest.raises(InputErrors, match="row 4: holds no picture"):
        read_set("kpi", path, tmp_path, strict=True)


@pytest.mark.parametrize("between", ["\n", " ", "\n\n  "])
def test_objects_in_a_row_are_told_from_damaged_json(tmp_path: Path, between: str) -> None:
    path = bcq.write_set(tmp_path, "kpi", GOOD, videos=(0, 1, 2))
    path.write_text(between.join(map(json.dumps, GOOD)))
    with pytest.raises(InputError, match="must be a JSON array, and is a row of objects"):
        read_set("kpi", path, tmp_path, strict=True)
    path.write_text(json.dumps(GOOD)[:-3])
    with pytest.raises(InputError, match="not readable as JSON"):
        read_set("kpi", path, tmp_path, strict=True)


def test_all_faults_are_found_in_one_pass_and_twenty_are_shown(tmp_path: Path) -> None:
    many = [bcq.record(f"r{n}", "0.mp4", "Maybe", asked=f"Question {n}?") for n in range(30)]
    with pytest.raises(InputErrors, match="30 faults") as caught:
        read(tmp_path, many)
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1] == "and 10 more"


def test_a_pool_reads_sentences_and_leaves_out_what_contradicts_itself(tmp_path: Path) -> None:
    rows = [
        bcq.record("a", "0.mp4", "Yes, a red car."),
        bcq.record("b", "0.mp4", "There is no red car."),
        bcq.record("c", "1.mp4", "No red car at all."),
        bcq.record("d", "2.mp4", "Hard to tell."),
    ]
    found = read(tmp_path, rows, name="pool", strict=False)
    assert [(r.id, r.gt) for r in found.records] == [("c", "no")]
    assert found.dropped == {"no yes or no in the answer": 1, "same video and question, other answers": 2}


@pytest.mark.parametrize(
    "wrapped",
    [
        "<video>\nDo two vehicles touch? Answer with yes or no.",
        "Do  two vehicles\n touch? Please answer only with Yes or No",
        "<VIDEO> do two vehicles touch? please, answer in yes or no!",
    ],
)
def test_equal_questions_have_one_key_however_they_are_wrapped(wrapped: str) -> None:
    assert question_key(wrapped) == "do two vehicles touch?"


def test_a_question_is_of_the_first_kind_whose_words_it_has() -> None:
    assert kind_of("are there more than two cars?") == "counting"
    assert kind_of("does it move left?") == "direction"
    assert kind_of("do two vehicles touch?") == "contact"
    assert kind_of("is it raining?") == "condition"
    assert kind_of("is everything fine?") == "other"


def remuxed(source: Path, target: Path) -> None:
    """The same packets in another container."""
    import av

    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as read_from, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read_from.streams.video[0])
        for packet in read_from.demux(read_from.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


def test_copies_of_an_evaluations_videos_are_found_by_bytes_by_looks_and_by_recording(tmp_path: Path) -> None:
    kpi = bcq.write_set(
        tmp_path, "kpi", [bcq.record(f"k{n}", f"{n}.mp4", group=f"g{n}") for n in range(12)], videos=range(12)
    )
    media = tmp_path / "pool" / "media"
    media.mkdir(parents=True)
    rows = []
    for n in range(10):
        shutil.copy(bcq.clips()[n], media / f"copy{n}.mp4")
        rows.append(bcq.record(f"c{n}", f"copy{n}.mp4"))
    for n in range(5):
        remuxed(bcq.clips()[n + 5], media / f"re{n}.mkv")
        rows.append(bcq.record(f"m{n}", f"re{n}.mkv"))
    pool = bcq.write_set(tmp_path, "pool", rows)
    sets = [read_set(name, path, tmp_path, strict=False) for name, path in (("kpi", kpi), ("pool", pool))]
    found = leaks([sets[1]], [sets[0]])
    assert [leak.row for leak in found] == list(range(1, 16))
    assert found[0].line == "pool row 1 = kpi row 1: same content"
    assert found[10].line == "pool row 11 = kpi row 6: same looks"
    other = bcq.write_set(tmp_path, "base", [bcq.record("x", "a.mp4", group="g3")])
    (tmp_path / "base/media").mkdir(exist_ok=True)
    bcq.write_set(tmp_path, "base", [bcq.record("x", "0.mp4", group="g3")], videos=(0,))
    again = leaks([read_set("base", other, tmp_path, strict=True)], [sets[0]])
    assert [leak.why for leak in again] == ["content"]


def test_two_black_clips_are_not_told_to_look_alike(tmp_path: Path) -> None:
    import numpy as np

    from tao_skill_bank.data.bcq.clips import clip_of
    from tao_skill_bank.demo_vlm import write_video

    write_video(tmp_path / "black.mp4", np.zeros((12, 48, 48, 3), np.uint8))
    assert clip_of(tmp_path / "black.mp4").looks is None
    assert clip_of(bcq.clips()[0]).looks is not None
