"""A stand-in for AnomalyGen's two commands: no diffusion model, milliseconds, the same files; it can behave badly.

Its column and key names are a guess where the container's are not published.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

BEHAVIOURS = (
    "good",
    "no_roi",
    "fewer_rows",
    "unpaired",
    "other_label",
    "no_allocation",
    "fails",
    "blocked",
    "all_blocked",
)


def install(folder: Path, behaviour: str = "good") -> Path:
    """A folder of commands as `--platform virtualenv` wants it: this stand-in, and that for `visual_changenet`."""
    assert behaviour in BEHAVIOURS
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__)
    lines = {
        "prep_testcase.sh": f"'{here}' {behaviour} prep",
        "run_sdg.sh": f"'{here}' {behaviour} sdg",
        "visual_changenet": f"'{here.with_name('fake_tao.py')}'",
    }
    for name, line in lines.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}' {line} \"$@\"\n")
        path.chmod(0o755)
    return folder


def add_assets(workspace: Path, defects: tuple[str, ...] = ("PCB+bridge", "PCB+missing"), *, base: bool = True) -> Path:
    """The generator's data set, fine-tuned checkpoint and base models, at their usual places."""
    home = workspace / "augmentation" / "anomalygen"
    (home / "datasets" / "PCB").mkdir(parents=True)
    spec = home / "datasets" / "PCB" / "defect_spec.jsonl"
    spec.write_text(
        "".join(json.dumps({"defect_type": d, "spatial_dependency": "free"}) + "\n" for d in defects), encoding="utf-8"
    )
    latest = home / "checkpoints" / "PCB" / "checkpoints" / "latest_checkpoint.txt"
    latest.parent.mkdir(parents=True)
    latest.write_text("iter_000014000.pt\n")
    if base:
        (home / "base_checkpoints").mkdir()
        (home / "base_checkpoints" / "model.bin").write_bytes(b"weights")
    return home


def prep(behaviour: str, args: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("name", "dataset-dir", "clean-dir", "defect-spec", "amp-output-dir", "output-jsonl"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--num-sdg", type=int, required=True)
    given = parser.parse_args(args)
    if behaviour == "fails":
        sys.exit("CUDA out of memory")
    kinds = [json.loads(line)["defect_type"] for line in Path(given.defect_spec).read_text().splitlines()]
    shares = {kind: given.num_sdg // len(kinds) + (n < given.num_sdg % len(kinds)) for n, kind in enumerate(kinds)}
    amp = Path(given.amp_output_dir)
    amp.mkdir(parents=True, exist_ok=True)
    if behaviour != "no_allocation":
        (amp / "allocation.json").write_text(json.dumps({"name": given.name, "allocation": shares}))
    # A defect whose region of interest is found nowhere gets no test case, and nobody says so.
    found = {kind: 0 if behaviour == "no_roi" and kind == kinds[-1] else n for kind, n in shares.items()}
    lines = [{"index": i, "defect_type": kind} for kind, n in found.items() for i in range(n)]
    Path(given.output_jsonl).write_text("".join(json.dumps(line) + "\n" for line in lines))


def sdg(behaviour: str, args: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("checkpoint_dir", "step", "input_jsonl", "output_dir", "model_size", "num_gpus"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args(args)
    cases = [json.loads(line) for line in Path(given.input_jsonl).read_text().splitlines()]
    out = Path(given.output_dir)
    for folder in ("reconstructed_image", "original_image"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(given.step))
    if behaviour == "fewer_rows":
        cases = cases[:-1]
    for number, case in enumerate(cases):
        kind = "PCB+scratch" if behaviour == "other_label" and number == 0 else case["defect_type"]
        name = f"{kind}_{number:05d}.png"
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        if behaviour in ("blocked", "all_blocked"):
            case["guardrail_pass"] = int(behaviour == "blocked" and number > 0)
            pixels *= case["guardrail_pass"]
        Image.fromarray(pixels).save(out / "reconstructed_image" / name)
        if not (behaviour == "unpaired" and number == 0):
            Image.fromarray(255 - pixels).save(out / "original_image" / name)
    with (out / "SDG_result.csv").open("w", newline="") as handle:
        columns = ["index", "defect_type", *(["guardrail_pass"] if "blocked" in behaviour else [])]
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(cases)


if __name__ == "__main__":
    {"prep": prep, "sdg": sdg}[sys.argv[2]](sys.argv[1], sys.argv[3:])
