"""Work on a run in the foreground: who waits for it may end it, and is told what is safe and how it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.commands.out import echo
from tao_skill_bank.commands.progress import Live, observer_for
from tao_skill_bank.core import foreground
from tao_skill_bank.loop.run import StopRequestedError

if TYPE_CHECKING:
    from tao_skill_bank.loop.run import Observer

_FIRST = "stopping: the stage at work is ended, all that was committed stays; once more ends it at once"


def work_on(folder: Path, *, quiet: bool, once: bool = False, by: str = "command") -> int:
    """Work on a run until it ends or is stopped; returns the exit status.

    Raises:
        BankError: As `runs.run_loop`, but for a stop.
    """
    from tao_skill_bank import runs

    stopped: StopRequestedError | None = None
    watching: list[Observer] = []

    def tell(text: str) -> None:
        if watching and isinstance(watching[0], Live):
            # A view that draws itself shows it.
            watching[0].note(text)
        else:
            foreground.say(text)

    with foreground.stops(_FIRST, lambda: _ended_at_once(folder), tell):
        try:
            with observer_for(folder, quiet=quiet) as observer:
                watching.append(observer)
                runs.run_loop(folder, observer, once=once, by=by)
        except StopRequestedError as error:
            stopped = error
        finally:
            watching.clear()
    if stopped is None:
        return 0
    if not quiet:
        echo(f"{stopped.what}; what was committed is safe. It goes on with: {_again(folder)}", err=True)
    return stopped.exit_code


def _again(folder: Path) -> str:
    return f"tao-skills deft run --results-dir {folder}"


def _ended_at_once(folder: Path) -> str:
    """What a person has to know of a run that ends in the middle of a stage."""
    from tao_skill_bank.platforms.jobs import may_run

    left = may_run(folder)
    said = f"ended at once; what was committed is safe. It goes on with: {_again(folder)}"
    if left:
        said += f"\nstill there, and ended by `tao-skills deft stop {folder}`: {', '.join(left)}"
    return said
