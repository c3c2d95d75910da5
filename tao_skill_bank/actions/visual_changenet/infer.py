"""`visual_changenet inference` and `evaluate`: score the rows of a CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank import metrics
from tao_skill_bank.actions.visual_changenet import checkpoint
from tao_skill_bank.actions.visual_changenet.images import PairSet, open_set, read_images
from tao_skill_bank.actions.visual_changenet.network import logits, probabilities
from tao_skill_bank.actions.visual_changenet.options import Options, workers
from tao_skill_bank.actions.visual_changenet.train import check_amount, check_lights
from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.threads import ThreadPool, one_blas_thread
from tao_skill_bank.data.changenet.tables import write_pairs
from tao_skill_bank.data.pictures.decode import bomb_warnings_as_errors

INFERENCE_CSV = "inference.csv"
EVALUATION = "evaluate.json"
SCORE = "siamese_score"
BLOCK = 128


@dataclass(frozen=True)
class InferResult:
    """A finished inference: its CSV, and the number of rows."""

    csv: Path
    rows: int


def infer(options: Options) -> InferResult:
    """Score `dataset.classify.infer_dataset` with `inference.checkpoint`.

    Writes `<inference.results_dir>/inference.csv`: the columns of the CSV in their order, and `siamese_score`, the
    probability of NO_PASS, with every digit it has. Labels are carried along, not read: any spelling will do.

    Raises:
        InputError: A checkpoint that cannot be used, fewer rows than a batch, a missing or damaged image.
    """
    model, _ = _model(options, "inference.checkpoint")
    pairs = open_set(*options.dataset("infer_dataset"), options.spec.naming, check_labels=False)
    check_amount(pairs.table.path, len(pairs), options.spec.batch_size, ": TAO stops on this too")
    if SCORE in pairs.table.names:
        raise InputError(
            f"has a column {SCORE} already",
            where=pairs.table.path,
            fix="give the CSV without the scores of an earlier run",
        )
    scores = score(model, pairs)
    csv = options.results_dir("inference") / INFERENCE_CSV
    write_pairs(csv, {**pairs.table.columns, SCORE: [repr(float(value)) for value in scores]})
    return InferResult(csv, len(pairs))


def evaluate(options: Options) -> tuple[Path, dict[str, object]]:
    """Measure `evaluate.checkpoint` on `test_dataset`, or on `infer_dataset` where no test set is given.

    Writes `<evaluate.results_dir>/evaluate.json` and returns its path and content: rates in percent at
    `model.classify.eval_margin`, and the threshold and FAR at a recall of 100 % and 99 % (null without defects).
    """
    model, path = _model(options, "evaluate.checkpoint")
    name = "test_dataset" if options.value("dataset.classify.test_dataset.csv_path") else "infer_dataset"
    pairs = open_set(*options.dataset(name), options.spec.naming)
    check_amount(pairs.table.path, len(pairs), options.spec.batch_size, ": TAO stops on this too")
    scores = score(model, pairs)
    is_pass = ~pairs.is_defect
    at_margin = metrics.confusion_at(scores, is_pass, options.spec.eval_margin)
    content: dict[str, object] = {
        "checkpoint": str(path),
        "csv": str(pairs.table.path),
        "rows": len(pairs),
        "no_pass_rows": int(pairs.is_defect.sum()),
        "eval_margin": options.spec.eval_margin,
        "test_acc": 100.0 * at_margin.accuracy,
        "test_fpr": 100.0 * at_margin.far,
        "test_fnr": 100.0 * (1.0 - at_margin.recall) if pairs.is_defect.any() else 0.0,
        "defect_acc": 100.0 * at_margin.recall,
    }
    for recall in (1.0, 0.99):
        point = metrics.far_at_recall(scores, is_pass, recall)
        content[f"recall_{100 * recall:.0f}"] = (
            None if point is None else {"threshold": point.threshold, "far_pct": 100.0 * point.far, "fp": point.fp}
        )
    out = options.results_dir("evaluate") / EVALUATION
    fsio.write_json(out, content)
    return out, content


def score(model: checkpoint.Checkpoint, pairs: PairSet) -> npt.NDArray[np.float64]:
    """The probability of NO_PASS of every row, [rows]: by the mean logit over 8 symmetric views.

    Rows are read and scored in blocks, so memory does not grow with the CSV.
    """

    def block(start: int) -> npt.NDArray[np.float64]:
        rows = range(start, min(start + BLOCK, len(pairs)))
        return logits(model.network, read_images(pairs, model.architecture.channels, rows))

    with one_blas_thread(), bomb_warnings_as_errors(), ThreadPool(workers()) as pool:
        parts = list(pool.map(block, range(0, len(pairs), BLOCK)))
    return probabilities(np.concatenate(parts))


def _model(options: Options, key: str) -> tuple[checkpoint.Checkpoint, Path]:
    path = options.path(key)
    model = checkpoint.load(path)
    check_lights(model, options, path)
    return model, path
