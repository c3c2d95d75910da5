"""What somebody asks of the loop: the one model of which commands, tools, scripts and help are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tao_skill_bank.core.asked import Said


@dataclass(frozen=True)
class Request:
    """What somebody asks for. A run that is resumed keeps whatever is left out.

    Its fields are the options of commands and scripts and the arguments of tools: `core.asked` says how.
    """

    workspace: Annotated[Path | None, Said("The workspace folder.", short="-w")] = None
    kpi_target: Annotated[str | None, Said("For example: FAR < 0.5% at recall=99%")] = None
    max_iterations: Annotated[int | None, Said("Iterations at most; or give a time limit.", short="-n")] = None
    time_limit: Annotated[str | None, Said("Instead of iterations: 6h, 90m.")] = None
    platform: Annotated[str | None, Said("Default local: this machine's CPU, a rehearsal.")] = None
    settings: Annotated[Sequence[str], Said("KEY=VALUE each.", flag="--set", metavar="KEY=VALUE")] = ()
    results_dir: Annotated[Path | None, Said("A run folder to resume; only what is given changes.")] = None
    task: Annotated[str | None, Said("What is improved; default: AOI, or the run's.")] = None
    offline: Annotated[bool, Said("Download nothing.")] = False


@dataclass(frozen=True, kw_only=True)
class StageAsked:
    """A stage that was run by hand, for the log."""

    iter_label: Annotated[str, Said("baseline or iter<N>")]
    stage: Annotated[str, Said("A stage of the run's task, such as train or evaluate.")]
    status: Annotated[Literal["ok", "error"], Said("ok or error", tool="")]
    summary: Annotated[str, Said("One line.")]
    duration_sec: Annotated[int, Said("Whole seconds.", tool="")]
    context_tokens: Annotated[int, Said("Tokens of context at the stage's end.", tool="")] = 0
