"""What may be asked of data, specs, single actions and mining: options, arguments and help are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tao_skill_bank.core.asked import Said


@dataclass(frozen=True, kw_only=True)
class TrainingCheck:
    """A training CSV to be checked."""

    csv: Annotated[Path, Said("The training CSV.")]
    workspace: Annotated[Path, Said("The workspace folder.", flag="--workspace-root")]
    validation_csv: Annotated[Path | None, Said("Checked too, and for leakage.")] = None
    lights: Annotated[Sequence[str] | None, Said("Lightings; default: the spec's.", flag="--light")] = None
    image_ext: Annotated[str | None, Said("The images' extension; default: the spec's, else .png.", tool="")] = None


@dataclass(frozen=True, kw_only=True)
class KpiAsked:
    """An inference to be judged."""

    csv: Annotated[Path, Said("An inference.csv with label and siamese_score.", flag="", metavar="csv")]
    output_dir: Annotated[Path | None, Said("Default: the CSV's folder.")] = None


@dataclass(frozen=True, kw_only=True)
class SpecAsked:
    """A spec to be held against a release."""

    spec: Annotated[Path, Said("The TAO spec, YAML.", flag="", metavar="SPEC")]
    release: Annotated[
        str | None,
        Said(
            "The TAO release that will run it (7.1.0); default: that of the images in use.",
            tool="As 7.1.0; default: that of the images in use.",
        ),
    ] = None
    command: Annotated[str, Said("The TAO command it is for.", tool="")] = "visual_changenet"
    action: Annotated[
        str | None,
        Said(
            "Its action; default: train, or the command's only one.",
            tool="Default: train, or the command's only one.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RouteAsked:
    """Weak samples to be routed."""

    gaps_parquet: Annotated[Path, Said("kpi_gaps.parquet.", flag="", metavar="GAPS")]
    pool_csv: Annotated[
        Path | None,
        Said("CSV of the mining pool; its labels go to mining.", flag="--pool", tool="The mining pool's CSV."),
    ] = None
    pool_labels: Annotated[
        Sequence[str], Said("A label of the pool, instead of or beside --pool.", flag="--pool-label", tool=False)
    ] = ()
    generator_labels: Annotated[
        Sequence[str],
        Said("A label that the generator can make.", flag="--generator-label", tool="Labels a generator can make."),
    ] = ()
    accept_dropped: Annotated[
        Sequence[str], Said("A label that may be left without new data.", tool="Labels that may go without.")
    ] = ()
    results_dir: Annotated[Path, Said("Results folder.", flag="--output", tool="Where the routed files go.")]


@dataclass(frozen=True, kw_only=True)
class ActionAsked:
    """One TAO command line to be run by itself."""

    category: Annotated[str, Said("", flag="")]
    action: Annotated[str, Said("For example: train, inference, evaluate.", flag="")]
    results_dir: Annotated[Path, Said("A fresh folder for the outputs.")]
    spec: Annotated[Path | None, Said("The TAO spec file.", short="-e", tool="The -e file.")] = None
    platform: Annotated[str, Said("Where it runs.", tool="Elsewhere than local a person approves.")] = "local"
    settings: Annotated[
        Sequence[str],
        Said(
            "A setting, as of a run.",
            flag="--set",
            metavar="KEY=VALUE",
            tool="key=value each, as in references/preflight.md.",
        ),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class MineAsked:
    """How a pool is searched for images like the weak ones."""

    top_k: Annotated[int, Said("Neighbours of each weak image.")] = 5
    min_similarity: Annotated[float, Said("Least cosine that is kept.")] = 0.9
    encoder: Annotated[str, Said("auto, local, SigLIP or CLIP.")] = "auto"
    same_label: Annotated[
        Literal["false", "within", "after"],
        Said("Look within the label of each weak image, or drop others afterwards; POOL then needs a label column."),
    ] = "false"
