"""Commands in any order, against a model that fits on a page: no illegal stage, no stage without approval, no approval
that outlives a changed plan.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tiny
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tao_skill_bank import runs
from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError, NeedsApprovalError, StageFailedError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.loop.machine import next_stage
from tao_skill_bank.loop.request import Request
from tao_skill_bank.loop.run import Run
from tao_skill_bank.loop.stage import Outcome, Stage
from tao_skill_bank.loop.state import Result, StopResult
from tao_skill_bank.tasks.changenet.results import EvaluateResult
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state

TARGET = "FAR < 1% at recall=99%"


class Toy(Stage[Any]):
    """A stage without work: it ends as the test says, and notes that it ran."""

    def __init__(self, name: str, machine: Loop) -> None:
        self.name = name  # type: ignore[misc]
        self.Result = {"evaluate": EvaluateResult, "loop_stop": StopResult}.get(name, Result)  # type: ignore[misc]
        self.machine = machine

    def folders(self, run: Run[Any], label: str) -> list[Path]:
        return [run.folder(label) / self.name]

    def work(self, run: Run[Any], label: str) -> Outcome:
        self.machine.ran.append((label, self.name))
        if self.machine.fails:
            raise StageFailedError("told to fail", where=label)
        result = Result()
        if self.name == "evaluate":
            result = EvaluateResult(
                best_ckpt_path="x", best_ckpt_kind="latest", far_pct=self.machine.far, threshold=0.5
            )
        if self.name == "loop_stop":
            result = StopResult(stop_reason="x", best_iteration=None)
        return Outcome(summary="done", result=result)


class Loop(RuleBasedStateMachine):
    """One run; the model is the plan that somebody said yes to: `approved` while the disk still holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="model-"))
        self.ran: list[tuple[str, str]] = []
        self.far, self.fails = 50.0, False
        self.patches = [
            mock.patch.dict(TASK.stages, {name: Toy(name, self) for name in TASK.stages}),
            mock.patch.object(runs, "render", lambda _folder: None),
            mock.patch.object(type(TASK), "close", lambda _task, _run: None),
        ]
        for patch in self.patches:
            patch.start()

    @initialize(iterations=st.integers(1, 2))
    def begin(self, iterations: int) -> None:
        self.workspace = tiny.make_workspace(self.root / "w", pool=6, pairs=2, acceptance=False)
        wanted = Request(workspace=self.workspace, kpi_target=TARGET, max_iterations=iterations)
        with pytest.raises(NeedsApprovalError) as caught:
            runs.open_run(wanted, approve=None, how="flag")
        assert not (self.workspace / "results").exists()
        self.run = runs.open_run(wanted, approve=caught.value.digest, how="flag")
        self.approval_given()
        self.iterations = iterations

    def plan_now(self) -> tuple[Any, ...]:
        """Everything a plan consists of, as it lies on disk, and the approval's own mark."""
        state = load_state(self.run)
        files = [self.workspace / "train/base/training_set.csv", self.workspace / "specs/baseline_spec.yaml"]
        mark = state.approval.digest if state.approval else None
        return (*(f.read_bytes() for f in files), state.config, state.kpi_target, state.max_iterations, mark)

    def approval_given(self) -> None:
        self.said_yes_to = self.plan_now()

    @property
    def approved(self) -> bool:
        return self.plan_now() == self.said_yes_to

    # -- commands ----------------------------------------------------------------------------------------------------

    @rule(far=st.sampled_from([0.0, 50.0]), fails=st.booleans())
    def step(self, far: float, fails: bool) -> None:
        """Whatever the disk holds, at most the one stage that the plain rules name is run, and only with approval."""
        self.far, self.fails = far, fails
        due = next_stage(load_state(self.run))
        before = len(self.ran)
        try:
            runs.run_loop(self.run, once=True)
        except NeedsApprovalError:
            assert not self.approved
        except StageFailedError:
            assert fails and self.approved
        else:
            assert self.approved or due is None
        new = self.ran[before:]
        assert new == ([(due.label, due.stage)] if due is not None and self.approved else [])

    @rule(text=st.sampled_from(["num_epochs=2", "num_epochs=3", "seed=5", "mining.budget=3"]))
    def plan_something_else(self, text: str) -> None:
        """A plan alone changes nothing, also not the approval."""
        try:
            runs.plan_run(Request(results_dir=self.run, settings=(text,)))
        except InputError:
            assert self.fixed()

    @rule(
        text=st.sampled_from(["num_epochs=2", "num_epochs=3", "seed=5"]),
        digest=st.sampled_from(["right", "wrong", "old"]),
    )
    def take_up_with_a_change(self, text: str, digest: str) -> None:
        """Another plan is taken only with its own digest."""
        request = Request(results_dir=self.run, settings=(text,))
        kept = (self.run / "deft_state.json").read_bytes()
        try:
            right = runs.plan_run(request).digest
        except InputError:
            assert self.fixed()
            return
        approval = load_state(self.run).approval
        given = {"right": right, "wrong": "0" * 64, "old": approval.digest if approval else None}[digest]
        try:
            runs.open_run(request, approve=given, how="flag")
        except NeedsApprovalError:
            assert given != right
            assert (self.run / "deft_state.json").read_bytes() == kept
        else:
            assert given == right
            self.approval_given()

    @precondition(lambda self: hasattr(self, "run"))
    @rule(what=st.sampled_from(["training", "spec", "config", "target", "digest"]))
    def somebody_edits(self, what: str) -> None:
        """A changed file or state voids the approval, whoever changed it."""
        if self.complete():
            return
        if what == "training":
            path = self.workspace / "train/base/training_set.csv"
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join([lines[0], *lines[2:], lines[1]]))
        elif what == "spec":
            path = self.workspace / "specs/baseline_spec.yaml"
            path.write_text(path.read_text() + "# a remark\n")
        else:
            state = load_state(self.run)
            if what == "config":
                state.config = state.config.model_copy(update={"seed": state.config.seed + 1})
            elif what == "target":
                state.kpi_target = "FAR < 99% at recall=99%" if state.kpi_target == TARGET else TARGET
            elif state.approval is not None:
                state.approval = state.approval.model_copy(update={"digest": "f" * 64})
            (self.run / "deft_state.json").write_text(state.model_dump_json())

    @rule()
    def ask_for_the_status(self) -> None:
        """Looking changes nothing."""
        kept = (self.run / "deft_state.json").read_bytes()
        view = runs.status(self.run)
        assert view.working is None
        assert (self.run / "deft_state.json").read_bytes() == kept

    @rule()
    def stop(self) -> None:
        """Nobody works on it, so there is nothing to stop."""
        assert runs.stop(self.run) is False

    @rule()
    def lose_the_log(self) -> None:
        """The log is rebuilt from the state."""
        (self.run / LOG_FILE).unlink(missing_ok=True)

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def each_stage_ended_well_at_most_once_and_in_order(self) -> None:
        if not hasattr(self, "run"):
            return
        records = [(label, r) for label, r in load_state(self.run).labelled_records() if r.status == "ok"]
        done = [(label, r.stage) for label, r in sorted(records, key=lambda pair: pair[1].seq)]
        assert len(done) == len(set(done))
        expected = [("baseline", stage) for stage in TASK.order.of(0)]
        expected += [(f"iter{n}", stage) for n in range(1, self.iterations + 1) for stage in TASK.order.of(1)]
        plain = [d for d in done if d[1] != "loop_stop"]
        assert plain == expected[: len(plain)]
        assert all(stage != "loop_stop" for _, stage in done[:-1])
        if (self.run / LOG_FILE).exists():
            lines = read_log(self.run / LOG_FILE)
            assert [line.seq for line in lines] == sorted({line.seq for line in lines})

    def complete(self) -> bool:
        return next_stage(load_state(self.run)) is None

    def fixed(self) -> bool:
        """Whether no other plan may be made: the run is complete, or what it was measured with was edited since."""
        state = load_state(self.run)
        measured = any(r.stage == "evaluate" and r.status == "ok" for r in state.records())
        spec = fsio.sha256_file(self.workspace / "specs/baseline_spec.yaml")
        return self.complete() or (measured and spec != state.plan_digests["specs_file"])

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()
        shutil.rmtree(self.root)


FREE: dict[str, Any] = {"suppress_health_check": list(HealthCheck)}


def test_commands_in_any_order_never_run_a_stage_that_is_not_due_or_not_approved() -> None:
    run_state_machine_as_test(Loop, settings=settings(max_examples=6, stateful_step_count=15, **FREE))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_commands_in_any_order() -> None:
    run_state_machine_as_test(Loop, settings=settings(max_examples=60, stateful_step_count=40, **FREE))
