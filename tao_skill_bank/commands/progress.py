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

    from tao_skill_bank.loop.api import StatusView
    from tao_skill_bank.loop.run import Observer
    from tao_skill_bank.loop.state import DeftState


class Plain:
    """One line a stage."""

    def stage_started(self, state: DeftState, label: str, stage: str) -> None:
        """Nothing: its line comes when it has ended."""

    def stage_ended(self, state: DeftState, label: str, line: str) -> None:
        """The status line."""
        echo(line)

    def note(self, text: str) -> None:
        """Remarks go to stderr."""
        echo(f"note: {text}", err=True)


class Live:
    """A view that redraws itself: FAR of each phase, the stage at work, elapsed and estimated time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stage_began = self._began
        self._state: DeftState | None = None
        self._where = ""
        self.lines: list[str] = []

    def stage_started(self, state: DeftState, label: str, stage: str) -> None:
        """Remember what is at work."""
        self._state = state
        self._where = f"{label} · {stage}"
        self._stage_began = time.monotonic()

    def stage_ended(self, state: DeftState, label: str, line: str) -> None:
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

        from tao_skill_bank.loop.api import remaining_seconds
        from tao_skill_bank.loop.engine import duration_text

        table = Table(box=None, pad_edge=False, header_style="dim")
        for name, justify in (("phase", "left"), ("FAR", "right"), ("rows", "right"), ("added", "right")):
            table.add_column(name, justify="right" if justify == "right" else "left")
        left = None
        if self._state is not None:
            for label, it in self._state.iterations.items():
                far = "" if it.far_pct is None else f"{it.far_pct:.2f}%"
                added = (it.mining_mined_count or 0) + (it.anomalygen_count or 0)
                table.add_row(label, far, str(it.training_rows or ""), f"+{added}" if added else "")
            left = remaining_seconds(self._state)
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

    best = "not measured yet" if view.best_far_pct is None else f"{view.best_far_pct:.2f}% ({view.best_iteration})"
    echo(f"{view.results_dir}")
    echo(f"  status     {view.status}{f' ({view.stop_reason})' if view.stop_reason else ''}")
    echo(f"  target     {view.kpi_target}")
    echo(f"  verdict    {view.verdict.line}")
    echo(f"  best FAR   {best}")
    if view.approval is not None:
        echo(f"  approval   {view.approval}")
    if view.stage is not None:
        echo(f"  next stage {view.iteration} · {view.stage}")
    if view.working is not None:
        echo(f"  working    process {view.working.pid} since {view.working.since} ({view.working.by})")
    echo(f"  time       {duration_text(view.elapsed_sec)} in stages")
    for phase in view.phases:
        far = "" if phase.far_pct is None else f"FAR {phase.far_pct:.2f}%"
        echo(f"  {phase.phase:<10} {phase.status:<12} {far}")
    for line in view.log:
        echo(f"  {line.seq:>4} {line.iter} {line.stage} {line.status}: {line.summary}")
    if view.report:
        echo(f"  report     {view.report}")
    echo(f"  next step  {view.next_step}")
