"""Annotation for programs: what it will cost, the run itself, how it stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.overrides import settings_of

if TYPE_CHECKING:
    from tao_skill_bank.annotate.api import Request, StatusView
    from tao_skill_bank.annotate.estimate import Estimate
    from tao_skill_bank.annotate.run import Outcome, Progress


def estimate_annotation(
    spec: str | Path | None = None,
    *,
    video_root: str | Path | None = None,
    results_dir: str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    prices: str | Path | None = None,
    price: Mapping[str, Sequence[float]] | None = None,
    shard: tuple[int, int] | None = None,
    batch: bool = False,
    max_calls: int | None = None,
    max_cost: float | None = None,
) -> Estimate:
    """Calls, tokens, cost and time of an annotation before the first call. Calls nobody, writes nothing.

    Args:
        spec: The spec file; `auto_label default_specs` writes one.
        video_root: Folder of videos.
        results_dir: Where the run lives.
        settings: Keys of the spec, as a mapping of dotted names or as `key=value` texts.
        prices: A price table (YAML) to look in before the shipped one.
        price: Model → (input, output) in USD per million tokens, before both: of a server of your own.
        shard: (i, n): only this part of the videos.
        batch: Use the vendors' batches.
        max_calls: Stop before this many calls in all, earlier runs included.
        max_cost: Stop before this many USD in all, earlier runs included.

    Raises:
        InputError: It cannot be used, or there are no videos.
    """
    given = dict(locals())
    from tao_skill_bank.annotate.api import estimate_run

    return estimate_run(_request(given))


def annotate(
    spec: str | Path | None = None,
    *,
    video_root: str | Path | None = None,
    results_dir: str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    prices: str | Path | None = None,
    price: Mapping[str, Sequence[float]] | None = None,
    shard: tuple[int, int] | None = None,
    batch: bool = False,
    max_calls: int | None = None,
    max_cost: float | None = None,
    approve: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Annotate videos, or resume what was begun in the same folder: what is answered is never paid for again.

    Args:
        spec: As for `estimate_annotation`, like all up to `max_cost`.
        video_root: Folder of videos.
        results_dir: Where the run lives.
        settings: Keys of the spec.
        prices: A price table.
        price: Prices of single models.
        shard: (i, n): only this part of the videos.
        batch: Use the vendors' batches.
        max_calls: Calls at most.
        max_cost: USD at most.
        approve: The digest of an estimate: what differs from that estimate, limits included, starts nothing.
        progress: Told now and then how far the run is.

    Raises:
        InputError: It cannot be used.
        NeedsApprovalError: Something else was approved.
        BankError: Somebody works on the folder, or the run was halted; what is answered is kept.
    """
    given = dict(locals())
    from tao_skill_bank.annotate.api import run_here

    return run_here(_request(given), approve=approve, by="python", progress=progress)


def annotation_status(results_dir: str | Path) -> StatusView:
    """Where an annotation stands: videos, time left, what was paid, what failed.

    Raises:
        InputError: There is no run.
    """
    from tao_skill_bank.annotate.api import status

    return status(Path(results_dir))


def _request(given: Mapping[str, Any]) -> Request:
    """The request of a function's arguments, by name."""
    from tao_skill_bank.annotate.api import Request
    from tao_skill_bank.core.asked import options

    values = {option.name: given[option.name] for option in options(Request) if option.name in given}
    for option in options(Request):
        if option.kind == "path" and values[option.name] is not None:
            values[option.name] = Path(os.path.expanduser(values[option.name]))
    return Request(**values, overrides=settings_of(given["settings"]))
