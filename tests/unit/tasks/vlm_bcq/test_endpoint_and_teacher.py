"""A served model answers through journal and budget, training happens elsewhere, and a teacher is held to the truth."""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcq
import numpy as np
import pytest
from scripted_endpoint import Fault, Request, ScriptedEndpoint

from tao_skill_bank import labels, runs
from tao_skill_bank.annotate.video import frames_at, probe
from tao_skill_bank.annotate.yes_no import Question, Server, Told, ask_all, frame_times, share
from tao_skill_bank.core.errors import BankError, GateError, InputErrors, StageFailedError
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.demo_vlm import DAY, QUESTIONS, draw, write_video
from tao_skill_bank.loop.request import Request as Taken
from tao_skill_bank.tasks.registry import load_state
from tao_skill_bank.tasks.vlm_bcq import teaching

LISTED = {"yes": [("Yes", -0.2), (" yes", -3.0), ("No", -2.0)], "no": [("No", -0.1), ("maybe", -4.0)]}


def completion(text: str, listed: list[tuple[str, float]]) -> str:
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in listed]
    chances = {"content": [{"token": text, "logprob": listed[0][1], "bytes": None, "top_logprobs": top}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
         "choices": [{**choice, "logprobs": chances}]}
    )  # fmt: skip


def says(request: Request) -> Fault:
    """Yes to what is red, no to all else; with chances."""
    answer = "Yes" if "red" in request.prompt else "No"
    return Fault(200, text=completion(answer, LISTED[answer.lower()]))


def served(url: str, *more: str) -> tuple[str, ...]:
    return (f"evaluate.endpoint.base_url={url}/v1", "evaluate.endpoint.model_name=cosmos", *more)


def test_a_score_is_the_share_of_yes_among_the_listed_alternatives() -> None:
    assert share([("yes", 0.6), ("yes", 0.1), ("no", 0.3)]) == (0.7, False)
    assert share([("no", 0.9), ("", 0.1)]) == (pytest.approx(0.1), True)
    assert share([("perhaps", 0.9)]) == (None, False)


@pytest.mark.parametrize("status", [302, 307])
def test_no_frame_of_an_evaluation_goes_where_its_endpoint_would_send_it(tmp_path: Path, status: int) -> None:
    video = bcq.clips()[0]
    with ScriptedEndpoint() as elsewhere:
        moved = Fault(status, "", {"location": f"{elsewhere.url}/v1/chat/completions"})
        with ScriptedEndpoint(faults=lambda request: moved) as server:
            asked = Server(f"{server.url}/v1", "m")
            with pytest.raises(BankError, match="redirects are not followed"):
                ask_all(tmp_path / "calls", asked, [Question("1", video, bcq.ASKED, 4)], max_calls=3)
            assert (server.calls, elsewhere.calls) == (1, 0)


def test_prices_vectors_and_videos_that_leave_the_machine_are_part_of_what_is_approved(tmp_path: Path) -> None:
    workspace = bcq.few(tmp_path / "w")
    (workspace / "embeddings").mkdir()
    for name in ("prices.toml", "embeddings/pool_videos.parquet"):
        (workspace / name).write_text("")
    where = served("http://127.0.0.1:9", f"evaluate.prices={workspace}/prices.toml", "train.by=external")
    wanted = bcq.request(workspace, *where)
    found = [runs.plan_of(wanted)[0].digest]
    for name in ("prices.toml", "embeddings/pool_videos.parquet"):
        (workspace / name).write_text("# changed")
        found.append(runs.plan_of(wanted)[0].digest)
    video, other = sorted((workspace / "kpi/media").iterdir())[:2]
    video.write_bytes(other.read_bytes())
    found.append(runs.plan_of(wanted)[0].digest)
    assert len(set(found)) == 4


