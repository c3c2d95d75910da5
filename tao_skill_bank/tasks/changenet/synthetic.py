"""Synthetic defects: the customer's pre-generated pairs, staged once a run; and a local stand-in for the generator.

The stand-in is no generator: it cuts a defect out of one of the run's own NG training samples (where it differs from
its golden) and lays it on a PASS training sample. Its rows are labelled as synthetic, like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import GateError, InputError, StageFailedError
from tao_skill_bank.data.changenet.guardrail import TABLE, left_out
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.pair_prepare import PAIR_COLUMNS, SUMMARY_FILE, pair_files, pair_label, prepare_pairs
from tao_skill_bank.data.changenet.sample_book import TRAINING
from tao_skill_bank.data.changenet.tables import PASS, PairTable, read_pairs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.generator import NG_DIR, OK_DIR, find_assets
from tao_skill_bank.tasks.changenet.sets import corrected

POOL_DIR = "synth_pool"
SUBDIR = "pregen"
_DIFFERENCE_SHARE = 0.35


class PooledPair(BaseModel):
    """One staged pair: its file stem, label, and the digests of its two source files."""

    stem: str
    label: str
    ng_sha256: str
    ok_sha256: str


class Manifest(BaseModel):
    """What was staged, so that a change during the run is seen; and the pairs that are never taken, with the reason."""

    source: str
    pairs: list[PooledPair]
    left_out: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class SynthPool:
    """The staged pairs of a run: `rows[i]` (14 columns, folders relative to `root`) belongs to `pairs[i]`."""

    root: Path
    manifest: Manifest
    rows: PairTable


def stage_pool(run_root: Path, source: Path, naming: ImageNaming) -> SynthPool:
    """Stage and digest the customer's pairs, once a run; later calls check that the source has not changed.

    Args:
        run_root: The run folder; the pool goes to `synth_pool/` in it.
        source: The folder with `reconstructed_image/` (NG) and `original_image/` (OK).
        naming: How staged images are called.

    Raises:
        GateError: A folder is missing or empty, a stem has no partner, or the pairs changed since they were staged.
    """
    pool = run_root / POOL_DIR
    manifest = verify_pairs(source)
    if guard.is_file(pool / "manifest.json"):
        staged = Manifest.model_validate_json(guard.read_bytes(pool / "manifest.json"))
        usable = [i for i, pair in enumerate(staged.pairs) if pair.stem not in manifest.left_out]
        if [staged.pairs[i] for i in usable] != manifest.pairs:
            raise GateError(
                "pregen-changed",
                "the pre-generated pairs changed during the run",
                where=source,
                fix="restore them, or start a new run",
            )
    else:
        building = run_root / f"{POOL_DIR}.building"
        guard.remove_tree(building)
        guard.make_folder(building)
        prepare_pairs(
            input_dir=source / NG_DIR,
            golden_dir=source / OK_DIR,
            images_dir=building,
            subdir=SUBDIR,
            lights=naming.lights,
            image_ext=naming.image_ext,
            output_csv=building / "rows.csv",
        )
        _name_final(building / SUMMARY_FILE, building, pool)
        fsio.write_json(building / "manifest.json", manifest.model_dump())
        guard.rename(building, pool)
        fsio.fsync_dir(run_root)
        usable = list(range(len(manifest.pairs)))
        staged = manifest
    rows = read_pairs(pool / "rows.csv")
    if len(rows) != len(staged.pairs):
        raise StageFailedError("the staged pairs do not match their manifest", where=pool, fix="start a new run")
    # Runs that staged their pairs before guardrails were read have staged the blocked ones too.
    return SynthPool(pool, manifest, rows if len(usable) == len(rows) else rows.take(usable))


def _name_final(summary: Path, building: Path, pool: Path) -> None:
    """Let the summary of the preparation name the folder that the pool is about to have."""
    said = json.loads(guard.read_text(summary))
    for key in ("images_dir", "output_csv"):
        said[key] = str(pool / Path(said[key]).relative_to(building))
    fsio.write_json(summary, said)


def pregen_labels(source: Path) -> list[str]:
    """The labels (upper-cased, sorted) of the pairs that can be trained on; empty without pairs."""
    if not guard.is_folder(source / NG_DIR):
        return []
    return sorted({pair.label.upper() for pair in verify_pairs(source).pairs})


def verify_pairs(source: Path) -> Manifest:
    """The pairs that can be trained on, and those that cannot; refuses a folder that is missing, empty or unpaired."""
    for name in (NG_DIR, OK_DIR):
        folder = source / name
        if not guard.is_folder(folder) or not any(guard.children(folder)):
            raise GateError(
                "pregen-missing", "no pre-generated images here", where=folder, fix="put NG/OK pairs there, by stem"
            )
    try:
        pairs = pair_files(source / NG_DIR, source / OK_DIR)
        blocked = left_out(pairs, source / TABLE)
    except InputError as error:
        raise GateError(
            "pregen-unpaired", error.what, where=error.where, fix=error.fix or "complete the pairs"
        ) from None
    if len(blocked) == len(pairs):
        stem, why = next(iter(blocked.items()))
        what = f"none of {len(pairs)} pairs can be trained on, first {stem}: {why}"
        raise GateError("pregen-missing", what, where=source, fix="put others there")
    return Manifest(
        source=str(source),
        pairs=[
            PooledPair(
                stem=ng.stem, label=pair_label(ng), ng_sha256=fsio.sha256_file(ng), ok_sha256=fsio.sha256_file(ok)
            )
            for ng, ok in pairs
            if ng.stem not in blocked
        ],
        left_out=blocked,
    )


def make_standins(
    training: PairTable,
    root: Path,
    naming: ImageNaming,
    labels: Sequence[str],
    count: int,
    folder: Path,
    seed: Sequence[int],
) -> PairTable:
    """Cut defects out of NG training samples and lay them on PASS samples (a stand-in for the generator).

    Args:
        training: The training rows; only these are cut from, never an evaluation set.
        root: Where their images lie.
        naming: Lights and extension.
        labels: Upper-cased labels wanted; those the training set lacks give nothing.
        count: How many pairs in all, spread evenly over the labels.
        folder: Images go to `standin_ng/` and `standin_ok/` in it.
        seed: Numbers that decide every choice.

    Returns:
        The rows, folders relative to `folder`.
    """
    rng = np.random.default_rng(list(seed))
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(training.label):
        by_label.setdefault(label.strip().upper(), []).append(row)
    passes = by_label.get(PASS, [])
    wanted = sorted({x.upper() for x in labels} & set(by_label) - {PASS})
    columns: dict[str, list[str]] = {name: [] for name in PAIR_COLUMNS}
    for made in range(count if passes and wanted else 0):
        label = wanted[made % len(wanted)]
        ng_row = by_label[label][int(rng.integers(len(by_label[label])))]
        ok_row = passes[int(rng.integers(len(passes)))]
        name = f"STANDIN+{label.lower()}_{made:05d}"
        _write_standin(training, root, naming, ng_row, ok_row, folder, name)
        values = {
            "input_path": "standin_ng/",
            "golden_path": "standin_ok/",
            "label": label.lower(),
            "object_name": name,
            "project": "local_standin",
            "description": "synthetic: cut from an NG training sample",
        }
        for column in PAIR_COLUMNS:
            columns[column].append(values.get(column, ""))
    return PairTable(folder / "sdg_rows.csv", columns)


def _write_standin(
    table: PairTable, root: Path, naming: ImageNaming, ng_row: int, ok_row: int, folder: Path, name: str
) -> None:
    from PIL import Image

    def pixels(file: Path) -> npt.NDArray[np.float32]:
        with guard.open_read(file, "image") as handle, Image.open(handle) as image:
            return np.asarray(image.convert("RGB"), dtype=np.float32)

    def load(row: int, side: str) -> list[npt.NDArray[np.float32]]:
        folders: Mapping[str, list[str]] = {"input": table.input_path, "golden": table.golden_path}
        files = naming.files(root, folders[side][row], table.object_name[row])
        return [pixels(f) for f in files]

    ng, ng_golden = load(ng_row, "input"), load(ng_row, "golden")
    ok, ok_golden = load(ok_row, "input"), load(ok_row, "golden")
    difference = np.max([np.abs(a - b).max(axis=2) for a, b in zip(ng, ng_golden, strict=True)], axis=0)
    mask = difference > _DIFFERENCE_SHARE * max(float(difference.max()), 1.0)
    mask = _grown(_grown(mask))
    for index, suffix in enumerate(naming.suffixes):
        base = ok[index].copy()
        height, width = min(base.shape[0], mask.shape[0]), min(base.shape[1], mask.shape[1])
        inside = mask[:height, :width]
        base[:height, :width][inside] = ng[index][:height, :width][inside]
        for kind, values in (("standin_ng", base), ("standin_ok", ok_golden[index])):
            with fsio.atomic_file(folder / kind / f"{name}{suffix}") as handle:
                kind_of = Image.registered_extensions()[suffix[suffix.rindex(".") :].lower()]
                Image.fromarray(values.astype(np.uint8)).save(handle, format=kind_of)


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask, one pixel wider."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def generator_labels(config: RunConfig) -> list[str]:
    """What the generator can make: by its setting, the pairs that are there, or the run's own defects.

    Inline, a defect that is set but that the generator was not fine-tuned on is not among them: its weak samples would
    be routed there and come to nothing.
    """
    mode = config.anomalygen.mode
    if mode == "inline":
        made = {PASS, *(d.label for d in find_assets(config).defects)}
        return [label for label in config.anomalygen.labels if label.strip().upper() in made]
    if mode == "pregen_ingest":
        return [] if config.pregen_dir is None else pregen_labels(Path(config.pregen_dir))
    if mode == "local_standin":
        return [label for label in corrected(config, TRAINING).label if label != PASS]
    return []
