"""What the report of a DEFT run shows, read from disk and nothing else.

Only `deft_state.json` must be there. Whatever else cannot be read is left out, and the report says what was missing:
a report that fails to open helps nobody on the day a run has gone wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.core.text import is_number
from tao_skill_bank.data.changenet.kpi import Scored, read_scored
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.judging import ACCEPTANCE
from tao_skill_bank.loop.log import LogLine, line_of, log_path, read_log
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.loop.state import BASELINE, STATE_FILE
from tao_skill_bank.loop.verdict import Verdict
from tao_skill_bank.tasks.changenet.imported import Told
from tao_skill_bank.tasks.changenet.measures import verdict_of
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL
from tao_skill_bank.tasks.changenet.results import Evaluation
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState
from tao_skill_bank.tasks.registry import load_state

NARRATIVE = "report_narrative.md"
MOST_NARRATIVE = 20_000


@dataclass(frozen=True)
class Dataset:
    """One CSV of the workspace, counted. `rows` is None where it is not on disk."""

    key: str
    title: str
    path: str
    rows: int | None = None
    passes: int = 0
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def defects(self) -> int:
        """NO_PASS rows."""
        return (self.rows or 0) - self.passes

    @property
    def defect_labels(self) -> list[tuple[str, int]]:
        """Defect types with their rows, the most frequent first."""
        return [(label, count) for label, count in self.labels.items() if not is_pass(label)]


@dataclass(frozen=True)
class LabelFigures:
    """One label in one inference.

    Attributes:
        wrong: Rows on the wrong side of the threshold.
        weakest: The lowest score of a defect, the highest of PASS.
        cost_pct: For a defect: the share of PASS rows that score at least as high as its weakest row, which is
            the FAR that catching all of this label costs.
    """

    label: str
    count: int
    wrong: int
    weakest: float
    cost_pct: float | None


@dataclass
class Phase:
    """The baseline or one iteration."""

    label: str
    record: Iteration
    evaluation: Evaluation | None
    far: Interval | None
    recall: Interval | None
    delta_pp: float | None
    rows: int | None
    synthetic: int | None
    scored: Scored | None = None
    figures: dict[str, LabelFigures] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """`Baseline`, `Iteration 3`."""
        return "Baseline" if self.label == BASELINE else f"Iteration {self.number}"

    @property
    def short(self) -> str:
        """`base`, `3`: for axes."""
        return "base" if self.label == BASELINE else str(self.number)

    @property
    def number(self) -> int:
        """0 for the baseline."""
        return 0 if self.label == BASELINE else int(self.label.removeprefix("iter"))

    def interval(self, measure: str) -> Interval | None:
        """A measure of the model on the KPI set, by name."""
        others = {} if self.evaluation is None else self.evaluation.others
        return {FAR.name: self.far, RECALL.name: self.recall, **others}.get(measure)

    @property
    def share_pct(self) -> float | None:
        """The synthetic share of the training rows, in percent."""
        return 100.0 * self.synthetic / self.rows if self.rows and self.synthetic is not None else None


@dataclass(frozen=True)
class Accepted:
    """One model on the acceptance set; `own_far` is its FAR at the target's recall, by a threshold of its own."""

    iteration: str
    threshold: float | None
    far: Interval
    recall: Interval
    own_far: Interval | None
    others: dict[str, Interval] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Interval]:
        """What was measured, by name."""
        return {FAR.name: self.far, RECALL.name: self.recall, **self.others}


@dataclass(frozen=True)
class Scoring:
    """One model's scores on one set, with the threshold it is judged at."""

    scored: Scored
    threshold: float


@dataclass(frozen=True)
class Decisive:
    """The scores that the verdict was made of: of the best model, and of the baseline where that is another."""

    set: str
    best: Scoring
    baseline: Scoring | None


