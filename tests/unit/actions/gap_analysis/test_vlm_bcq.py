"""Yes/no gaps against the plainest reading of the same file, in every form that file may have."""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig
from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.vlm import source, yes_no


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


# fmt: off
HOSTILE = st.sampled_from([
    "yes", "no", "Yes.", "NO!", "nothing", "no-one", "noyes", "yes_", "_no", "ｙｅｓ", "<think>no</think>", "yes\nno",
    "", "yesé", "éno", "no é", "İno", "noİ", "yes\u0301", "ſ", "YES", "\0", "no\0", "Σ", "no1", "я no", "noя", " ", "K",
    '",', '"', "\x7f\x1f\b\f",
    "}, {", '"', "\\", '},\n{"video_id":', "\u2028", "🙂yes", "[", "]",
])
# fmt: on
TEXT = st.lists(HOSTILE, max_size=4).map("".join) | st.lists(HOSTILE, max_size=4).map(" ".join) | st.text(max_size=8)
EXTRA = st.sampled_from(
    [{}, {"n": 1.5}, {"turns": [{"video_id": "a"}, {"video_id": 2}]}, {"x": [[{}, {}], "}, {"]}, {"loss": float("nan")}]
)
ITEM = st.builds(
    lambda v, r, g, q, extra, last: (
        {**({} if last else extra), "video_id": v, "response": r, "gt": g, **q, **(extra if last else {})}
    ),
    st.sampled_from(["a/b.mp4", "/x/y.mp4", "c.mp4", "../z/./q.mp4", "/v.mp4", "d/", "ü/ñ.mp4", "", "."]),
    TEXT,
    TEXT,
    st.just({}) | TEXT.map(lambda t: {"question": t}),
    EXTRA,
    st.booleans(),
)
ITEMS = st.lists(ITEM, max_size=25)
LAYOUTS = st.sampled_from(["one line", "pretty", "odd commas", "lines", "crlf lines", "bom"])


def plain(text: str) -> str | None:
    lowered = text.lower()
    yes, no = re.search(r"\byes\b", lowered), re.search(r"\bno\b", lowered)
    return None if bool(yes) == bool(no) else ("yes" if yes else "no")


def placed(video_id: str, videos: str | None) -> str:
    """A path where there is a slash or a suffix of a video; these names have no other, and none is a file."""
    is_path = "/" in video_id or video_id.endswith(".mp4")
    return os.path.realpath(os.path.join(videos or os.getcwd(), video_id)) if is_path else video_id


def expected(items: list[dict[str, Any]], videos: str | None) -> bytes:
    out = []
    for item in items:
        said, truth = plain(item["response"]), plain(item["gt"])
        if said is None or truth is None or said == truth:
            continue
        gap = {
            "video_id": placed(item["video_id"], videos),
            "error_type": "FP" if said == "yes" else "FN",
            "question": item.get("question", ""),
            "ground_truth": item["gt"],
            "response": item["response"],
        }
        out.append(json.dumps(gap, ensure_ascii=False) + "\n")
    return "".join(out).encode()


def laid_out(items: list[dict[str, Any]], layout: str) -> bytes:
    texts = [json.dumps(i, ensure_ascii=False) for i in items]
    if layout == "one line":
        return json.dumps(items).encode()
    if layout == "pretty":
        return json.dumps(items, indent=2, ensure_ascii=False).encode()
    if layout == "odd commas":
        return ("[\n" + " ,\r\n\t".join(texts) + "\n]\n").encode()
    if layout == "bom":
        return b"\xef\xbb\xbf" + json.dumps(items).encode()
    return ("\r\n\r\n" if layout == "crlf lines" else "\n").join(texts).encode()


def analyse(folder: Path, data: bytes, name: str = "p.json", **values: Any) -> Any:
    (folder / name).write_bytes(data)
    return analyze_vlm_bcq(VlmBcqConfig(predictions_json=folder / name, results_dir=folder / "out", **values))


@settings(max_examples=300)
@given(TEXT)
def test_an_answer_is_a_whole_word_of_the_lower_cased_text(text: str) -> None:
    names = {yes_no.YES: "yes", yes_no.NO: "no"}
    assert names.get(yes_no.answer(text)) == plain(text)


