"""The rules of chunks, windows, times, shuffles, prompts and listings."""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.annotate import allow
from tao_skill_bank.annotate.config import Data
from tao_skill_bank.annotate.listing import StandingRows, in_shard, list_videos, parse_shard
from tao_skill_bank.annotate.parse import parse_label, parse_moment, parse_suitable
from tao_skill_bank.annotate.prompts import ALIASES, KEYS, SHORT_NAMES, load_prompts, prompts_module, quoted
from tao_skill_bank.annotate.quality.choices import relettered, shuffled
from tao_skill_bank.annotate.secrets import Redactor, keys_out_of_arguments
from tao_skill_bank.annotate.times import clock, moment
from tao_skill_bank.annotate.video import chunk_length, chunks, highlight, spread
from tao_skill_bank.core.errors import InputError

OPTIONS = (5, 10, 15, 20, 30)
DURATIONS = st.floats(0.1, 2000, allow_nan=False).map(lambda x: round(x, 3))


def test_a_chunk_has_the_first_length_that_gives_at_most_so_many_else_the_last() -> None:
    assert [chunk_length(d, OPTIONS, 10) for d in (3, 50, 50.1, 100, 100.1, 200, 300, 301)] == [
        *(5, 5, 10, 10, 15, 20, 30, 30),
    ]


@given(DURATIONS, st.sampled_from(OPTIONS))
def test_chunks_cover_the_video_without_gap_or_overlap(duration: float, length: int) -> None:
    spans = chunks(duration, length)
    assert spans[0][0] == 0
    assert spans[-1][1] == duration
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert all(0 < end - start <= length + 0.5 for start, end in spans)


def test_a_rest_of_a_few_pictures_is_no_chunk_of_its_own() -> None:
    assert chunks(10.04, 5) == [(0, 5), (5, 10.04)]
    assert chunks(10.6, 5) == [(0, 5), (5, 10), (10, 10.6)]


@given(DURATIONS, st.floats(-5, 2100), st.floats(0, 10), st.floats(0, 10))
def test_a_highlight_lies_inside_the_video_and_lasts_two_seconds_where_it_can(
    duration: float, at: float, before: float, after: float
) -> None:
    start, end = highlight(at, duration, before, after)
    assert 0 <= start < end <= duration
    assert end - start >= min(2.0, duration) - 0.002


@given(st.floats(0, 100), st.floats(0.1, 100), st.integers(1, 60))
def test_frames_are_evenly_spaced_inside_their_span(start: float, length: float, number: int) -> None:
    times = spread(start, start + length, number)
    assert len(times) == number
    assert start - 0.001 <= times[0] <= times[-1] <= start + length + 0.001
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(abs(gap - length / number) < 0.0021 for gap in gaps)


@given(st.integers(0, 20_000_000))
def test_a_moment_survives_being_written_as_a_clock(milliseconds: int) -> None:
    assert moment(clock(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:01:23", 83), ("1:23", 83), ("83", 83), ("83.5 s", 83.5), ("at 00:01:23.5 sharp", 83.5), ("2 min", 120)],
)
def test_a_moment_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert moment(text) == seconds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"reason": "x", "timestamp_sec": 12.5}', (True, 12.5)),
        ('{"reason": "none seen at 3 s", "timestamp_sec": null}', (True, None)),
        ("12.5", (True, 12.5)),
        ("The anomaly begins at 00:00:12.", (True, 12.0)),
        ("No anomaly is described.", (True, None)),
        ("I cannot say", (False, None)),
    ],
)
def test_a_time_stamp_answer_says_a_time_or_none(text: str, found: tuple[bool, float | None]) -> None:
    assert parse_moment(text) == found


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"reason": "looks normal at first", "label": "anomaly"}', "anomaly"),
        ("It looks normal until 5 s.\nAnomaly", "anomaly"),
        ("An anomaly is not seen here.\n**normal**", "normal"),
        ("It is either normal or an anomaly", None),
        ("a fall", None),
    ],
)
def test_the_last_word_of_a_classification_counts(text: str, label: str | None) -> None:
    assert parse_label(text) == label


