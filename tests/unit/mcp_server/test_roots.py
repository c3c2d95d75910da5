"""No call reaches a path outside the roots: not by name, not by `..`, not by a link, not by a NUL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from server_calls import MODES, call, plan_arguments, served

from mcp_server import FOLDER_OF_SESSION
from mcp_server.roots import BankServer, Roots, _folder
from mcp_server.server import build_server
from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.personal import add_root, config_folder, roots_path

# Tool → its path arguments, each with what else the call needs. {p} is the path under test, {w} the workspace.
CALLS: dict[str, dict[str, Any]] = {
    "certify_threshold": {"scores": "{w}/judged.csv", "target": "FAR < 1% at recall=99%"},
    "get_monitor_status": {"monitor": "{w}/line"},
    "analyze_vcn_gaps": {"inference_results_dir": "{w}", "train_config": "{w}/t.yaml", "results_dir": "{w}/r"},
    "write_rca_report": {"experiment": "{w}"},
    "set_rca_verdict": {"results_dir": "{w}", "image": "a.png", "verdict": "systematic"},
    "check_rca_report": {"results_dir": "{w}"},
    "analyze_vlm_gaps": {"predictions_json": "{w}/p.json", "results_dir": "{w}/r"},
    "route_samples": {"gaps_parquet": "{w}/g.parquet", "results_dir": "{w}/r"},
    "check_training_csv": {"csv": "{w}/c.csv", "workspace": "{w}"},
    "analyze_kpi": {"csv": "{w}/c.csv"},
    "check_spec": {"spec": "{w}/s.yaml"},
    "get_annotation_quality": {"results_dir": "{w}"},
    "start_action": {"category": "visual_changenet", "action": "train", "results_dir": "{w}/r"},
    "embed_images": {"input_parquet": "{w}/a.parquet", "output_parquet": "{w}/b.parquet"},
    "mine_neighbors": {
        "source_parquet": "{w}/a.parquet",
        "target_parquet": "{w}/b.parquet",
        "output_parquet": "{w}/c.parquet",
    },
    "make_workspace": {"pictures": "{w}/p", "goldens": "{w}/g", "workspace": "{w}/new"},
    "list_runs": {"workspace": "{w}"},
    "compare_runs": {"runs": ["{w}/a"]},
    "list_labels": {"workspace": "{w}"},
    "show_boards": {"results_dir": "{w}/r"},
    "set_labels": {"workspace": "{w}", "who": "Ana", "words": [{"sample": "kp/C1", "label": "bridge"}]},
    "get_jobs": {"results_dir": "{w}"},
    "get_job_status": {"results_dir": "{w}", "job": "j"},
    "list_jobs": {"results_dir": "{w}"},
    "get_job_logs": {"results_dir": "{w}", "job": "j"},
    "cancel_job": {"results_dir": "{w}", "job": "j"},
    "plan_deft_run": {"workspace": "{w}", "kpi_target": "FAR < 1% at recall=99%", "max_iterations": 1},
    "start_deft_run": {"workspace": "{w}", "kpi_target": "FAR < 1% at recall=99%", "max_iterations": 1},
    "step_deft_run": {"results_dir": "{w}"},
    "get_deft_status": {"results_dir": "{w}"},
    "stop_deft_run": {"results_dir": "{w}"},
    "estimate_annotation": {"results_dir": "{w}", "spec": "{w}/s.yaml"},
    "start_annotation": {"results_dir": "{w}", "spec": "{w}/s.yaml"},
    "get_annotation_status": {"results_dir": "{w}"},
    "stop_annotation": {"results_dir": "{w}"},
    "log_stage": {
        "results_dir": "{w}",
        "iter_label": "iter1",
        "stage": "train",
        "status": "ok",
        "summary": "s",
        "duration_sec": 1,
    },
    "align_tokens": {"results_dir": "{w}", "transcripts": ["{w}/t.jsonl"]},
    "render_report": {"results_dir": "{w}"},
    "write_handoff": {"results_dir": "{w}"},
}
OPTIONAL = {
    "analyze_vcn_gaps": ["kpi_media_path"],
    "write_rca_report": ["inference_results_dir", "train_config", "kpi_media_path"],
    "analyze_vlm_gaps": ["videos_dir"],
    "route_samples": ["pool_csv"],
    "check_training_csv": ["validation_csv"],
    "analyze_kpi": ["output_dir"],
    "start_action": ["spec"],
    "plan_deft_run": ["results_dir"],
    "start_deft_run": ["results_dir"],
}
PATHS = [
    (tool, name)
    for tool, arguments in CALLS.items()
    for name in [*(k for k, v in arguments.items() if "{w}" in str(v)), *OPTIONAL.get(tool, [])]
]


def filled(tool: str, workspace: Path, name: str, path: str) -> dict[str, Any]:
    """The call's arguments with one path replaced."""
    out: dict[str, Any] = {}
    for key, value in CALLS[tool].items():
        out[key] = (
            [v.replace("{w}", str(workspace)) if isinstance(v, str) else v for v in value]
            if isinstance(value, list)
            else value.replace("{w}", str(workspace))
            if isinstance(value, str)
            else value
        )
    out[name] = [path] if isinstance(out.get(name), list) else path
    return out


