"""What looks like what: vectors of a set's pictures, from which come the map, look-alikes and labels to check first.

They are made once a set, in the background, and kept for as long as the page runs; nothing waits for them.
"""

from __future__ import annotations

import contextvars
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core.errors import BankError
from tao_skill_bank.reports.rca import label_noise
from tao_skill_bank.studio import samples
from tao_skill_bank.studio.sheets import Sheet
from tao_skill_bank.studio.sources import RunSources, Source

BATCH = 128
MOST_LISTED = 500
_TURNS = 20


@dataclass
class Vectors:
    """The work on one set.

    Attributes:
        done, total: Pictures looked at, and how many there are to look at.
        problem: Why there will be none.
        rows: int64 [n], the rows of the file that have vectors.
        vectors: float32 [n, d] of length 1; None while they are made.
        flat: float32 [n, 2], the two directions in which they differ most, within -1..1.
    """

    done: int = 0
    total: int = 0
    problem: str | None = None
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: npt.NDArray[np.float32] | None = None
    flat: npt.NDArray[np.float32] | None = None
    encoder: str = ""
    ready: threading.Event = field(default_factory=threading.Event)


class Likeness:
    """Starts the work when somebody asks, and tells how far it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Vectors] = {}
        self._suspects: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def of(self, sources: RunSources, source: Source, sheet: Sheet) -> Vectors:
        """The vectors of a set, begun if they are not there; look at `ready`, `done` and `total`."""
        key = _key(sources, source, sheet)
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = Vectors()
                context = contextvars.copy_context()
                work = threading.Thread(
                    target=context.run, args=(_make, found, sources, source, sheet), daemon=True, name="likeness"
                )
                work.start()
            return found

    def known(self, sources: RunSources, source: Source, sheet: Sheet) -> Vectors | None:
        """The vectors of a set, as far as somebody asked for them before."""
        with self._lock:
            return self._found.get(_key(sources, source, sheet))

    def suspects(self, sources: RunSources, source: Source, sheet: Sheet, vectors: Vectors) -> list[dict[str, Any]]:
        """Samples whose label their look-alikes and the model contradict, most suspicious first."""
        key = (sheet.digest, source.iteration)
        with self._lock:
            if key in self._suspects:
                return self._suspects[key]
        made = _suspects(source, sheet, vectors)
        with self._lock:
            self._suspects[key] = made
        return made


def _key(sources: RunSources, source: Source, sheet: Sheet) -> str:
    # Every model's scores of a set are of the same pictures.
    return f"{sources.folder}/{source.set}/{len(sheet)}/{source.iteration if source.set == 'training' else ''}"


def _make(found: Vectors, sources: RunSources, source: Source, sheet: Sheet) -> None:
    from tao_skill_bank.actions.mining.encoders import LOCAL, get_encoder

    try:
        rows = [int(r) for r in label_noise.reference_rows(len(sheet), _hardest(source, sheet))]
        table = sheet.table
        paths, goldens, names = table.column("input_path"), table.column("golden_path"), table.column("object_name")
        files: list[tuple[int, Path, Path]] = []
        found.total = len(rows)
        for row in rows:
            image = sources.picture(source, paths[row], names[row], 0)
            golden = sources.picture(source, goldens[row], names[row], 0)
            if image is not None and golden is not None:
                files.append((row, image, golden))
        if len(files) < 3:
            raise BankError("the pictures of this set were not found, so they could not be compared", where=source.csv)
        found.total = len(files)
        encoder = get_encoder(LOCAL)
        known: dict[Path, int] = {}
        for _, _, golden in files:
            known.setdefault(golden, len(known))
        golden_vectors = np.concatenate([encoder.encode(part) for part in _parts(list(known))])
        made = []
        for part in _parts(files):
            made.append(encoder.encode([image for _, image, _ in part]))
            found.done += len(part)
        other = golden_vectors[[known[golden] for _, _, golden in files]]
        vectors = label_noise.with_differences(np.concatenate(made), other)
        found.rows = np.array([row for row, _, _ in files], dtype=np.int64)
        found.flat = flattened(vectors)
        found.encoder = encoder.name
        found.vectors = vectors
    except (BankError, OSError) as error:
        found.problem = error.line() if isinstance(error, BankError) else str(error)
    finally:
        found.ready.set()


def _parts(files: list[Any]) -> list[list[Any]]:
    return [files[at : at + BATCH] for at in range(0, len(files), BATCH)]


def _hardest(source: Source, sheet: Sheet, most: int = 2000) -> list[int]:
    """Rows that the model is most wrong about: they are compared whatever else is left out."""
    if sheet.scores is None or source.threshold is None:
        return []
    beyond = np.where(sheet.is_pass, sheet.scores - source.threshold, source.threshold - sheet.scores)
    return [int(r) for r in sheet.order[np.argsort(-beyond, kind="stable")[:most]]]


def flattened(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [n, 2] within -1..1: the two directions in which vectors [n, d] differ most (principal components)."""
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    # Subspace iteration: of thousands of directions only the first two are asked for.
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((centred.shape[1], 6)))[0].astype(np.float32)
    for _ in range(_TURNS):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    ahead = centred @ basis
    flat = ahead @ np.linalg.eigh(ahead.T @ ahead)[1][:, :-3:-1]
    # A few that lie far out must not press the rest into a dot.
    scale = np.maximum(np.quantile(np.abs(flat), 0.99, axis=0), 1e-12)
    bounded: npt.NDArray[np.float32] = np.clip(flat / (1.05 * scale), -1, 1).astype(np.float32)
    return bounded


def nearest(vectors: Vectors, row: int, k: int = 8) -> list[tuple[int, float]]:
    """(row, likeness) of those that look most like a row; none where it has no vector."""
    at = np.flatnonzero(vectors.rows == row)
    if vectors.vectors is None or not len(at):
        return []
    alike = vectors.vectors @ vectors.vectors[at[0]]
    alike[at[0]] = -np.inf
    order = np.argsort(-alike, kind="stable")[:k]
    return [(int(vectors.rows[i]), float(alike[i])) for i in order]


def _suspects(source: Source, sheet: Sheet, vectors: Vectors) -> list[dict[str, Any]]:
    if sheet.scores is None or source.threshold is None or vectors.vectors is None:
        return []
    place = sheet.place
    scores = sheet.scores[place]
    good = sheet.is_pass[place]
    votes = label_noise.model_votes(scores, good)
    judged = label_noise.rows_to_judge(votes, sheet.label.codes[place].astype(np.int64))
    weakness = np.where(good, scores - source.threshold, source.threshold - scores)
    wrong = (scores > source.threshold) == good
    at = {int(row): n for n, row in enumerate(vectors.rows)}
    ranked = label_noise.rank_suspects(
        vectors.vectors,
        [str(row) for row in vectors.rows],
        [sheet.label.values[sheet.label.codes[place[row]]] for row in vectors.rows],
        [at[row] for row in judged if row in at],
        scores[vectors.rows],
        weakness[vectors.rows],
        wrong[vectors.rows],
        model=votes[vectors.rows],
    )
    rows = samples.rows(sheet, [int(s.filepath) for s in ranked[:MOST_LISTED]])
    return [
        {
            **row.model_dump(),
            "suspicion": suspect.suspicion,
            "look_alikes": suspect.look_alikes,
            "model": suspect.model,
            "doubtful": suspect.doubtful,
            "wrong": suspect.misclassified,
            "neighbours": [
                {"row": int(file), "label": label, "likeness": likeness}
                for file, label, likeness in suspect.neighbours[:6]
            ],
        }
        for row, suspect in zip(rows, ranked, strict=False)
    ]
