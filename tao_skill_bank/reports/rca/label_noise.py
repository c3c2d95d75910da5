"""Which labels to check first: weak samples that neither their look-alikes nor the model agree with.

The idea of confident learning with two witnesses. The first are the samples that look most like it, by an image
embedding: their vote, weighted by likeness, for the other side of PASS and NO_PASS. The second is the model: how far
the score lies on the wrong side of the threshold, as a logistic curve. Suspicion is the product, so both have to speak
against a label. Where goldens are at hand, what differs from the golden counts three times as much as the picture
itself: a defect is a small difference on a large board. `docs/design/label-noise.md` has the measurements.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import atomic_open

NEIGHBOURS = 20
# From here on a label is worth somebody's time: on real boards nine in ten of these were wrong.
SUSPECT = 0.5
DIFFERENCE_WEIGHT = 3.0
# Beyond this many images the reference is thinned evenly: the ranking needs look-alikes, not every sample.
MOST_IMAGES = 20_000
COLUMNS = ("rank", "filepath", "label", "siamese_score", "weakness", "misclassified", "suspicion", "neighbours")


@dataclass(frozen=True)
class Suspect:
    """A weak sample and what its neighbours say of its label.

    Attributes:
        filepath: The image.
        label: As written in the data, stripped.
        score: The model's score.
        weakness: How far the score lies on the wrong side of the threshold.
        misclassified: The model contradicts the label.
        suspicion: Vote of the look-alikes against the label times the model's, 0..1.
        neighbours: (image, label, similarity) of those on the other side, most alike first.
    """

    filepath: str
    label: str
    score: float
    weakness: float
    misclassified: bool
    suspicion: float
    neighbours: tuple[tuple[str, str, float], ...]


def rank_suspects(
    vectors: npt.NDArray[np.float32],
    filepaths: Sequence[str],
    labels: Sequence[str],
    weak: Sequence[int],
    scores: npt.NDArray[np.float64],
    weakness: npt.NDArray[np.float64],
    misclassified: npt.NDArray[np.bool_],
    k: int = NEIGHBOURS,
) -> list[Suspect]:
    """Rank weak samples by how much their look-alikes and the model contradict their label.

    A neighbour's vote counts as much as it is nearer than the farthest of the k, the farthest a tenth of the nearest.
    The model's is 1 / (1 + exp(-1.5 weakness / s)) with s the standard deviation of all scores, so that it does not
    depend on their scale.

    Args:
        vectors: Float32 [n, d] of length 1, of every sample.
        filepaths: [n].
        labels: [n], stripped.
        weak: Positions of the samples to judge.
        scores: Float64 [n].
        weakness: Float64 [n].
        misclassified: Bool [n].
        k: Neighbours that vote.

    Returns:
        The suspects, most suspicious first; at equal suspicion the weaker ones first. Samples without a contradicting
        neighbour are left out.
    """
    from tao_skill_bank.actions.mining.knn import knn

    if len(vectors) < 2 or not len(weak):
        return []
    passes = np.array([label.upper() == "PASS" for label in labels])
    rows = np.asarray(weak, dtype=np.int64)
    # One more than asked for: each sample finds itself, or an equal twin in its place.
    found, similarity = knn(vectors, vectors[rows], min(k + 1, len(vectors)), "cosine")
    spread = float(scores.std())
    model = 1.0 / (1.0 + np.exp(-1.5 * weakness / spread)) if spread > 0 else np.full(len(scores), 0.5)
    suspects = []
    for row, near, alike in zip(rows.tolist(), found, similarity, strict=True):
        others = (near >= 0) & (near != row)
        near, alike = near[others][:k], alike[others][:k].astype(np.float64)
        votes = _votes(alike)
        against = passes[near] != passes[row]
        if not against.any():
            continue
        suspects.append(
            Suspect(
                filepath=filepaths[row],
                label=labels[row],
                score=float(scores[row]),
                weakness=float(weakness[row]),
                misclassified=bool(misclassified[row]),
                suspicion=float(votes[against].sum() / votes.sum() * model[row]),
                neighbours=tuple(
                    (filepaths[n], labels[n], float(s)) for n, s in zip(near[against], alike[against], strict=True)
                ),
            )
        )
    suspects.sort(key=lambda s: (-round(s.suspicion, 9), -s.weakness, s.filepath))
    return suspects


def _votes(alike: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spread = alike.max() - alike.min()
    return np.ones(len(alike)) if spread <= 0 else 0.1 + 0.9 * (alike - alike.min()) / spread


def with_differences(vectors: npt.NDArray[np.float32], goldens: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors of pictures beside their weighted differences from the goldens: float32 [n, 2 d] of length 1."""
    both = np.concatenate([vectors, DIFFERENCE_WEIGHT * (vectors - goldens)], axis=1)
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
    with atomic_open(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, s in enumerate(suspects, start=1):
            shown = "; ".join(f"{file} ({label}, {alike:.4f})" for file, label, alike in s.neighbours)
            writer.writerow(
                [rank, s.filepath, s.label, s.score, s.weakness, s.misclassified, round(s.suspicion, 6), shown]
            )


def read_suspects(path: Path) -> list[dict[str, str]]:
    """The rows of a ranking written by `write_suspects`; none where there is no file.

    Raises:
        InputError: A file with other columns.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError("has other columns than a label ranking", where=path, fix="run the analysis again")
    return rows
