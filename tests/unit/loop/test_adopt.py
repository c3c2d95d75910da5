"""A run that was moved goes on where it lies now, verified, approved anew; or the first thing that differs is named."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import bcq
import pytest
import tiny
from click.testing import CliRunner

from tao_skill_bank import runs
from tao_skill_bank.commands.deft import cli
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.request import Request
from tao_skill_bank.tasks.registry import load_state

Loop = Callable[[Path], Request]
STAGES = 4
SMALL = ("mining.budget=8", "anomalygen.num_SDG=2")
HISTORY = ("jobs/", "deft_state.json.earlier", "DEFT_Loop", LOG_FILE)


def boards(workspace: Path) -> Request:
    made = tiny.make_workspace(workspace)
    return tiny.request(made, target="FAR < 0.001% at recall=100%", iterations=1, settings=SMALL)


def answers(workspace: Path) -> Request:
    return bcq.request(bcq.few(workspace))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Loop], Path]:
    """A run in its first iteration; tests move copies of its workspace, and the place it was made in is free then."""

    @functools.cache
    def of(loop: Loop) -> Path:
        made = tmp_path_factory.mktemp("adopt") / "made"
        run = tiny.approved(loop(made / "w"))
        with tiny.fake_model():
            for _ in range(STAGES):
                runs.run_loop(run, once=True)
        kept = made.with_name("kept")
        made.rename(kept)
        return next((kept / "w" / "results").iterdir())

    return of


@pytest.fixture
def moved_of(begun: Callable[[Loop], Path], tmp_path: Path) -> Callable[[Loop], Path]:
    """The run in a workspace that was moved and renamed."""

    def of(loop: Loop) -> Path:
        run = begun(loop)
        shutil.copytree(run.parents[1], tmp_path / "renamed", symlinks=True)
        return tmp_path / "renamed" / "results" / run.name

    return of


@pytest.fixture
def moved(moved_of: Callable[[Loop], Path]) -> Path:
    return moved_of(boards)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def renamed_too(run: Path) -> Path:
    return run.rename(run.with_name("of a friend"))


def moved_too(run: Path) -> Path:
    (run.parents[1] / "archive" / "2026").mkdir(parents=True)
    return run.rename(run.parents[1] / "archive" / "2026" / "mine")


def as_it_is(run: Path) -> Path:
    return run


@pytest.mark.parametrize(
    ("loop", "also"), [(boards, as_it_is), (boards, renamed_too), (boards, moved_too), (answers, as_it_is)]
)
def test_a_moved_run_goes_on_after_it_was_approved_where_it_lies(
    moved_of: Callable[[Loop], Path], loop: Loop, also: Callable[[Path], Path]
) -> None:
    moved = moved_of(loop)
    old, workspace = load_state(moved).config.workspace, moved.parents[1]
    run = also(moved)
    before = contents(workspace)
    named = None if run == moved or run.parent == moved.parent else workspace
    with pytest.raises(InputError, match="tao-skills deft adopt"):
        runs.run_loop(run, once=True)
    with pytest.raises(NeedsApprovalError) as asked:
        runs.adopt(run, named, approve=None, how="flag")
    assert contents(workspace) == before, "nothing is changed before somebody approved it"
    assert runs.adopt(run, named, approve=asked.value.digest, how="flag") == run
    state = load_state(run)
    assert (state.results_dir, state.config.workspace) == (str(run), str(workspace))
    assert len(state.records()) == STAGES
    to_its_end = also is moved_too
    with tiny.fake_model():
        runs.run_loop(run, once=not to_its_end)
    assert load_state(run).status == ("complete" if to_its_end else "running")
    lines = [(line.iter, line.stage) for line in read_log(run / LOG_FILE)]
    assert len(lines) == len(set(lines)) == (10 if to_its_end else STAGES + 1)
    left = [name for name, data in contents(run).items() if f"{old}/".encode() in data]
    assert [n for n in left if not n.startswith(HISTORY) and ".log" not in n] == []


@pytest.mark.parametrize(
    ("loop", "damage", "named"),
    [
        (boards, lambda w: (w / "kpi" / "testing_set.csv").write_text("a\n"), "kpi_test_csv is not what it was"),
        (boards, lambda w: (w / "specs" / "baseline_spec.yaml").unlink(), "specs_file is missing"),
        (answers, lambda w: (w / "kpi" / "annotations.json").write_text("[]"), "kpi is not what it was"),
        (answers, lambda w: (w / "base" / "annotations.json").unlink(), "base is missing"),
        (
            boards,
            lambda w: next(w.rglob("results/*/baseline/**/*.pth")).write_bytes(b"x"),
            "checkpoint of baseline is not the file",
        ),
    ],
)
def test_the_first_thing_that_differs_is_named_and_nothing_is_changed(
    moved_of: Callable[[Loop], Path], loop: Loop, damage: Callable[[Path], object], named: str
) -> None:
    moved = moved_of(loop)
    workspace = moved.parents[1]
    if "checkpoint" in named:
        state = load_state(moved)
        path = Path(str(state.iterations["baseline"].best_ckpt_path).replace(state.config.workspace, str(workspace)))
        path.write_bytes(b"another")
    else:
        damage(workspace)
    before = contents(workspace)
    with pytest.raises(InputError, match=named):
        runs.adopt(moved, approve="anything", how="flag")
    assert contents(workspace) == before


def test_a_copy_whose_original_is_still_there_is_not_adopted(tmp_path: Path) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))
    with pytest.raises(InputError, match="lies where it was made"):
        runs.plan_adoption(run)
    copy = shutil.copytree(run, run.with_name("copy"))
    with pytest.raises(InputError, match="its original still lies in"):
        runs.plan_adoption(copy)


def test_a_folder_that_only_begins_alike_keeps_its_name(moved: Path) -> None:
    old = load_state(moved).config.workspace
    note = moved / "note.yaml"
    note.write_text(f"a: {old}\nb: {old}2/x\nc: [{old}/y]\n")
    digest = runs.plan_adoption(moved).digest
    runs.adopt(moved, approve=digest, how="flag")
    new = moved.parents[1]
    assert note.read_text() == f"a: {new}\nb: {old}2/x\nc: [{new}/y]\n"


def test_the_command_asks_for_an_approval_and_says_how_it_goes_on(moved: Path) -> None:
    asked = CliRunner().invoke(cli, ["adopt", str(moved)])
    assert isinstance(asked.exception, NeedsApprovalError)
    done = CliRunner().invoke(cli, ["adopt", str(moved), "--approve", asked.exception.digest])
    assert done.exit_code == 0 and f"tao-skills deft run --results-dir {os.path.realpath(moved)}" in done.output
