"""Which labels to check first: samples that neither the other samples' pictures nor the model agree with.

The idea of confident learning with two witnesses. The first are the pictures: a linear rule that parts PASS from
NO_PASS by an image embedding, fitted to all samples but the one it judges. The second is the model: how far the score
lies beyond the point at which PASS and NO_PASS part best, as a logistic curve. That point is not the operating
threshold: where every defect has to be caught, a wrongly labelled one pulls the threshold below itself and would
excuse itself. Suspicion is the product, so both have to speak against a label. Where goldens are at hand, what differs
from the golden counts three times as much as the picture itself, with its sign and without: a defect is a small
difference on a large board, wherever it lies. Beside each suspect stand the samples of the other side that look most
like it. `docs/design/label-noise.md` has the measurements.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.sheets import plain, write_sheet
from tao_skill_bank.metrics import parting_scores
from tao_skill_bank.metrics.left_out import left_out_margins

NEIGHBOURS = 20
# From here on a label is worth somebody's time: on real boards nine in ten of these were wrong.
SUSPECT = 0.5
DIFFERENCE_WEIGHT = 3.0
# Beyond this many images the reference is thinned evenly: the ranking needs look-alikes, not every sample.
MOST_IMAGES = 20_000
# Judged are the weakest of each label, and whatever the model contradicts up to a limit.
WEAKEST_EACH = 50
MOST_JUDGED = 2_000
EARLIER_COLUMNS = ("rank", "filepath", "label", "siamese_score", "weakness", "misclassified", "suspicion", "neighbours")
COLUMNS = (*EARLIER_COLUMNS[:-1], "look_alikes", "model", "neighbours")


@dataclass(frozen=True)
class Suspect:
    """A sample and what the other samples' pictures and the model say of its label.

    Attributes:
        label: As written in the data, stripped.
        weakness: How far the score lies on the wrong side of the threshold.
        misclassified: It lies on the wrong side of the threshold.
        suspicion: Vote of the pictures against the label times the model's, 0..1; the model's alone where no
            pictures were at hand.
        model: The model's vote against the label, 0..1; from 0.5 on it contradicts the label.
        look_alikes: That of the pictures, 0..1; None where they were not at hand.
        neighbours: (image, label, similarity) of those on the other side, most alike first.
    """

    filepath: str
    label: str
    score: float
    weakness: float
    misclassified: bool
    suspicion: float
    model: float
    look_alikes: float | None
    neighbours: tuple[tuple[str, str, float], ...]

    @property
    def doubtful(self) -> bool:
        """Both witnesses speak against the label, so that it is worth somebody's time."""
        return self.look_alikes is not None and self.suspicion >= SUSPECT


def model_votes(scores: npt.NDArray[np.float64], is_pass: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How much each score speaks against its label, float64 [n] in 0..1, whatever recall is asked for.

    1 / (1 + exp(-1.5 d / s)): d is how far the score lies on the other side of the point where PASS and NO_PASS part
    best among all other samples, s the standard deviation of all scores, so that it does not depend on their scale.
    Half, which decides nothing, where a class is missing or the scores part nothing.
    """
    spread = float(scores.std()) if len(scores) else 0.0
    if not spread > 0:
        return np.full(len(scores), 0.5)
    at = parting_scores(scores, is_pass)
    beyond = np.where(np.isnan(at), 0.0, np.where(is_pass, scores - at, at - scores))
    votes: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-1.5 * beyond / spread))
    return votes


def picture_votes(vectors: npt.NDArray[np.float32], is_pass: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How much the pictures of all other samples speak against each label, float64 [n] in 0..1.

    1 / (1 + exp(-4 m)): m is the margin of `left_out_margins`. Half where they cannot tell.
    """
    votes: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-4.0 * left_out_margins(vectors, is_pass)))
    return votes


def rows_to_judge(
    votes: npt.NDArray[np.float64], codes: npt.NDArray[np.integer[Any]], each: int = WEAKEST_EACH
) -> list[int]:
    """Which samples to judge, ascending: those that the model contradicts, and of each label the weakest.

    Args:
        votes: Float64 [n] of `model_votes`.
        codes: Integers [n], the label of each sample.
        each: How many of each label at least.
    """
    from tao_skill_bank.actions.gap_analysis.vcn_select import ordered, weakest

    against = ordered(votes, np.flatnonzero(votes > 0.5))[:MOST_JUDGED]
    return sorted({*against.tolist(), *weakest(votes, codes, each).tolist()})


