"""How a run looks while one waits: a live view at a terminal, one status line a stage elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.commands.out import echo

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tao_skill_bank.loop.run import Observer
    from tao_skill_bank.loop.state import AnyState
    from tao_skill_bank.runs import StatusView


class Plain:
    """One line a stage."""

    def stage_started(self, state: AnyState, label: str, stage: str) -> None:
        """Nothing: its line comes when it has ended."""

    def stage_ended(self, state: AnyState, label: str, line: str) -> None:
        """The status line."""
        echo(line)

    def note(self, text: str) -> None:
        """Remarks go to stderr."""
        echo(f"note: {text}", err=True)


class Live:
    """A view that redraws itself: the figure of each phase, the stage at work, elapsed and estimated time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stage_began = self._began
        self._state: AnyState | None = None
        self._where = ""
        self.lines: list[str] = []

    def stage_started(self, state: AnyState, label: str, stage: str) -> None:
        """Remember what is at work."""
        self._state = state
        self._where = f"{label} · {stage}"
        self._stage_began = time.monotonic()

    def stage_ended(self, state: AnyState, label: str, line: str) -> None:
        """Keep the line."""
        self._state = state
        self.lines.append(line)

    def note(self, text: str) -> None:
        """Keep the remark."""
        self.lines.append(f"note: {text}")

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from tao_skill_bank.loop.engine import duration_text
        from tao_skill_bank.runs import remaining_seconds

        table = Table(box=None, pad_edge=False, header_style="dim")
        state, left = self._state, None
        table.add_column("phase")
        if state is not None:
            named = {label: it.columns() for label, it in state.iterations.items()}
            columns = list(dict.fromkeys(name for columns in named.values() for name in columns))
            for name in (state.measure, *columns):
                table.add_column(name, justify="right")
            for label, it in state.iterations.items():
                value = state.value(it)
                cells = [named[label].get(name, "") for name in columns]
                table.add_row(label, "" if value is None else f"{value:.2f}%", *cells)
            left = remaining_seconds(state)
        now = time.monotonic()
        target = "" if self._state is None else self._state.kpi_target
        head = Text(f"{self._where}  {duration_text(now - self._stage_began)}", style="bold")
        foot = f"target {target} · elapsed {duration_text(now - self._began)}"
        if left:
            foot += f" · about {duration_text(left)} left"
        return Group(
            *[Text(line, style="dim") for line in self.lines[-6:]], Text(), table, head, Text(foot, style="dim")
        )


@contextlib.contextmanager
def observer_for(results_dir: Path, *, quiet: bool) -> Iterator[Observer]:
    """The observer that fits where the output goes."""
    from tao_skill_bank.loop.run import Silent

    if quiet:
        yield Silent()
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live as RichLive

        view = Live()
        with RichLive(view, console=Console(), refresh_per_second=4, transient=True):
            yield view
        for line in view.lines:
            echo(line)
    else:
        yield Plain()


def print_status(view: StatusView) -> None:
    """A run's status for a person."""
    from tao_skill_bank.loop.engine import duration_text

    best = "not measured yet" if view.best_value is None else f"{view.best_value:.2f}% ({view.best_iteration})"
    echo(f"{view.results_dir}")
    echo(f"  status     {view.status}{f' ({view.stop_reason})' if view.stop_reason else ''}")
    echo(f"  target     {view.kpi_target}")
    echo(f"  verdict    {view.verdict.line}")
    echo(f"  {f'best {view.measure}':<10} {best}")
    if view.approval is not None:
        echo(f"  approval   {view.approval}")
    if view.stage is not None:
        echo(f"  next stage {view.iteration} · {view.stage}")
    if view.live is not None:
        echo(f"  now        {view.live}")
    if view.working is not None:
        echo(f"  working    {view.working.who()}")
    echo(f"  time       {duration_text(view.elapsed_sec)} in stages")
    for phase in view.phases:
        value = "" if phase.value is None else f"{view.measure} {phase.value:.2f}%"
        echo(f"  {phase.phase:<10} {phase.status:<12} {value}")
    for line in view.log:
        echo(f"  {line.seq:>4} {line.iter} {line.stage} {line.status}: {line.summary}")
    if view.report:
        echo(f"  report     {view.report}")
    echo(f"  next step  {view.next_step}")
