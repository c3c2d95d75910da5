"""Vectors by cosmos-embed in its container: distinct videos and questions, each once a run, joined by value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.loop.run import JobPlan
from tao_skill_bank.loop.state import iteration_label
from tao_skill_bank.platforms.container import COSMOS_EMBED
from tao_skill_bank.tasks.vlm_bcq import specs
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder, Ready
from tao_skill_bank.tasks.vlm_bcq.state import Run

TABLE = "embeddings.parquet"
HOMES = ("mining", "annotate")
"""Folders of an iteration whose stages embed, in their order."""


def encoder_of(run: Run, label: str, stage: str, out: Path, videos: Sequence[Path], keys: Sequence[str]) -> Encoder:
    """The encoder of a search; where cosmos-embed makes its vectors, those that the run has not yet are made first.

    `out` is the stage's folder; `embeddings.parquet` there holds what is new.

    Raises:
        GateError: Gate `embeddings`: a vector is missing or not finite.
    """
    config = run.state.config
    if not config.embeds():
        return Encoder(config)
    known = [Ready(path, exact=True) for path in _tables(run, label, out)]
    asked = {"video": dict.fromkeys(map(str, videos)), "text": dict.fromkeys(keys)}
    wanted = {
        mode: [value for value in values if all(table.vector(mode, value) is None for table in known)]
        for mode, values in asked.items()
    }
    plans, folders = [], {}
    for mode, values in wanted.items():
        if values:
            folders[mode] = out / "embed" / mode
            spec = specs.write_embed(out / "embed" / f"{mode}.yaml", config, folders[mode], mode, values)
            plans.append(JobPlan(f"embed_{mode}", [COSMOS_EMBED, "inference", "-e", str(spec)], [folders[mode]]))
    run.jobs(label, stage, plans)
    found = {mode: read_vectors(folder, mode, wanted[mode]) for mode, folder in folders.items()}
    if found:
        write_parquet(out / TABLE, _table(wanted, found))
        known.append(Ready(out / TABLE, exact=True))
    return Encoder(config, known)


def read_vectors(folder: Path, mode: str, values: Sequence[str]) -> npt.NDArray[np.float64]:
    """The vectors of `values` in `<folder>/inference/<mode>_embeddings.json` and its array, float64 [n, d].

    Raises:
        GateError: Gate `embeddings`: a file, a value or its row is missing, or a number is not finite.
    """
    path = folder / "inference" / f"{mode}_embeddings.json"

    def fault(what: str, where: Path = path) -> GateError:
        return GateError("embeddings", what, where=where, fix="see the job's log, and run again")

    try:
        told = json.loads(guard.read_text(path))
        npy = path.parent / Path(told["npy_file"]).name
        key = "video_path" if mode == "video" else "text"
        rows = {str(item[key]): int(item["npy_row"]) for item in told["results"]}
    except FileNotFoundError:
        raise fault("was not written") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise fault(f"is no table of npy_file and results with npy_row and {mode}") from None
    missing = [value for value in values if value not in rows]
    if missing:
        shown = ", ".join(map(repr, missing[:3]))
        raise fault(f"{len(values) - len(missing)} of {len(values)} were embedded, missing {shown}")
    try:
        with guard.open_read(npy, "embeddings") as handle:
            array = np.load(handle, allow_pickle=False)
        vectors = np.asarray(array, dtype=np.float64)
    except (OSError, ValueError, TypeError, EOFError):
        raise fault("is no array of numbers", npy) from None
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise fault(f"has the shape {list(vectors.shape)}, and must be rows of vectors", npy)
    places = [rows[value] for value in values]
    outside = [value for value, place in zip(values, places, strict=True) if not 0 <= place < len(vectors)]
    if outside:
        raise fault(f"the row of {outside[0]!r} is not among the {len(vectors)} of {npy.name}")
    found = vectors[places]
    spoiled = [value for value, row in zip(values, found, strict=True) if not np.isfinite(row).all() or not row.any()]
    if spoiled:
        raise fault(f"no finite embedding of {spoiled[0]!r} ({len(spoiled)} in all)", npy)
    return found


def _tables(run: Run, label: str, out: Path) -> list[Path]:
    """What earlier stages embedded, oldest first; a stage's own folder is not among them."""
    labels = [iteration_label(n) for n in range(1, int(label.removeprefix("iter")) + 1)]
    places = [run.folder(one) / home for one in labels for home in HOMES]
    return [place / TABLE for place in places if place != out and guard.is_file(place / TABLE)]


def _table(wanted: Mapping[str, Sequence[str]], found: Mapping[str, npt.NDArray[np.float64]]) -> Any:
    import pyarrow as pa

    rows = [(name, one, mode) for mode, held in found.items() for name, one in zip(wanted[mode], held, strict=True)]
    return pa.table(
        {
            "filepath": pa.array([name for name, _, _ in rows], pa.string()),
            "embedding": pa.array([vector.tolist() for _, vector, _ in rows], pa.list_(pa.float64())),
            "modality": pa.array([mode for _, _, mode in rows], pa.string()),
        }
    )