def rank_suspects(
    vectors: npt.NDArray[np.float32] | None,
    filepaths: Sequence[str],
    labels: Sequence[str],
    weak: Sequence[int],
    scores: npt.NDArray[np.float64],
    weakness: npt.NDArray[np.float64],
    misclassified: npt.NDArray[np.bool_],
    k: int = NEIGHBOURS,
    model: npt.NDArray[np.float64] | None = None,
) -> list[Suspect]:
    """Rank samples by how much the other samples' pictures and the model contradict their label.

    The pictures' vote is that of `picture_votes`, the model's that of `model_votes`; neither depends on the threshold.

    Args:
        vectors: Float32 [n, d] of length 1, of every sample; None where no picture is at hand: then the model ranks
            them alone, which cannot tell a wrong label from a hard sample.
        filepaths: [n].
        labels: [n], stripped.
        weak: Positions of the samples to judge.
        scores: Float64 [n].
        weakness: Float64 [n], at the threshold, to be shown.
        misclassified: Bool [n], at the threshold, to be shown.
        k: Neighbours among which those of the other side are shown.
        model: Float64 [n] of `model_votes`, where these samples are a part of the set; by default it is taken of them.

    Returns:
        The suspects, most suspicious first; at equal suspicion those first that the model contradicts most. Samples
        that the pictures agree with, and that no neighbour contradicts, are left out; without pictures those that the
        model does not contradict.
    """
    from tao_skill_bank.actions.mining.knn import knn

    if not len(weak) or (vectors is not None and len(vectors) < 2):
        return []
    passes = np.array([label.upper() == "PASS" for label in labels])
    votes = model_votes(scores, passes) if model is None else model

    def suspect(row: int, share: float | None, neighbours: tuple[tuple[str, str, float], ...] = ()) -> Suspect:
        return Suspect(
            filepath=filepaths[row],
            label=labels[row],
            score=float(scores[row]),
            weakness=float(weakness[row]),
            misclassified=bool(misclassified[row]),
            suspicion=float(votes[row]) * (1.0 if share is None else share),
            model=float(votes[row]),
            look_alikes=share,
            neighbours=neighbours,
        )

    if vectors is None:
        return _ranked([suspect(row, None) for row in weak if votes[row] > 0.5])
    rows = np.asarray(weak, dtype=np.int64)
    # One more than asked for: each sample finds itself, or an equal twin in its place.
    found, similarity = knn(vectors, vectors[rows], min(k + 1, len(vectors)), "cosine")
    pictures = picture_votes(vectors, passes)
    suspects = []
    for row, near, alike in zip(rows.tolist(), found, similarity, strict=True):
        others = (near >= 0) & (near != row)
        near, alike = near[others][:k], alike[others][:k]
        against = passes[near] != passes[row]
        share = float(pictures[row])
        if share > 0.5 or against.any():
            beside = zip(near[against], alike[against], strict=True)
            suspects.append(suspect(row, share, tuple((filepaths[n], labels[n], float(s)) for n, s in beside)))
    return _ranked(suspects)


def _ranked(suspects: list[Suspect]) -> list[Suspect]:
    return sorted(suspects, key=lambda s: (-round(s.suspicion, 9), -round(s.model, 9), s.filepath))


def with_differences(vectors: npt.NDArray[np.float32], goldens: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors of pictures beside their weighted differences from the goldens, signed and not.

    Float32 [n, 3 d] of length 1.
    """
    apart = DIFFERENCE_WEIGHT * (vectors - goldens)
    both = np.concatenate([vectors, apart, np.abs(apart)], axis=1)
    length = np.linalg.norm(both, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (both / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def reference_rows(total: int, weak: Sequence[int], most: int = MOST_IMAGES) -> npt.NDArray[np.int64]:
    """Which samples to embed: all, or the weak ones and an even selection of the others; ascending."""
    if total <= most:
        return np.arange(total)
    even = np.linspace(0, total - 1, max(2, most - len(weak))).round().astype(np.int64)
    return np.array(sorted({*even.tolist(), *weak}), dtype=np.int64)


def write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write the ranking as CSV; `neighbours` holds `image (label, similarity)`, separated by `; `."""

    def row(rank: int, s: Suspect) -> list[Any]:
        shown = "; ".join(f"{file} ({label}, {alike:.4f})" for file, label, alike in s.neighbours)
        alike = None if s.look_alikes is None else round(s.look_alikes, 6)
        found = [rank, s.filepath, s.label, s.score, s.weakness, s.misclassified, round(s.suspicion, 6), alike]
        return [*found, round(s.model, 6), shown]

    write_sheet(path, COLUMNS, map(row, count(1), suspects))


def read_suspects(path: Path) -> list[dict[str, str]]:
    """The rows of a ranking written by `write_suspects`; none where there is no file.

    A file of an earlier version has no votes: there the model's was which side of the threshold the score lay on.

    Raises:
        InputError: A file with other columns.
    """
    if not guard.is_file(path):
        return []
    with guard.open_text(path, newline="") as handle:
        reader = csv.DictReader(handle)
        rows = [{name: plain(cell or "") for name, cell in row.items()} for row in reader]
        if tuple(reader.fieldnames or ()) == EARLIER_COLUMNS:
            return [
                {**r, "look_alikes": r["suspicion"], "model": "1" if r["misclassified"] == "True" else "0"}
                for r in rows
            ]
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError("has other columns than a label ranking", where=path, fix="run the analysis again")
    return rows
