#!/usr/bin/env python3
"""Bring NG/OK image pairs into the shape ChangeNet reads: staged images, a 14-column CSV, ingest_summary.json.

Exit status 0: everything the CSV names is staged. 2: something is wrong, nothing was written.
"""

import argparse
import sys
from pathlib import Path

try:
    from tao_skill_bank.actions.console import run_script
    from tao_skill_bank.actions.upstream import refuse_flags
    from tao_skill_bank.data.changenet.pair_prepare import prepare_pairs
except ImportError as error:
    home = next((str(p) for p in Path(__file__).resolve().parents if (p / "tao_skill_bank").is_dir()), "THE-REPOSITORY")
    advice = f"run `pip install {home}`, or this script as `uv run --project {home} {__file__}`"
    print(f"{Path(__file__).name}: tao-skill-bank cannot be imported ({error}): {advice}", file=sys.stderr)
    raise SystemExit(2) from None


def main() -> int:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(prog="changenet_data_pair_prepare", description="Prepare NG/OK image pairs.")
    parser.add_argument("--input-dir", type=Path, required=True, help="NG images, <TEXTURE>+<label>_<00000>.ext")
    parser.add_argument("--golden-dir", type=Path, required=True, help="OK images of the same stems")
    parser.add_argument("--images-dir", type=Path, required=True, help="where the images are staged")
    parser.add_argument("--subdir", default="sdg", help="NAME of the folders NAME_ng/ and NAME_ok/ (default: sdg)")
    parser.add_argument("--light", action="append", help="a lighting; repeat for several; none: no lighting in names")
    parser.add_argument("--image-ext", default=".png", help="extension of the staged images (default: .png)")
    parser.add_argument("-o", "--output-csv", "--output", type=Path, required=True, help="the CSV")
    refuse_flags(
        parser,
        {
            "--label": "a pair's label is in its file's name: <TEXTURE>+<label>_<00000>.ext",
            "-l": "--light L names a lighting; a pair's label is in its file's name: <TEXTURE>+<label>_<00000>.ext",
        },
    )
    args = parser.parse_args()
    done = prepare_pairs(
        input_dir=args.input_dir,
        golden_dir=args.golden_dir,
        images_dir=args.images_dir,
        subdir=args.subdir,
        lights=args.light or [],
        image_ext=args.image_ext,
        output_csv=args.output_csv,
    )
    labels = ", ".join(f"{count} {label}" for label, count in done.labels.items())
    print(f"pairs: {len(done.rows)} ({labels}), {done.reencoded} images re-encoded")
    for stem, why in done.left_out.items():
        print(f"left out: {stem}: {why}")
    print(f"wrote: {done.summary}")
    print(f"wrote: {done.csv}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_script("changenet_data_pair_prepare", main))