@settings(max_examples=300)
@given(st.lists(TEXT, max_size=20))
@example(["a\0yes", "no"])
@example(["İno", "noİ", "yes\u0301", "ano éyes", "no-one"])
def test_many_answers_at_once_are_the_answers_one_by_one(texts: list[str]) -> None:
    assert yes_no.answers(texts).tolist() == [yes_no.answer(t) for t in texts]


def test_no_other_character_becomes_a_letter_of_yes_or_no_in_lower_case() -> None:
    letters = set("yesno")
    found = [c for c in map(chr, range(128, 0x110000)) if not 0xD800 <= ord(c) < 0xE000 and set(c.lower()) & letters]
    assert found == []


@settings(max_examples=250)
@given(ITEMS, LAYOUTS, st.sampled_from([16, 64, 300, 1 << 20]), st.sampled_from(["", ".gz", ".zst"]), st.booleans())
def test_the_gaps_of_every_layout_and_block_size_are_those_of_the_plainest_reading(
    items: list[dict[str, Any]], layout: str, block: int, packing: str, with_videos: bool
) -> None:
    data = laid_out(items, layout)
    if layout.endswith("lines") and not items:
        return
    if packing == ".gz":
        data = gzip.compress(data, 1)
    elif packing == ".zst":
        data = zstd(data[: len(data) // 2]) + zstd(data[len(data) // 2 :])
    name = ("p.jsonl" if layout.endswith("lines") else "p.json") + packing
    with tempfile.TemporaryDirectory() as temp, pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", block)
        folder = Path(os.path.realpath(temp))
        result = analyse(folder, data, name, videos_dir=str(folder / "videos") if with_videos else "")
        want = expected(items, str(folder / "videos") if with_videos else None)
        gaps = folder / "out" / "kpi_gaps.jsonl"
        assert (gaps.read_bytes() if gaps.exists() else b"") == want
        assert result.read == len(items)
        assert result.tp + result.fp + result.tn + result.fn + sum(result.skipped.values()) == len(items)
        if not want and (result.judged or not items):
            assert not (folder / "out").exists() and result.files == {}
        elif not want:
            names = {p.name for p in (folder / "out").iterdir()} - {"per_video.csv"}
            assert names == {"kpi_gaps_report.txt", "kpi_skipped.jsonl"}
            assert result.status == "nothing judged"


def good(n: int) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}.mp4", "response": "yes", "gt": "no", "question": f"q{i % 3}"} for i in range(n)]


BAD = {
    "": "must be a JSON array.*empty",
    "  \n": "must be a JSON array.*empty",
    "{}": "must be a JSON array.*single object",
    '{"video_id": "a"}\n': "must be a JSON array.*single object",
    '{\n "a": 1\n}': "must be a JSON array",
    '"text"': "must be a JSON array",
    "12": "must be a JSON array",
    "[1]": "item 0: is not an object",
    '["a"]': "item 0: is not an object",
    "[null]": "item 0: is not an object",
    '[{"video_id": "a", "response": "yes", "gt": "no"}, []]': "item 1: is not an object",
    '[{"video_id": "a", "response": "yes"}]': "item 0: missing 'gt'",
    '[{"gt": "a", "response": "yes"}]': "item 0: missing 'video_id'",
    '[{"video_id": "a", "response": null, "gt": "no"}]': "item 0: 'response' is not a string: null",
    '[{"video_id": "a", "response": "yes", "gt": true}]': "item 0: 'gt' is not a string: true",
    '[{"video_id": "a", "response": "yes", "gt": "no", "question": 3}]': "item 0: 'question' is not a string: 3",
    '[{"video_id": "a", "response": "\\ud800", "gt": "no"}]': "item 0: 'response' holds half a character",
    '[{"video_id": "a", "response": "yes", "gt": "no"},]': "item 1: a comma stands before",
    '[{"video_id": "a", "response": "yes", "gt": "no"}': "item 1: the array has no end",
    '[{"video_id": "a", "response": "yes", "gt": "no"} {}]': "item 0: is followed by neither",
    '[{"video_id": "a", "response": "yes", "gt": "no': "item 0: ends in the middle",
    '[{"video_id": "a", "response": "yes", "gt": "no"}] x': "text behind the array's end",
    '[{"video_id": "a", "response": "yes", "gt": "no"}][]': "text behind the array's end",
    "[": "item 0: ends in the middle",
    '[{"video_id": "a\\u0000b", "response": "yes", "gt": "no"}]': "item 0: video_id is no path that can be written",
    "[" * 100_000: "item 0: is nested too deeply",
    "[" + "[" * 100_000 + "]" * 100_000 + "]": "item 0: is nested too deeply",
}


@pytest.mark.parametrize("text", BAD, ids=[t[:40] for t in BAD])
def test_a_file_that_cannot_be_used_is_refused_by_item_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=BAD[text]):
        analyse(tmp_path, text.encode())
    assert not (tmp_path / "out").exists()


