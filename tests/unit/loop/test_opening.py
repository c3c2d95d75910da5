"""Making a run and taking one up: whose plan, whose folder, who works on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcq
import pytest
import tiny
from flat import put

from tao_skill_bank import runs
from tao_skill_bank.commands.watch import watch
from tao_skill_bank.core import lifecycle, roots
from tao_skill_bank.core.errors import BankError, BusyError, InputError, NeedsApprovalError
from tao_skill_bank.core.lifecycle import announce
from tao_skill_bank.core.process import marked_by, process_identity
from tao_skill_bank.loop import api
from tao_skill_bank.loop.approval import key_path
from tao_skill_bank.loop.log import LOG_FILE, append_stage, read_log
from tao_skill_bank.loop.opening import desk, folder_lock
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.run import STOP_REQUEST, Run
from tao_skill_bank.loop.state import STATE_FILE, Attempt, StageRecord, save_state
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.base import new_record, write_record
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tiny.make_workspace(tmp_path / "w", pairs=0)


def measured(run: Path, *stages: str) -> None:
    """Let the run have ended these stages of the baseline."""
    state = load_state(run)
    baseline = state.iteration("baseline")
    for seq, stage in enumerate(stages, start=1):
        record = {
            "seq": seq,
            "ts": "2026-01-01T00:00:00.000000Z",
            "stage": stage,
            "status": "ok",
            "summary": "x",
            "duration_sec": 0,
        }
        baseline.stages.append(StageRecord.model_validate(record))
    if "evaluate" in stages:
        put(baseline, far_pct=5.0, threshold=0.5)
    save_state(state)


def again(run: Path, **changes: Any) -> Request:
    return Request(results_dir=run, **changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_iterations": -3}, "at least 1"),
        ({"max_iterations": 0}, "at least 1"),
        ({"kpi_target": "nonsense"}, "kpi_target"),
        ({"time_limit": "garbage"}, "not a time"),
        ({"time_limit": "1h", "max_iterations": 2}, "give one of them"),
        ({"settings": ("training_csv=/etc/hostname",)}, "outside the workspace"),
        ({"settings": ("workspace=/tmp",)}, "--workspace"),
        ({"settings": ("platform=docker",)}, "--platform"),
        ({"settings": ("training_csv=nowhere.csv",)}, "training_csv is missing"),
        ({"workspace": Path("/")}, "belongs to the workspace"),
    ],
)
def test_what_a_new_run_refuses_a_run_that_is_taken_up_refuses_too_and_stays_readable(
    workspace: Path, changes: dict[str, Any], named: str
) -> None:
    run = tiny.approved(tiny.request(workspace))
    before = (run / STATE_FILE).read_bytes()
    with pytest.raises(InputError, match=named):
        runs.open_run(again(run, **changes), approve=None, how="flag")
    assert (run / STATE_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kpi_target": "FAR < 1% at recall=50%"}, "recall was measured"),
        ({"settings": ("kpi_test_csv=kpi/acceptance_set.csv",)}, "kpi_test_csv was measured"),
    ],
)
def test_what_was_measured_already_cannot_be_changed_under_it(
    workspace: Path, changes: dict[str, Any], named: str
) -> None:
    run = tiny.approved(tiny.request(workspace))
    measured(run, "train", "evaluate")
    with pytest.raises(InputError, match=named):
        runs.plan_run(again(run, **changes))
    assert runs.plan_run(again(run, kpi_target="FAR < 7% at recall=99%")).kpi_target == "FAR < 7% at recall=99%"


def test_a_complete_run_keeps_its_plan_and_asks_nobody_for_approval(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    measured(run, "train", "evaluate", "loop_stop")
    with pytest.raises(InputError, match="complete"):
        runs.open_run(again(run, max_iterations=5), approve=None, how="flag")
    pool = workspace / "augmentation" / "mining_pool" / "mining_pool.csv"
    pool.write_text(pool.read_text().rsplit("\n", 2)[0] + "\n")
    assert runs.open_run(again(run), approve=None, how="flag") == run


def test_fewer_iterations_than_have_begun_are_refused(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace, iterations=3))
    state = load_state(run)
    state.current_iteration = 2
    save_state(state)
    with pytest.raises(InputError, match="iteration 2 has begun"):
        runs.plan_run(again(run, max_iterations=1))


def test_a_wrong_digest_is_refused_also_where_the_run_is_approved(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    with pytest.raises(NeedsApprovalError):
        runs.open_run(again(run), approve="deadbeef", how="flag")


@pytest.mark.parametrize(
    "loop", [lambda folder: tiny.request(tiny.make_workspace(folder, pairs=0)), lambda w: bcq.request(bcq.few(w))]
)
def test_the_engine_itself_refuses_a_plan_that_changed_after_its_approval(
    tmp_path: Path, loop: Callable[[Path], Request]
) -> None:
    run = tiny.approved(loop(tmp_path / "of a loop"))
    state = load_state(run)
    state.config.seed = 9
    save_state(state)
    with pytest.raises(NeedsApprovalError, match="changed since"):
        runs.run_loop(run, once=True)
    assert not (run / "baseline").exists()


def test_a_copied_run_is_not_worked_on_and_does_not_touch_the_original(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    copy = shutil.copytree(run, run.with_name("copy"))
    for work in (lambda: runs.run_loop(copy), lambda: runs.open_run(again(copy), approve=None, how="flag")):
        with pytest.raises(InputError, match="copied or moved"):
            work()
    assert runs.status(copy).kpi_target == runs.status(run).kpi_target


def test_a_commit_that_was_made_while_a_plan_was_approved_is_not_lost(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(workspace))
    request = again(run, max_iterations=3)
    digest = runs.plan_run(request).digest
    real = TASK.pre_flight

    def meanwhile(task: Any, plan: Any) -> Any:
        measured(run, "train")
        return real(plan)

    monkeypatch.setattr(type(TASK), "pre_flight", meanwhile)
    with pytest.raises(BusyError):
        runs.open_run(request, approve=digest, how="flag")
    assert [r.stage for r in load_state(run).records()] == ["train"]


@pytest.mark.parametrize("wanted", ["", "images", "kpi", "precious"])
def test_a_folder_with_files_in_it_is_never_made_a_run_folder(workspace: Path, wanted: str) -> None:
    (workspace / "precious").mkdir()
    (workspace / "precious" / "work.txt").write_text("mine")
    request = tiny.request(workspace, results_dir=workspace / wanted)
    with pytest.raises(InputError, match="holds files"):
        runs.plan_run(request)
    assert runs.open_run(
        tiny.request(workspace, results_dir=workspace / "new"),
        approve=runs.plan_run(tiny.request(workspace, results_dir=workspace / "new")).digest,
        how="flag",
    ) == (workspace / "new")


def test_init_writes_once_and_force_moves_aside_what_the_old_run_left(workspace: Path) -> None:
    request = tiny.request(workspace, results_dir=workspace / "results" / "mine")
    path = runs.init_state(request)
    append_stage(path.parent / LOG_FILE, iter_label="baseline", stage="train", status="ok", summary="x", duration_sec=0)
    (path.parent / "baseline").mkdir()
    (path.parent / "baseline" / "model.pth").write_text("weights")
    with pytest.raises(InputError, match="--force"):
        runs.init_state(request)
    runs.init_state(request, force=True)
    assert read_log(path.parent / LOG_FILE) == []
    assert (path.parent / "replaced" / "1" / "baseline" / "model.pth").read_text() == "weights"
    assert load_state(path.parent).approval is None
    with pytest.raises(InputError, match="outside the workspace"):
        runs.init_state(tiny.request(workspace, results_dir=workspace.parent / "elsewhere"))


def test_only_one_works_on_a_run_and_the_other_is_told_since_when_and_by_whom(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    with folder_lock(run, "somebody"):
        with pytest.raises(BusyError, match=r"running since .* by somebody \(process \d+\)"):
            runs.run_loop(run)
        with pytest.raises(BusyError):
            runs.start_detached(run)
        assert runs.status(run).status == "running"
        assert runs.stop(run) is True
    assert (run / "stop_request.json").exists()
    assert runs.open_run(again(run), approve=None, how="flag") == run
    assert not (run / "stop_request.json").exists(), "taking the run up forgets the request"


def test_a_worker_counts_from_the_moment_it_was_started(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    runs.start_detached(run)
    with pytest.raises(BusyError):
        runs.start_detached(run)
    assert runs.stop(run) is True
    while runs.holder(run) is not None:
        assert runs.status(run).status in ("running", "stopped", "failed")
        time.sleep(0.01)
    assert load_state(run).status in ("stopped", "planned", "failed")


def test_a_worker_that_was_just_started_keeps_its_run_from_whoever_takes_the_lock_before_it(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        announce(desk(run), worker.pid, process_identity(worker.pid), "worker")
        with pytest.raises(BusyError, match=rf"running since .* by worker \(process {worker.pid}\)"):
            runs.run_loop(run, once=True)
        held = runs.holder(run)
        assert held is not None and held.pid == worker.pid, "the refused one leaves the worker's name"
        assert worker.stdin is not None
        worker.stdin.close()
    with folder_lock(run, "somebody"):
        assert runs.status(run).status == "running"


@pytest.mark.parametrize(("ends", "shown"), [("complete", "complete"), ("failed", "failed"), (None, "interrupted")])
def test_a_worker_that_ends_while_somebody_looks_is_told_by_its_last_word(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, ends: str | None, shown: str
) -> None:
    run = tiny.approved(tiny.request(workspace))
    at_work, real = contextlib.ExitStack(), api.load_state
    at_work.enter_context(folder_lock(run, "command"))
    state = load_state(run)
    state.status = "running"
    save_state(state)

    def looked(*which: Any) -> Any:
        """The state as it was read; right afterwards the worker says its last word, if it comes to it, and is gone."""
        found = real(*which)
        monkeypatch.setattr(api, "load_state", real)
        if ends is not None:
            state.status = ends
            save_state(state)
        at_work.close()
        return found

    monkeypatch.setattr(api, "load_state", looked)
    assert runs.status(run).status == shown


@pytest.mark.parametrize("wrong", ["read by others", "no folder", "in the workspace"])
def test_an_approval_that_cannot_be_sealed_leaves_nothing(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    config = workspace / "c" if wrong == "in the workspace" else tmp_path / "c"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    if wrong == "read by others":
        key_path().parent.mkdir(parents=True)
        key_path().write_bytes(b"k" * 32)
        key_path().chmod(0o644)
    elif wrong == "no folder":
        config.write_text("a file")
    with pytest.raises(InputError, match="approval key"):
        tiny.approved(tiny.request(workspace))
    assert not (workspace / "results").exists()


def _stop(run: Path) -> None:
    assert runs.stop(run) is True


def _new_attempt(run: Path) -> None:
    state = load_state(run)
    at_work = Run.of(state, platform_named(state.config))
    at_work.wait_for_orphans("baseline", "evaluate")
    at_work.wait_for_orphans("baseline", "train")


@pytest.mark.skipif(sys.platform != "linux", reason="what a killed worker has left is found in /proc")
@pytest.mark.parametrize("ended_by", [_stop, _new_attempt])
def test_stop_and_a_new_attempt_end_what_a_job_has_left_whose_worker_and_command_are_dead(
    workspace: Path, ended_by: Callable[[Path], None]
) -> None:
    run = tiny.approved(tiny.request(workspace))
    record = new_record(
        key="baseline.train.train", platform="local", command=["x"], outputs=[], cwd=workspace, results_dir=run
    )
    write_record(record)
    for kind in ("claim.json", "child.json"):
        beside(record.path, kind).write_text(json.dumps({"pid": 999_999_999, "identity": "gone"}))
    beside(record.path, "alive").touch()
    wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    marked = {**os.environ, **marked_by(beside(record.path, "alive"))}
    with (
        subprocess.Popen(wait, stdin=subprocess.PIPE, env=marked, start_new_session=True) as left,
        subprocess.Popen(wait, stdin=subprocess.PIPE, start_new_session=True) as stranger,
    ):
        ended_by(run)
        assert left.wait(60) == -signal.SIGTERM and stranger.poll() is None
        assert runs.stop(run) is False
        assert not (run / STOP_REQUEST).exists(), "nobody is there to read it"


def _gone() -> tuple[int, str | None]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return process.pid, process_identity(process.pid)


def test_a_worker_that_was_killed_before_its_first_stage_is_told_with_its_last_words(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.approved(tiny.request(workspace))
    assert runs.status(run).status == "planned"
    pid, identity = _gone()
    announce(desk(run), pid, identity, "worker")
    (run / "jobs/engine.log").write_text("an older line\n\nTraceback …\nOSError: out of memory\n")
    view = runs.status(run)
    assert view.status == "interrupted" and view.ask_again_sec is None
    assert view.stop_reason is not None and f"worker (process {pid}, of 20" in view.stop_reason
    assert view.stop_reason.endswith("died before its first stage: Traceback … | OSError: out of memory")
    watch(run)
    assert f"INTERRUPTED: Nobody works on it. Worker (process {pid}" in (said := capsys.readouterr().out)
    assert "out of memory" in said and "Take it up: tao-skills deft run" in said
    runs.start_detached(run)
    assert runs.status(run).status == "running"
    assert runs.stop(run) is True
    while runs.holder(run) is not None:
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_run_is_told_though_its_workers_log_or_announcement_leads_elsewhere(
    workspace: Path, tmp_path: Path, kind: str
) -> None:
    run = tiny.approved(tiny.request(workspace))
    secret = tmp_path / "secret"
    secret.write_text("canary-9c2e")

    def exchanged(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(secret) if kind == "link" else os.mkfifo(path)

    announce(desk(run), *_gone(), "worker")
    exchanged(run / "jobs/engine.log")
    with roots.confined([workspace]):
        view = runs.status(run)
    assert view.status == "interrupted" and "died before its first stage: its log is not read" in str(view.stop_reason)
    exchanged(desk(run).announcement)
    state = load_state(run)
    state.status = "running"
    save_state(state)
    with roots.confined([workspace]):
        view = runs.status(run)
    assert view.status == "held" and str(desk(run).announcement) in view.next_step
    assert "canary" not in str(view)


def test_a_worker_that_left_no_word_is_not_given_those_of_the_one_before_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(workspace))
    monkeypatch.setattr(lifecycle, "Popen", lambda _, **more: subprocess.Popen(["true"], **more))
    for _ in range(2):
        runs.start_detached(run)
        while runs.holder(run) is not None:
            time.sleep(0.01)
        assert (runs.status(run).stop_reason or "").endswith("died before its first stage: it left no word")
        with (run / "jobs/engine.log").open("a") as log:
            log.write("OSError: out of memory\n")
        assert (runs.status(run).stop_reason or "").endswith("died before its first stage: OSError: out of memory")


@pytest.mark.parametrize(
    ("at_work", "said"), [(True, "before the end of the stage train"), (False, "between two stages")]
)
def test_of_a_worker_that_was_killed_is_said_what_the_state_knows(workspace: Path, at_work: bool, said: str) -> None:
    run = tiny.approved(tiny.request(workspace))
    state = load_state(run)
    state.status = "running"
    if at_work:
        begun = {"stage": "train", "n": 1, "timestamp": "20260101_000000", "started_at": "2026-01-01T00:00:00.000000Z"}
        state.iteration("baseline").attempt = Attempt.model_validate(begun)
    save_state(state)
    announce(desk(run), *_gone(), "worker")
    assert f"died {said}: it left no word" in (runs.status(run).stop_reason or "")


def test_a_worker_that_may_not_begin_says_so_where_somebody_waits_for_it(workspace: Path) -> None:
    run = tiny.approved(tiny.request(workspace))
    spec = Path(load_state(run).config.specs_file)
    spec.write_text(f"{spec.read_text()}\n# another spec by now\n")
    state = (run / STATE_FILE).read_bytes()
    runs.start_detached(run)
    while runs.holder(run) is not None:
        time.sleep(0.01)
    view = runs.status(run)
    assert (view.status, view.working) == ("interrupted", None)
    assert "died before its first stage" in (view.stop_reason or "") and "approve" in (view.stop_reason or "")
    assert (run / STATE_FILE).read_bytes() == state


@pytest.mark.parametrize("by", ["approval", "init", "adoption"])
def test_who_was_killed_while_it_put_a_run_in_order_is_no_worker_that_died(workspace: Path, by: str) -> None:
    run = tiny.approved(tiny.request(workspace))
    announce(desk(run), *_gone(), by)
    assert runs.status(run).status == "planned"


def test_nobody_at_work_is_nothing_to_stop(workspace: Path) -> None:
    assert runs.stop(tiny.approved(tiny.request(workspace))) is False


def test_a_job_that_waits_in_a_queue_is_stopped_too_once_nobody_is_at_work(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(workspace))
    what = {"command": ["visual_changenet", "train"], "outputs": [run / "out"], "cwd": run, "results_dir": run}
    waits = new_record(key="baseline.train.train", platform="local", **what)
    write_record(waits)
    canceled = []
    queue = SimpleNamespace(status=lambda record: "pending", cancel=canceled.append)
    monkeypatch.setattr(api, "platform_named", lambda config: queue)
    assert runs.stop(run) is True
    assert canceled == [waits]


EVALUATED = {"best_ckpt_path": "/c.pth", "best_ckpt_kind": "latest", "far_pct": float("nan"), "threshold": 0.5}


@pytest.mark.parametrize(
    ("key", "value"),
    [("results", {"evaluate": EVALUATED}), ("status", "fine"), ("stages", [{"seq": 1, "ts": "yesterday"}])],
)
def test_a_state_with_a_value_that_could_not_be_written_is_refused_when_it_is_read(
    workspace: Path, key: str, value: Any
) -> None:
    run = tiny.approved(tiny.request(workspace))
    raw = json.loads((run / STATE_FILE).read_text())
    raw["iterations"] = {"baseline": {key: value}}
    (run / STATE_FILE).write_text(json.dumps(raw))
    with pytest.raises(InputError, match=key):
        load_state(run)


@pytest.mark.parametrize(
    "damage", [lambda w: None, lambda w: (w / "augmentation/mining_pool/mining_pool.csv").unlink()]
)
def test_the_plan_says_which_labels_nobody_can_give_more_of(workspace: Path, damage: Any) -> None:
    damage(workspace)
    plan = runs.plan_run(tiny.request(workspace, settings=("anomalygen.mode=none",)))
    warned = next(c for c in plan.checks if c.name == "weak labels")
    if (workspace / "augmentation/mining_pool/mining_pool.csv").exists():
        assert warned.status == "ok"
    else:
        assert warned.status == "warn" and "routing.accept_dropped=[bridge,missing,pass]" in warned.text


@pytest.mark.parametrize("kept", ["PASS", "defects"])
def test_a_kpi_set_of_one_kind_cannot_be_measured_and_is_refused(workspace: Path, kept: str) -> None:
    csv = workspace / "kpi" / "acceptance_set.csv"
    head, *rows = csv.read_text().splitlines(keepends=True)
    csv.write_text(head + "".join(row for row in rows if (",PASS," in row) == (kept == "PASS")))
    with pytest.raises(BankError, match=r"acceptance_set\.csv"):
        runs.plan_run(tiny.request(workspace))