def test_every_tool_that_names_a_path_is_tested_here() -> None:
    tools = anyio.run(build_server().all_tools)
    words = (
        "pictures",
        "goldens",
        "runs",
        "dir",
        "folder",
        "csv",
        "parquet",
        "workspace",
        "spec",
        "config",
        "path",
        "json",
        "experiment",
        "transcripts",
        "scores",
        "monitor",
    )
    for tool in tools:
        named = {key for key in tool.input_schema["properties"] if key.endswith(words)}
        assert named == {name for of, name in PATHS if of == tool.name}, tool.name


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BankServer]:
    """A folder that holds a link out of it, and the server that may touch that folder alone; refused calls share it."""
    inside = tmp_path_factory.mktemp("walled") / "workspace"
    for folder in (inside, inside.parent / "outside"):
        folder.mkdir()
    (inside / "link").symlink_to(inside.parent / "outside")
    return inside, build_server([inside])


@pytest.mark.parametrize(("tool", "name"), PATHS)
def test_a_path_outside_the_roots_is_refused(walled: tuple[Path, BankServer], tool: str, name: str) -> None:
    workspace, server = walled
    outside = workspace.parent / "outside"
    for path, said in (
        (str(outside), "outside the allowed folders"),
        (f"{workspace}/../outside", "without '..'"),
        (f"{workspace}/link/x", "outside the allowed folders"),
        (f"{workspace}/a\0b", "NUL"),
        ("relative/path", "not an absolute path"),
    ):
        answer = call(server, tool, filled(tool, workspace, name, path))
        assert answer.error, (path, answer.text)
        assert said in answer.text
    assert list(outside.iterdir()) == []
    assert list(workspace.iterdir()) == [workspace / "link"]


@pytest.mark.parametrize("value", ["/etc/passwd", "../x", "a/../../b", "~/x", "x\0y", "ok/../.."])
def test_an_override_that_looks_like_a_path_is_confined_too(workspace: Path, server: BankServer, value: str) -> None:
    arguments = {**filled("start_action", workspace, "results_dir", f"{workspace}/r"), "overrides": {"train.x": value}}
    assert call(server, "start_action", arguments).error
    assert not (workspace / "r").exists()


def test_a_setting_may_not_lead_a_run_out_of_its_workspace(workspace: Path, server: BankServer) -> None:
    arguments = plan_arguments(workspace, settings=["training_csv=/etc/passwd"])
    assert "outside the workspace" in call(server, "plan_deft_run", arguments).text


@pytest.mark.parametrize("mode", MODES)
def test_without_own_roots_the_clients_roots_count(workspace: Path, mode: str) -> None:
    server = served()
    inside = call(server, "plan_deft_run", plan_arguments(workspace), mode=mode, roots=[workspace.as_uri()])
    assert not inside.error, inside.text
    other = call(
        server, "plan_deft_run", plan_arguments(workspace), mode=mode, roots=[workspace.parent.as_uri() + "/no"]
    )
    assert other.error


def test_the_servers_own_roots_win_over_the_clients(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "narrow").mkdir()
    answer = call(served(tmp_path / "narrow"), "plan_deft_run", plan_arguments(workspace), roots=[workspace.as_uri()])
    assert answer.error


