"""What an RCA folder holds, read from disk: everything its report is rendered and checked from."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from tao_skill_bank.actions.gap_analysis.vcn_aoi import GAPS, METRICS, UNREACHABLE, VcnMetrics
from tao_skill_bank.core import guard
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import write_text
from tao_skill_bank.core.models import Strict, first_fault
from tao_skill_bank.reports.rca.label_noise import SUSPECT, read_suspects

REPORT = "RCA_Report.md"
IMAGES = "rca_images"
GOLDENS = "rca_goldens"
SHOTS = "rca_labels"
SPOT_CHECK = "spot_check.json"
SUSPECTS = "label_check.csv"
CONTEXT = "rca_context.json"
T = TypeVar("T", bound=BaseModel)
VERDICTS = ("mislabeled", "edge case", "data quality", "systematic")


class Spot(Strict):
    """One image of the spot check.

    Attributes:
        image: Its name in `rca_images/`; empty where the image was not found.
        filepath: The original.
        weakness: How far it lies on the wrong side.
        verdict: One of `VERDICTS`, or None while open.
        note: What whoever looked at it had to say.
        golden: The golden's picture in `rca_goldens/`; empty where there is none.
        word: The id of the verdict in the file of corrections; empty for one of an earlier version.
    """

    image: str
    filepath: str
    label: str
    siamese_score: float
    weakness: float
    verdict: Literal["mislabeled", "edge case", "data quality", "systematic"] | None = None
    note: str = ""
    golden: str = ""
    word: str = ""


class Context(Strict):
    """How the analysis was run, for the report's first lines; file names, no host names.

    Attributes:
        created: Local time, ISO.
        experiment: Folder of the experiment.
        lightings: How many images a sample has.
        top_k: Weakest samples kept of each label; None: every misclassified one.
        encoder: Which embedding ranked the labels; empty where none was made.
        notes: Things a reader should know, a line each (images not found).
        media: What was put before each `input_path`; empty where they are absolute, or an earlier version wrote it.
        suffixes: What follows an object's name in its pictures' names, one a lighting.
    """

    created: str
    experiment: str
    lightings: int
    top_k: int | None
    encoder: str = ""
    notes: list[str] = Field(default_factory=list)
    media: str = ""
    suffixes: list[str] = Field(default_factory=list)

    def name(self, filepath: str) -> str:
        """A sample as pages print it and commands take it: `input_path/object_name`.

        In an analysis of an earlier version, which lacks what it needs: the last folder and the file.
        """
        return self.sample(filepath) if self.suffixes else "/".join(PurePath(filepath).parts[-2:])

    def sample(self, filepath: str) -> str:
        """A picture's path without what was put before it and what follows the object's name."""
        text = filepath
        if self.media and text.startswith(self.media.rstrip("/") + "/"):
            text = text[len(self.media.rstrip("/")) + 1 :]
        suffix = next((s for s in sorted(self.suffixes, key=len, reverse=True) if text.endswith(s)), "")
        return posixpath.normpath(text.removesuffix(suffix))


@dataclass(frozen=True)
class Weak:
    """One kept sample: its first image, label, score and weakness."""

    filepath: str
    label: str
    score: float
    weakness: float
    misclassified: bool

    @property
    def siamese_score(self) -> float:
        """The model's score, as a spot has it."""
        return self.score

    @property
    def is_pass(self) -> bool:
        """Whether the label is PASS."""
        return self.label.upper() == "PASS"


@dataclass(frozen=True)
class RcaData:
    """An RCA folder; `metrics` is None where the recall target was out of reach, then `unreachable` holds why."""

    folder: Path
    context: Context
    metrics: VcnMetrics | None
    unreachable: str
    weak: list[Weak] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    suspects: list[dict[str, str]] = field(default_factory=list)

    @property
    def doubtful(self) -> int:
        """Labels that their look-alikes and the model contradict."""
        return sum(bool(s["look_alikes"]) and float(s["suspicion"]) >= SUSPECT for s in self.suspects)

    @property
    def by_model_alone(self) -> bool:
        """The labels were ranked, but no picture was at hand to compare."""
        return bool(self.suspects) and not self.suspects[0]["look_alikes"]

    @property
    def open_spots(self) -> list[Spot]:
        """The pictures of the spot check that nobody has looked at."""
        return [s for s in self.spots if s.image and s.verdict is None]


