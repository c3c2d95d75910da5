"""A task of the loop without pictures: it guesses a number from numbers in a file, and adds more of them.

`numbers.json` of the workspace holds `truth`, `base` and `pool`. Its entry point is written by `install`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tao_skill_bank.core import fsio
from tao_skill_bank.loop import run as loop_run
from tao_skill_bank.loop import stage as loop_stage
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.metric import Grammar, Measure
from tao_skill_bank.loop.request import PreFlight, ResolvedPlan, Split
from tao_skill_bank.loop.settings import RunSettings
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import DeftState, Ending, Iteration, Result
from tao_skill_bank.loop.task import Task
from tao_skill_bank.loop.verdict import Verdict, claim, nothing_measured, verdict

GRAMMAR = Grammar((Measure("error", "truth", at_most=True),), example="error < 1%")


class Settings(RunSettings):
    """Where the numbers lie, and how many an iteration adds."""

    content_keys = ("numbers",)
    required_keys = ("numbers",)
    path_keys = ("numbers",)
    fixed_keys = ("numbers",)

    numbers: str
    add: int = 2


class Guess(Result):
    """The numbers that the guess is made of, and the guess."""

    used: list[float]
    guess: float


class Measured(Result):
    """How far off the guess is, in percent of the truth."""

    error_pct: float


class Named(Iteration):
    """Results by name."""

    @property
    def error(self) -> float | None:
        found = self.result(Measured)
        return None if found is None else found.error_pct

    def figures(self) -> dict[str, Any]:
        found = self.result(Guess)
        return {"guess": None if found is None else found.guess}


class State(DeftState[Settings, Named]):
    """A run that guesses."""

    iteration_type: ClassVar[type[Any]] = Named
    grammar: ClassVar[Grammar] = GRAMMAR

    def value(self, iteration: Named) -> float | None:
        return iteration.error


Run = loop_run.Run[State]
Stage = loop_stage.Stage[State]


def numbers_of(config: Settings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(config.numbers).read_text(encoding="utf-8"))
    return found


class Learn(Stage):
    """The mean of the base, and of what each iteration adds from the pool."""

    name = "learn"
    Result = Guess

    def folders(self, run: Run, label: str) -> list[Path]:
        return [run.folder(label) / "learn"]

    def work(self, run: Run, label: str) -> Outcome:
        numbers = numbers_of(run.state.config)
        count = 0 if label == "baseline" else int(label.removeprefix("iter")) * run.state.config.add
        used = [*numbers["base"], *numbers["pool"][:count]]
        found = Guess(used=used, guess=sum(used) / len(used))
        path = self.folders(run, label)[0] / "model.json"
        fsio.write_json(path, found.model_dump())
        return Outcome(f"{len(used)} numbers", result=found, promised=[path])


class Compare(Stage):
    """The guess against the truth."""

    name = "compare"
    Result = Measured

    def folders(self, run: Run, label: str) -> list[Path]:
        return [run.folder(label) / "compare"]

    def work(self, run: Run, label: str) -> Outcome:
        guess, truth = run.state.iteration(label).result(Guess), numbers_of(run.state.config)["truth"]
        assert guess is not None
        found = Measured(error_pct=100.0 * abs(guess.guess - truth) / truth)
        path = self.folders(run, label)[0] / "error.json"
        fsio.write_json(path, found.model_dump())
        return Outcome(f"error {found.error_pct:.4g}%", result=found, promised=[path])


class Stop(Stage):
    """The best guess."""

    name = "finish"
    Result = Ending

    def folders(self, run: Run, label: str) -> list[Path]:
        return []

    def work(self, run: Run, label: str) -> Outcome:
        best = run.state.best()
        assert best is not None
        return Outcome(f"best {best[0]}", result=Ending(stop_reason="done", best_iteration=best[0]))


class Toy(Task[State]):
    """Guess a number."""

    name = "toy"
    Config = Settings
    State = State
    baseline = (Learn(), Compare())
    iteration = baseline
    ending = Stop()

    def discover(self, workspace: Path) -> dict[str, Any]:
        return {"workspace": str(workspace), "numbers": str(workspace / "numbers.json")}

    def minutes(self, config: Settings) -> float:
        return 0.1

    def pre_flight(self, plan: ResolvedPlan) -> PreFlight:
        base = numbers_of(plan.config)["base"]
        return PreFlight(
            digest=plan.digest,
            kpi_target=plan.kpi_target,
            max_iterations=plan.max_iterations,
            config=plan.config.model_dump(mode="json"),
            splits=[Split(name="base", csv=plan.config.numbers, rows=len(base), labels={})],
            checks=[Check(name="numbers", status="ok", text=f"{len(base)} in the base")],
            estimate_minutes=0.1,
        )

    def verdict(self, state: State) -> Verdict:
        best, final = state.best(), state.status == "complete"
        if best is None:
            return nothing_measured(state.kpi_target, "nothing was measured", final=final)
        found = claim(state.target.goal, None, best[1].error, independent=False)
        return verdict(
            state.kpi_target, [found], set_name="file", independent=False, final=final, trained=Trained(),
            model=best[0], threshold=None,
        )  # fmt: skip

    def close(self, run: Run) -> None:
        """Nothing is handed on."""


TASK = Toy()


def install(site: Path) -> None:
    """The entry point of this task as another package brings it, in a folder that is to be on the path of modules."""
    info = site / "toy_task-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-task\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tao_skill_bank.tasks]\ntoy = toy_task:TASK\n")


def make_workspace(folder: Path) -> Path:
    """A workspace of it, of which each iteration comes nearer to the truth."""
    folder.mkdir(parents=True)
    numbers = {"truth": 10.0, "base": [4.0, 6.0], "pool": [8.0, 10.0, 16.0, 16.0]}
    (folder / "numbers.json").write_text(json.dumps(numbers))
    return folder
