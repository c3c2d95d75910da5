"""A line that changes, played with the pictures of a run's mining pool: what alarms, when, in which words.

    python benchmarks/production.py [RUN] [--quick]

RUN is a finished run folder; without it the demo's is made (a minute or more). Good parts of the pool, with a few of
its defects, come in lots. From the 301st lot on the camera is brighter, darker, out of focus or turned by two pixels at
the rim, or a new part type or a new defect comes in. Prints, for each, the lot at which the monitor alarms and its
words; then, for a camera out of focus and one that is turned, what the frozen threshold does on half of the acceptance
set, and what a threshold does there that the other half chose. Exit status 1 where a line that does not change alarms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageEnhance, ImageFilter

from tao_skill_bank.assurance import monitor_feed
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.recalibrate import recalibrate, set_apart
from tao_skill_bank.assurance.subject import run_in_use
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs, write_pairs
from tao_skill_bank.data.score_files import ScoreFile, read_score_file
from tao_skill_bank.tasks.changenet.metric import GRAMMAR
from tao_skill_bank.tasks.registry import load_state

LOTS, CHANGE, PARTS, DEFECTS = 400, 300, 60, 0.02
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def brighter(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A lamp at 108 %."""
    return ImageEnhance.Brightness(picture).enhance(1.08)


