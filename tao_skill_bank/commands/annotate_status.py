"""Where an annotation run stands, as a person reads it in a terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.annotate.ledger import may_have
from tao_skill_bank.core.text import clean

if TYPE_CHECKING:
    from tao_skill_bank.annotate.api import StatusView

_EVERY_SEC = 2.0
_STEPS = {"0": "filtered", "1a": "captioned", "1b": "in pieces", "1c": "looked at closely", "2": "described"}
_MOST_BAR = 24


def shown(view: StatusView) -> str:
    """The lines of a status."""
    lines = [view.results_dir, *(f"  {name:<9} {text}" for name, text in _facts(view))]
    lines += [f"  {'':<9} and {view.failure_count - len(view.failures)} more"] * (
        view.failure_count > len(view.failures)
    )
    return clean("\n".join([*lines, f"  {'next':<9} {view.next_step}"]))


def watched(results_dir: Path) -> None:
    """Show the status anew until nobody works on the run any more, or the person goes away."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from tao_skill_bank.annotate.api import status

    console = Console(highlight=False)
    view = status(results_dir)
    with Live(Text(shown(view)), console=console, auto_refresh=False) as live:
        try:
            while view.status == "working":
                time.sleep(_EVERY_SEC)
                view = status(results_dir)
                live.update(Text(shown(view)), refresh=True)
        except KeyboardInterrupt:
            return


def _facts(view: StatusView) -> list[tuple[str, str]]:
    facts = [("status", view.status + (f": {view.message}" if view.message else ""))]
    if view.working:
        facts.append(("worker", view.working.who()))
    if view.approval:
        facts.append(("approval", view.approval))
    if view.videos is not None and view.done is not None:
        facts.append(("videos", _advance(view.done, view.videos, view.left_sec)))
    facts.append(("paid", _paid(view)))
    if view.parts:
        facts.append(("shards", view.parts.line()))
    facts += [("batch", f"{name}: {number:,} calls wait at the vendor") for name, number in view.open_batches.items()]
    if view.failed_tries:
        facts.append(("retried", ", ".join(f"{kind} {n:,}" for kind, n in view.failed_tries.items())))
    rows = [f"{number:,} {_STEPS[step]}" for step, number in view.rows.items() if step in _STEPS]
    rows += [f"{view.rows['3']:,} answers with questions"] if "3" in view.rows else []
    facts.append(("done", ", ".join(rows) or "nothing yet"))
    if view.items:
        items = ", ".join(f"{task} {number:,}" for task, number in view.items.items())
        facts.append(("items", f"{items}; refused {view.rejected:,}"))
    if view.left_out:
        facts.append(("left out", f"{view.left_out:,} longer than workflow.max_video_length_sec"))
    return facts + [("failed", failure) for failure in view.failures]


def _advance(done: int, videos: int, left: int | None) -> str:
    share = done / videos if videos else 1.0
    full = int(share * _MOST_BAR)
    text = f"{'█' * full}{'░' * (_MOST_BAR - full)} {done:,} of {videos:,} ({int(100 * share)} %)"
    return text if left is None else f"{text}, about {_duration(left)} left"


def _duration(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _paid(view: StatusView) -> str:
    text = f"{view.answers:,} answers, {view.input_tokens:,} tokens in, {view.output_tokens:,} out"
    if view.answers and view.unpriced == view.answers:
        return f"{text}; their price is unknown (--prices FILE tells)"
    text += f"; ${view.cost:.4f}" + (f" and {view.unpriced:,} answers without a price" if view.unpriced else "")
    return f"{text}; {may_have(view.unknown, view.may_cost)}" if view.unknown else text