@pytest.mark.parametrize(
    "said",
    [
        *("file:", "file://", "file://localhost", "file:w", "file:./w", "file:///w%00", "file://[", "FILE:w"),
        *("{w}?x", "{w}#1", "{w}/#", "{w}%2f..%2fother", "{w}/../other", "{W}", "{w}x/.."),
    ],
)
def test_an_address_that_does_not_name_a_folder_whole_opens_no_other(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(workspace)
    uri = said.replace("{w}", workspace.as_uri()).replace("{W}", workspace.as_uri()[:-1] + "W")
    found = _folder(uri)
    # What leads through dots or a sibling is what it names; it is never the folder the server was started in, nor cut.
    named = {"{w}%2f..%2fother": "other", "{w}/../other": "other", "{W}": "W", "{w}x/..": "."}
    wanted = tmp_path / named[said] if said in named else None
    assert found == (None if wanted is None else wanted.resolve())


@pytest.mark.parametrize("name", ["a b", "50%", "caf\u00e9", "cafe\u0301", "\udcff", "x#y?z", "w/"])
def test_a_folder_is_known_by_its_address_whatever_its_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no such names here")
    slash = "/" if name.endswith("/") else ""
    assert _folder(f"file://{quote(os.fsencode(folder))}{slash}") == folder


def test_two_spellings_of_one_name_are_two_folders(tmp_path: Path) -> None:
    one, other = tmp_path / "caf\u00e9", tmp_path / "cafe\u0301"
    one.mkdir()
    other.mkdir(exist_ok=True)
    if one.samefile(other):
        pytest.skip("one folder here")
    roots = Roots(folders=[one])
    assert roots.path(str(one / "x"), "path") == one / "x"
    with pytest.raises(InputError, match="outside the allowed folders"):
        roots.path(str(other / "x"), "path")


def test_a_root_on_another_host_counts_for_nothing(workspace: Path) -> None:
    uri = f"file://elsewhere{workspace}"
    assert call(served(), "plan_deft_run", plan_arguments(workspace), roots=[uri]).error


def test_without_any_roots_it_is_the_project_the_server_was_started_in(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_PROJECT_DIR", str(workspace))
    assert not call(served(), "plan_deft_run", plan_arguments(workspace)).error


@pytest.mark.parametrize("cwd", ["/", "bank"])
def test_neither_the_whole_file_system_nor_the_bank_is_a_project(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, cwd: str
) -> None:
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    monkeypatch.chdir(bank_root() if cwd == "bank" else cwd)
    monkeypatch.setenv("PWD", "/")
    answer = call(served(), "plan_deft_run", plan_arguments(workspace))
    assert "the person can type: " in answer.text
    assert "roots add FOLDER" in answer.text
    monkeypatch.setenv("PWD", str(workspace))
    assert not call(served(), "plan_deft_run", plan_arguments(workspace)).error


def test_a_link_inside_the_roots_leads_to_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Roots(folders=[tmp_path]).path(str(tmp_path / "link" / "x"), "x") == tmp_path / "real" / "x"


def test_a_sibling_that_begins_like_a_root_is_outside_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="outside"):
        Roots(folders=[tmp_path / "work"]).path(str(tmp_path / "workspace"), "x")


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person without settings, who starts the server where there is no project."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("PWD", "/")
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    monkeypatch.chdir(bank_root())


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("mode", MODES)
def test_a_folder_that_the_person_added_counts_at_once_in_a_client_without_roots(workspace: Path, mode: str) -> None:
    server = served()
    assert "there is none" in call(server, "plan_deft_run", plan_arguments(workspace), mode=mode).text
    add_root(workspace.parent)
    assert not call(server, "plan_deft_run", plan_arguments(workspace), mode=mode).error


@pytest.mark.usefixtures("person")
def test_the_persons_folders_count_beside_those_of_a_client(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    add_root(workspace)
    arguments = plan_arguments(workspace)
    assert not call(served(), "plan_deft_run", arguments, roots=[(tmp_path / "other").as_uri()]).error


@pytest.mark.usefixtures("person")
def test_the_persons_folders_do_not_widen_a_server_with_roots_of_its_own(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "narrow").mkdir()
    add_root(workspace)
    answer = call(served(tmp_path / "narrow"), "plan_deft_run", plan_arguments(workspace))
    assert "the person can start the server with --root FOLDER" in answer.text


@pytest.mark.usefixtures("person")
def test_a_list_that_others_may_write_to_is_an_error_in_one_line_and_opens_nothing(workspace: Path) -> None:
    add_root(workspace)
    roots_path().chmod(0o666)
    answer = call(served(), "plan_deft_run", plan_arguments(workspace))
    assert answer.error
    assert "others may write to your roots" in answer.text
    assert "chmod 600" in answer.text


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> BankServer:
    """The server that may touch every folder of these tests, the person's settings among them."""
    return build_server([tmp_path_factory.getbasetemp()])


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(("tool", "name"), PATHS)
def test_no_tool_touches_the_persons_settings_whatever_the_roots_are(
    wide: BankServer, tmp_path: Path, tool: str, name: str
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    add_root(workspace)
    before = roots_path().read_bytes()
    (workspace / "link").symlink_to(config_folder())
    for path in (str(roots_path()), str(config_folder()), f"{workspace}/link/roots", f"{workspace}/link/x/y"):
        answer = call(wide, tool, filled(tool, workspace, name, path))
        assert answer.error, (path, answer.text)
        assert "the user's own settings" in answer.text
    assert roots_path().read_bytes() == before
    assert sorted(p.name for p in config_folder().iterdir()) == ["roots", "roots.lock"]


def test_no_tool_adds_a_root() -> None:
    tools = anyio.run(build_server().list_tools)
    assert not [t.name for t in tools if "root" in t.name or "roots" in t.input_schema["properties"]]


async def _with_meta(server: BankServer, arguments: dict[str, Any], meta: dict[str, Any]) -> Any:
    from mcp.client import Client

    async with Client(server, mode="legacy") as client:
        return await client.call_tool("plan_deft_run", arguments, meta=meta)


def _in_session(folder: str) -> dict[str, Any]:
    return {FOLDER_OF_SESSION: {"permissionProfile": {}, "sandboxCwd": folder}}


@pytest.mark.usefixtures("person")
def test_a_client_without_roots_may_say_with_a_call_which_folder_its_session_works_in(workspace: Path) -> None:
    done = anyio.run(_with_meta, served(), plan_arguments(workspace), _in_session(workspace.as_uri()))
    assert not done.is_error, done.content


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    "said", ["file:///", "file://elsewhere{w}", "{w}", "http://127.0.0.1{w}", "", 7, None, "{bank}"]
)
def test_a_session_folder_that_is_none_opens_nothing(workspace: Path, said: Any) -> None:
    folder = said.format(w=workspace, bank=bank_root().as_uri()) if isinstance(said, str) else said
    done = anyio.run(_with_meta, served(), plan_arguments(workspace), _in_session(folder))
    assert done.is_error
    assert "there is none" in done.content[0].text


@pytest.mark.usefixtures("person")
def test_a_session_folder_does_not_widen_a_server_with_roots_of_its_own(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "narrow").mkdir()
    server = served(tmp_path / "narrow")
    assert anyio.run(_with_meta, server, plan_arguments(workspace), _in_session(workspace.as_uri())).is_error


@pytest.mark.usefixtures("person")
def test_an_argument_that_looks_like_the_clients_word_is_refused(workspace: Path) -> None:
    for extra in ({"_meta": _in_session(workspace.as_uri())}, _in_session(workspace.as_uri())):
        answer = call(served(), "plan_deft_run", {**plan_arguments(workspace), **extra})
        assert "no argument" in answer.text


HUGE = 1 << 24


@pytest.mark.parametrize(
    "value",
    ["/" + "a" * HUGE, "/a" * (HUGE // 2), "/" * HUGE, "\0" * HUGE, "a" * 65_537],
    ids=["a name", "parts", "slashes", "NULs", "one too many"],
)
def test_an_argument_without_end_is_refused_before_anything_is_done_with_it(server: BankServer, value: str) -> None:
    answer = call(server, "get_deft_status", {"results_dir": value})
    assert answer.text.endswith("results_dir is too large: at most 65,536 characters are read")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("align_tokens", {"transcripts": ["/a"] * 100_000}),
        ("align_tokens", {"transcripts": ["/" + "a" * 40_000] * 2}),
        ("start_action", {"category": "tmm", "action": "a", "overrides": {f"k{i}": i for i in range(10_000)}}),
        ("start_action", {"category": "tmm", "action": "a", "overrides": {"k": "v" * 65_536}}),
        ("plan_deft_run", {"settings": ["k=" + "v" * 70_000]}),
    ],
    ids=["items", "texts", "keys", "a value", "a setting"],
)
def test_many_small_things_are_too_large_too(
    workspace: Path, server: BankServer, tool: str, arguments: dict[str, Any]
) -> None:
    answer = call(server, tool, {"results_dir": str(workspace), **arguments})
    assert answer.error
    assert "is too large: at most 65,536 characters are read" in answer.text


def test_a_name_without_end_is_not_sent_back(server: BankServer) -> None:
    for answer in (call(server, "x" * HUGE), call(server, "get_deft_status", {"x" * HUGE: "/"})):
        assert answer.error
        assert len(answer.text) < 1000
