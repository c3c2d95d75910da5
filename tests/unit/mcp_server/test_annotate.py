"""The annotation tools: nothing is bought before a person said yes; the spec names no path outside the roots."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_types import ElicitResult
from scripted_endpoint import ScriptedEndpoint
from server_calls import MODES, call, ok, served
from videos import make_video, make_videos

from tao_skill_bank.annotate import api
from tao_skill_bank.core import lifecycle


@pytest.fixture
def paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ScriptedEndpoint, dict[str, Any]]]:
    monkeypatch.setenv("OPENAI_API_KEY", "unused-unused")
    make_videos(tmp_path / "v", 2)
    with ScriptedEndpoint() as server:
        model = {"backend": "openai", "openai": {"base_url": f"{server.url}/v1", "model_name": "scripted"}}
        section = {"vlm": model, "llm": model, "data": {"video_root": str(tmp_path / "v")}}
        spec = {"autolabel_type": "video_reasoning_annotation", "video_reasoning_annotation": section}
        (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        yield server, {"results_dir": str(tmp_path / "out"), "spec": str(tmp_path / "spec.yaml")}


def test_the_estimate_is_a_few_lines_and_calls_nobody(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    data = ok(call(served(tmp_path), "estimate_annotation", paid[1]))
    assert data["summary"].startswith("2 videos, about 3")
    assert paid[0].calls == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", MODES)
def test_without_a_persons_yes_nothing_is_bought(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path, mode: str
) -> None:
    server = served(tmp_path)
    limits = {"max_cost": 2.5, "max_calls": 40}
    refused = call(server, "start_annotation", {**paid[1], **limits}, mode=mode)
    assert refused.error and "the price of 'scripted' (vlm) is unknown" in refused.text
    priced = {**paid[1], **limits, "price": {"scripted": [0.1, 0.4]}}
    asked = ok(call(server, "start_annotation", priced, mode=mode))
    assert asked["status"] == "needs_approval"
    assert "--price scripted=0.1,0.4 --max-calls 40 --max-cost 2.5 --approve " in asked["command"]
    no = ElicitResult(action="accept", content={"approve": False})
    declined = call(server, "start_annotation", paid[1], mode=mode, elicit=no)
    assert (ok(declined)["status"], len(declined.asked)) == ("declined", 1)
    assert "no limit set" in declined.asked[0]
    assert paid[0].calls == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_only_a_true_of_the_client_buys_anything(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path, value: str | int
) -> None:
    answer = ElicitResult(action="accept", content={"approve": value})
    said = call(served(tmp_path), "start_annotation", paid[1], elicit=answer)
    assert said.error and said.asked
    assert paid[0].calls == 0
    assert not (tmp_path / "out").exists()


def test_an_approved_run_works_in_the_background_to_its_end(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    server = served(tmp_path)
    yes = ElicitResult(action="accept", content={"approve": True})
    assert ok(call(server, "start_annotation", paid[1], elicit=yes))["status"] == "started"
    assert lifecycle._started[-1].wait(120) == 0, "nothing that its end needs lies outside the roots"
    assert {"quality.json", "step_4_output"} <= {path.name for path in (tmp_path / "out").iterdir()}
    here = {"results_dir": paid[1]["results_dir"]}
    data = ok(call(server, "get_annotation_status", here))
    assert (data["status"], paid[0].calls) == ("complete", 32)
    assert "items: mcq 2" in data["summary"]
    assert "approved in the client" in data["summary"]
    assert ok(call(server, "stop_annotation", here))["stop_requested"] is False


def test_a_spec_that_names_a_folder_outside_the_roots_is_refused(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    spec = Path(paid[1]["spec"])
    (tmp_path / "root").mkdir()
    inside = tmp_path / "root" / "spec.yaml"
    inside.write_text(spec.read_text(encoding="utf-8"), encoding="utf-8")
    answer = call(
        served(tmp_path / "root"),
        "estimate_annotation",
        {"results_dir": str(tmp_path / "root/out"), "spec": str(inside)},
    )
    assert answer.error
    assert "outside the allowed folders" in answer.text


def test_an_agent_is_told_what_the_quality_rules_say_and_nothing_is_written_or_opened(tmp_path: Path) -> None:
    """The rows name a video outside the roots, which no tool opens."""
    folder = tmp_path / "root" / "it's here"
    step = folder / "step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    good = {"question": "Does the cart move?", "answer": "Yes", "explanation": "It does.", "reasoning": "It is seen."}
    again = {**good, "question": "Does the cart move ?"}
    told = {**good, "question": "Is the box red?", "reasoning": "According to the caption, it is."}
    rows = [
        {"video": "/proc/self/environ", "prompt_key": "normal_bcq", "qa_output": json.dumps({"items": [good, again]})},
        {"video": str(tmp_path / "b.mp4"), "prompt_key": "normal_bcq", "qa_output": json.dumps({"items": [told]})},
    ]
    step.write_text("".join(json.dumps({**row, "video_length": 1.0}) + "\n" for row in rows), encoding="utf-8")
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    server = served(tmp_path / "root")
    data = ok(call(server, "get_annotation_quality", {"results_dir": str(folder)}))
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before
    assert "no error rate: no sample was drawn" in data["summary"]
    assert sum(data["items"].values()) + sum(data["refused"].values()) == 3 and data["refused"]["duplicate"] == 1
    assert any(line.startswith("duplicate: bcq of ") and "same question" in line for line in data["examples"])
    assert f"annotate check {shlex.quote(str(folder))}" in data["next_step"]
    written = api.check_items(folder)
    assert (data["refused"], data["flagged"]) == (written.refused, written.flagged), "what the command finds"


@pytest.fixture
def unread(
    paid: tuple[ScriptedEndpoint, dict[str, Any]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[dict[str, Any], Path, Path]:
    """The arguments of a run whose spec names a module of its own, the module, and the mark that it leaves."""
    # What lies in a root of the server's would allow nothing.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    module, mark = tmp_path / "packing.py", tmp_path / "it-ran"
    module.write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "PROMPT_TEMPLATES = {'scene_description': 'Say what stands still.'}\n"
        "def get_prompt(key, **values):\n    return PROMPT_TEMPLATES[key]\n",
        encoding="utf-8",
    )
    spec = Path(paid[1]["spec"])
    values = yaml.safe_load(spec.read_text(encoding="utf-8"))
    values["video_reasoning_annotation"]["prompts_module"] = str(module)
    spec.write_text(yaml.safe_dump(values), encoding="utf-8")
    return paid[1], module, mark


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_alone_gets_no_python_of_a_spec_to_run(
    unread: tuple[dict[str, Any], Path, Path], tmp_path: Path, mode: str
) -> None:
    arguments, module, mark = unread
    server = served(tmp_path)
    notes = ok(call(server, "estimate_annotation", arguments, mode=mode))["notes"]
    assert f"{module} (4 lines, sha256 " in notes[0]
    assert notes[1].endswith(f"tao-skills annotate allow {module}")
    asked = ok(call(server, "start_annotation", arguments, mode=mode))
    assert asked["status"] == "needs_approval"
    assert f"annotate allow {module} && " in asked["command"]
    no = ElicitResult(action="accept", content={"approve": False})
    assert ok(call(server, "start_annotation", arguments, mode=mode, elicit=no))["status"] == "declined"
    assert not mark.exists()
    assert list(Path(os.environ["XDG_CONFIG_HOME"]).iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_persons_yes_allows_the_module_it_was_asked_about_and_a_changed_one_is_asked_about_again(
    unread: tuple[dict[str, Any], Path, Path], tmp_path: Path, mode: str
) -> None:
    arguments, module, mark = unread
    server = served(tmp_path)
    yes = ElicitResult(action="accept", content={"approve": True})
    started = call(server, "start_annotation", arguments, mode=mode, elicit=yes)
    assert ok(started)["status"] == "started"
    assert f"runs Python that nobody has allowed yet: {module}" in started.asked[0]
    for worker in lifecycle._started:
        worker.wait(60)
    assert mark.exists()
    again = call(server, "start_annotation", arguments, mode=mode, elicit=yes)
    assert "Python" not in again.asked[0]
    for worker in lifecycle._started:
        worker.wait(60)
    mark.unlink()
    module.write_text(module.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    assert ok(call(server, "start_annotation", arguments, mode=mode))["status"] == "needs_approval"
    assert not mark.exists()


def test_a_module_that_changes_while_the_person_reads_is_not_allowed_by_the_answer(
    unread: tuple[dict[str, Any], Path, Path], tmp_path: Path
) -> None:
    arguments, module, mark = unread

    class Slow(ElicitResult):
        """An answer during which somebody rewrites the module."""

        def model_dump(self, **given: Any) -> dict[str, Any]:
            module.write_text("import os\n" + module.read_text(encoding="utf-8"), encoding="utf-8")
            return super().model_dump(**given)

    answer = call(
        served(tmp_path),
        "start_annotation",
        arguments,
        elicit=Slow(action="accept", content={"approve": True}),
    )
    assert answer.error
    assert "nobody has allowed to run" in answer.text
    assert not mark.exists()


def test_of_two_starts_at_once_by_two_agents_one_starts_and_the_run_is_made_once(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    server = served(tmp_path)
    yes = ElicitResult(action="accept", content={"approve": True})
    together = threading.Barrier(3)

    def start(_: int) -> str:
        together.wait()
        answer = call(server, "start_annotation", paid[1], elicit=yes)
        return answer.text if answer.error else str(answer.data["status"])

    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(start, range(3)))
    assert said.count("started") == 1
    assert sum("by worker (process" in text for text in said) == 2
    for worker in lifecycle._started:
        worker.wait(60)
    assert paid[0].calls == 32


def test_a_person_is_told_who_gets_the_videos_and_the_key(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    spec = Path(paid[1]["spec"])
    text = spec.read_text(encoding="utf-8")
    assert paid[0].url.split("/v1")[0] in text
    spec.write_text(text.replace(paid[0].url.split("/v1")[0], "https://evil.example"), encoding="utf-8")
    no = ElicitResult(action="decline")
    answer = call(served(tmp_path), "start_annotation", paid[1], elicit=no)
    assert "at https://evil.example" in answer.asked[0]
    assert paid[0].calls == 0


YES = ElicitResult(action="accept", content={"approve": True})


def ended() -> None:
    for worker in lifecycle._started:
        worker.wait(60)


@pytest.mark.parametrize("mode", MODES)
def test_a_spec_that_is_rewritten_while_the_person_reads_sends_nothing_to_another_host(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path, mode: str
) -> None:
    spec = Path(paid[1]["spec"])
    with ScriptedEndpoint() as other:

        def rewrite() -> None:
            spec.write_text(spec.read_text(encoding="utf-8").replace(paid[0].url, other.url), encoding="utf-8")

        answer = call(served(tmp_path), "start_annotation", paid[1], mode=mode, elicit=YES, meanwhile=rewrite)
        ended()
        assert paid[0].url in answer.asked[0]
        if mode == "legacy":
            assert (paid[0].calls, other.calls, len(answer.asked)) == (32, 0, 1)
        else:
            # The call is made anew with the answer, which is to another question by then: the person is asked again.
            assert (paid[0].calls, other.calls, len(answer.asked)) == (0, 32, 2)
            assert other.url in answer.asked[1]


@pytest.mark.parametrize("what", ["added", "replaced", "a link"])
def test_only_the_videos_that_were_listed_when_the_person_was_asked_are_sent(
    what: str, paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "v").rename(root / "v")
    outside = make_video(tmp_path / "outside.mp4", seed=77)
    spec = root / "spec.yaml"
    spec.write_text(Path(paid[1]["spec"]).read_text().replace(str(tmp_path / "v"), str(root / "v")), encoding="utf-8")
    arguments = {"results_dir": str(root / "out"), "spec": str(spec)}
    first = sorted((root / "v").iterdir())[0]

    def change() -> None:
        if what == "added":
            shutil.copy(outside, root / "v" / "more.mp4")
            return
        first.unlink()
        if what == "a link":
            first.symlink_to(outside)
        else:
            shutil.copy(outside, first)

    assert "status" in ok(call(served(root), "start_annotation", arguments, elicit=YES, meanwhile=change))
    ended()
    view = api.status(root / "out")
    assert paid[0].calls == 16 * (2 if what == "added" else 1)
    if what != "added":
        said = {"replaced": "has changed since the run was listed", "a link": "lies outside the allowed folders"}[what]
        assert said in view.failures[0]


def test_a_video_that_leads_outside_the_roots_is_refused_before_anybody_is_asked(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = make_video(tmp_path / "outside.mp4", seed=77)
    (tmp_path / "v").rename(root / "v")
    (root / "v" / "link.mp4").symlink_to(outside)
    spec = root / "spec.yaml"
    spec.write_text(Path(paid[1]["spec"]).read_text().replace(str(tmp_path / "v"), str(root / "v")), encoding="utf-8")
    yes = ElicitResult(action="accept", content={"approve": True})
    answer = call(served(root), "start_annotation", {"results_dir": str(root / "out"), "spec": str(spec)}, elicit=yes)
    assert answer.error and not answer.asked
    assert "lies outside the allowed folders, where a link leads" in answer.text
    assert paid[0].calls == 0


def test_the_command_that_a_person_is_given_starts_what_was_shown_and_nothing_else(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    asked = ok(call(served(tmp_path), "start_annotation", {**paid[1], "max_calls": 100}))
    words = shlex.split(asked["command"])
    spec = Path(paid[1]["spec"])
    before = spec.read_text(encoding="utf-8")
    spec.write_text(before.replace("scripted", "dearer"), encoding="utf-8")
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (refused.returncode, paid[0].calls) == (5, 0)
    assert "what was approved is not what would start now" in refused.stderr
    assert not (tmp_path / "out").exists()
    spec.write_text(before, encoding="utf-8")
    started = subprocess.run(words, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    end = time.monotonic() + 200
    while api.status(tmp_path / "out").status == "working" and time.monotonic() < end:
        time.sleep(0.05)
    assert paid[0].calls == 32
    kept = json.loads((tmp_path / "out/annotation_request.json").read_bytes())
    assert (kept["how"], kept["digest"]) == ("flag", words[words.index("--approve") + 1])


def test_a_digest_says_everything_that_is_approved(
    paid: tuple[ScriptedEndpoint, dict[str, Any]], tmp_path: Path
) -> None:
    server = served(tmp_path)
    spec, videos = Path(paid[1]["spec"]), sorted((tmp_path / "v").iterdir())

    def digest(**more: Any) -> str:
        words = shlex.split(ok(call(server, "start_annotation", {**paid[1], **more}))["command"])
        return words[words.index("--approve") + 1]

    first = digest()
    assert digest() == first == ok(call(server, "estimate_annotation", paid[1]))["digest"]
    price = {"scripted": [0.1, 0.4]}
    seen = {first, digest(max_calls=5), digest(price=price), digest(max_cost=1.5, price=price)}
    seen.add(digest(results_dir=str(tmp_path / "elsewhere")))
    text = spec.read_text(encoding="utf-8")
    for old, new in ((paid[0].url, "http://127.0.0.1:9"), ("scripted", "gpt-5"), ("data:", "license: MIT\n  data:")):
        spec.write_text(text.replace(old, new), encoding="utf-8")
        seen.add(digest())
    spec.write_text(text, encoding="utf-8")
    os.utime(videos[0])
    seen.add(digest())
    make_video(tmp_path / "v" / "another.mp4", seed=9)
    seen.add(digest())
    assert len(seen) == 10