def darker(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A lamp at 92 %."""
    return ImageEnhance.Brightness(picture).enhance(0.92)


def defocused(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A lens further out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(1.2))


def blurred(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A lens slightly out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def turned(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Turned so that the rim moves by two pixels."""
    degrees = float(np.degrees(2 / (picture.width / 2)))
    return picture.rotate(degrees, resample=Image.Resampling.BILINEAR, fillcolor=picture.getpixel((0, 0)))


def scratched(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A defect that no training picture shows: a thin bright line across."""
    from PIL import ImageDraw

    found = picture.copy()
    y = rng.integers(0, picture.height, size=2)
    ImageDraw.Draw(found).line([(0, int(y[0])), (picture.width, int(y[1]))], fill="white", width=1)
    return found


def inverted(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A part of another make: dark where the others are bright."""
    from PIL import ImageOps

    return ImageOps.autocontrast(ImageOps.invert(picture.convert("RGB")), cutoff=5)


CHANGES: dict[str, tuple[Change | None, float]] = {
    "nothing changes": (None, 0.0),
    "camera 8 % brighter": (brighter, 1.0),
    "camera 8 % darker": (darker, 1.0),
    "camera out of focus": (blurred, 1.0),
    "camera turned by two pixels": (turned, 1.0),
    "a new make of part, one in five": (inverted, 0.2),
    "a new defect, one in twenty": (scratched, 0.05),
}
"""What is done to a picture, and to which share of the parts."""


class Inspector:
    """A run's best model over changed pictures."""

    def __init__(self, run: Path, folder: Path) -> None:
        state = load_state(run)
        best = state.best()
        assert best is not None and best[1].best_ckpt_path is not None
        self.config, self.checkpoint, self.folder = state.config, best[1].best_ckpt_path, folder
        self.spec = run / "best_model_inference_spec.yaml"
        spec = yaml.safe_load(self.spec.read_text())["dataset"]["classify"]
        self.suffixes = [f"_{light}{spec['image_ext']}" for light in spec.get("input_map") or {}] or [spec["image_ext"]]

    def scores(self, table: PairTable, change: Change | None, name: str) -> np.ndarray:
        """The score of each row, with the capture changed, float64 [n]."""
        out = self.folder / name
        images = Path(self.config.images_dir)
        if change is not None:
            rng = np.random.default_rng(7)
            for row in range(len(table)):
                for kind in ("input_path", "golden_path"):
                    for suffix in self.suffixes:
                        part = Path(table.column(kind)[row]) / f"{table.object_name[row]}{suffix}"
                        target = out / "images" / part
                        if target.exists():
                            continue
                        target.parent.mkdir(parents=True, exist_ok=True)
                        if kind == "golden_path":
                            target.symlink_to(images / part)
                        else:
                            with Image.open(images / part) as picture:
                                change(picture.convert("RGB"), rng).save(target)
            images = out / "images"
        csv = out / "rows.csv"
        csv.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(csv, {name: table.column(name) for name in table.names})
        overrides = {
            "dataset.classify.infer_dataset.csv_path": csv,
            "dataset.classify.infer_dataset.images_dir": images,
            "inference.checkpoint": self.checkpoint,
            "results_dir": out,
        }
        command = [
            sys.executable,
            "-m",
            "tao_skill_bank.actions",
            "visual_changenet",
            "inference",
            "-e",
            str(self.spec),
        ]
        subprocess.run([*command, *(f"{k}={v}" for k, v in overrides.items())], check=True, capture_output=True)
        return read_score_file(next(out.rglob("inference.csv"))).score


def lots(
    folder: Path, before: np.ndarray, after: np.ndarray, defects: np.ndarray, share: float, number: int
) -> list[Path]:
    """A file a lot: good parts, a few defects; from lot `CHANGE` on a share of the good parts is scored as changed."""
    rng = np.random.default_rng(11)
    files = []
    for lot in range(number):
        picked = rng.integers(0, len(before), PARTS)
        changed = (rng.random(PARTS) < share) & (lot >= CHANGE)
        scores = np.where(changed, after[picked], before[picked])
        bad = rng.random(PARTS) < DEFECTS
        scores = np.where(bad, defects[rng.integers(0, len(defects), PARTS)], scores)
        path = folder / f"{lot + 1:03d}.csv"
        path.write_text("score\n" + "".join(f"{score!r}\n" for score in scores.tolist()))
        files.append(path)
    return files


def main() -> int:
    """Play every change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="Fewer lots and changes.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = args.run or _demo(folder)
        used = run_in_use(run)
        inspector = Inspector(run, folder)
        pool = read_pairs(Path(inspector.config.mining_pool_csv))
        good = pool.take([row for row, label in enumerate(pool.label) if label == "PASS"])
        bad = pool.take([row for row, label in enumerate(pool.label) if label != "PASS"])
        before = inspector.scores(good, None, "before")
        defects = inspector.scores(bad, None, "defects")
        print(f"{len(good)} good parts, {len(bad)} defects of the pool; lots of {PARTS}, change at lot {CHANGE + 1}")
        wrong = False
        for n, (name, (change, share)) in enumerate(CHANGES.items()):
            if args.quick and n not in (0, 1):
                continue
            after = before if change is None else inspector.scores(good, change, f"c{n}")
            line = folder / f"line{n}"
            monitor_feed.start(line, used.threshold)
            work = folder / f"lots{n}"
            work.mkdir()
            alarm = None
            for at, path in enumerate(lots(work, before, after, defects, share, LOTS), start=1):
                monitor_feed.feed(line, read_score_file(path))
                found = status(line)
                if found.alarms:
                    alarm = (at, found.alarms[0].text)
                    break
            said = f"no alarm in {LOTS} lots" if alarm is None else f"lot {alarm[0]}: {alarm[1]}"
            flagged = 100 * float(np.mean(after > used.threshold)), 100 * float(np.mean(before > used.threshold))
            print(f"{name}: {said} (FAR of the pool {flagged[1]:.2f} %, so changed {flagged[0]:.2f} %)")
            wrong |= alarm is not None and (change is None or alarm[0] <= CHANGE)
        for name, change, target in (
            ("camera further out of focus", defocused, "FAR < 10% at recall=90%"),
            ("camera turned by two pixels", turned, "FAR < 5% at recall=95%"),
        ):
            _remedy(inspector, folder, used.threshold, name, change, target)
    return int(wrong)


def _remedy(inspector: Inspector, folder: Path, threshold: float, name: str, change: Change, target: str) -> None:
    if inspector.config.acceptance_csv is None:
        return
    table = read_pairs(Path(inspector.config.acceptance_csv))
    scores = ScoreFile(table, inspector.scores(table, change, change.__name__))
    path = folder / "judged.csv"
    columns = {name: table.column(name) for name in table.names}
    write_pairs(path, {**columns, "score": [repr(score) for score in scores.score.tolist()]})
    made = recalibrate(set_apart(read_score_file(path)), GRAMMAR.parse(target), threshold, who="benchmark")
    print(f"{name}, recalibrated for {made.target}: {made.statement}")
    for which, found in (("old", made.old_certificate), ("new", made.certificate)):
        assert found is not None
        rates = (
            f"{label} {100 * (r.value or 0):.2f} % of {r.n}"
            for label, r in (("FAR", found.far), ("recall", found.recall))
        )
        print(f"  {which} threshold: {', '.join(rates)}: {found.word}")


def _demo(folder: Path) -> Path:
    command = [sys.executable, "-m", "tao_skill_bank.cli", "demo", str(folder / "demo")]
    subprocess.run(command, check=True, capture_output=True)
    return next((folder / "demo" / "results").iterdir())


if __name__ == "__main__":
    sys.exit(main())
