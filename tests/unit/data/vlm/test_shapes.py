"""Every shape in which teams keep evaluations: the same two gaps are found in each, or one line says what to write."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tao_skill_bank.actions.gap_analysis.config import VLM_BCQ_SCHEMA, VlmBcqConfig
from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
from tao_skill_bank.actions.gap_analysis.vlm_result import VlmBcqResult
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.settings import validated

Q = "Is there a fire?"
# What every shape says: a false positive, a false negative, and two right answers.
ROWS = [
    ("cam/a.mp4", Q, "Yes, smoke.", "no"),
    ("cam/b.mp4", Q, "No.", "yes"),
    ("cam/c.mp4", Q, "Yes.", "yes"),
    ("cam/d.mp4", Q, "No, nothing.", "no"),
]
TAO = [{"video_id": v, "question": q, "response": r, "gt": g} for v, q, r, g in ROWS]
CHOICES = f"{Q}\nA: Yes\nB: No"


def letter(word: str) -> str:
    return {"yes": "A", "no": "B"}[re.findall("yes|no", word.lower())[0]]


def lines(items: list[Any]) -> bytes:
    return "".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items).encode()


def array(items: list[Any]) -> bytes:
    return json.dumps(items, ensure_ascii=False).encode()


def analyse(folder: Path, path: Path, *overrides: str) -> VlmBcqResult:
    """As the command line does."""
    args = [f"predictions_json={path}", f"results_dir={folder / 'out'}", *overrides]
    return analyze_vlm_bcq(validated(VlmBcqConfig, parse_command_line(args, VLM_BCQ_SCHEMA).config))


def gaps_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "out" / "kpi_gaps.jsonl").read_text().splitlines()]


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def xlsx(path: Path, rows: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def cosmos(folder: Path) -> list[Any]:
    items = [
        {
            "video_id": v, "prompt": CHOICES, "correct_answer": letter(g), "reasoning": "r", "answer": letter(r),
            "full_response": f"<think>no, yes?</think><answer>{letter(r)}</answer>", "is_correct": False,
        }
        for v, _, r, g in ROWS
    ]  # fmt: skip
    return [write(folder / "c.json", array(items))]


def cosmos_folder(folder: Path) -> list[Any]:
    for v, _, r, g in ROWS:
        item = {"video_id": v, "prompt": CHOICES, "correct_answer": letter(g), "answer": letter(r)}
        write(folder / "res" / "deep" / f"{Path(v).stem}.json", array([item | {"full_response": letter(r)}])[1:-1])
    return [folder / "res"]


def hallusion(folder: Path) -> list[Any]:
    said = ["1", 0, "Yes.", "No, nothing."]
    items = [
        {"category": "VD", "question": q, "gt_answer": "1" if g == "yes" else "0", "filename": v, "model_prediction": s}
        for (v, q, _, g), s in zip(ROWS, said, strict=True)
    ]
    return [write(folder / "h.json", array(items))]


def lmms_old(folder: Path) -> list[Any]:
    items = [
        {"doc_id": i, "doc": {"video": v, "question": q}, "target": g, "resps": [[r]], "filtered_resps": [r]}
        for i, (v, q, r, g) in enumerate(ROWS)
    ]
    return [write(folder / "l.jsonl", lines(items))]


def lmms_now(folder: Path) -> list[Any]:
    items = [
        {"doc_id": i, "target": g, "filtered_resps": r, "input": q, "input_media": [v]}
        for i, (v, q, r, g) in enumerate(ROWS)
    ]
    return [write(folder / "l.jsonl", lines(items))]


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    return {"status_code": 200, "body": {"choices": [{"message": {"content": text}}], **more}}


def batch(folder: Path) -> list[Any]:
    requests = [
        {
            "custom_id": f"q{i}",
            "body": {
                "messages": [
                    {"role": "system", "content": "Answer yes or no."},
                    {"role": "user", "content": [{"type": "video_url", "video_url": {"url": v}},
                                                 {"type": "text", "text": q}]},
                ]
            },
        }
        for i, (v, q, _, _) in enumerate(ROWS)
    ]  # fmt: skip
    answers = [
        {"id": "b", "custom_id": f"q{i}", "response": completion(r), "error": None}
        for i, (_, _, r, _) in enumerate(ROWS)
    ]
    truth = [{"custom_id": f"q{i}", "gt": g} for i, (_, _, _, g) in enumerate(ROWS)]
    write(folder / "req.jsonl", lines(requests))
    # Out of order, as batches end.
    write(folder / "truth.jsonl", lines(truth[::-1]))
    answers = answers[:2] + answers[2:][::-1]
    return [
        write(folder / "b.jsonl", lines(answers)),
        f"requests={folder / 'req.jsonl'}",
        f"truth={folder / 'truth.jsonl'}",
    ]


def batch_of_old_vllm_with_truth_in_the_requests(folder: Path) -> list[Any]:
    requests = [
        {"custom_id": str(i), "body": {"metadata": {"gt": g}, "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                                         {"type": "image_url", "image_url": {"url": v}}]},
            {"role": "user", "content": q}]}}
        for i, (v, q, _, g) in enumerate(ROWS)
    ]  # fmt: skip
    answers = [
        {"custom_id": str(i), "response": {"choices": [{"message": {"content": r}}]}}
        for i, (_, _, r, _) in enumerate(ROWS)
    ]
    write(folder / "req.jsonl", lines(requests))
    return [write(folder / "b.jsonl", lines(answers)), f"requests={folder / 'req.jsonl'}"]


def llava(folder: Path) -> list[Any]:
    answers = [{"question_id": i, "prompt": q, "text": r, "model_id": "m"} for i, (_, q, r, _) in enumerate(ROWS)]
    truth = [
        {"question_id": i, "image": v, "text": f"{q} Answer yes or no.", "label": g}
        for i, (v, q, _, g) in enumerate(ROWS)
    ]
    write(folder / "t.jsonl", lines(truth))
    return [write(folder / "a.jsonl", lines(answers)), f"truth={folder / 't.jsonl'}"]


def pope(folder: Path) -> list[Any]:
    """Three label files share ids, and the answers have none: joined by line."""
    answers = [{"question": q, "answer": r} for _, q, r, _ in ROWS]
    truth = [{"question_id": 1 + i % 2, "image": v, "text": q, "label": g} for i, (v, q, _, g) in enumerate(ROWS)]
    write(folder / "t.json", lines(truth))
    return [write(folder / "a.json", lines(answers)), f"truth={folder / 't.json'}"]


def vlmevalkit_tsv(folder: Path) -> list[Any]:
    rows = ["index\tvideo\tquestion\tanswer\tprediction"]
    rows += [f'{i}\t{v}\t{q}\t{g.title()}\t"{r}"' for i, (v, q, r, g) in enumerate(ROWS)]
    return [write(folder / "v.tsv", ("\r\n".join(rows) + "\r\n").encode())]


def vlmevalkit_xlsx(folder: Path) -> list[Any]:
    rows = [[i, v, q, g.title(), r] for i, (v, q, r, g) in enumerate(ROWS)]
    return [xlsx(folder / "v.xlsx", [["index", "image_path", "question", "answer", "prediction"], *rows])]


def mme(folder: Path) -> list[Any]:
    return [write(folder / "eyes.txt", "".join(f"{v}\t{q}\t{g.title()}\t{r}\n" for v, q, r, g in ROWS).encode())]


def mme_folder(folder: Path) -> list[Any]:
    for i, (v, q, r, g) in enumerate(ROWS):
        write(folder / "mme" / f"{i}.txt", f"{v}\t{q}\t{g}\t{r}\n".encode())
    return [folder / "mme"]


def wrapped(folder: Path) -> list[Any]:
    found = {"config": {"model": "m", "seeds": [1, 2]}, "accuracy": 0.5, "results": TAO, "tags": ["a"]}
    return [write(folder / "w.json", json.dumps(found).encode())]


def wrapped_with_several_lists(folder: Path) -> list[Any]:
    found = {"dataset": [{"name": "d"}], "results": TAO}
    return [write(folder / "w.json", json.dumps(found).encode()), "fields.root=results"]


def by_id(folder: Path) -> list[Any]:
    found = {v: {"response": r, "gt": g, "question": q} for v, q, r, g in ROWS}
    return [write(folder / "i.json", json.dumps(found, indent=1).encode())]


OWN = ["fields.video_id=clip", "fields.question=q", "fields.response=out"]


def own_rows() -> list[dict[str, Any]]:
    return [{"clip": v, "q": q, "out": r, "label": int(g == "yes")} for v, q, r, g in ROWS]


def csv_file(folder: Path) -> list[Any]:
    cells = ["clip,q,out,label", *(f'{r["clip"]},{r["q"]},"{r["out"]}\n",{r["label"]}' for r in own_rows())]
    return [write(folder / "p.csv", "\n".join(cells).encode()), *OWN]


def parquet_file(folder: Path) -> list[Any]:
    pq.write_table(pa.Table.from_pylist(own_rows()), folder / "p.parquet")
    return [folder / "p.parquet", *OWN]


def xlsx_file(folder: Path) -> list[Any]:
    rows = own_rows()
    return [xlsx(folder / "p.xlsx", [list(rows[0]), *(list(r.values()) for r in rows)]), *OWN]


def csv_by_aliases_with_truths_as_words(folder: Path) -> list[Any]:
    cells = ["Video,Question,Prediction,Label", *(f'{v},{q},"{r}",{g == "yes"}' for v, q, r, g in ROWS)]
    return [write(folder / "p.csv", "\n".join(cells).encode())]


def nested_by_fields(folder: Path) -> list[Any]:
    items = [{"in": {"v": v}, "choices": [{"text": r}], "truth.value": g, "ask": q} for v, q, r, g in ROWS]
    fields = ["video_id=in.v", "response=choices[0].text", "gt=truth.value", "question=ask"]
    return [write(folder / "n.json", array(items)), *(f"fields.{f}" for f in fields)]


def pretty_objects_in_a_row(folder: Path) -> list[Any]:
    return [write(folder / "p.json", "\n".join(json.dumps(i, indent=2) for i in TAO).encode())]


def tao_with_answer_as_truth(folder: Path) -> list[Any]:
    return [write(folder / "p.json", array([{k if k != "gt" else "answer": v for k, v in i.items()} for i in TAO]))]


def table_with_booleans(folder: Path) -> list[Any]:
    return [write(folder / "p.json", array([{**i, "gt": i["gt"] == "yes"} for i in TAO])), "format=table"]


def annotations(folder: Path) -> list[Any]:
    """Ids in the place of videos."""
    found = [
        {
            "id": f"c{i}",
            "video": v,
            "conversations": [{"from": "human", "value": f"<video>\n{q}"}, {"from": "gpt", "value": g}],
        }
        for i, (v, q, _, g) in enumerate(ROWS)
    ]
    items = [{"video_id": f"c{i}", "response": r, "gt": g} for i, (_, _, r, g) in enumerate(ROWS)]
    write(folder / "ann.json", array(found))
    return [write(folder / "p.json", array(items)), f"annotations_json={folder / 'ann.json'}"]


PACKED: dict[str, Callable[[Path], list[Any]]] = {
    "gzip": lambda f: [write(f / "p.json.gz", gzip.compress(array(TAO)))],
    "zstd": lambda f: [write(f / "p.jsonl.zst", pa.compress(lines(TAO), codec="zstd", asbytes=True))],
    "UTF-16 little endian": lambda f: [write(f / "p.json", array(TAO).decode().encode("utf-16"))],
    "UTF-16 big endian lines": lambda f: [write(f / "p.jsonl", b"\xfe\xff" + lines(TAO).decode().encode("utf-16-be"))],
    "UTF-8 with a mark": lambda f: [write(f / "p.json", b"\xef\xbb\xbf" + array(TAO))],
    "UTF-16 csv": lambda f: [
        write(
            f / "p.csv",
            "\n".join(["video,question,pred,gt", *(f'{v},{q},"{r}",{g}' for v, q, r, g in ROWS)]).encode("utf-16"),
        )
    ],
    "csv in gzip": lambda f: [
        write(
            f / "p.csv.gz",
            gzip.compress(
                "\n".join(["file,prompt,output,target", *(f'{v},{q},"{r}",{g}' for v, q, r, g in ROWS)]).encode()
            ),
        )
    ],
}
SHAPES: dict[str, Callable[[Path], list[Any]]] = {
    f.__name__.replace("_", " "): f
    for f in (
        cosmos, cosmos_folder, hallusion, lmms_old, lmms_now, batch, batch_of_old_vllm_with_truth_in_the_requests,
        llava, pope, vlmevalkit_tsv, vlmevalkit_xlsx, mme, mme_folder, wrapped, wrapped_with_several_lists, by_id,
        csv_file, parquet_file, xlsx_file, csv_by_aliases_with_truths_as_words, nested_by_fields,
        pretty_objects_in_a_row, tao_with_answer_as_truth, table_with_booleans, annotations,
    )
} | PACKED  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_the_same_two_gaps(tmp_path: Path, name: str) -> None:
    path, *overrides = SHAPES[name](tmp_path)
    result = analyse(tmp_path, path, *overrides, f"videos_dir={tmp_path}")
    assert (result.read, result.tp, result.fp, result.tn, result.fn) == (4, 1, 1, 1, 1)
    assert result.skipped == {}
    found = gaps_of(tmp_path)
    assert [(g["video_id"], g["error_type"]) for g in found] == [
        (f"{tmp_path}/cam/a.mp4", "FP"),
        (f"{tmp_path}/cam/b.mp4", "FN"),
    ]
    assert all(g["question"].startswith(Q) for g in found)
    assert list(found[0]) == ["video_id", "error_type", "question", "ground_truth", "response"]


@pytest.mark.parametrize("name", SHAPES)
def test_the_format_and_where_its_roles_lie_are_said(tmp_path: Path, name: str) -> None:
    path, *overrides = SHAPES[name](tmp_path)
    result = analyse(tmp_path, path, *overrides)
    assert re.fullmatch(r"\w+: (\w+=\S+ ?)+", result.format)
    assert f"format: {result.format}" in result.summary


# What a person gets who knows of no setting: the first error names the line that leads on.
NAIVE = {
    "batch": "truth=",
    "llava": "truth=",
    "pope": "truth=",
    "csv file": "fields.video_id=clip fields.question=q fields.response=out",
    "parquet file": "fields.video_id=clip fields.question=q fields.response=out",
    "xlsx file": "fields.video_id=clip fields.question=q fields.response=out",
    "wrapped with several lists": "fields.root=results",
    "table with booleans": "format=table",
    "batch of old vllm with truth in the requests": "truth=",
}


@pytest.mark.parametrize("name", NAIVE)
def test_the_first_error_names_what_to_write(tmp_path: Path, name: str) -> None:
    path, *_ = SHAPES[name](tmp_path)
    with pytest.raises(InputError) as caught:
        analyse(tmp_path, path)
    assert NAIVE[name] in caught.value.line()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", SHAPES)
def test_typing_what_the_first_error_names_leads_to_the_gaps_of_every_shape(tmp_path: Path, name: str) -> None:
    path, *overrides = SHAPES[name](tmp_path)
    known = dict(override.split("=", 1) for override in overrides)
    try:
        result = analyse(tmp_path, path)
    except InputError as error:
        # The words of the line that are settings; a name in capitals stands for a file, where the person has one.
        settings = re.findall(r"\b([\w.]+)=([\w./\[\]-]+)", error.line().rsplit("(", 1)[1])
        typed = [f"{key}={known[key]}" for key, value in settings if value.isupper() and key in known]
        typed += [f"{key}={value}" for key, value in settings if not value.isupper()]
        assert typed, error.line()
        result = analyse(tmp_path, path, *typed)
    assert (result.fp, result.fn) == (1, 1)
    assert "no question" not in result.format


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,q,response,gt\na.mp4,Fire?,yes,no\n", " (no question; perhaps fields.question=q)"),
        ("video,note,response,gt\na.mp4,at night,yes,no\n", ""),
        ("video,q,question,response,gt\na.mp4,Fire?,Smoke?,yes,no\n", ""),
        (json.dumps([{**TAO[0], "question": "Fire?", "more": "Why?"}]), ""),
    ],
)
def test_a_question_that_stands_under_another_name_is_not_passed_over_in_silence(
    tmp_path: Path, text: str, said: str
) -> None:
    path = case(tmp_path, text, "p.json" if text[0] == "[" else "p.csv")
    found = analyse(tmp_path, path)
    assert found.format.partition(" (")[2] == said[2:]
    if said:
        assert "no question" not in analyse(tmp_path, path, "fields.question=q").format


def case(folder: Path, text: str, name: str = "p.json") -> Path:
    return write(folder / name, text.encode())


REFUSED = {
    "two response columns": ("p.csv", "video,response,pred,gt\na.mp4,yes,no,no\n", [], "fields.response=response"),
    "a pickle": ("p.pkl", "x", [], "pickle"),
    "a pickle by its bytes": ("p.json", "\x80\x04", [], "pickle"),
    "an MME line of three fields": ("e.txt", "a.jpg\tq\tYes\tyes\nb.jpg\tq\tYes\n", [], "e.txt line 2: has 3 tab"),
    "equal labels": ("p.json", array(TAO).decode(), ["labels=yes|ok,OK"], "'ok' stands on both sides"),
    "one label": ("p.json", array(TAO).decode(), ["labels=yes"], "no two labels"),
    "an unknown mode": ("p.json", array(TAO).decode(), ["answer_in=boxd"], "did you mean 'boxed'"),
    "an unknown format": ("p.json", array(TAO).decode(), ["format=lms"], "did you mean 'lmms'"),
    "an unknown role": ("p.json", array(TAO).decode(), ["fields.answer=x"], "unknown field 'answer'"),
    "a path that leads nowhere": ("p.json", array(TAO).decode(), ["fields.response=a.b"], "has no 'a.b'"),
    "likelihood pairs": (
        "l.jsonl",
        json.dumps({"doc_id": 0, "doc": {}, "target": "no", "filtered_resps": [[-1.5, True], [-0.2, False]]}),
        [],
        "likelihoods",
    ),
    "a cell too many": ("p.csv", "video,pred,gt\na.mp4,yes,no\nb.mp4,yes,it is,no\n", [], "item 1 (line 3): has 4"),
    "a column twice": ("p.csv", "video,pred,pred,gt\na,yes,no,no\n", [], "two columns are called 'pred'"),
    "no key under that name": ("w.json", json.dumps({"a": [{"b": 1}]}), ["fields.root=results"], "no key 'results'"),
    "objects by id, one of them a list": ("i.json", json.dumps({"a": {"gt": "no"}, "b": {}, "c": {}}), [], "missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    file, text, overrides, said = REFUSED[name]
    path = write(tmp_path / file, text.encode("latin-1" if "bytes" in name else "utf-8"))
    with pytest.raises(InputError) as caught:
        analyse(tmp_path, path, *overrides)
    assert said in caught.value.line() and "\n" not in caught.value.line()
    assert not (tmp_path / "out").exists()


def test_a_missing_answer_is_an_error_with_the_number_of_all_and_skipped_where_asked(tmp_path: Path) -> None:
    items = [*TAO, *({**TAO[0], "response": None} for _ in range(7)), {**TAO[1], "response": ""}]
    path = write(tmp_path / "p.json", array(items))
    with pytest.raises(
        InputError, match=r"item 4: 'response' is not a string: null \(7 such items in all\).*unanswered=skip"
    ):
        analyse(tmp_path, path)
    result = analyse(tmp_path, path, "unanswered=skip")
    assert (result.fp, result.fn, result.unparseable) == (1, 1, 8)
    assert result.skipped == {"no answer (null)": 7, "response has neither yes nor no": 1}
    skipped = [json.loads(line) for line in (tmp_path / "out" / "kpi_skipped.jsonl").read_text().splitlines()]
    assert [s["item"] for s in skipped] == list(range(4, 12)) and list(skipped[0]) == [
        "item",
        "video_id",
        "reason",
        "response",
    ]


def test_failed_calls_of_a_batch_are_unanswered(tmp_path: Path) -> None:
    path, *overrides = batch(tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= {"response": None, "error": {"code": "timeout"}}
    rows[1]["response"]["status_code"] = 500
    path.write_bytes(lines(rows))
    with pytest.raises(InputError, match=r"item 0: the response is missing: failed.*timeout.*2 such items"):
        analyse(tmp_path, path, *overrides)
    result = analyse(tmp_path, path, *overrides, "unanswered=skip")
    assert (result.tp, result.tn, result.unparseable) == (1, 1, 2)


def test_values_that_are_no_texts_stay_an_error_of_taos_format_with_the_number_of_all(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", array([TAO[0], {**TAO[1], "gt": False}, {**TAO[2], "gt": 1}]))
    with pytest.raises(InputError, match=r"item 1: 'gt' is not a string: false \(2 such items in all\)"):
        analyse(tmp_path, path)
    result = analyse(tmp_path, path, "format=table")
    assert (result.fp, result.fn, result.tp, result.tn) == (1, 0, 1, 1)
    assert (tmp_path / "out" / "kpi_gaps.jsonl").read_text().count("\n") == 1


def test_ids_without_an_annotation_are_counted_to_the_end(tmp_path: Path) -> None:
    path, *overrides = annotations(tmp_path)
    items = json.loads(path.read_text()) + [{"video_id": f"x{i}", "response": "yes", "gt": "no"} for i in range(9)]
    path.write_bytes(array(items))
    with pytest.raises(InputError, match=r"9 ids have no annotation.*'x0', 'x1', 'x2', 'x3', 'x4' "):
        analyse(tmp_path, path, *overrides)


def test_an_id_with_two_videos_is_ambiguous(tmp_path: Path) -> None:
    path, *overrides = annotations(tmp_path)
    found = json.loads((tmp_path / "ann.json").read_text())
    (tmp_path / "ann.json").write_bytes(array([*found, {**found[0], "video": "cam/z.mp4"}]))
    with pytest.raises(InputError, match="1 ids have no annotation, or annotations of several videos: 'c0'"):
        analyse(tmp_path, path, *overrides)


def test_gaps_of_annotations_keep_their_ids_beside_them(tmp_path: Path) -> None:
    path, *overrides = annotations(tmp_path)
    analyse(tmp_path, path, *overrides)
    index = [json.loads(line) for line in (tmp_path / "out" / "kpi_gaps_index.jsonl").read_text().splitlines()]
    assert index == [{"item": 0, "id": "c0", "score": None}, {"item": 1, "id": "c1", "score": None}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[:-1], "4 answers, 3 rows of truth"),
        (
            lambda t: [t[0], {**t[1], "text": "A cat?"}, *t[2:]],
            "item 1 asks 'Is there a fire\\?', row 1 of the truth 'A cat\\?'",
        ),
        (lambda t: [{"image": "a.jpg"}] * 4, "its rows have no right answer"),
    ],
)
def test_a_truth_that_does_not_belong_to_the_answers_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], said: str
) -> None:
    path, *overrides = pope(tmp_path)
    truth = [json.loads(line) for line in (tmp_path / "t.json").read_text().splitlines()]
    (tmp_path / "t.json").write_bytes(lines(change(truth)))
    with pytest.raises(InputError, match=said):
        analyse(tmp_path, path, *overrides)


def test_truth_is_joined_by_id_where_ids_are_unique_and_the_order_differs(tmp_path: Path) -> None:
    path, *overrides = llava(tmp_path)
    rows = (tmp_path / "t.jsonl").read_text().splitlines()
    (tmp_path / "t.jsonl").write_text("\n".join(rows[::-1]))
    result = analyse(tmp_path, path, *overrides, f"videos_dir={tmp_path}")
    assert [g["video_id"] for g in gaps_of(tmp_path)] == [f"{tmp_path}/cam/a.mp4", f"{tmp_path}/cam/b.mp4"]
    assert (result.fp, result.fn) == (1, 1)


def test_several_responses_of_an_item_count_once_or_all(tmp_path: Path) -> None:
    items = [
        {
            "doc_id": 0,
            "doc": {"video": "a.mp4", "question": Q},
            "target": "no",
            "filtered_resps": ["No.", "Yes.", "Yes."],
        },
        {"doc_id": 1, "doc": {"video": "b.mp4", "question": Q}, "target": "yes", "filtered_resps": [["Yes."]]},
    ]
    path = write(tmp_path / "l.jsonl", lines(items))
    assert (analyse(tmp_path, path).read, analyse(tmp_path, path).fp) == (2, 0)
    result = analyse(tmp_path, path, "repeats=all")
    assert (result.read, result.fp, result.duplicates.count) == (4, 2, 0)


def test_an_xlsx_without_openpyxl_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = xlsx(tmp_path / "p.xlsx", [["video", "pred", "gt"], ["a.mp4", "yes", "no"]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"needs openpyxl.*\[xlsx\]"):
        analyse(tmp_path, path)


def test_an_xlsx_that_unpacks_to_more_than_a_gibibyte_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tao_skill_bank.data.vlm import tables

    path = xlsx(tmp_path / "p.xlsx", [["video", "pred", "gt"], ["a.mp4", "yes", "no"]])
    monkeypatch.setattr(tables, "LARGEST_SHEET", 1000)
    with pytest.raises(InputError, match="unpacked"):
        analyse(tmp_path, path)
