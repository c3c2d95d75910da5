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

_GAPS = """results_dir: {folder}/gaps
inference_results_dir: {folder}
kpi_media_path: {folder}
train_config: {folder}/spec.yaml
min_recall: 1.0
"""
_FIX = "remove the folder and install it anew"


def train_eight_rows(commands: Path) -> str:
    """Train with the `visual_changenet` of a folder, and look for weak samples with its `gap_analysis`.

    Returns:
        What was seen, one line.

    Raises:
        StageFailedError: A command ends with an error, or without what it is there for; its last line is told.
    """
    with tempfile.TemporaryDirectory(prefix="tao-check-") as scratch:
        folder = Path(scratch)
        _draw(folder)
        (folder / "spec.yaml").write_text(_SPEC.format(folder=folder, light=_LIGHT, size=_SIZE), encoding="utf-8")
        said = _run(commands, folder, "visual_changenet", "train", "spec.yaml", f"results_dir={folder}/out")
        made = sorted(p for p in (folder / "out" / "train").glob("model_epoch_*_step_*.pth") if "_00000." not in p.name)
        if not made:
            raise _failed(commands, f"TAO trained no checkpoint on {ROWS} rows", said)
        (folder / "gaps.yaml").write_text(_GAPS.format(folder=folder), encoding="utf-8")
        said = _run(commands, folder, "gap_analysis", "vcn_aoi", "gaps.yaml")
        if not list(folder.rglob("kpi_gaps.parquet")):
            raise _failed(commands, "TAO's gap_analysis wrote no table", said)
        size = made[-1].stat().st_size / 1e6
        return f"trained {ROWS} rows for one epoch ({made[-1].name}, {size:.0f} MB) and found the weak ones among them"


def _run(commands: Path, folder: Path, command: str, action: str, spec: str, *overrides: str) -> str:
    try:
        done = subprocess.run(
            [str(commands / command), action, "-e", str(folder / spec), *overrides],
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
        raise StageFailedError(f"TAO's {command} does not start: {error}", where=commands, fix=_FIX) from None
    if done.returncode:
        raise _failed(commands, f"TAO's {command} {action} fails on {ROWS} rows", done.stdout)
    return done.stdout


def _failed(commands: Path, what: str, output: str) -> StageFailedError:
    told = [x for x in output.splitlines() if "Error" in x and "telemetry" not in x.lower()]
    last = (told or output.strip().splitlines() or ["no output"])[-1].strip()
    return StageFailedError(f"{what}: {last}", where=commands, fix=_FIX)


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
    scored = [f"{row},{0.1 + 0.1 * number}" for number, row in enumerate(rows[1:])]
    (folder / "inference.csv").write_text("\n".join([f"{rows[0]},siamese_score", *scored]) + "\n", encoding="utf-8")
