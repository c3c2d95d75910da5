"""A laid out workspace on disk: pictures linked or made anew where TAO would misread them, the CSVs, a spec."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.data.changenet.layout_find import Sample
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS, REQUIRED_COLUMNS, write_pairs
from tao_skill_bank.data.pictures.decode import is_deep
from tao_skill_bank.data.pictures.facts import ORIENTATION_TAG, UPRIGHT, Facts

if TYPE_CHECKING:
    from PIL import Image

SETS = ("training", "validation", "kpi", "acceptance", "pool")
LARGEST_SIDE, STEP = 224, 32
_ONE_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})


@dataclass(frozen=True)
class Remade:
    """Pictures that were written anew because TAO would have misread them.

    Attributes:
        turned: Turned upright by their EXIF orientation.
        scaled: Brought from more than 8 bits to 8.
        bits: How many bits the deepest of them used; the others were scaled by the same factor.
    """

    turned: int
    scaled: int
    bits: int


def write_workspace(
    workspace: Path,
    sets: Mapping[str, Sequence[Sample]],
    lightings: Sequence[str],
    facts: Mapping[str, Facts],
    *,
    boards: bool,
) -> Remade:
    """Everything into a folder beside, which then takes the workspace's name.

    `facts` are of every capture and golden, by path.
    """
    everything = [s for rows in sets.values() for s in rows]
    paths = dict.fromkeys(path for s in everything for path in (*s.captures, *s.goldens))
    endings = {path.suffix for path in paths}
    formats = {_format(ending) for ending in endings}
    ext = endings.pop() if len(endings) == 1 else formats.pop() if len(formats) == 1 else ".png"
    used = [facts[str(path)] for path in paths]
    bits = max((int(f.highest or 0).bit_length() for f in used if f.cut_off), default=8)
    columns = (*REQUIRED_COLUMNS, *BOARD_COLUMNS[:1]) if boards else REQUIRED_COLUMNS
    with scratch(workspace) as folder:
        _put_pictures(folder / "images", everything, lightings, ext, facts, bits)
        layout = Workspace(folder)
        files = (layout.training_csv, layout.validation_csv, layout.kpi_csv, layout.acceptance_csv, layout.pool_csv)
        for name, path in zip(SETS, files, strict=True):
            if name in sets:
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = [(f"captures/{s.folder}/", f"golden/{s.folder}/", s.label, s.name, s.board) for s in sets[name]]
                write_pairs(path, dict(zip(columns, map(list, zip(*rows, strict=True)), strict=False)))
        smallest = min(len(sets[name]) for name in ("training", "validation"))
        largest = max(max(f.width, f.height) for f in used)
        fsio.write_text(layout.spec, _spec(largest, lightings, ext, max(1, min(16, smallest))))
        os.replace(folder, workspace)
        fsio.fsync_dir(workspace.parent)
    return Remade(sum(f.orientation != UPRIGHT for f in used), sum(f.cut_off for f in used), bits)


@contextlib.contextmanager
def scratch(workspace: Path) -> Iterator[Path]:
    """A folder beside the workspace that is gone when the block ends badly; those of killed calls are cleared.

    Its lock tells a call that goes on from one that was killed, whose process ids mean nothing in another container.
    """
    workspace.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{workspace.name[:60]}.", ".part"
    for entry in os.scandir(workspace.parent):
        if entry.name.startswith(prefix) and entry.name.endswith(suffix) and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError):
                _clear(Path(entry.path))
    made, lock = _made_and_locked(workspace.parent, prefix, suffix)
    try:
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o777 & ~umask)
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _made_and_locked(parent: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    """A fresh folder, and what holds its lock; on a file system without locks nobody clears it."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
        # Until it is locked it looks like a killed call's: another call may be clearing it, or have done so.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(made, os.O_RDONLY)
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if made.exists():
                return made, lock
            os.close(lock)