def test_an_endpoint_answers_the_run_waits_for_training_elsewhere_and_goes_on_with_the_served_model(
    tmp_path: Path,
) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    refused = {3, 9}

    def answer(request: Request) -> Fault:
        if request.number in refused:
            return Fault(400, text='{"error": {"message": "bad picture", "code": null}}')
        return says(request)

    with ScriptedEndpoint(faults=answer) as server:
        run = bcq.approved(bcq.request(workspace, *served(server.url, "evaluate.endpoint.max_workers=1")))
        with pytest.raises(StageFailedError, match="2 of 60 questions were not answered"):
            runs.run_loop(run)
        assert not (run / "baseline/evaluate/base/answers.jsonl").exists()
        before = server.calls
        with pytest.raises(GateError) as waits:
            runs.run_loop(run)
        # Only what was missing is asked, and paid for.
        assert server.calls - before == 2
        assert waits.value.gate == "awaiting_training"
        assert "train.served.iter1=MODEL" in str(waits.value.fix)
        assert (run / "iter1/train/train.toml").is_file()
        lines = [json.loads(x) for x in (run / "baseline/evaluate/base/answers.jsonl").read_text().splitlines()]
        assert {line["evaluator"] for line in lines} == {"endpoint"}
        assert {round(line["score"], 3) for line in lines if line["answer"] == "yes"} == {0.865}
        assert all(line["score"] < 0.1 for line in lines if line["answer"] == "no")
        body = server.requests[0].body
        assert body["temperature"] == 0
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
        parts = body["messages"][-1]["content"]
        assert [part["type"] for part in parts] == ["image_url"] * 8 + ["text"]
        assert parts[-1]["text"].endswith("Answer with yes or no.")
        again = bcq.request(workspace, *served(server.url, "train.served.iter1=cosmos-tuned"), results_dir=run)
        wanted = runs.plan_run(again)
        runs.open_run(again, approve=wanted.digest, how="flag")
        runs.run_loop(run)
        state = load_state(run)
        assert state.status == "complete"
        assert state.iterations["iter1"].evaluation.checkpoint == "cosmos-tuned"
        assert {request.model for request in server.requests} == {"cosmos", "cosmos-tuned"}
        assert "trainer unknown" in runs.status(run).verdict.line


def test_a_budget_that_is_used_up_stops_the_run_and_names_the_limit(tmp_path: Path) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    with ScriptedEndpoint(faults=says) as server:
        run = bcq.approved(bcq.request(workspace, *served(server.url, "evaluate.max_calls=10")))
        with pytest.raises(BankError, match="10"):
            runs.run_loop(run)
        assert server.calls == 10


def test_too_many_unreadable_answers_stop_the_run_and_say_why(tmp_path: Path) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    with ScriptedEndpoint(answers=lambda request: "It is hard to say.") as server:
        run = bcq.approved(bcq.request(workspace, *served(server.url)))
        with pytest.raises(GateError) as stopped:
            runs.run_loop(run)
    assert stopped.value.gate == "unreadable"
    assert "60 of 60 answers are neither yes nor no (60 neither)" in stopped.value.what


def teacher(workspace: Path, videos: int, wrong: float) -> Callable[[Request], Fault]:
    """A teacher that knows the drawn truths and errs with a chance; new videos lie in `pool_videos`."""
    rng, truths = np.random.default_rng(3), {}
    shutil.rmtree(workspace / "pool_videos")
    for place in range(videos):
        scene = draw(rng, DAY)
        path = workspace / "pool_videos" / f"t{place}.mp4"
        write_video(path, scene.frames)
        truths[path] = {QUESTIONS[name]: truth for name, truth in scene.truths.items()}
    for record in json.loads((workspace / "base/annotations.json").read_text()):
        path = workspace / "base/media" / record["video"]
        asked = record["conversations"][0]["value"].removeprefix("<video>\n").removesuffix(" Answer with yes or no.")
        truths.setdefault(path, {})[asked] = record["conversations"][1]["value"] == "Yes"
    shown: dict[str, dict[str, bool]] = {}
    for path, held in truths.items():
        duration = probe(path).duration
        for later in (False, True):
            times = frame_times(duration, 8, later=later)
            shown[base64.b64encode(frames_at(path, times)[times[0]]).decode()] = held
    chance = random.Random(4)

    def answer(request: Request) -> Fault:
        parts = request.body["messages"][-1]["content"]
        url = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        held = shown[url.partition(",")[2]]
        truth = held[next(asked for asked in held if asked in parts[-1]["text"])]
        said = {"evidence": "seen", "answer": "Yes" if truth != (chance.random() < wrong) else "No"}
        choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(said)}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "t", "choices": [choice], "usage": usage}
        return Fault(200, text=json.dumps(body))

    return answer


def without_red(workspace: Path) -> Path:
    """The pool has nothing of one question, so that it is routed to annotation."""
    path = workspace / "pool/annotations.json"
    rows = [row for row in json.loads(path.read_text()) if "red" not in row["conversations"][0]["value"]]
    path.write_text(json.dumps(rows))
    return workspace


