"""Whether an environment trains: eight drawn rows, one epoch, NVIDIA's own train line, a checkpoint at the end."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tao_skill_bank.core.errors import StageFailedError

ROWS = 8
_SIZE = 64
_LIMIT_SEC = 1800
_LIGHT = "Light"
_SPEC = """task: classify
train: {{num_epochs: 1, classify: {{loss: ce}}}}
model:
  backbone: {{type: fan_tiny_8_p4_hybrid}}
  classify: {{difference_module: learnable}}
dataset:
  classify:
    train_dataset: {{csv_path: {folder}/rows.csv, images_dir: {folder}}}
    validation_dataset: {{csv_path: {folder}/rows.csv, images_dir: {folder}}}
    image_ext: .png
    input_map: {{{light}: 0}}
    num_input: 1
    concat_type: linear
    image_width: {size}
    image_height: {size}
    batch_size: 4
    workers: 0
"""


def train_eight_rows(commands: Path) -> str:
    """Train with the `visual_changenet` of a folder; returns what was seen, one line.

    Raises:
        StageFailedError: It ends with an error, or with no checkpoint; its last line is told.
    """
    with tempfile.TemporaryDirectory(prefix="tao-check-") as scratch:
        folder = Path(scratch)
        _draw(folder)
        (folder / "spec.yaml").write_text(_SPEC.format(folder=folder, light=_LIGHT, size=_SIZE), encoding="utf-8")
        line = [str(commands / "visual_changenet"), "train", "-e", str(folder / "spec.yaml")]
        try:
            done = subprocess.run(
                [*line, f"results_dir={folder}/out"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_LIMIT_SEC,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StageFailedError(f"TAO does not start: {error}", where=commands, fix="install it anew") from None
        made = sorted(p for p in (folder / "out" / "train").glob("model_epoch_*_step_*.pth") if "_00000." not in p.name)
        if done.returncode or not made:
            told = [x for x in done.stdout.splitlines() if "Error" in x and "telemetry" not in x.lower()]
            last = (told or done.stdout.strip().splitlines() or ["no output"])[-1].strip()
            raise StageFailedError(
                f"TAO trained no checkpoint on {ROWS} rows: {last}", where=commands, fix="install it anew"
            )
        return f"trained {ROWS} rows for one epoch: {made[-1].name}, {made[-1].stat().st_size / 1e6:.0f} MB"


def _draw(folder: Path) -> None:
    from PIL import Image, ImageDraw

    rows = ["input_path,golden_path,label,object_name"]
    for place in ("boards", "goldens"):
        (folder / place).mkdir()
    for number in range(ROWS):
        name, defect = f"C{number}", number % 2 == 1
        for place, spoiled in (("boards", defect), ("goldens", False)):
            picture = Image.new("RGB", (_SIZE, _SIZE), (20, 80 + number, 30))
            pen = ImageDraw.Draw(picture)
            pen.rectangle((16, 16, 48, 48), fill=(180, 180, 190))
            if spoiled:
                pen.ellipse((24, 24, 56, 56), fill=(250, 240, 90))
            picture.save(folder / place / f"{name}_{_LIGHT}.png")
        rows.append(f"boards,goldens,{'bridge' if defect else 'PASS'},{name}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
