"""AnomalyGen inline: what its container needs, its two command lines, and whether it made what was allocated.

AMP (`prep_testcase.sh`) shares the wanted number of pairs out over the defect types and writes one test case a pair;
SDG (`run_sdg.sh`) makes a pair of images of each. Where AMP finds no place for a defect it silently writes fewer test
cases, while `allocation.json` still adds up, so the numbers of every step are compared, defect by defect.

What the container writes beyond the index and the defect type of each row is not published; `_KEYS` is the one place
that says under which names these two are looked for.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import GateError, InputError
from tao_skill_bank.core.models import first_fault
from tao_skill_bank.data.changenet.guardrail import TABLE, left_out
from tao_skill_bank.data.changenet.labels import says_good
from tao_skill_bank.data.changenet.pair_prepare import pair_files, pair_label
from tao_skill_bank.tasks.changenet.config import RunConfig

AMP, SDG = "prep_testcase.sh", "run_sdg.sh"
NG_DIR, OK_DIR = "reconstructed_image", "original_image"
BASE_CHECKPOINTS = "base_checkpoints"
LATEST = Path("checkpoints") / "latest_checkpoint.txt"
MODEL_SIZE = "2b"
_KEYS = ("defect_type", "defect", "anomaly_type", "anomaly", "label")
_STEP = re.compile(r"iter_0*(\d+)\.pt")


class DefectLine(BaseModel):
    """One line of `defect_spec.jsonl`: a defect type (`PCB+bridge`) and how its place is found."""

    model_config = ConfigDict(extra="allow")

    defect_type: str
    spatial_dependency: Literal["cad", "text", "free"]
    roi_prompt_defect_location: str = ""

    @property
    def label(self) -> str:
        """`PCB+bridge` → `BRIDGE`."""
        return label_of(self.defect_type)


@dataclass(frozen=True)
class Assets:
    """What the generator works with, all inside the workspace.

    Attributes:
        dataset: The folder with clean boards, masks and `defect_spec.jsonl`.
        base: The folder of the base models, mounted read-only; the container fills it on first use.
    """

    dataset: Path
    defects: list[DefectLine]
    defect_spec: Path
    checkpoint: Path
    step: int
    base: Path

    @property
    def base_is_there(self) -> bool:
        """Whether the base models were downloaded before."""
        return guard.is_folder(self.base) and any(guard.children(self.base))


def label_of(defect_type: str) -> str:
    """The label of a defect type, as routing compares it."""
    return defect_type.rpartition("+")[2].strip().upper()


def find_assets(config: RunConfig) -> Assets:
    """What `anomalygen.*` names, or what lies at the usual places of the workspace.

    Raises:
        InputError: The project is not named, or something is missing that no download brings.
    """
    given = config.anomalygen
    home = Path(config.workspace) / "augmentation" / "anomalygen"
    project = given.project or _only_project(home)
    dataset = Path(given.dataset_dir_source or home / "datasets" / project)
    if not guard.is_folder(dataset):
        raise InputError(
            "no data set for the generator",
            where=dataset,
            fix="put clean images and defect_spec.jsonl there, or --set anomalygen.dataset_dir_source=FOLDER",
        )
    spec = Path(given.defect_spec or dataset / "defect_spec.jsonl")
    checkpoint = Path(given.checkpoint_dir or home / "checkpoints" / project)
    if not guard.is_folder(checkpoint):
        fix = "fine-tune the generator first, and name its folder: --set anomalygen.checkpoint_dir=FOLDER"
        raise InputError("no fine-tuned generator", where=checkpoint, fix=fix)
    return Assets(
        dataset=dataset,
        defects=read_defect_spec(spec),
        defect_spec=spec,
        checkpoint=checkpoint,
        step=given.step if given.step is not None else latest_step(checkpoint),
        base=Path(given.base_checkpoints or home / BASE_CHECKPOINTS),
    )


def _only_project(home: Path) -> str:
    folder = home / "datasets"
    found = sorted(p.name for p in guard.children(folder) if guard.is_folder(p)) if guard.is_folder(folder) else []
    if len(found) != 1:
        what = f"{len(found)} data sets are there: {', '.join(found)}" if found else "no data set is there"
        raise InputError(
            f"the generator's project is not named, and {what}", where=folder, fix="--set anomalygen.project=NAME"
        )
    return found[0]


def latest_step(checkpoint: Path) -> int:
    """The step that `checkpoints/latest_checkpoint.txt` names: `iter_000014000.pt` → 14000.

    Raises:
        InputError: It is missing or names no step.
    """
    path = checkpoint / LATEST
    try:
        text = guard.read_text(path).strip()
    except (FileNotFoundError, UnicodeDecodeError):
        raise InputError("the generator's step is not known", where=path, fix="--set anomalygen.step=NUMBER") from None
    match = _STEP.fullmatch(text)
    if match is None:
        fix = "it names a file like iter_000014000.pt; or --set anomalygen.step=NUMBER"
        raise InputError(f"names no step: {text[:60]!r}", where=path, fix=fix)
    return int(match[1])


def read_defect_spec(path: Path) -> list[DefectLine]:
    """The defect types the generator was fine-tuned on.

    Raises:
        InputError: Missing, empty, or a line that is no defect; `text` without a prompt; a type twice.
    """
    found: list[DefectLine] = []
    for number, value in _json_lines(path, "put one JSON object a line there"):
        where = f"{path} line {number}"
        try:
            line = DefectLine.model_validate(value)
        except ValidationError as error:
            fix = 'write {"defect_type": "PCB+bridge", "spatial_dependency": "cad|text|free"}'
            raise InputError(first_fault(error, "line"), where=where, fix=fix) from None
        if "+" not in line.defect_type or not line.label or says_good(line.label):
            raise InputError(f"{line.defect_type!r} is no defect type", where=where, fix="name it like PCB+bridge")
        if line.spatial_dependency == "text" and not line.roi_prompt_defect_location.strip():
            raise InputError("a place by text needs its prompt", where=where, fix="fill in roi_prompt_defect_location")
        if any(line.defect_type == other.defect_type for other in found):
            raise InputError(f"{line.defect_type!r} stands twice", where=where, fix="remove one of the lines")
        found.append(line)
    if not found:
        raise InputError("holds no defect type", where=path, fix="put one JSON object a line there")
    return found


def amp_command(name: str, count: int, assets: Assets, defect_spec: Path, out: Path) -> list[str]:
    """The line that shares `count` pairs out and prepares their test cases, into `out/amp` and `out/testcase.jsonl`."""
    amp, cases, _ = layout(out)
    return [
        AMP,
        *("--name", name, "--num-sdg", str(count)),
        *("--dataset-dir", str(assets.dataset), "--clean-dir", str(assets.dataset), "--defect-spec", str(defect_spec)),
        *("--amp-output-dir", str(amp), "--output-jsonl", str(cases)),
    ]


def sdg_command(assets: Assets, gpus: int, out: Path) -> list[str]:
    """The line that makes the images of `out/testcase.jsonl`, into `out/sdg`."""
    _, cases, sdg = layout(out)
    return [
        SDG,
        *("--checkpoint_dir", str(assets.checkpoint), "--step", str(assets.step)),
        *("--input_jsonl", str(cases), "--output_dir", str(sdg)),
        *("--model_size", MODEL_SIZE, "--num_gpus", str(max(1, gpus))),
    ]


def allocated(amp: Path) -> Counter[str]:
    """Label → pairs that AMP allotted, from `allocation.json` (the nearest mapping of names to numbers in it).

    Raises:
        GateError: There is none, or it holds no such mapping.
    """
    path = amp / "allocation.json"
    try:
        value = json.loads(guard.read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise GateError("allocation", f"the allocation cannot be read: {error}", where=path) from None
    found = _numbers(value)
    if found is None:
        raise GateError("allocation", "holds no number of pairs a defect type", where=path)
    counts: Counter[str] = Counter()
    for name, number in found.items():
        counts[label_of(name)] += number
    return counts


def test_cases(path: Path) -> Counter[str]:
    """Label → lines of `testcase.jsonl`.

    Raises:
        GateError: It cannot be read, or a line does not say its defect type.
    """
    try:
        return Counter(_label(value, f"{path} line {number}") for number, value in _json_lines(path, ""))
    except InputError as error:
        raise GateError("allocation", error.what, where=error.where) from None


def generated(path: Path) -> Counter[str]:
    """Label → rows of `SDG_result.csv`.

    Raises:
        GateError: It cannot be read, or a row does not say its defect type.
    """
    try:
        with guard.open_text(path, encoding="utf-8-sig", newline="") as handle:
            return Counter(_label(row, f"{path} row {n}") for n, row in enumerate(csv.DictReader(handle), 1))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GateError("allocation", f"the generator's table cannot be read: {error}", where=path) from None


def paired(input_dir: Path, golden_dir: Path) -> Counter[str]:
    """Label → NG images that have their OK image.

    Raises:
        GateError: A folder is missing or empty, a file has no partner, or its name says no label.
    """
    try:
        return Counter(pair_label(ng).upper() for ng, _ in pair_files(input_dir, golden_dir))
    except InputError as error:
        raise GateError("allocation", error.what, where=error.where, fix="see the generator's log") from None


def compare(out: Path) -> dict[str, Counter[str]]:
    """Step → label → number of a generation that is done, the numbers of every step being the same.

    Args:
        out: The folder with `amp/allocation.json`, `testcase.jsonl` and `sdg/`, as the two command lines leave it.

    Raises:
        GateError: Gate `allocation`: something cannot be read, or a step made other than what was allotted.

    Blocked pairs were made as allotted, and are counted beside the steps under `left out`: they become no rows.
    """
    amp, cases, sdg = layout(out)
    counts = {"allotted": allocated(amp), "test cases": test_cases(cases)}
    require_equal(counts, cases)
    counts["rows"] = generated(sdg / TABLE)
    counts["paired images"] = paired(sdg / NG_DIR, sdg / OK_DIR)
    require_equal(counts, sdg)
    return {**counts, "left out": Counter(label_of(stem.rpartition("_")[0]) for stem in unusable(sdg))}


def unusable(sdg: Path) -> dict[str, str]:
    """Stem → why, of the pairs of a generation that its guardrail blocked or that are black: they become no rows.

    Raises:
        GateError: Gate `allocation`: blocked rows cannot be tied to their pictures.
    """
    try:
        return left_out(pair_files(sdg / NG_DIR, sdg / OK_DIR), sdg / TABLE)
    except InputError as error:
        raise GateError("allocation", error.what, where=error.where, fix=error.fix) from None


def layout(out: Path) -> tuple[Path, Path, Path]:
    """Where below `out` the two command lines write: AMP's folder, the test cases, the generator's folder."""
    return out / "amp", out / "testcase.jsonl", out / "sdg"


def require_equal(counts: Mapping[str, Mapping[str, int]], where: Path) -> None:
    """Every step made, defect by defect, what was allotted.

    Args:
        counts: Step (`allocated`, `test cases`, …) → label → number, the first step being the measure.
        where: What to look at.

    Raises:
        GateError: Gate `allocation`; every label that differs is named with its numbers.
    """
    labels = sorted({label for step in counts.values() for label in step})
    wrong = [
        f"{label} " + " / ".join(f"{step.get(label, 0)} {name}" for name, step in counts.items())
        for label in labels
        if len({step.get(label, 0) for step in counts.values()}) > 1
    ]
    if wrong:
        raise GateError(
            "allocation",
            f"the generator did not make what was allotted: {'; '.join(wrong)}",
            where=where,
            fix="a defect without a place to put it gets no test case: see the log, fix the defect spec or the masks",
        )


def _numbers(value: Any) -> dict[str, int] | None:
    """The first mapping of names to whole numbers, the outermost first."""
    if isinstance(value, dict):
        if value and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in value.values()):
            return {str(k): int(v) for k, v in value.items()}
        children: Iterable[Any] = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return None
    return next((found for child in children if (found := _numbers(child)) is not None), None)


def _label(value: Mapping[str, Any], where: str) -> str:
    for key in _KEYS:
        text = value.get(key)
        if isinstance(text, str) and text.strip():
            return label_of(text)
    raise GateError(
        "allocation", f"does not say its defect type ({', '.join(map(str, value)) or 'empty'})", where=where
    )


def _json_lines(path: Path, fix: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        # Not `splitlines`: a prompt may hold U+2028, which JSON allows within a line.
        lines = guard.read_text(path, encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "is no UTF-8 text"
        raise InputError(what, where=path, fix=fix) from None
    out: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is no JSON: {error}", where=f"{path} line {number}", fix=fix) from None
        if not isinstance(value, dict):
            raise InputError("is no JSON object", where=f"{path} line {number}", fix=fix)
        out.append((number, value))
    return out
