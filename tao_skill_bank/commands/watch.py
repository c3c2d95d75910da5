"""`tao-skills deft watch`: a run as it goes on, drawn at a terminal, as lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tao_skill_bank import runs
from tao_skill_bank.commands.out import echo
from tao_skill_bank.core.text import capital, clean
from tao_skill_bank.loop.engine import duration_text
from tao_skill_bank.reports.deft.live import LiveReport
from tao_skill_bank.reports.deft.status import status_of, status_of_state
from tao_skill_bank.reports.deft.view import RunView
from tao_skill_bank.tasks.changenet.state import State
from tao_skill_bank.tasks.registry import load_state

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from tao_skill_bank.loop.evidence import Interval
    from tao_skill_bank.loop.state import AnyState
    from tao_skill_bank.runs import StatusView

TICK_SEC = 0.25
_TONES = {"met": "green", "near": "yellow", "running": "blue", "stopped": "magenta"}


def watch(folder: Path, *, once: bool = False, address: str = "") -> None:
    """Show a run until it has ended or the reader has had enough (`q`, Ctrl-C).

    `address`: where its page is served; the run is then followed beyond its end.

    Raises:
        InputError: There is no run.
    """
    if not sys.stdout.isatty() or once:
        _lines(folder, once=once, forever=bool(address))
        return
    console = Console()
    screen = Screen(folder, address)
    with _keys() as pressed, Live(screen, console=console, screen=True, auto_refresh=False) as live:
        while True:
            screen.read()
            live.update(screen, refresh=True)
            if pressed() in ("q", "Q", "\x03", "\x1b") or (screen.ended and not address):
                break
    console.print(screen.summary(), soft_wrap=True)  # a path that is broken cannot be opened


class Screen:
    """What the terminal shows; it takes whatever size the terminal has when it is drawn."""

    def __init__(self, folder: Path, address: str = "") -> None:
        self.folder = folder
        self.address = address
        self.ended = False
        self._mark: object = None
        self._view: StatusView | None = None
        self._state: AnyState | None = None
        self._tone, self._wording, self._why = "running", "IN PROGRESS", ""

    def read(self) -> None:
        """Look at the disk again."""
        self._view = runs.status(self.folder, limit=200)
        # Who works on it after its last stage writes the report: it has ended when that is there.
        self.ended = self._view.status not in ("running", "planned") and self._view.working is None
        mark = (LiveReport(self.folder).mark(), self._view.status)
        if mark != self._mark:
            self._mark = mark
            self._state = load_state(self.folder)
            self._judge(self._view, self._state)

    def _judge(self, view: StatusView, state: AnyState) -> None:
        own = isinstance(state, State)
        found = status_of(RunView(self.folder)) if own else status_of_state(state, view.verdict)
        self._tone, self._wording, why = found.tone, clean(found.wording), found.why
        if view.status in ("interrupted", "held"):
            by = f"H{view.working.who()[1:]}" if view.working is not None else "Nobody works on it"
            why = ". ".join(filter(None, (by, capital(view.stop_reason or ""), capital(view.next_step))))
            self._tone, self._wording = "stopped", view.status.upper()
        self._why = clean(why)

    def summary(self) -> RenderableType:
        """What stays on the terminal afterwards."""
        assert self._view is not None
        text = Text()
        text.append(f"{self._wording}", style=f"bold {_TONES[self._tone]}")
        text.append(f"  {self._why}\n")
        if self._view.approval:
            text.append(f"plan {self._view.approval}\n", style="dim")
        text.append(clean(self._view.report or self.folder), style="dim")
        return text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, state = self._view, self._state
        if view is None or state is None:
            return
        width, height = options.max_width, options.height or console.height
        parts: list[RenderableType] = [
            self._head(view, width),
            self._phases(view, state, width, height),
            self._work(view, state, width),
        ]
        used = sum(len(console.render_lines(p, options.update(height=None))) for p in parts)
        room = height - used - 3
        if room > 1:
            parts.append(self._log(view, room))
        parts.append(self._foot(view))
        yield Group(*parts)

    def _head(self, view: StatusView, width: int) -> RenderableType:
        grid = Table.grid(expand=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(
            Text(self._wording, style=f"bold {_TONES[self._tone]}"), Text(clean(self.folder.name), style="dim")
        )
        approval = "" if view.approval is None else view.approval
        grid.add_row(Text(f"target {clean(view.kpi_target)}", style="dim"), Text(approval, style="dim"))
        lines: list[RenderableType] = [grid]
        if self._why and width >= 60:
            lines.append(Text(self._why))
        return Group(*lines, Text(""))

    def _phases(self, view: StatusView, state: AnyState, width: int, height: int) -> RenderableType:
        table = Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("phase", no_wrap=True)
        table.add_column(state.measure, justify="right", no_wrap=True)
        wide = width >= 84
        cells = {label: it.columns() for label, it in state.iterations.items()}
        columns = list(dict.fromkeys(name for found in cells.values() for name in found))
        if wide:
            table.add_column("95 % interval", justify="right", no_wrap=True, style="dim")
        table.add_column("", ratio=1, no_wrap=True)
        if wide:
            for name in columns:
                table.add_column(name, justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True, style="dim")
        limit = state.limit_value
        # The mark stands where the limit is, also where no figure reaches so far.
        most = max([p.value or 0.0 for p in view.phases] + [limit or 0.0])
        room = max(height - 14, 3)
        phases = view.phases
        shown = phases if len(phases) <= room else [phases[0], *phases[-(room - 1) :]]
        for phase in shown:
            it = state.iterations[phase.phase]
            best = phase.phase == view.best_iteration
            value = "" if phase.value is None else f"{phase.value:.2f}%"
            row: list[RenderableType] = [
                Text(phase.phase, style="bold" if best else ""),
                Text(value, style="bold" if best else ""),
            ]
            if wide:
                row.append(_interval(it.interval(state.measure)))
            met = limit is not None and phase.value is not None and state.met(phase.value)
            row.append(Bar(phase.value, most, limit, met))
            if wide:
                row += [cells[phase.phase].get(name, "") for name in columns]
            row.append(duration_text(sum(r.duration_sec for r in it.stages)))
            table.add_row(*row)
        return table

    def _work(self, view: StatusView, state: AnyState, width: int) -> RenderableType:
        """The stages of the iteration at work."""
        text = Text("\n", no_wrap=True, overflow="ellipsis")
        if self.ended:
            return text
        label = state.current_label
        it = state.iterations.get(label)
        done = {r.stage for r in it.stages if r.status == "ok"} if it else set()
        stages = state.order.of(0 if label == "baseline" else 1)
        text.append(f"{label}  ", style="bold")
        for stage in stages:
            if stage in done:
                text.append(f"✓ {stage}  ", style="green")
            elif stage == view.stage:
                text.append(f"● {stage}  ", style="bold cyan")
            else:
                text.append(f"· {stage}  ", style="dim")
        if it is not None and it.attempt is not None:
            text.append(f"\n{it.attempt.stage} since {it.attempt.started_at[11:19]} UTC", style="dim")
        if view.live:
            text.append(f", {clean(view.live)}", style="cyan")
        if view.job and width >= 60:
            text.append(f", job {clean(view.job)}", style="dim")
        return text

    def _log(self, view: StatusView, room: int) -> RenderableType:
        text = Text("\n", no_wrap=True, overflow="ellipsis")
        for line in view.log[-(room - 1) :]:
            style = "magenta" if line.status == "error" else "dim"
            text.append(
                f"{line.seq:>4} {line.iter} {line.stage}: {' '.join(clean(line.summary).split())}\n", style=style
            )
        return text

    def _foot(self, view: StatusView) -> RenderableType:
        parts = ["q quits", f"{duration_text(view.elapsed_sec)} in stages"]
        if view.remaining_sec:
            parts.append(f"about {duration_text(view.remaining_sec)} left")
        if self.address:
            parts.append(self.address)
        return Text(" · ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")


class Bar:
    """A figure as a bar as wide as there is room, with the target as a mark."""

    def __init__(self, value: float | None, most: float, limit: float | None, met: bool) -> None:
        self.value, self.most, self.limit, self.met = value, most, limit, met

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width, 1)
        text = Text(no_wrap=True)
        if self.value is not None and self.most > 0:
            full = round(width * self.value / self.most)
            mark = None if self.limit is None else min(int(width * self.limit / self.most), width - 1)
            for i in range(width):
                inside = i < max(full, 1)
                if i == mark:
                    text.append("│", style="green")
                else:
                    text.append("━" if inside else " ", style=("green" if self.met else "cyan") if inside else "")
        yield text


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low_pct:.2f}–{interval.high_pct:.2f}%"


def _lines(folder: Path, *, once: bool, forever: bool) -> None:
    """A line a stage, as they end; the verdict last."""
    cursor = 0
    screen = Screen(folder)
    while True:
        screen.read()
        view = runs.status(folder, cursor, limit=1_000_000)
        for line in view.log:
            word = "" if line.status == "ok" else f" {line.status}"
            echo(f"{line.seq:>4} {line.ts[:19]}Z {line.iter} {line.stage}{word}: {' '.join(line.summary.split())}")
        cursor = view.cursor
        if once or (screen.ended and not forever):
            break
        time.sleep(TICK_SEC * 2)
    echo(f"{screen._wording}: {screen._why}" if screen._why else screen._wording)
    if view.approval:
        echo(f"plan {view.approval}")
    if view.report:
        echo(view.report)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """A function that waits a moment for a key and returns it, or nothing; the terminal is set back at the end."""
    if not sys.stdin.isatty():

        def waited() -> str:
            time.sleep(TICK_SEC)
            return ""

        yield waited
        return
    import os
    import select
    import termios
    import tty

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)

    def pressed() -> str:
        ready, _, _ = select.select([handle], [], [], TICK_SEC)
        return os.read(handle, 1).decode("latin-1") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
