"""The pictures beside an RCA report: small, each with its golden; one that cannot be read leaves an empty name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.fsio import atomic_file
from tao_skill_bank.reports.rca.data import GOLDENS, IMAGES, SHOTS, Spot, Weak
from tao_skill_bank.reports.rca.label_noise import Suspect

SPOTS_EACH = 5
SPOT_EDGE = 128
SUSPECTS_PICTURED = 12


def take_spots(folder: Path, weak: Sequence[Weak], goldens: Mapping[str, str]) -> list[Spot]:
    """The weakest PASS and NO_PASS samples, of `weak`, weakest first; `goldens`: image → golden."""
    guard.make_folder(folder / IMAGES)
    spots = []
    for side, wanted in (("pass", True), ("no_pass", False)):
        group = [w for w in weak if w.is_pass is wanted][:SPOTS_EACH]
        for rank, sample in enumerate(group, start=1):
            safe = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "_" for c in Path(sample.filepath).stem)
            name = f"{side}_{rank}_{safe[:80]}.png"
            golden = goldens.get(sample.filepath)
            spots.append(
                Spot(
                    image=name if _take(sample.filepath, folder / IMAGES / name) else "",
                    filepath=sample.filepath,
                    label=sample.label,
                    siamese_score=sample.score,
                    weakness=sample.weakness,
                    golden=name if golden and _take(golden, folder / GOLDENS / name) else "",
                )
            )
    return spots


def take_shots(folder: Path, suspects: Sequence[Suspect], goldens: Mapping[str, str]) -> None:
    """The first suspects as `<rank>.png`, their goldens, and the look-alike that speaks loudest against their label."""
    for rank, suspect in enumerate(suspects[:SUSPECTS_PICTURED], start=1):
        _take(suspect.filepath, folder / SHOTS / f"{rank}.png")
        if (golden := goldens.get(suspect.filepath)) is not None:
            _take(golden, folder / SHOTS / f"{rank}_golden.png")
        if suspect.neighbours:
            _take(suspect.neighbours[0][0], folder / SHOTS / f"{rank}_like.png")


def _take(source: str, target: Path) -> bool:
    """Write a small copy; False where the picture cannot be read."""
    from PIL import Image

    from tao_skill_bank.data.pictures.decode import ImageError, load_rgb

    try:
        picture = load_rgb(Path(source)).resize((SPOT_EDGE, SPOT_EDGE), Image.Resampling.LANCZOS)
    except ImageError:
        return False
    guard.make_folder(target.parent)
    with atomic_file(target) as handle:
        picture.save(handle, format="PNG")
    return True
