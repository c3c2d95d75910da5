"""What a plan, and a ranking of labels after it, find of faults that were planted into drawn boards, and of none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tiny
from boards import pair
from PIL import Image
from planted import COPYINGS, Planted, deepen, near_copy, turn

from tao_skill_bank import runs
from tao_skill_bank.actions.mining.encoders import LOCAL, get_encoder
from tao_skill_bank.core.errors import InputErrors
from tao_skill_bank.reports.rca.label_noise import SUSPECT, rank_suspects, with_differences

FLIPS = 10
"""Labels that are turned, each way."""
THRESHOLD = 0.45


@dataclass(frozen=True)
class Told:
    """One kind of fault: how many were planted, how many were found, and how many in the set as it was before."""

    fact: str
    planted: int
    found: int
    false_alarms: int

    @property
    def missed(self) -> int:
        """Those that nothing was said of."""
        return self.planted - self.found


@dataclass(frozen=True)
class Kind:
    """A kind of fault, planted by a function that says how many; told by a check of the plan, as these numbers."""

    fact: str
    check: str
    numbers: str
    plant: Callable[[Planted], int]


def _byte_copies(boards: Planted) -> int:
    for row in range(6):
        boards.copy(("training", row), ("KPI", row))
        boards.copy(("training", row + 6), ("acceptance", row))
    return 12


def _near_copies(boards: Planted) -> int:
    for at, change in enumerate((*COPYINGS, *COPYINGS)):
        near_copy(boards, (("KPI", "acceptance")[at // 5], 8 + at), ("mining pool", at), change)
    return 10


def _turned(boards: Planted) -> int:
    files = [path for row in (20, 21, 22) for path in boards.files("KPI", row)]
    for path, orientation in zip(files, (3, 6, 8, 6, 3, 8), strict=True):
        turn(path, orientation)
    return len(files)


def _mirrored(boards: Planted) -> int:
    for number, way in enumerate(Image.Transpose):
        for a, b in zip(boards.files("training", 13 + number), boards.files("acceptance", 20 + number), strict=True):
            with Image.open(a) as image:
                image.transpose(way).save(b)
    return len(Image.Transpose)


def _stored_otherwise(boards: Planted) -> int:
    files = [boards.file("mining pool", row) for row in range(15, 21)]
    for number, path in enumerate(files):
        with Image.open(path) as image:
            (image.convert("1") if number % 2 else image.quantize(64)).save(path)
    return len(files)


def _wrong_lighting(boards: Planted) -> int:
    for row in (24, 25, 26):
        first, second = boards.files("KPI", row)
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)
    for row in (27, 28, 29):
        first, second = boards.files("KPI", row)
        second.write_bytes(first.read_bytes())
    return 6


def _boards_over_two_sets(boards: Planted) -> int:
    for row in (30, 31, 32, 33):
        boards.rows["KPI"][row]["board"] = boards.rows["validation"][row - 24]["board"]
    boards.write("KPI")
    return len({boards.rows["KPI"][row]["board"] for row in (30, 31, 32, 33)})


def _flips(boards: Planted) -> int:
    for name, to, wrong in (("KPI", "PASS", False), ("training", "bridge", True)):
        rows = [row for row in boards.rows[name] if (row["label"] == "PASS") is wrong][:FLIPS]
        for row in rows:
            row["label"] = to
        boards.write(name)
    return 2 * FLIPS


KINDS = (
    Kind("byte copies over two sets", "equal pictures", r"(\d+) of \d+ \S+ pictures are pixel", _byte_copies),
    Kind("near copies over two sets", "near copies", r"(\d+) of \d+ [a-zA-Z ]+ pictures are all but", _near_copies),
    Kind("turned or mirrored over two sets", "equal pictures", r"(\d+) of \d+ \S+ pictures are, turned", _mirrored),
    Kind("1 bit or a palette among grey", "kinds", r"(\d+) captures are", _stored_otherwise),
    Kind("turned by EXIF (pictures)", "orientation", r"^(\d+) pictures", _turned),
    Kind("wrong lighting (parts)", "lightings", r"(\d+) parts have", _wrong_lighting),
    Kind("boards over two sets", "boards", r"^(\d+) of \d+ boards", _boards_over_two_sets),
    Kind("flipped labels, before a model", "contents", r"(\d+) rows labelled as a defect show", _flips),
)


def _checks(boards: Planted) -> Mapping[str, Any]:
    summary = runs.plan_run(
        tiny.request(boards.root, "FAR < 15% at recall=70%", settings=("anomalygen.mode=local_standin",))
    )
    return {check.name: check for check in summary.checks}


def _told(checks: Mapping[str, Any], kind: Kind) -> int:
    check = checks[kind.check]
    return sum(map(int, re.findall(kind.numbers, check.text))) if check.status == "warn" else 0


def planted_in_a_plan(root: Path) -> tuple[list[Told], list[str]]:
    """Every fault, and the warnings of the clean set. Three plans of one workspace."""
    boards = Planted(root)
    clean = _checks(boards)
    warnings = [check.text for check in clean.values() if check.status == "warn"]
    planted = [kind.plant(boards) for kind in KINDS]
    after = _checks(boards)
    told = [
        Told(kind.fact, number, _told(after, kind), _told(clean, kind))
        for kind, number in zip(KINDS, planted, strict=True)
    ]
    for row in range(5):
        path = boards.file("validation", row, "golden" if row % 2 else "image")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    deep = [path for row in range(12, 18) for path in boards.files("acceptance", row)]
    for path in deep:
        deepen(path, 16)
    try:
        _checks(boards)
        faults: list[str] = []
    except InputErrors as refused:
        faults = list(refused.faults)
    # A plan that refuses says so of none of the clean set: it was planned above.
    cut = sum("cannot be read as an image" in fault for fault in faults)
    twelve = sum(int(n) for fault in faults for n in re.findall(r"(\d+) of \d+ pictures hold values up to", fault))
    return [
        *told,
        Told("truncated pictures", 5, cut, 0),
        Told("12 bits in 16 (pictures)", len(deep), twelve, 0),
    ], warnings


def flips_behind_a_model(folder: Path, number: int = 240, seed: int = 0) -> Told:
    """Turned labels of drawn pairs that a model has scored: which of them are suspects.

    The pictures are drawn, and the bank's own encoder compares them; the scores are simulated from the true class.
    """
    rng = np.random.default_rng(seed)
    good = np.arange(number) % 3 != 0
    files: list[tuple[Path, Path]] = []
    for at, passes in enumerate(good):
        files.append((folder / f"image{at}.png", folder / f"golden{at}.png"))
        for path, pixels in zip(files[-1], pair(rng, not passes), strict=True):
            Image.fromarray(pixels).save(path)
    encoder = get_encoder(LOCAL)
    images, goldens = (encoder.encode([pair[side] for pair in files]) for side in (0, 1))
    vectors = with_differences(images, goldens)
    scores = np.where(good, rng.beta(2, 6, number), rng.beta(6, 2, number))
    flipped = np.concatenate([rng.choice(np.flatnonzero(side), FLIPS, replace=False) for side in (good, ~good)])

    def suspects(labelled: Any) -> set[int]:
        weak = np.where(labelled, scores - THRESHOLD, THRESHOLD - scores)
        labels = ["PASS" if passes else "blot" for passes in labelled]
        names = [str(at) for at in range(number)]
        ranked = rank_suspects(vectors, names, labels, range(number), scores, weak, (scores > THRESHOLD) == labelled)
        return {int(suspect.filepath) for suspect in ranked if suspect.suspicion >= SUSPECT}

    turned = good.copy()
    turned[flipped] = ~turned[flipped]
    found = suspects(turned) & set(flipped.tolist())
    return Told("flipped labels, behind a model", 2 * FLIPS, len(found), len(suspects(good)))