@pytest.mark.parametrize(
    ("text", "said"), [("Yes.", True), ('{"suitable": false}', False), ("No, dark", False), ("?", None)]
)
def test_a_filter_says_yes_or_no(text: str, said: bool | None) -> None:
    assert parse_suitable(text) is said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Option A is wrong, option B is right.", "Option C is wrong, option A is right."),
        ("Options A, B and C are out; D fits.", "Options C, A and D are out; B fits."),
        ("(A) stands, (D) moves.", "(C) stands, (B) moves."),
        ("A worker at camera B sees it, so option C holds.", "A worker at camera B sees it, so option D holds."),
        ("The answer is B.", "The answer is A."),
        ("A person stands in lane A.", "A person stands in lane A."),
        ("B is contradicted; C cannot be right.", "A is contradicted; D cannot be right."),
        ("Nobody is near. A cart moves.", "Nobody is near. A cart moves."),
        ("A. stands still\nB. moves", "C. stands still\nA. moves"),
    ],
)
def test_letters_in_a_reasoning_follow_the_shuffle_and_other_capitals_do_not(before: str, after: str) -> None:
    assert relettered(before, {"A": "C", "B": "A", "C": "D", "D": "B"}) == after


@given(st.text(min_size=1), st.integers(2, 8), st.data())
def test_a_shuffle_keeps_the_choices_and_the_right_one(question: str, number: int, data: st.DataObject) -> None:
    choices = {letter: f"text of {letter}" for letter in string.ascii_uppercase[:number]}
    right = data.draw(st.sampled_from(sorted(choices)))
    lines, letter, moved = shuffled(question, choices, right)
    assert shuffled(question, choices, right) == (lines, letter, moved)
    assert sorted(line[3:] for line in lines) == sorted(choices.values())
    assert f"{letter}. {choices[right]}" in lines
    assert [line[0] for line in lines] == list(string.ascii_uppercase[:number])


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def expected_placeholders(key: str) -> set[str]:
    kind = key.removeprefix("anomaly_").removeprefix("normal_")
    anomaly = key.startswith("anomaly_")
    if kind == "chunk_caption":
        return {"chunk_duration"}
    if key == "highlight_timestamp_extraction":
        return {"global_caption", "dense_caption", "chunk_captions_str"}
    if key == "highlight_chunk_caption":
        return {"anomaly_time", "start_time", "end_time", "duration"}
    if kind == "description":
        always = {"video_length", "global_caption", "dense_section", "chunk_captions_str"}
        return always | {"highlight_section"} if anomaly else always
    if kind in ("mcq", "bcq", "open_qa"):
        always = {"video_length", "global_caption", "dense_caption"}
        return always | {"chunk_captions_str", "step_2_output"} if anomaly else always
    if kind in ("global_caption", "dense_caption", "video_filtering", "video_anomaly_classification"):
        return set()
    return {"video_length", "step_2_output"}


@pytest.mark.parametrize("name", sorted(SHORT_NAMES))
def test_every_shipped_module_has_the_26_prompts_with_exactly_their_placeholders(name: str) -> None:
    module = prompts_module(SHORT_NAMES[name])
    assert len(KEYS) == 26
    assert set(module.PROMPT_TEMPLATES) == set(KEYS)
    for key, text in module.PROMPT_TEMPLATES.items():
        assert placeholders(text) == expected_placeholders(key), key
        assert ("[PLACEHOLDER" in text) == (name == "template" and key in KEYS)


def test_the_names_of_the_published_container_mean_the_own_modules() -> None:
    for alias in ALIASES:
        if not alias.endswith("prompt_template"):
            assert load_prompts(alias).structured == frozenset(KEYS)