def test_the_faulty_item_is_named_by_its_place_in_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BLOCK", 512)
    items = good(300)
    del items[217]["gt"]
    with pytest.raises(InputError, match="item 217: missing 'gt'"):
        analyse(tmp_path, json.dumps(items, indent=1).encode())
    lines = "\n".join(json.dumps(i) for i in items).encode()
    with pytest.raises(InputError, match=r"item 217 \(line 218\): missing 'gt'"):
        analyse(tmp_path, lines, "p.jsonl")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_compressed_file_cut_short_or_damaged_is_refused(tmp_path: Path, packing: str) -> None:
    lines = "".join(json.dumps({**i, "pad": os.urandom(30).hex()}) + "\n" for i in good(2000)).encode()
    whole = gzip.compress(lines) if packing == "gz" else zstd(lines)
    for data in (whole[: len(whole) // 2], whole[:5000] + b"\0" * 64 + whole[5064:]):
        with pytest.raises(InputError):
            analyse(tmp_path, data, f"p.jsonl.{packing}")
        assert not (tmp_path / "out").exists()


@settings(max_examples=200)
@given(st.binary(max_size=120) | st.text('[]{}",:\\ videogtrspnyu\n0', max_size=120).map(str.encode))
def test_no_bytes_make_more_than_a_one_line_error(data: bytes) -> None:
    for prefix in (b"", b"[", b'[{"video_id":"a","response":"yes","gt":"no"},', b'{"video_id":"a"}\n', b"\x1f\x8b"):
        with tempfile.TemporaryDirectory() as temp:
            try:
                analyse(Path(temp), prefix + data)
            except InputError as error:
                assert "\n" not in error.line()
                assert "p.json" in error.line() or "item" in error.line()
                assert not (Path(temp) / "out").exists()


def test_skipped_samples_are_warned_of_twenty_times_and_then_counted(tmp_path: Path) -> None:
    items = [{"video_id": f"v{i}", "response": "maybe " + "x" * 100, "gt": "no"} for i in range(50)]
    items += [{"video_id": "w", "response": "yes", "gt": "yes and no"}, *good(1)]
    (tmp_path / "p.json").write_text(json.dumps(items))
    lines: list[str] = []
    config = VlmBcqConfig(predictions_json=tmp_path / "p.json", results_dir=tmp_path / "out")
    result = analyze_vlm_bcq(config, warn=lines.append)
    assert lines.pop() == "none of the 1 videos is a file: check videos_dir="
    assert len(lines) == 21
    assert "item 0 (video_id 'v0')" in lines[0] and repr("maybe " + "x" * 74 + "...") in lines[0]
    assert lines[-1] == "31 more samples skipped, 51 in all"
    assert result.skipped == {"response has neither yes nor no": 50, "ground truth has both yes and no": 1}
    report = result.files["kpi_gaps_report.txt"].read_text()
    assert "response has neither yes nor no: 50" in report and "item 0 (v0)" in report


def test_strict_makes_a_skipped_sample_an_error_that_writes_nothing(tmp_path: Path) -> None:
    items = [*good(5), {"video_id": "v", "response": "hm", "gt": "no"}]
    with pytest.raises(InputError, match="item 5: response has neither yes nor no"):
        analyse(tmp_path, json.dumps(items).encode(), strict=True)
    assert not (tmp_path / "out").exists()


def test_the_report_holds_counts_rates_and_the_questions_asked_more_than_once(tmp_path: Path) -> None:
    def item(response: str, truth: str, question: str) -> dict[str, Any]:
        return {"video_id": "v", "response": response, "gt": truth, "question": question}

    items = [item("yes", "yes", "A?"), item("yes", "no", "A?"), item("no", "yes", "A?"), item("no", "no", "B|\n?")]
    items += [item("yes", "no", "B|\n?"), item("yes", "no", "once")]
    result = analyse(tmp_path, json.dumps(items).encode())
    assert (result.tp, result.fp, result.tn, result.fn) == (1, 3, 1, 1)
    assert (result.accuracy, result.precision, result.recall, result.f1) == (2 / 6, 0.25, 0.5, 1 / 3)
    assert [(q.question, q.samples, q.fp, q.fn) for q in result.questions] == [("A?", 3, 1, 1), ("B|\n?", 2, 1, 0)]
    report = (tmp_path / "out" / "kpi_gaps_report.txt").read_text()
    assert re.search(r"\| FP +\| 3 ", report) and re.search(r"\| FN +\| 1 ", report)
    assert re.search(r"\| Total +\| 4 ", report) and "| B| ?" in report and "once |" not in report


def test_beyond_ten_thousand_questions_the_rest_is_pooled(tmp_path: Path) -> None:
    questions = [f"q{i}" for i in range(10_050)] + ["q0", "q10049", "x" * 300, "q5"]
    items = [{"video_id": "v", "response": "yes", "gt": "no", "question": q} for q in questions]
    result = analyse(tmp_path, json.dumps(items).encode())
    assert [(q.question, q.samples) for q in result.questions] == [("q0", 2), ("q5", 2)]
    assert result.other_questions is not None and result.other_questions.samples == 52


def test_long_questions_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    items = [{"video_id": "v", "response": "yes", "gt": "no", "question": "x" * 500 + str(i % 2)} for i in range(7)]
    result = analyse(tmp_path, json.dumps(items).encode())
    assert sorted(q.samples for q in result.questions) == [3, 4]


def test_no_gaps_write_no_file_and_remove_those_of_an_earlier_analysis(tmp_path: Path) -> None:
    analyse(tmp_path, json.dumps(good(3)).encode())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "kpi_gaps.jsonl", "kpi_gaps_index.jsonl", "kpi_gaps_report.txt",
    ]  # fmt: skip
    fine = [{"video_id": "v", "response": "yes", "gt": "Yes!"}]
    result = analyse(tmp_path, json.dumps(fine).encode())
    assert list((tmp_path / "out").iterdir()) == []
    assert result.summary[-1] == "no gaps among 1 judged of 1: no files written"


def test_links_in_a_video_path_are_resolved(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "v.mp4").write_bytes(b"")
    (tmp_path / "link").symlink_to(real)
    (real / "w.mp4").symlink_to(real / "v.mp4")
    items = [{"video_id": v, "response": "yes", "gt": "no"} for v in ("link/v.mp4", "link/w.mp4", "link/x.mp4")]
    analyse(tmp_path, json.dumps(items).encode(), videos_dir=str(tmp_path))
    lines = (tmp_path / "out" / "kpi_gaps.jsonl").read_text().splitlines()
    root = os.path.realpath(real)
    assert [json.loads(x)["video_id"] for x in lines] == [f"{root}/v.mp4", f"{root}/v.mp4", f"{root}/x.mp4"]


@pytest.mark.parametrize("end", ['",', '"', "\\", '\\",', '","', '",\\', "\\\\", ',"'])
def test_texts_that_end_like_a_border_between_strings_are_written_whole(tmp_path: Path, end: str) -> None:
    items = [{"video_id": f"v{i}{end}", "response": f"yes {end}", "gt": f"no {end}", "question": end} for i in range(3)]
    analyse(tmp_path, json.dumps(items).encode())
    assert (tmp_path / "out" / "kpi_gaps.jsonl").read_bytes() == expected(items, None)


def test_cutting_that_never_parses_falls_back_to_reading_item_by_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = [{"video_id": "n"}] * 40
    items = [{"video_id": f"v{i}", "turns": nested, "response": "yes", "gt": "no"} for i in range(200)]
    monkeypatch.setattr(source, "BLOCK", 300)
    assert analyse(tmp_path, json.dumps(items).encode()).fp == 200


def test_an_item_beyond_the_limit_is_refused_instead_of_filling_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LARGEST_ITEM", 1 << 20)
    huge = b'[{"video_id": "v", "gt": "no", "response": "' + b"x" * (8 << 20)
    with pytest.raises(InputError, match="item 0: larger than 1 MiB"):
        analyse(tmp_path, huge)
    with pytest.raises(InputError, match=r"item 0.*larger than 1 MiB"):
        analyse(tmp_path, huge[1:], "p.jsonl")


def test_the_answers_of_a_block_are_bytes() -> None:
    assert yes_no.answers(["yes", "no", "", "yes no"]).dtype == np.uint8
    assert yes_no.answers([]).tolist() == []
