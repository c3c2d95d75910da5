"""What a request becomes: defaults, refusals, and what a run that has measured something keeps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_task
from toy_task import TASK

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.plan import digest_now, inside_workspace, parse_duration_minutes, resolve
from tao_skill_bank.loop.request import OwnWord, PreFlight, Request, ResolvedPlan, Split

TARGET = "error < 1%"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "numbers.json").write_text(json.dumps({"truth": 1.0, "base": [1.0], "pool": []}))
    return folder


def asked(workspace: Path | None, **more: Any) -> Request:
    return Request(**{"workspace": workspace, "kpi_target": TARGET, "max_iterations": 2, **more})


def state_of(plan: ResolvedPlan, **more: Any) -> toy_task.State:
    """A run of this plan that has just begun."""
    return toy_task.State.model_validate(
        {
            "started_at": "2026-01-01T00:00:00.000000Z",
            "kpi_target": plan.kpi_target,
            "results_dir": "/r",
            "max_iterations": plan.max_iterations,
            "config": plan.config.model_dump(mode="json"),
            "task": TASK.name,
            "order": plan.order,
            "plan_digests": plan.contents,
            **more,
        }
    )


def measured(state: toy_task.State, label: str = "baseline") -> toy_task.State:
    state.iteration(label).results["compare"] = toy_task.Measured(error_pct=50.0)
    return state


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("6h", 360), ("90m", 90), ("1h30m", 90), ("45s", 0.75), ("1.5H", 90), (" 2h5s ", 120 + 5 / 60)],
)
def test_a_time_is_read_in_hours_minutes_and_seconds(text: str, minutes: float) -> None:
    assert parse_duration_minutes(text) == pytest.approx(minutes)


@pytest.mark.parametrize("text", ["", " ", "6", "h", "6d", "-1h", "1m2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a time"):
        parse_duration_minutes(text)


@pytest.mark.parametrize(
    ("limit", "iterations"), [("12s", 1), ("17s", 1), ("18s", 2), ("30s", 4), ("1m", 9), ("1h", 599)]
)
def test_a_time_limit_pays_for_the_baseline_and_as_many_iterations_as_fit(
    workspace: Path, limit: str, iterations: int
) -> None:
    # An iteration takes 0.1 min, and so does the baseline.
    assert resolve(TASK, asked(workspace, max_iterations=None, time_limit=limit)).max_iterations == iterations


def test_a_time_limit_without_room_for_one_iteration_names_the_time_that_is_needed(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"about 0\.2 min"):
        resolve(TASK, asked(workspace, max_iterations=None, time_limit="11s"))


@pytest.mark.parametrize(
    ("changes", "where", "named"),
    [
        ({"workspace": None}, "--workspace", "not named"),
        ({"kpi_target": None}, "--kpi-target", "not named"),
        ({"max_iterations": None}, "--max-iterations", "no default"),
        ({"max_iterations": 0}, "--max-iterations", "is 0"),
        ({"time_limit": "1h"}, "--time-limit", "both"),
        ({"workspace": Path("/nowhere/at/all")}, "/nowhere/at/all", "no such workspace"),
    ],
)
def test_what_a_request_lacks_is_named(workspace: Path, changes: dict[str, Any], where: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        resolve(TASK, asked(**{"workspace": workspace, **changes}))
    assert str(caught.value.where) == where


def test_a_missing_file_of_the_plan_is_refused_and_one_that_is_there_is_in_the_digest(workspace: Path) -> None:
    plan = resolve(TASK, asked(workspace))
    assert set(plan.contents) == {"numbers"} and plan.max_iterations == 2
    (workspace / "numbers.json").write_text("{}")
    assert resolve(TASK, asked(workspace)).digest != plan.digest
    (workspace / "numbers.json").unlink()
    with pytest.raises(InputError, match="numbers is missing") as caught:
        resolve(TASK, asked(workspace))
    assert caught.value.fix == "put it there or --set numbers=PATH"
    (workspace / "data.yaml").write_text("")
    with pytest.raises(InputError, match="numbers is missing, and the folder looks like object detection"):
        resolve(TASK, asked(workspace))


def test_a_plan_is_offline_where_that_is_asked_and_only_there(workspace: Path) -> None:
    assert resolve(TASK, asked(workspace, offline=True)).config.offline is True
    assert resolve(TASK, asked(workspace)).config.offline is False


def test_a_platform_is_taken_by_its_own_name_and_each_plan_has_its_own_digest(workspace: Path) -> None:
    plans = [resolve(TASK, asked(workspace, platform=name)) for name in (None, "local", "docker")]
    assert [plan.config.platform for plan in plans] == ["local", "local", "docker"]
    assert plans[0].digest == plans[1].digest != plans[2].digest


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("numbers.json", "numbers.json"),
        ("./a//b/../c.csv", "a/c.csv"),
        ("a/../../w/c.csv", "c.csv"),
        (".", "."),
        ("a/b/../..", "."),
    ],
)
def test_a_path_of_the_workspace_is_made_absolute(workspace: Path, path: str, there: str) -> None:
    assert inside_workspace(workspace, Path(path), "key") == workspace / there
    assert inside_workspace(workspace, workspace / path, "key") == workspace / there
    assert inside_workspace(workspace, Path(f"/x/..{workspace}/{path}"), "key") == workspace / there


def test_a_link_in_the_workspace_keeps_its_name(workspace: Path) -> None:
    (workspace / "today.json").symlink_to("numbers.json")
    assert inside_workspace(workspace, Path("today.json"), "key") == workspace / "today.json"


@pytest.mark.parametrize("path", ["..", "../other/x.csv", "a/../../x", "/etc/hostname", "/../etc/hostname", "../w2"])
def test_a_path_outside_the_workspace_is_refused_however_it_is_written(workspace: Path, path: str) -> None:
    with pytest.raises(InputError, match="key lies outside the workspace"):
        inside_workspace(workspace, Path(path), "key")


def test_too_many_steps_up_do_not_lead_into_the_working_folder(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    with pytest.raises(InputError, match="outside"):
        inside_workspace(workspace, Path("/../numbers.json"), "key")


def test_a_workspace_that_is_reached_by_a_link_is_the_same_one(workspace: Path) -> None:
    link = workspace.with_name("link")
    link.symlink_to(workspace)
    assert inside_workspace(workspace, link, "key") == workspace
    assert inside_workspace(workspace, link / "numbers.json", "key") == workspace / "numbers.json"
    assert resolve(TASK, asked(link)).digest == resolve(TASK, asked(workspace)).digest


def test_a_run_that_is_taken_up_keeps_what_is_not_named(workspace: Path) -> None:
    plan = resolve(TASK, asked(workspace, settings=("add=3",)))
    state = state_of(plan)
    bare = Request(results_dir=Path("/r"))
    assert resolve(TASK, bare, state).digest == plan.digest == digest_now(TASK, state)
    assert resolve(TASK, Request(max_iterations=7), state).max_iterations == 7
    assert resolve(TASK, Request(workspace=workspace, kpi_target="error < 2%"), state).kpi_target == "error < 2%"
    with pytest.raises(InputError, match="belongs to the workspace"):
        resolve(TASK, Request(workspace=workspace.parent), state)


def test_iterations_can_be_added_and_not_taken_from_under_a_run(workspace: Path) -> None:
    state = state_of(resolve(TASK, asked(workspace)), current_iteration=2)
    assert resolve(TASK, Request(max_iterations=2), state).max_iterations == 2
    with pytest.raises(InputError, match="iteration 2 has begun, so at most 1 is too few"):
        resolve(TASK, Request(max_iterations=1), state)


def test_what_a_run_measured_with_stays_and_before_that_all_may_change(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_of(resolve(TASK, asked(workspace)))
    other = workspace / "other.json"
    other.write_text((workspace / "numbers.json").read_text())
    elsewhere, looser = Request(settings=("numbers=other.json",)), Request(kpi_target="error < 2%")
    for change in (elsewhere, looser):
        assert resolve(TASK, change, state).digest != digest_now(TASK, state)
    # A later iteration that is not measured yet takes nothing back.
    measured(state).iteration("iter1")
    with pytest.raises(InputError, match="numbers was measured with already"):
        resolve(TASK, elsewhere, state)
    assert resolve(TASK, looser, state).kpi_target == "error < 2%", "the same figure is judged by another limit"
    with monkeypatch.context() as patched:
        patched.setattr(type(TASK), "comparable", lambda *_: False)
        with pytest.raises(InputError, match="was measured at already"):
            resolve(TASK, looser, state)
    assert resolve(TASK, Request(settings=("add=5",)), state).config.add == 5
    state.plan_digests = {}
    assert resolve(TASK, Request(), state).contents, "an earlier run has no digests to compare"
    state.plan_digests = {"numbers": "another"}
    with pytest.raises(InputError, match="numbers was measured with already"):
        resolve(TASK, Request(), state)


def test_a_complete_run_takes_no_other_plan(workspace: Path) -> None:
    state = measured(state_of(resolve(TASK, asked(workspace))))
    record = {"seq": 1, "ts": "2026-01-01T00:00:00.000000Z", "status": "ok", "summary": "x", "duration_sec": 0}
    state.iterations["baseline"] = type(state.iterations["baseline"]).model_validate(
        {"stages": [{**record, "stage": TASK.order.ending}]}
    )
    assert resolve(TASK, Request(), state).digest == digest_now(TASK, state)
    with pytest.raises(InputError, match="complete"):
        resolve(TASK, Request(max_iterations=9), state)


def test_the_summary_shows_what_is_asked_the_data_the_checks_and_the_digest(workspace: Path) -> None:
    labels = {f"l{number}": number for number in range(9)}
    found = PreFlight(
        digest="d1g3st",
        kpi_target=TARGET,
        max_iterations=2,
        config={"workspace": "/w", "platform": "local"},
        splits=[
            Split(name="few", csv="a", rows=3, labels=dict(list(labels.items())[:8])),
            Split(name="many", csv="b", rows=4, labels=labels),
        ],
        checks=[Check(name="numbers", status="ok", text="one")],
        estimate_minutes=0.25,
        facts=[("add", "2")],
        words=[OwnWord(name="gone", question="may it go?")],
    )
    eight = "l0 0, l1 1, l2 2, l3 3, l4 4, l5 5, l6 6, l7 7"
    assert found.lines() == [
        "Pre-Flight Summary",
        "",
        "  workspace       /w",
        "  KPI target      error < 1%",
        "  iterations      at most 2",
        "  platform        local",
        "  add             2",
        "  estimate        0.2 min",
        "",
        "  data set",
        f"  few             3 rows: {eight}",
        f"  many            4 rows: {eight}, and 1 more labels",
        "",
        "  checks",
        "  [  ok] numbers: one",
        "",
        "  needs a word of its own: may it go?",
        "                  say it: gone",
        "",
        "  plan digest     d1g3st",
    ]


def test_the_summary_of_a_plan_carries_its_digest_its_warnings_and_the_time_of_the_baseline_too(
    workspace: Path,
) -> None:
    plan = replace(resolve(TASK, asked(workspace)), minutes_per_iteration=0.123)
    checks = [Check(name="numbers", status="ok", text="one"), Check(name="pool", status="warn", text="empty")]
    splits = [Split(name="base", csv="a", rows=1, labels={})]
    found = PreFlight.of(plan, checks, splits, facts=[("add", "2")])
    assert (found.digest, found.kpi_target, found.max_iterations) == (plan.digest, TARGET, 2)
    assert found.config == plan.config.model_dump(mode="json")
    assert (found.splits, found.checks, found.facts) == (splits, checks, [("add", "2")])
    assert found.warnings == ["pool: empty"]
    assert found.estimate_minutes == 0.4  # 3 x 0.123 to a tenth of a minute


def test_the_digest_covers_each_part_of_a_plan_under_its_own_name_and_no_order_of_keys(workspace: Path) -> None:
    plan = replace(resolve(TASK, asked(workspace)), contents={"numbers": "a" * 64, "pool": "b" * 64})
    covered = {
        "config": plan.config.model_dump(mode="json"),
        "contents": plan.contents,
        "kpi_target": TARGET,
        "max_iterations": 2,
        "order": plan.order.model_dump(mode="json"),
        "task": plan.task,
    }
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert plan.digest == hashlib.sha256(text.encode()).hexdigest(), "an approval of today holds for a later version"
    other: dict[str, Any] = {
        "task": "another",
        "kpi_target": "error < 2%",
        "max_iterations": 3,
        "contents": {**plan.contents, "pool": "c" * 64},
        "order": plan.order.model_copy(update={"ending": "another"}),
    }
    changed = [replace(plan, **{name: value}) for name, value in other.items()]
    changed += [replace(plan, contents={"numbers": "a" * 64}), replace(plan, contents=dict.fromkeys("ab", "a" * 64))]
    settings: dict[str, Any] = {"batch_size": 4, "release": "7", "platforms": {"mine": {"queue": "a"}}}
    for name, value in vars(plan.config).items():
        if isinstance(value, str | int):
            settings[name] = (
                not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
            )
    assert {"workspace", "platform", "num_gpus", "offline", "numbers", "add"} <= set(settings)
    changed += [replace(plan, config=plan.config.model_copy(update={key: new})) for key, new in settings.items()]
    assert len({plan.digest, *(one.digest for one in changed)}) == len(changed) + 1
    assert replace(plan, contents=dict(reversed(plan.contents.items()))).digest == plan.digest
    for aside in (replace(plan, settings=("add=2",)), replace(plan, minutes_per_iteration=9.0)):
        assert aside.digest == plan.digest, "what is only read beside the plan is not approved by the digest"


@pytest.mark.parametrize(
    ("lengths", "lines"),
    [
        ([], []),
        ([400], [400]),  # none is cut
        ([80, 79], [161]),  # 159 and the comma between them
        ([80, 80], [80, 80]),
        ([159, 1, 1], [159, 4]),
        ([40, 40, 40, 40], [124, 40]),  # a comma counts for what follows
        ([200, 5, 5], [200, 12]),
    ],
)
def test_settings_share_a_line_while_they_fit_and_none_is_cut_or_left_out(lengths: list[int], lines: list[int]) -> None:
    settings = [letter * length for letter, length in zip("abcd", lengths, strict=False)]
    found = PreFlight(
        digest="d",
        kpi_target=TARGET,
        max_iterations=2,
        config={"workspace": "/w", "platform": "local"},
        splits=[],
        checks=[],
        estimate_minutes=0.25,
        settings=settings,
    ).lines()
    rows = found[found.index("  platform        local") + 1 : found.index("  estimate        0.2 min")]
    assert [row[:18].strip() for row in rows] == ["settings", "", "", ""][: len(rows)]
    assert [len(row[18:]) for row in rows] == lines
    assert ", ".join(row[18:] for row in rows) == ", ".join(settings)
