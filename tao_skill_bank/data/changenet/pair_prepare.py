"""NG/OK image pairs made elsewhere, brought into the shape ChangeNet reads.

Pairs are told by their stem (`PCB+bridge_00007.png` with `PCB+bridge_00007.jpg`); the label is the part behind the
`+` without its number. Images are staged as `<NAME>_ng/` and `<NAME>_ok/`, one file a lighting, and a 14-column CSV
is written last: if it is there, everything it names is there.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.guardrail import TABLE, left_out
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.labels import PASS, is_pass, says_good
from tao_skill_bank.data.changenet.tables import PairTable, write_pairs

if TYPE_CHECKING:
    from PIL.Image import Image

PAIR_COLUMNS = (
    "input_path",
    "golden_path",
    "label",
    "object_name",
    "project",
    "boardname",
    "comp_type_2",
    "mpass_mfail",
    "is_valid",
    "comp_name",
    "part_type",
    "number_of_pins",
    "description",
    "comp_type_1",
)
SUMMARY_FILE = "ingest_summary.json"
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
_NAME = re.compile(r"(?P<texture>.+?)\+(?P<label>.+)_(?P<number>\d+)")
_SUBDIR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PreparedPairs:
    """What was staged.

    Attributes:
        rows: The CSV's rows, by stem; folders are relative to the images folder.
        summary: `ingest_summary.json`.
        reencoded: How many images changed their format on the way.
        left_out: Stem → why, of the pairs that became no row.
    """

    rows: PairTable
    csv: Path
    summary: Path
    labels: Mapping[str, int]
    reencoded: int
    left_out: Mapping[str, str]


def pair_label(path: Path) -> str:
    """The label in a file's name, lower-cased and stripped: `PCB+Excess_Solder_00012.png` → `excess_solder`.

    Raises:
        InputError: The name is not `<TEXTURE>+<label>_<number>`, or the label is a word for a good part.
    """
    return _parts(path)[1]


def pair_files(input_dir: Path, golden_dir: Path) -> list[tuple[Path, Path]]:
    """The (NG, OK) files of every pair, by stem. Hidden files and files that are no images are left out.

    Raises:
        InputError: A folder is missing or holds no image.
        InputErrors: A stem without a partner, or twice in one folder: a line each, naming the file.
    """
    ng, ok = _images(input_dir), _images(golden_dir)
    faults = [
        f"{files[0]} has no partner in {other}"
        for mine, theirs, other in ((ng, ok, golden_dir), (ok, ng, input_dir))
        for stem, files in mine.items()
        if stem not in theirs
    ]
    faults += [
        f"{files[0]} and {files[1].name} have the same stem" for files in (*ng.values(), *ok.values()) if len(files) > 1
    ]
    if faults:
        raise InputErrors(
            f"the images are not paired: {faults[0]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""),
            faults,
            where=input_dir,
            fix="every NG image needs one OK image of the same stem",
        )
    return [(ng[stem][0], ok[stem][0]) for stem in sorted(ng)]


def prepare_pairs(
    *,
    input_dir: Path,
    golden_dir: Path,
    images_dir: Path,
    subdir: str,
    lights: Sequence[str],
    image_ext: str,
    output_csv: Path,
) -> PreparedPairs:
    """Stage every pair and write its CSV row.

    An image is copied byte for byte where its extension is the wanted one, and re-encoded where it is not; either
    way it is decoded first, so that a broken file is found here. With several lightings each gets the same image.
    Both folders are built aside and renamed into place. Running again with the same pairs changes nothing.
    Pairs that their generator blocked (`guardrail`) are left out and named in the summary.

    Args:
        input_dir: The NG images.
        golden_dir: The OK images, same stems, any image extension.
        images_dir: Where `<subdir>_ng/` and `<subdir>_ok/` go; paths in the CSV are relative to it.
        subdir: Their common name.
        lights: Lightings in the staged names; empty for names without one.
        image_ext: Extension of the staged images, with its dot.
        output_csv: The 14-column CSV; `ingest_summary.json` goes beside it.

    Raises:
        InputError: A folder is missing or empty, a file is no image, the target folders hold other images.
        InputErrors: Unpaired or ill-named files, all of them. Nothing was written.
    """
    if image_ext.lower() not in FORMATS:
        raise InputError(
            f"cannot write {image_ext!r} images", where="image extension", fix=f"one of {', '.join(FORMATS)}"
        )
    if not _SUBDIR.fullmatch(subdir):
        raise InputError(f"{subdir!r} is not a plain folder name", where="subdir", fix="letters, digits, . _ -")
    everything = pair_files(input_dir, golden_dir)
    blocked = left_out(everything, input_dir.parent / TABLE)
    pairs = [pair for pair in everything if pair[0].stem not in blocked]
    if not pairs:
        stem, why = next(iter(blocked.items()))
        raise InputError(
            f"none of {len(everything)} pairs can be trained on, first {stem}: {why}",
            where=input_dir,
            fix="generate others",
        )
    rows = _rows([ng for ng, _ in pairs], subdir, output_csv)
    naming = ImageNaming(tuple(lights), image_ext)
    reencoded = resized = 0
    with guard.temporary_folder(images_dir, f".{subdir}.") as aside:
        for ng, ok in pairs:
            sizes = []
            for source, kind in ((ng, "ng"), (ok, "ok")):
                data, size, changed = _encoded(source, image_ext)
                for target in naming.files(aside, kind, ng.stem):
                    with guard.open_write(target, "xb", make=True) as handle:
                        handle.write(data)
                        os.fsync(handle.fileno())
                reencoded += changed
                sizes.append(size)
            resized += sizes[0] != sizes[1]
        _commit({aside / kind: images_dir / f"{subdir}_{kind}" for kind in ("ng", "ok")})
    labels = dict(sorted(Counter(rows.label).items()))
    summary = output_csv.parent / SUMMARY_FILE
    fsio.write_json(
        summary,
        {
            "input_dir": str(input_dir),
            "golden_dir": str(golden_dir),
            "images_dir": str(images_dir),
            "subdir": subdir,
            "lights": list(lights),
            "image_ext": image_ext,
            "pairs": len(pairs),
            "labels": labels,
            "images_written": 2 * len(pairs) * len(naming.suffixes),
            "reencoded": reencoded,
            "pairs_of_unequal_size": resized,
            "left_out": blocked,
            "output_csv": str(output_csv),
        },
    )
    write_pairs(output_csv, rows.columns)
    return PreparedPairs(rows, output_csv, summary, labels, reencoded, blocked)


def _parts(path: Path) -> tuple[str, str]:
    match = _NAME.fullmatch(path.stem)
    label = match["label"].strip().lower() if match else ""
    if match is None or not label:
        raise InputError("is not named <TEXTURE>+<label>_<00000>", where=path, fix="name it like PCB+bridge_00007.png")
    if says_good(label):
        raise InputError(
            f"is an NG image labelled {PASS if is_pass(label) else repr(label)}",
            where=path,
            fix="name the defect behind the +",
        )
    return match["texture"], label


def _images(folder: Path) -> dict[str, list[Path]]:
    if not guard.is_folder(folder):
        raise InputError("no such folder", where=folder, fix="name a folder of images")
    found: dict[str, list[Path]] = {}
    for path in sorted(guard.children(folder)):
        if not path.name.startswith(".") and path.suffix.lower() in FORMATS and guard.is_file(path):
            found.setdefault(path.stem, []).append(path)
    if not found:
        raise InputError("holds no image", where=folder, fix=f"put images here ({', '.join(FORMATS)})")
    return found


def _rows(ng_files: Sequence[Path], subdir: str, csv: Path) -> PairTable:
    columns: dict[str, list[str]] = {name: [] for name in PAIR_COLUMNS}
    faults: list[str] = []
    for path in ng_files:
        try:
            texture, label = _parts(path)
        except InputError as error:
            faults.append(error.line())
            continue
        values = {
            "input_path": f"{subdir}_ng/",
            "golden_path": f"{subdir}_ok/",
            "label": label,
            "object_name": path.stem,
            "project": subdir,
            "boardname": texture,
        }
        for name in PAIR_COLUMNS:
            columns[name].append(values.get(name, ""))
    if faults:
        raise InputErrors(
            faults[0] if len(faults) == 1 else f"{len(faults)} files are ill-named, first: {faults[0]}",
            faults,
            fix="rename them",
        )
    return PairTable(csv, columns)


def _encoded(source: Path, image_ext: str) -> tuple[bytes, tuple[int, int], bool]:
    """The bytes to stage, the image's size, and whether its format was changed."""
    import io

    from PIL import Image, UnidentifiedImageError

    data = guard.read_bytes(source)
    wanted = FORMATS[image_ext.lower()]
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if FORMATS[source.suffix.lower()] == wanted:
                return data, image.size, False
            out = io.BytesIO()
            # Plain pixels only: metadata would make equal pictures differ, and TAO does not look at it.
            plain = _eight_bit(image, source)
            if wanted == "JPEG":
                plain.save(out, "JPEG", quality=95, subsampling=0)
            elif wanted == "WEBP":
                plain.save(out, "WEBP", lossless=True)
            else:
                plain.save(out, wanted)
            return out.getvalue(), image.size, True
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot be decoded: {error}", where=source, fix="replace or remove the pair") from None


def _eight_bit(image: Image, source: Path) -> Image:
    """A copy with grey or RGB pixels of 8 bits and no metadata."""
    from PIL import Image as module

    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise InputError(
            f"has {image.mode} pixels, which have no faithful 8-bit form", where=source, fix="convert it to 8 bits"
        )
    pixels = image.convert("L" if image.mode in ("1", "L") else "RGB")
    plain = module.new(pixels.mode, pixels.size)
    plain.paste(pixels)
    return plain


def _commit(moves: Mapping[Path, Path]) -> None:
    """Rename folders into place; folders of the same content that are there already are left as they are."""
    todo = {source: target for source, target in moves.items() if not _same(source, target)}
    for target in todo.values():
        if guard.exists(target):
            raise InputError(
                "holds other images already", where=target, fix="choose another --subdir, or move the folder away"
            )
    for source, target in todo.items():
        guard.rename(source, target)
        fsio.fsync_dir(target.parent)


def _same(first: Path, second: Path) -> bool:
    if not guard.is_folder(second):
        return False
    names = [sorted(path.name for path in guard.children(folder)) for folder in (first, second)]
    return names[0] == names[1] and all(
        guard.read_bytes(first / name) == guard.read_bytes(second / name) for name in names[0]
    )
