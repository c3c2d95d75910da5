"""What a certificate is about: a model's scores on a set, the threshold that was frozen before, who trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import sha256_file
from tao_skill_bank.data.score_files import ScoreFile, finite_threshold, read_score_file
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.judging import ACCEPTANCE, KPI
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.tasks.changenet.measures import was_seen
from tao_skill_bank.tasks.changenet.metric import GRAMMAR, best_point
from tao_skill_bank.tasks.changenet.state import Iteration, State
from tao_skill_bank.tasks.changenet.trained import known
from tao_skill_bank.tasks.registry import load_state

FROZEN, CHOSEN_HERE = "frozen before", "chosen on these rows"


@dataclass(frozen=True)
class Subject:
    """A model, a threshold and the scores it is judged by.

    Attributes:
        threshold: A part is called a defect if and only if its score lies above it.
        target: What was asked.
        set_name: `acceptance set`, `KPI set` or the file's name.
        independent: Whether nothing that chose model or threshold has seen these rows; None where only whoever made
            the file knows.
        threshold_from: Where the threshold comes from.
        trained: Who trained the model, as far as it is recorded.
        data_sha256: Content digest of the file of scores.
        run: The run folder, where the subject is one.
        model: The run's iteration.
    """

    scores: ScoreFile
    threshold: float
    target: Target
    set_name: str
    independent: bool | None
    threshold_from: str
    trained: Trained
    data_sha256: str
    run: Path | None = None
    model: str | None = None


def subject_of(
    path: Path, target: str | None = None, threshold: float | None = None, score: str | None = None
) -> Subject:
    """The subject in a run folder or a file of scores.

    Args:
        path: A run folder (its best model on the acceptance set, else on the KPI set), or a file of scores.
        target: What is asked; default: the run's own target.
        threshold: The frozen threshold; default: the run's, or of a file the one its own rows would choose, which shows
            nothing.
        score: The column of a file's scores.

    Raises:
        InputError: Nothing that can be certified; no target; a threshold that is not finite.
    """
    if threshold is not None:
        finite_threshold(threshold)
    if guard.is_folder(path):
        return _of_run(path, target, threshold, score)
    if target is None:
        raise InputError("no target", where=path, fix='give --target "FAR < 1% at recall=99%"')
    asked = GRAMMAR.parse(target, where="--target")
    scores = read_score_file(path, score)
    origin, independent = FROZEN, None
    if threshold is None:
        point = best_point(scores.score, scores.is_pass, asked)
        if point is None:
            raise InputError("no threshold keeps what is asked on these rows", where=path, fix="give --threshold")
        threshold, origin, independent = point.threshold, CHOSEN_HERE, False
    return Subject(scores, threshold, asked, path.name, independent, origin, Trained(), sha256_file(path))


@dataclass(frozen=True)
class InUse:
    """What a run handed on: its threshold, what was asked, who trained, the spec it trained with."""

    threshold: float
    target: Target
    trained: Trained
    training_spec: Path


def run_in_use(folder: Path) -> InUse:
    """What is in use of a run.

    Raises:
        InputError: No run with a score threshold there, or nothing was measured yet.
    """
    state, _label, iteration = _best(folder)
    assert iteration.threshold is not None
    spec = Path(iteration.training_spec or state.config.specs_file)
    return InUse(iteration.threshold, state.target, known(state, iteration), spec)


def scores_and_threshold(path: Path, score: str | None = None) -> tuple[ScoreFile, float | None]:
    """The scores of a file (no threshold is known then), or those of a run's best model and its frozen threshold.

    Raises:
        InputError: Nothing that can be read.
    """
    if not guard.is_folder(path):
        return read_score_file(path, score), None
    found = _of_run(path, None, None, score)
    return found.scores, found.threshold


def _best(folder: Path) -> tuple[State, str, Iteration]:
    state = load_state(folder)
    if not isinstance(state, State):
        raise InputError(
            "is a run of a task without a score threshold", where=folder, fix="name a file of scores instead"
        )
    best = state.best()
    if best is None or best[1].threshold is None:
        raise InputError("no model was measured", where=folder, fix="let the run go on first")
    return state, *best


def _of_run(folder: Path, target: str | None, threshold: float | None, score: str | None) -> Subject:
    state, label, iteration = _best(folder)
    frozen = iteration.threshold
    csv = folder / "acceptance" / ("baseline" if label == "baseline" else "best") / "inference.csv"
    accepted: Any = state.acceptance
    on_acceptance = accepted is not None and guard.is_file(csv)
    if not on_acceptance:
        if iteration.inference_csv is None:
            raise InputError("no scores of the best model", where=folder, fix="name a file of scores instead")
        csv = Path(iteration.inference_csv)
    if threshold is not None and threshold != frozen:
        origin: str = "given; the run froze another"
    else:
        origin = f"{FROZEN}, by {label} on the KPI set"
    assert frozen is not None
    return Subject(
        scores=read_score_file(csv, score),
        threshold=frozen if threshold is None else threshold,
        target=state.target if target is None else GRAMMAR.parse(target, where="--target"),
        set_name=ACCEPTANCE if on_acceptance else KPI,
        independent=on_acceptance and not was_seen(state),
        threshold_from=origin,
        trained=known(state, iteration),
        data_sha256=sha256_file(csv),
        run=folder,
        model=label,
    )
