"""The tables of a DEFT run as pandas frames, for notebooks and scripts. Nothing is written.

    from tao_skill_bank import frames
    frames.iterations("results/run_20260901_081500")[["far_pct", "recall_pct", "training_rows"]]

Paths inside the run folder follow it where it has been moved. pandas is imported on the first call.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from tao_skill_bank.reports.deft.view import Phase, RunView


class Frames:
    """The tables of one run: the functions of this module with the run in hand."""

    def __init__(self, run: str | Path) -> None:
        self.run = Path(run)

    def iterations(self) -> pd.DataFrame:
        """One row per measured phase: FAR, recall, intervals, rows, checkpoint."""
        return iterations(self.run)

    def scores(self, iteration: str | None = None) -> pd.DataFrame:
        """The KPI set as the model of one iteration scored it; by default the best."""
        return scores(self.run, iteration)

    def inference(self, iteration: str | None = None) -> Path:
        """The `inference.csv` of one iteration's model on the KPI set; by default of the best.

        Raises:
            InputError: There is no such iteration, or the file is gone.
        """
        view = _view(self.run)
        phase = _phase(view, iteration)
        return _file(view, phase, phase.record.inference_csv, "inference", _known(view.measured))

    def weaknesses(self, iteration: str | None = None) -> pd.DataFrame:
        """The weakest samples that root cause analysis found; by default in the last iteration it looked at."""
        return weaknesses(self.run, iteration)

    def provenance(self, iteration: str | None = None) -> pd.DataFrame:
        """Where each training row of one iteration came from; by default the best."""
        return provenance(self.run, iteration)

    def stages(self) -> pd.DataFrame:
        """One row per ended stage."""
        return stages(self.run)


def iterations(run: str | Path) -> pd.DataFrame:
    """One row per measured phase, index `iteration` (`baseline`, `iter1`, ...).

    Columns: `far_pct`, `far_low_pct`, `far_high_pct` and the same of `recall` (95 % Clopper-Pearson), `threshold`
    (the siamese score above which a sample is NO_PASS), `training_rows`, `synthetic_rows`, `mined_rows`,
    `checkpoint`, `best` (bool). What was not recorded is NA.

    Raises:
        InputError: The folder holds no readable run.
    """
    import pandas as pd

    view = _view(run)
    best = view.best.label if view.best else None
    rows = [
        {
            "iteration": phase.label,
            "far_pct": phase.record.far_pct,
            "far_low_pct": phase.far.low_pct if phase.far else None,
            "far_high_pct": phase.far.high_pct if phase.far else None,
            "recall_pct": phase.recall.value_pct if phase.recall else None,
            "recall_low_pct": phase.recall.low_pct if phase.recall else None,
            "recall_high_pct": phase.recall.high_pct if phase.recall else None,
            "threshold": phase.record.threshold,
            "training_rows": phase.rows,
            "synthetic_rows": phase.synthetic,
            "mined_rows": phase.record.mining_mined_count,
            "checkpoint": str(view.at(phase.record.best_ckpt_path)) if phase.record.best_ckpt_path else None,
            "best": phase.label == best,
        }
        for phase in view.measured
    ]
    kinds = dict.fromkeys(("training_rows", "synthetic_rows", "mined_rows"), "Int64")
    columns = ["iteration", "far_pct", "far_low_pct", "far_high_pct", "recall_pct", "recall_low_pct", "recall_high_pct"]
    columns += ["threshold", *kinds, "checkpoint", "best"]
    return pd.DataFrame(rows, columns=columns).astype(kinds).set_index("iteration")


def scores(run: str | Path, iteration: str | None = None) -> pd.DataFrame:
    """The KPI set as the model of one iteration scored it, in the order of its `inference.csv`.

    Args:
        run: The run folder.
        iteration: `baseline`, `iter1`, ...; by default the best.

    Returns:
        The columns of the CSV as text, but `siamese_score` as float64, with `is_defect` (label is not PASS) and
        `predicted_defect` (score above the iteration's threshold, as TAO counts; NA without one).

    Raises:
        InputError: There is no such iteration, or its inference cannot be read.
    """
    import pandas as pd

    view = _view(run)
    phase = _phase(view, iteration)
    if phase.scored is None:
        raise InputError(f"{phase.label} has no inference that can be read", where=view.root, fix=_known(view.measured))
    table = phase.scored.table
    frame = pd.DataFrame(table.columns)
    frame["siamese_score"] = phase.scored.scores
    frame["is_defect"] = ~phase.scored.is_pass
    threshold = phase.record.threshold
    frame["predicted_defect"] = pd.NA if threshold is None else phase.scored.scores > threshold
    return frame


def weaknesses(run: str | Path, iteration: str | None = None) -> pd.DataFrame:
    """The weakest samples that root cause analysis found in one iteration: its `kpi_gaps.parquet`.

    Args:
        run: The run folder.
        iteration: `baseline`, `iter1`, ...; by default the last that was analysed: a run that ends does not analyse
            its last iteration.

    Raises:
        InputError: There is no such iteration, it was not analysed, or its analysis cannot be read.
    """
    import pandas as pd
    import pyarrow as pa

    view = _view(run)
    analysed = [phase for phase in view.phases if phase.record.rca_gaps_parquet is not None]
    phase = analysed[-1] if analysed and iteration is None else _phase(view, iteration)
    path = _file(view, phase, phase.record.rca_gaps_parquet, "root cause analysis", _known(analysed))
    try:
        return pd.read_parquet(path)
    except (pa.ArrowException, OSError):
        raise InputError("is no parquet file", where=path, fix="bring the file back") from None


def provenance(run: str | Path, iteration: str | None = None) -> pd.DataFrame:
    """Where each training row of one iteration came from: its training CSV with `source` and `kind` beside.

    Args:
        run: The run folder.
        iteration: As for `scores`; the baseline adds nothing and has none.

    Raises:
        InputError: There is no such iteration, it merged no data, or what it merged cannot be read.
    """
    import pandas as pd

    from tao_skill_bank.data.changenet.tables import read_pairs

    view = _view(run)
    phase = _phase(view, iteration)
    having = _known(p for p in view.phases if p.record.provenance_csv is not None)
    merged = _file(view, phase, phase.record.combined_training_csv, "merged training set", having)
    origin = _file(view, phase, phase.record.provenance_csv, "provenance", having)
    rows, beside = read_pairs(merged), read_pairs(origin, required=("source", "kind"))
    if len(rows) != len(beside):
        raise InputError(
            f"has {len(beside)} rows for the {len(rows)} of {merged.name}", where=origin, fix="bring the file back"
        )
    return pd.DataFrame({**rows.columns, **{name: beside.column(name) for name in ("source", "kind")}})


def stages(run: str | Path) -> pd.DataFrame:
    """One row per ended stage, index `seq`: `iteration`, `stage`, `status`, `summary`, `ended_at` (UTC), `seconds`.

    Raises:
        InputError: The folder holds no readable run.
    """
    import pandas as pd

    rows = [
        (line.seq, line.iter, line.stage, line.status, line.summary, line.ts, line.duration_sec)
        for line in _view(run).lines
    ]
    names = ["seq", "iteration", "stage", "status", "summary", "ended_at", "seconds"]
    frame = pd.DataFrame(rows, columns=names).set_index("seq")
    frame["ended_at"] = pd.to_datetime(frame["ended_at"], utc=True)
    return frame


def _view(run: str | Path) -> RunView:
    from tao_skill_bank.reports.deft.view import RunView

    return RunView(Path(run))


def _phase(view: RunView, iteration: str | None) -> Phase:
    found = view.best if iteration is None else next((p for p in view.phases if p.label == iteration), None)
    if found is None:
        what = "nothing was measured yet" if iteration is None else f"no iteration {iteration!r}"
        raise InputError(what, where=view.root, fix=_known(view.phases))
    return found


def _known(phases: Iterable[Phase]) -> str:
    labels = [phase.label for phase in phases]
    return f"name one of {', '.join(labels)}" if labels else "let the run measure its baseline first"


def _file(view: RunView, phase: Phase, recorded: str | None, what: str, fix: str) -> Path:
    if recorded is None:
        raise InputError(f"{phase.label} has no {what}", where=view.root, fix=fix)
    path = view.at(recorded)
    if not path.is_file():
        raise InputError(f"the {what} of {phase.label} is not on disk", where=path, fix="bring the file back")
    return path