def test_a_good_teacher_is_asked_twice_and_what_it_says_is_merged_with_its_passes(tmp_path: Path) -> None:
    workspace = without_red(bcq.workspace(tmp_path / "w"))
    with ScriptedEndpoint(faults=teacher(workspace, 12, 0.0)) as server:
        asked = ("annotate.on=true", f"annotate.base_url={server.url}/v1", "annotate.model_name=teacher")
        run = bcq.approved(bcq.request(workspace, *asked, "annotate.max_calls=200", "annotate.review=required"))
        with pytest.raises(GateError) as stopped:
            runs.run_loop(run)
        assert stopped.value.gate == "review" and "later iterations do not wait" in stopped.value.line()
        paid = server.calls
        waiting = [json.loads(line) for line in Path(str(stopped.value.where)).read_text().splitlines()]
        # A person refuses one of them; what they say once they have looked is another run's.
        bad, later = [row for row in waiting if row["kept"]][:2]
        labels.say(workspace, [Word(bad["digest"], "mislabeled", "Ana", drop=True)])
        looked = Taken(results_dir=run, settings=("annotate.review=done",))
        runs.open_run(looked, approve=runs.plan_run(looked).digest, how="flag")
        labels.say(workspace, [Word(later["digest"], "mislabeled", "Ana", drop=True)])
        runs.run_loop(run)
        assert server.calls == paid, "nothing is asked again"
        iteration = load_state(run).iterations["iter1"]
        found = iteration.results["annotate"]
        assert found.control == {"pairs": 20, "agreement": 1.0}
        assert found.kept > 0
        assert found.spent["calls"] == server.calls
    rows = [json.loads(line) for line in Path(found.annotated_jsonl).read_text().splitlines()]
    assert sum(row["kept"] for row in rows) == found.kept
    assert all(row["reason"] for row in rows if not row["kept"])
    result = iteration.results["data_merge"]
    merged = json.loads(Path(result.train_annotations).read_text())
    merged += json.loads(Path(result.val_annotations).read_text()) if result.val_annotations else []
    taught = [row for row in merged if row["provenance"]["source"] == "annotated"]
    assert all(row["provenance"]["teacher"] == "teacher" for row in taught)
    assert all(len(row["provenance"]["pass_digests"]) == 2 for row in taught)
    ids = {row["id"] for row in taught}
    assert bad["record"]["id"] not in ids and later["record"]["id"] in ids


def test_a_teacher_that_errs_too_often_is_not_used_and_the_evaluated_model_is_none(tmp_path: Path) -> None:
    workspace = without_red(bcq.workspace(tmp_path / "w"))
    with ScriptedEndpoint(faults=teacher(workspace, 6, 0.3)) as server:
        asked = ("annotate.on=true", f"annotate.base_url={server.url}/v1", "annotate.model_name=teacher")
        run = bcq.approved(bcq.request(workspace, *asked))
        with pytest.raises(GateError) as stopped:
            runs.run_loop(run)
        assert stopped.value.gate == "teacher"
        same = served(server.url, *asked[:2], "annotate.model_name=cosmos")
        with pytest.raises(InputErrors, match="cosmos is the model that is evaluated"):
            runs.plan_run(bcq.request(workspace, *same))


def test_of_a_teacher_that_errs_in_5_percent_less_than_1_percent_of_what_is_kept_is_wrong() -> None:
    rng = random.Random(1)

    def told(truth: bool) -> Told:
        return Told(json.dumps({"answer": "Yes" if truth != (rng.random() < 0.05) else "No"}))

    truths = [bool(rng.getrandbits(1)) for _ in range(4000)]
    kept = [(a[0], t) for t in truths if (a := teaching.answer_of(told(t))) == teaching.answer_of(told(t))]
    wrong = sum((answer == "yes") != truth for answer, truth in kept)
    assert wrong / len(kept) < 0.01


def test_one_answer_is_never_more_than_60_percent_of_what_is_kept() -> None:
    rows: list[dict[str, Any]] = [
        {"kept": True, "answer": "yes" if n < 30 else "no", "similarity": n / 100, "reason": None} for n in range(40)
    ]
    kept = [row["answer"] for row in teaching.balance(rows) if row["kept"]]
    assert kept.count("yes") / len(kept) <= 0.6
    assert kept.count("no") == 10
    assert all(row["reason"] for row in rows if not row["kept"])


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (Told('{"evidence": "no car", "answer": "Yes"}'), "yes"),
        (Told("No."), "no"),
        (Told('{"answer": "Maybe"}'), None),
        (Told('{"answer": "Yes"}', cut_off=True), None),
        (Told("", blocked=True), None),
        (Told("[1]"), None),
    ],
)
def test_an_answer_of_the_teacher_is_read_whole_or_not_at_all(told: Told, answer: str | None) -> None:
    assert teaching.answer_of(told)[0] == answer
