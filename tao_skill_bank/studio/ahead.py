"""What a run leaves for whoever opens it in the morning: its large sets, read as the page reads them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.studio.kept_sheets import KeptSheets, kept_for
from tao_skill_bank.studio.sheets import Sheets
from tao_skill_bank.studio.sources import RunSources


def read_ahead(run: Path, kept: KeptSheets | None = None) -> None:
    """Keep the scored KPI rows of a run's best model and baseline, where there are many; a help and nothing more.

    Args:
        run: The run folder; one without boards, or without a measurement, has nothing to keep.
        kept: Where to; by default the user's cache folder.
    """
    with contextlib.suppress(BankError, OSError):
        sources = RunSources(run)
        kept = kept or kept_for(Path(sources.state.config.workspace))
        for label in dict.fromkeys((sources.best, BASELINE)):
            csv = sources.source("kpi", label).csv
            about = guard.status(csv)
            if about is not None and kept.is_worth(about.st_size):
                Sheets(on_disk=kept).read(csv, scored=True)
                if kept.writing is not None:
                    kept.writing.join()