def test_a_prompts_module_may_have_a_part_of_the_keys_and_gets_no_schema_for_text_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    module = tmp_path / "mine.py"
    module.write_text(
        "PROMPT_TEMPLATES = {'scene_description': 'Scene of {video_length}: {step_2_output}'}\n"
        "def get_prompt(key, **kw):\n    return PROMPT_TEMPLATES[key].format(**kw)\n",
        encoding="utf-8",
    )
    allow.allow(allow.find(str(module)), how="test")
    prompts = load_prompts(str(module))
    assert prompts.text("scene_description", video_length=3, step_2_output="x", other=1) == "Scene of 3: x"
    assert "scene_description" not in prompts.structured
    assert len(prompts.inherited) == 25


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("x = 1", "has no PROMPT_TEMPLATES"),
        ("PROMPT_TEMPLATES = {'mcq': 'x'}\ndef get_prompt(k, **kw): return ''", "unknown prompt 'mcq'"),
        ("PROMPT_TEMPLATES = {'event_summary': '{nope}'}\ndef get_prompt(k, **kw): "
         "return PROMPT_TEMPLATES[k].format(**kw)", "'event_summary' cannot be filled in"),
        ("raise OSError('broken')", "cannot be imported"),
        ("PROMPT_TEMPLATES = {'event_summary': ''}\ndef get_prompt(k, **kw): return ''", "is empty"),
    ],
)  # fmt: skip
def test_a_prompts_module_that_cannot_be_used_is_named_with_its_fault(
    body: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "bad.py").write_text(body, encoding="utf-8")
    allow.allow(allow.find(str(tmp_path / "bad.py")), how="test")
    with pytest.raises(InputError, match=words):
        load_prompts(str(tmp_path / "bad.py"))


@given(st.text())
def test_quoted_text_can_neither_close_its_marks_nor_hold_a_separator(text: str) -> None:
    block = quoted("caption", text)
    lines = block.split("\n")
    mark = lines[0].split()[-1]
    assert lines[-1] == f"DATA {mark}>>"
    assert mark not in "\n".join(lines[1:-1])
    assert "=====" not in block


def test_videos_of_a_folder_and_of_lists_are_merged_without_duplicates(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MOV", "sub/c.mkv", "sub/d.avi", "note.txt", ".hidden.mp4"):
        path = tmp_path / "v" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    lines = [
        {"video_path": str(tmp_path / "v/sub/../b.mp4"), "keep": True},
        {"video": "/elsewhere/x.mp4", "keep": True},
        {"video": "/elsewhere/y.mp4", "keep": False},
        {"name": "no video"},
    ]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{torn", encoding="utf-8")
    listing = list_videos(
        Data(video_root=str(tmp_path / "v"), input_jsonl_files=(str(tmp_path / "l.jsonl"),), filter_field="keep")
    )
    assert [Path(v).name for v in listing.videos] == ["a.MOV", "b.mp4", "c.mkv", "d.avi", "x.mp4"]
    assert len(listing.problems) == 2


def test_a_row_behind_a_torn_one_on_the_same_line_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "step_1a_caption" / "captions.jsonl"
    path.parent.mkdir()
    whole = '{"video": "/v/b.mp4", "global_caption": "seen"}'
    path.write_text('{"video": "/v/a.mp4", "glo' + whole + '\n{"video": "/v/c.mp4", "gl\n', encoding="utf-8")
    standing = StandingRows(tmp_path)
    assert standing.of("1a", "/v/b.mp4", adopted=True) == {"": json.loads(whole)}
    assert standing.of("1a", "/v/a.mp4", adopted=True) == {}
    assert standing.torn == 1
    standing.close()


@given(st.lists(st.text(string.ascii_lowercase, min_size=1), unique=True), st.integers(1, 9))
def test_every_video_is_in_exactly_one_shard(names: list[str], count: int) -> None:
    for name in names:
        assert sum(in_shard(f"/v/{name}.mp4", i, count) for i in range(1, count + 1)) == 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/2"])
def test_a_shard_is_written_as_i_of_n(text: str) -> None:
    with pytest.raises(InputError, match="not a shard"):
        parse_shard(text)


def test_keys_leave_the_arguments_and_messages() -> None:
    args, keys = keys_out_of_arguments(
        ["generate", "video_reasoning_annotation.vlm.gemini.api_key=AIzaSecret", "results_dir=/r"]
    )
    assert args == ["generate", "results_dir=/r"]
    assert keys == {"TAO_ANNOTATE_VLM_KEY_GEMINI": "AIzaSecret"}
    redact = Redactor(["hush-hush"])
    assert redact("key hush-hush, sk-abcdefghijklmnop and Bearer abcdefgh12345") == "key ***, *** and ***"