def load_rca(folder: Path) -> RcaData:
    """Read an RCA folder.

    Raises:
        InputError: No such folder, a file missing or not what it should be.
    """
    if not guard.is_folder(folder):
        raise InputError("no such folder", where=folder, fix="name a folder under rca_results")
    context = _model(folder / CONTEXT, Context)
    if guard.is_file(folder / UNREACHABLE):
        return RcaData(folder, context, None, guard.read_text(folder / UNREACHABLE))
    metrics = _model(folder / METRICS, VcnMetrics)
    return RcaData(
        folder=folder,
        context=context,
        metrics=metrics,
        unreachable="",
        weak=read_weak(folder / GAPS, context.lightings, metrics.threshold),
        spots=_spots(folder),
        suspects=read_suspects(folder / SUSPECTS),
    )


def _spots(folder: Path) -> list[Spot]:
    try:
        return [Spot.model_validate(s) for s in _json(folder / SPOT_CHECK)]
    except (ValidationError, TypeError):
        raise InputError("is no spot check", where=folder / SPOT_CHECK, fix="run `tao-skills rca vcn` again") from None


def read_weak(path: Path, lightings: int, threshold: float) -> list[Weak]:
    """The kept samples of a `kpi_gaps.parquet`, weakest first, each with the image of its first lighting.

    Raises:
        InputError: No such file, or one that is no such table.
    """
    import pyarrow as pa

    try:
        rows = read_parquet(path, ["filepath", "label", "siamese_score", "weakness"]).to_pylist()
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="run the analysis again") from None
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"is no table of weak samples: {reason}", where=path, fix="run the analysis again") from None
    return [
        Weak(
            r["filepath"],
            r["label"],
            r["siamese_score"],
            r["weakness"],
            (r["siamese_score"] > threshold) == (r["label"].upper() == "PASS"),
        )
        for r in rows[::lightings]
    ]


def write_spots(folder: Path, spots: Sequence[Spot]) -> None:
    """Write the spot check."""
    text = json.dumps([s.model_dump() for s in spots], indent=2, ensure_ascii=False)
    write_text(folder / SPOT_CHECK, text + "\n")


def find_spot(data: RcaData, image: str) -> Spot | None:
    """The spot of an image, by its name in `rca_images/` with or without extension, or by its sample's; else None."""
    name = Path(image).name
    found = [spot for spot in data.spots if spot.image and name in (spot.image, Path(spot.image).stem)]
    found = found or [spot for spot in data.spots if _is_named(data, spot.filepath, image)]
    return found[0] if len(found) == 1 else None


def find_weak(data: RcaData, image: str) -> Weak | None:
    """The weak sample of a name, where one alone has it."""
    found = [weak for weak in data.weak if _is_named(data, weak.filepath, image)]
    return found[0] if len(found) == 1 else None


def _is_named(data: RcaData, filepath: str, name: str) -> bool:
    wanted = posixpath.normpath(name)
    own = data.context.sample(filepath)
    return wanted in (own, filepath) or filepath.endswith(f"/{wanted}") or own.endswith(f"/{wanted}")


def verdict_named(text: str) -> str:
    """A verdict as the report spells it: `edge-case`, `edge_case` and `Edge Case` are `edge case`.

    Raises:
        InputError: None of the four.
    """
    plain = re.sub(r"[\s_-]+", " ", text.strip().lower())
    if plain not in VERDICTS:
        raise InputError(f"unknown verdict {text!r}", where="verdict", fix="one of: " + ", ".join(VERDICTS))
    return plain


def _json(path: Path) -> Any:
    try:
        return json.loads(guard.read_text(path))
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="run `tao-skills rca vcn` again") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON: {error}", where=path, fix="run `tao-skills rca vcn` again") from None


def _model(path: Path, model: type[T]) -> T:
    try:
        return model.model_validate(_json(path))
    except ValidationError as error:
        raise InputError(first_fault(error), where=path, fix="run `tao-skills rca vcn` again") from None