class RunView:
    """A run folder, read once.

    Args:
        results_dir: The run folder. It may have been moved since it was written.
        told: What a run of another program says, in place of a state and a log of the bank's own.

    Raises:
        InputError: There is no readable `deft_state.json`, or it is that of another task.
    """

    def __init__(self, results_dir: Path, told: Told | None = None) -> None:
        state = load_state(results_dir) if told is None else told.state
        if not isinstance(state, DeftState):
            fix = "open the report that the run wrote"
            raise InputError("has a report of its own: it is a run of another task", where=results_dir, fix=fix)
        self.root = results_dir
        self.state: DeftState = state
        self.missing: list[str] = []
        self.target: Target | None = self._target()
        self.lines: list[LogLine] = self._lines() if told is None else told.log
        self.datasets: list[Dataset] = self._datasets()
        self.phases: list[Phase] = self._phases()

    # -- paths -----------------------------------------------------------------------------------------------------

    def at(self, path: str) -> Path:
        """Where a recorded path is now: inside the run folder it follows the folder."""
        recorded = Path(path)
        try:
            return self.root / recorded.relative_to(self.state.results_dir)
        except ValueError:
            return recorded

    def lacks(self, what: str, path: str | Path, why: str = "not on disk") -> None:
        """Remember that something the report would show cannot be read."""
        line = f"{what}: {path} ({why})"
        if line not in self.missing:
            self.missing.append(line)

    def dataset(self, key: str) -> Dataset | None:
        """A dataset by its key, if it is on disk."""
        return next((d for d in self.datasets if d.key == key and d.rows is not None), None)

    def added(self, source: Literal["mining", "anomalygen"]) -> Counter[str]:
        """Rows that a source added over all iterations, by upper-cased label."""
        return by_label(*(getattr(phase.record, f"{source}_by_label") for phase in self.phases))

    # -- choices ---------------------------------------------------------------------------------------------------

    def goal_of(self, phase: Phase) -> tuple[Interval | None, float | None]:
        """What the target limits, of a model on the KPI set: with its interval, and as a figure in percent."""
        return phase.interval(self.state.measure), self.state.value(phase.record)

    @property
    def measured(self) -> list[Phase]:
        """The phases that were evaluated, in order."""
        return [p for p in self.phases if p.record.far_pct is not None]

    @property
    def baseline(self) -> Phase | None:
        """The evaluated baseline."""
        return next((p for p in self.measured if p.label == BASELINE), None)

    @cached_property
    def best(self) -> Phase | None:
        """The best phase, as the state tells it."""
        found = self.state.best()
        return None if found is None else next((p for p in self.measured if p.label == found[0]), None)

    @cached_property
    def verdict(self) -> Verdict:
        """What can be said of the run's model against its target."""
        return verdict_of(self.state)

    @cached_property
    def acceptance(self) -> dict[str, Any] | None:
        """What the run's end measured on the acceptance set; the state is what counts."""
        found = self.state.acceptance
        return found if isinstance(found, dict) and isinstance(found.get("best"), dict) else None

    def accepted(self, which: str) -> Accepted | None:
        """The `baseline` or the `best` model on the acceptance set."""
        found = (self.acceptance or {}).get(which)
        if not isinstance(found, dict):
            return None
        try:
            far, recall = (Interval.model_validate(found[key]) for key in ("far", "recall"))
            others = {name: Interval.model_validate(it) for name, it in (found.get("others") or {}).items()}
        except (KeyError, ValueError):
            self.lacks("acceptance result", self.root / STATE_FILE, f"{which} is not complete")
            return None
        own = ((self.acceptance or {}).get("far_at_recall") or {}).get(f"{which}_pct")
        threshold = found.get("threshold")
        label = str(found.get("iteration", BASELINE)) if which == "best" else BASELINE
        return Accepted(
            label,
            float(threshold) if is_number(threshold) else None,
            far,
            recall,
            share(round(own * far.trials / 100), far.trials) if is_number(own) else None,
            others,
        )

    @cached_property
    def decisive(self) -> Decisive | None:
        """The scores on the set that decides; None before a model was measured, or where they are not on disk."""
        found, best, base = self.verdict, self.best, self.baseline
        if found.set is None or found.model is None or best is None:
            return None
        other = base if base is not best else None
        if found.set == ACCEPTANCE:
            own = self._accepted_scores("best" if found.model != BASELINE else "baseline", "best")
            before = self._accepted_scores("baseline", "baseline") if other is not None else None
        else:
            own = _scoring(best.scored, best.record.threshold)
            before = None if other is None else _scoring(other.scored, other.record.threshold)
        return None if own is None else Decisive(found.set, own, before)

    def _accepted_scores(self, folder: str, which: str) -> Scoring | None:
        found = self.accepted(which)
        path = self.root / "acceptance" / folder / "inference.csv"
        try:
            return None if found is None else _scoring(read_scored(path), found.threshold)
        except (BankError, OSError) as error:
            self.lacks(f"acceptance inference of the {which}", path, _why(error))
            return None

    @cached_property
    def best_model(self) -> dict[str, Any] | None:
        """`best_model.json`, if the run has handed a model off."""
        path = self.root / "best_model.json"
        found = self._json(path, "hand-off") if guard.exists(path) else None
        return found if isinstance(found, dict) else None

    @cached_property
    def narrative(self) -> list[str]:
        """The paragraphs of `report_narrative.md`, as plain text."""
        try:
            text = guard.read_text(self.root / NARRATIVE, errors="replace")[:MOST_NARRATIVE]
        except (BankError, OSError):
            return []
        return [block.strip() for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The user's TAO spec, empty where it cannot be read."""
        from tao_skill_bank.data.changenet.spec import load_spec

        path = Path(self.state.config.specs_file)
        try:
            return load_spec(path)
        except (BankError, OSError) as error:
            self.lacks("TAO spec", path, _why(error))
            return {}

    @cached_property
    def lights(self) -> tuple[tuple[str, ...], str]:
        """(lightings in key order, image extension) by the spec."""
        classify = (self.spec.get("dataset") or {}).get("classify") or {}
        lights = classify.get("input_map")
        ext = classify.get("image_ext")
        names = tuple(str(x) for x in lights) if isinstance(lights, (dict, list)) else ()
        return names, str(ext) if ext else ".png"

    # -- reading ---------------------------------------------------------------------------------------------------

    def _target(self) -> Target | None:
        try:
            return self.state.target
        except BankError:
            return None

    def _json(self, path: Path, what: str) -> Any:
        try:
            return json.loads(guard.read_text(path))
        except (BankError, OSError, ValueError, RecursionError) as error:
            self.lacks(what, path, _why(error))
            return None

    def _lines(self) -> list[LogLine]:
        path = log_path(self.root)
        records = {r.seq: line_of(label, r) for label, r in self.state.labelled_records()}
        try:
            found = {line.seq: line for line in read_log(path)}
        except (BankError, OSError) as error:
            self.lacks("log", path, _why(error))
            found = {}
        else:
            if not found and records:
                self.lacks("log", path, "empty" if guard.exists(path) else "not on disk")
        return [line for _, line in sorted({**records, **found}.items())]

    def _datasets(self) -> list[Dataset]:
        config = self.state.config
        wanted = [
            ("training", "Training (base)", config.training_csv),
            ("validation", "Validation", config.validation_csv),
            ("kpi", "KPI", config.kpi_test_csv),
            ("acceptance", "Acceptance", config.acceptance_csv),
            ("pool", "Mining pool", config.mining_pool_csv),
        ]
        return [self._dataset(key, title, path) for key, title, path in wanted if path]

    def _dataset(self, key: str, title: str, path: str) -> Dataset:
        try:
            labels = Counter(read_pairs(self.at(path), required=("label",)).label)
        except (BankError, OSError) as error:
            self.lacks(f"{title} CSV", path, _why(error))
            return Dataset(key, title, path)
        passes = sum(n for label, n in labels.items() if is_pass(label))
        ordered = dict(sorted(labels.items(), key=lambda item: (not is_pass(item[0]), -item[1], item[0])))
        return Dataset(key, title, path, sum(labels.values()), passes, ordered)

    def _phases(self) -> list[Phase]:
        order = sorted(self.state.iterations, key=lambda x: 0 if x == BASELINE else int(x.removeprefix("iter")))
        base = self.state.iterations.get(BASELINE)
        return [self._phase(label, self.state.iterations[label], base) for label in order]

    def _phase(self, label: str, record: Iteration, base: Iteration | None) -> Phase:
        evaluation = record.evaluation
        scored = self._scored(label, record)
        far, recall = (evaluation.far, evaluation.recall) if evaluation else (None, None)
        if evaluation is None and scored is not None and record.threshold is not None:
            far, recall = _intervals(scored, record.threshold)
        counts = record.provenance_counts or {}
        rows = record.training_rows or counts.get("total")
        training = self.dataset("training")
        if rows is None and label == BASELINE and training is not None:
            rows = training.rows
        synthetic = counts.get("synthetic_total", 0 if label == BASELINE and rows is not None else None)
        now, first = self.state.value(record), None if base is None else self.state.value(base)
        delta = None if now is None or first is None or label == BASELINE else now - first
        phase = Phase(label, record, evaluation, far, recall, delta, rows, synthetic, scored)
        if scored is not None:
            phase.figures = label_figures(scored, record.threshold)
        return phase

    def _scored(self, label: str, record: Iteration) -> Scored | None:
        if record.inference_csv is None:
            return None
        path = self.at(record.inference_csv)
        try:
            return read_scored(path)
        except (BankError, OSError) as error:
            self.lacks(f"inference of {label}", path, _why(error))
            return None


def by_label(*counts: Mapping[str, int] | None) -> Counter[str]:
    """Counts of labels added up; a label is the same whatever its case."""
    found: Counter[str] = Counter()
    for one in counts:
        for label, count in (one or {}).items():
            found[label.strip().upper()] += count
    return found


def _scoring(scored: Scored | None, threshold: float | None) -> Scoring | None:
    return None if scored is None or threshold is None else Scoring(scored, threshold)


def label_figures(scored: Scored, threshold: float | None) -> dict[str, LabelFigures]:
    """Figures of every label, keyed by its upper-cased name: PASS first, then the dearest defect first."""
    labels = np.array([label.strip().upper() for label in scored.table.label])
    passes = np.sort(scored.scores[scored.is_pass])
    first: dict[str, str] = {}
    for label in scored.table.label:
        first.setdefault(label.strip().upper(), label.strip())
    found: list[tuple[str, LabelFigures]] = []
    for key, shown in first.items():
        scores = scored.scores[labels == key]
        good = key == "PASS"
        weakest = float(scores.max() if good else scores.min())
        wrong = 0
        if threshold is not None:
            wrong = int(np.count_nonzero(scores > threshold if good else scores <= threshold))
        above = len(passes) - int(np.searchsorted(passes, weakest, side="left"))
        cost = None if good or not len(passes) else 100.0 * above / len(passes)
        found.append((key, LabelFigures(shown, len(scores), wrong, weakest, cost)))
    found.sort(key=lambda item: (item[0] != "PASS", -(item[1].cost_pct or 0.0), item[1].weakest, item[0]))
    return dict(found)


share = Interval.of


def _intervals(scored: Scored, threshold: float) -> tuple[Interval, Interval]:
    flagged = scored.scores > threshold
    fp, passes = int(np.count_nonzero(flagged & scored.is_pass)), int(np.count_nonzero(scored.is_pass))
    tp = int(np.count_nonzero(flagged)) - fp
    return share(fp, passes), share(tp, len(scored.scores) - passes)


def _why(error: Exception) -> str:
    if isinstance(error, BankError):
        return "not on disk" if error.what == "no such file" else error.what
    if isinstance(error, FileNotFoundError):
        return "not on disk"
    return getattr(error, "strerror", None) or "not readable"