def _clear(folder: Path) -> None:
    """Remove a killed call's folder; an `OSError` where it is in use, or where nobody can say that it is not."""
    with _looked_at(folder) as handle, _looked_at(folder) as other:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return  # everybody is given the lock here
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _looked_at(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _format(ending: str) -> str:
    return _ONE_FORMAT.get(ending.lower(), ending.lower())


def _put_pictures(
    images: Path, samples: Iterable[Sample], lightings: Sequence[str], ext: str, facts: Mapping[str, Facts], bits: int
) -> None:
    endings = [f"_{light}{ext}" for light in lightings] or [ext]
    for sample in samples:
        for side, files in (("captures", sample.captures), ("golden", sample.goldens)):
            folder = images / side / sample.folder
            guard.make_folder(folder)
            for file, ending in zip(files, endings, strict=True):
                _put(file, folder / f"{sample.name}{ending}", facts[str(file)], bits)


def _put(source: Path, target: Path, facts: Facts, bits: int) -> None:
    """Link where the file system can, else copy; written anew where format, depth or orientation must change."""
    if _format(source.suffix) == _format(target.suffix) and facts.orientation == UPRIGHT and not facts.cut_off:
        # The file that is open, whatever is put in its place meanwhile.
        with guard.open_read(source, "picture") as handle:
            through = f"/proc/self/fd/{handle.fileno()}"
            name = through if os.path.exists(through) else str(source.resolve())
            try:
                with guard.place(target) as at:
                    os.link(name, at.name, dst_dir_fd=at.fd, follow_symlinks=True)
            except OSError:
                with guard.open_write(target, "xb") as copy:
                    shutil.copyfileobj(handle, copy, 1 << 20)
        return
    from PIL import Image

    with _opened(source) as image:
        made = _eight_bits(image, bits) if is_deep(image.mode) else image
        if facts.orientation != UPRIGHT:
            made = _upright(made, facts.orientation)
        kind = Image.registered_extensions()[target.suffix.lower()]
        if kind == "PNG" and made.mode not in _PNG_MODES:
            made = made.convert("RGB")
        made.save(target, kind, **_as_it_was(image, kind))


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """A grey picture of 8 bits: the upper ones of the `bits` that the deepest picture of all uses."""
    import numpy as np
    from PIL import Image as module

    values = np.maximum(np.asarray(image), 0).astype(np.int64)
    return module.fromarray((values >> (bits - 8) if values.max() > 255 else values).astype(np.uint8))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL import Image as module
    from PIL import ImageOps

    exif = module.Exif()
    exif[ORIENTATION_TAG] = orientation
    plain = image.copy()
    plain.info = {"exif": exif.tobytes()}
    turned = ImageOps.exif_transpose(plain)
    turned.info = {}
    return turned


def _as_it_was(image: Image.Image, kind: str) -> dict[str, Any]:
    """How to save a picture of the same format with as little loss as it was saved with before; no tags."""
    if kind == "JPEG":
        from PIL import JpegImagePlugin

        tables = getattr(image, "quantization", None)
        if not tables:
            return {"quality": 95, "subsampling": 0}
        return {"qtables": tables, "subsampling": max(0, JpegImagePlugin.get_sampling(image))}
    return {"lossless": True} if kind == "WEBP" else {}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError("cannot be read as a picture", where=path, fix="take it out or export it again") from None


def _spec(largest: int, lightings: Sequence[str], ext: str, batch: int) -> str:
    side = min(LARGEST_SIDE, max(STEP * 2, -(-largest // STEP) * STEP))
    # Quoted: YAML takes `on` and `1` for other things than names.
    lights = "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {i}" for i, name in enumerate(lightings)) + "}"
    template = Template(resources.files(__package__).joinpath("layout_spec.yaml").read_text(encoding="utf-8"))
    return template.substitute(ext=ext, batch=batch, inputs=max(1, len(lightings)), lights=lights, side=side)
