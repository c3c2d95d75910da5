"""A workspace from folders of pictures: one folder a label, goldens beside them, every set drawn by board.

A plant's export rarely looks as TAO wants it. What it nearly always has is a folder of good parts, folders of defects,
and goldens. From these the four or five CSVs, the names and a spec follow by rules, without a row typed by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.labels import is_zero, says_good
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.data.changenet.tables import PASS, REQUIRED_COLUMNS, write_pairs
from tao_skill_bank.data.changenet.validate import READ_AS_MISSING

if TYPE_CHECKING:
    from PIL import Image

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_ONE_FORMAT = {".jpeg": ".jpg", ".tiff": ".tif"}
SETS = ("training", "validation", "kpi", "acceptance", "pool")
SHARES = (0.25, 0.10, 0.25, 0.20, 0.20)
"""Parts of the samples that go to each of `SETS`; a set of share 0 is not made."""
LARGEST_SIDE, STEP = 224, 32
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_SPEC = """\
# Visual ChangeNet for pictures laid out by `tao-skills workspace`: a learnable classifier on a FAN backbone, which
# takes any number of lightings side by side.
task: classify
train:
  num_epochs: 10
  checkpoint_interval: 1
  validation_interval: 1
  seed: 1234
  classify: {{loss: ce, cls_weight: [1.0, 10.0]}}
  optim: {{lr: 0.00001, optim: adamw, policy: linear}}
model:
  backbone: {{type: fan_tiny_8_p4_hybrid, pretrained_backbone_path: null, freeze_backbone: false}}
  classify: {{difference_module: learnable, learnable_difference_modules: 4, embed_dec: 30, eval_margin: 0.3}}
  decode_head: {{feature_strides: [4, 8, 16, 32]}}
dataset:
  classify:
    train_dataset: {{csv_path: "", images_dir: ""}}
    validation_dataset: {{csv_path: "", images_dir: ""}}
    image_ext: {ext}
    batch_size: {batch}
    workers: 0
    num_input: {inputs}
    input_map: {lights}
    concat_type: linear
    grid_map: {{x: {inputs}, y: 1}}
    image_width: {side}
    image_height: {side}
    num_classes: 2
"""


@dataclass(frozen=True)
class Sample:
    """One part: its capture and golden of every lighting, under names that do not change.

    Attributes:
        label: `PASS` or a defect name in lower case.
        folder: Where its captures lie below the pictures folder, label first, `/` between.
        name: File name without lighting and extension.
        board: What must not be shared between two sets.
        captures: One file a lighting.
        goldens: One file a lighting.
    """

    label: str
    folder: str
    name: str
    board: str
    captures: tuple[Path, ...]
    goldens: tuple[Path, ...]


@dataclass(frozen=True)
class LaidOut:
    """What was laid out: the folder, and for each set its rows by label, PASS first."""

    workspace: Path
    sets: dict[str, dict[str, int]]
    boards: int

    def lines(self) -> list[str]:
        """A line a set, as the pre-flight summary writes them."""
        out = []
        for name, labels in self.sets.items():
            shown = ", ".join(f"{label} {count}" for label, count in labels.items())
            out.append(f"{name:<11} {sum(labels.values())} rows: {shown}")
        return out


@dataclass
class _Found:
    samples: list[Sample] = field(default_factory=list)
    without_golden: list[str] = field(default_factory=list)
    unlit: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    two_goldens: list[str] = field(default_factory=list)


def lay_out(
    pictures: Path,
    goldens: Path,
    workspace: Path,
    *,
    lightings: Sequence[str] = (),
    board: str | None = None,
    shares: Sequence[float] = SHARES,
) -> LaidOut:
    """Make a workspace of folders of pictures. The same folders give the same workspace.

    `pictures` holds a folder a label; `pass`, `ok` and `good` in any case are good parts, every other name is a defect.
    The golden of `LABEL/ANY/NAME.png` is the first of `ANY/NAME`, `LABEL/ANY/NAME`, `NAME` and `ANY` that is a
    picture below `goldens`, or the only picture there. Goldens may lie among the pictures, as a folder
    beside the labels. Files are linked, or copied where the file system cannot link;
    pictures of several formats are made PNG. Names that begin with a dot are passed over.

    Args:
        pictures: Captures by label.
        goldens: Goldens.
        workspace: A folder that is new or empty.
        lightings: How file names end, for several pictures a part: `("SolderLight", "WhiteLight")`.
        board: Regular expression that finds the board in a picture's path below `pictures`; its first group counts if
            it has one. By default a picture's folder below its label is its board, and a picture without one its own.
        shares: Parts of the samples for training, validation, KPI, acceptance and pool.

    Raises:
        InputError: Folders without pictures, without good parts or without defects; labels that TAO would read as no
            label; too few boards for the sets; a board that cannot be found; a workspace folder that holds something
            or lies among the pictures; shares that are no shares.
        InputErrors: Pictures without a golden or one of their lightings, in two formats, or that are no pictures;
            names that are not UTF-8: a line each.
    """
    _check_arguments(pictures, goldens, workspace, lightings, shares)
    files, known = _walk(pictures, aside=goldens), _walk(goldens, aside=pictures)
    _check_labels(pictures, {label_of(name.split("/")[0]) for name in files if "/" in name})
    found = _samples(files, known, lightings, _pattern(board))
    for faults, what, fix in (
        (_not_text([*files, *known]), "of a name that is not UTF-8", "rename them"),
        (found.doubled, "of a name that another format has too", "keep one format of each picture"),
        (found.unlit, "without a lighting", "name the endings of the files with --lightings"),
        (
            found.without_golden,
            "without a golden",
            f"a golden has the name of its picture, or of the picture's folder, below {goldens}",
        ),
        (found.two_goldens, "with two goldens of one name", "keep one format of each golden"),
        (_unreadable(found.samples), "that are no pictures", "take them out or export them again"),
    ):
        if faults:
            raise InputErrors(f"{len(faults)} {what}, first: {faults[0]}", faults, where=pictures, fix=fix)
    sets = draw_sets(found.samples, shares)
    _check_sets(pictures, sets)
    _write(workspace.resolve(), sets, lightings)
    return LaidOut(
        workspace=workspace,
        sets={name: _counts(rows) for name, rows in sets.items()},
        boards=len({s.board for s in found.samples}),
    )


def draw_sets(samples: Sequence[Sample], shares: Sequence[float] = SHARES) -> dict[str, list[Sample]]:
    """Samples by set: no board in two sets, labels spread by the shares as evenly as whole boards allow.

    Large boards are placed first, each where its labels are lacking most, rare labels weighing as much as common ones.
    Equal needs go in the order KPI, training, pool, acceptance, validation. No randomness: boards of one size are
    ordered by a hash of their name.
    """
    boards: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        boards[sample.board].append(sample)
    total = Counter(s.label for s in samples)
    wanted = {name: share / sum(shares) for name, share in zip(SETS, shares, strict=True) if share / sum(shares) > 0}
    order = [name for name in ("kpi", "training", "pool", "acceptance", "validation") if name in wanted]
    have = {name: Counter[str]() for name in wanted}
    out: dict[str, list[Sample]] = {name: [] for name in wanted}

    def gain(name: str, labels: Counter[str]) -> float:
        return sum(n / total[k] * (wanted[name] - have[name][k] / total[k]) / wanted[name] for k, n in labels.items())

    def place(item: tuple[str, list[Sample]]) -> tuple[float, str]:
        key, rows = item
        return -sum(1 / total[s.label] for s in rows), hashlib.sha256(
            key.encode("utf-8", "surrogateescape")
        ).hexdigest()

    for _, rows in sorted(boards.items(), key=place):
        labels = Counter(s.label for s in rows)
        best = max(order, key=lambda name: gain(name, labels))
        have[best].update(labels)
        out[best] += rows
    return {name: sorted(rows, key=lambda s: (s.folder, s.name)) for name, rows in out.items()}


def _check_arguments(
    pictures: Path, goldens: Path, workspace: Path, lightings: Sequence[str], shares: Sequence[float]
) -> None:
    for folder, what in ((pictures, "pictures, one below it a label"), (goldens, "goldens")):
        if not folder.is_dir():
            raise InputError("no such folder", where=folder, fix=f"name the folder of the {what}")
    if pictures.resolve() == goldens.resolve():
        raise InputError(
            "pictures and goldens in one folder", where=goldens, fix="name the folder of the goldens alone"
        )
    if workspace.is_file() or (workspace.is_dir() and any(workspace.iterdir())):
        raise InputError("not an empty folder", where=workspace, fix="name a new folder for the workspace")
    if workspace.resolve() == Path.cwd():
        raise InputError("the folder you stand in would be replaced", where=workspace, fix="name a folder below it")
    for folder in (pictures, goldens):
        if workspace.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"lies in {folder}, where it would be taken for pictures",
                where=workspace,
                fix="name a folder elsewhere",
            )
    if len(set(lightings)) < len(lightings):
        raise InputError(f"a lighting twice: {', '.join(lightings)}", where="--lightings", fix="name each once")
    total = sum(shares)
    usable = len(shares) == len(SETS) and math.isfinite(total) and min(shares) >= 0
    if not usable or not all(s > 0 and s / total > 0 for s in shares[:3]):
        raise InputError(
            f"not {len(SETS)} shares: {', '.join(f'{s:g}' for s in shares)}",
            where="--shares",
            fix="give those of training, validation, KPI, acceptance and pool; only the last two may be 0",
        )


def _pattern(board: str | None) -> re.Pattern[str] | None:
    try:
        return None if board is None else re.compile(board)
    except re.error as error:
        raise InputError(
            f"not a regular expression: {error}", where="--board", fix="for example '([0-9]{8})'"
        ) from None


def _walk(folder: Path, *, aside: Path) -> dict[str, Path]:
    """Every picture below a folder by its path there with `/` between, in order, but for those below `aside`."""
    found: dict[str, Path] = {}
    apart = aside.resolve()

    def enter(here: Path, within: str, above: frozenset[Path]) -> None:
        real = here.resolve()
        # A link that leads back to a folder it lies in would be walked for ever.
        if real == apart or real in above:
            return
        for entry in list(os.scandir(here)):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                enter(here / entry.name, f"{within}{entry.name}/", above | {real})
            elif Path(entry.name).suffix.lower() in PICTURES:
                found[within + entry.name] = here / entry.name

    enter(folder, "", frozenset())
    return dict(sorted(found.items()))


def _not_text(names: Iterable[str]) -> list[str]:
    """What the CSVs cannot hold, made readable."""
    return [
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for name in names
        if not name.isascii() and any("\udc80" <= c <= "\udcff" for c in name)
    ]


def _unreadable(samples: Iterable[Sample]) -> list[str]:
    """Captures and goldens that are empty, broken links, no files, or do not begin as a picture does: a line each."""
    from PIL import Image

    faults = []
    for path in dict.fromkeys(path for s in samples for path in (*s.captures, *s.goldens)):
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise OSError("not a file")
            with Image.open(path):
                pass
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            faults.append(str(path))
    return faults


def _samples(
    files: dict[str, Path], goldens: dict[str, Path], lightings: Sequence[str], board: re.Pattern[str] | None
) -> _Found:
    known, doubled = _by_stem(goldens)
    parts: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    found = _Found()
    for shown, path in files.items():
        place = PurePosixPath(shown)
        stem, light = _split(place.stem, lightings)
        if len(place.parts) == 1:
            continue
        if light is None:
            found.unlit.append(f"{shown} ends in none of {', '.join(lightings)}")
        else:
            if light in parts[str(place.parent), stem]:
                found.doubled.append(shown)
            parts[str(place.parent), stem][light] = path
    lights = tuple(lightings) or ("",)
    for (folder, name), captures in parts.items():
        lacking = [light for light in lights if light not in captures]
        if lacking:
            found.unlit.append(f"{folder}/{name} has no picture of {', '.join(lacking)}")
            continue
        label, *below = folder.split("/")
        matching = [_golden(known, label, "/".join(below), name, light) for light in lights]
        if None in matching:
            found.without_golden.append(f"{folder}/{name}")
            continue
        if not doubled.isdisjoint(path for path in matching if path is not None):
            found.two_goldens.append(f"{folder}/{name}")
            continue
        found.samples.append(
            Sample(
                label=label_of(label),
                folder=folder,
                name=name,
                board=_board(board, folder, name, "/".join(below)),
                captures=tuple(captures[light] for light in lights),
                goldens=tuple(path for path in matching if path is not None),
            )
        )
    return found


def label_of(folder: str) -> str:
    """`PASS` for `ok`, `Good`, `PASS`; else the folder's name as TAO wants a label: lower case, no spaces."""
    return PASS if says_good(folder) else re.sub(r"\s+", "_", folder.strip().lower())


def _by_stem(files: dict[str, Path]) -> tuple[dict[str, Path], set[Path]]:
    """Files without their extension, and those of them that stand for several."""
    known: dict[str, Path] = {}
    doubled: set[Path] = set()
    for name, path in files.items():
        if known.setdefault(str(PurePosixPath(name).with_suffix("")), path) is not path:
            doubled.add(known[str(PurePosixPath(name).with_suffix(""))])
    return known, doubled


def _split(stem: str, lightings: Sequence[str]) -> tuple[str, str | None]:
    """Name and lighting of a file; no lightings: the whole name and an empty one."""
    if not lightings:
        return stem, ""
    fitting = [x for x in lightings if stem.endswith(f"_{x}") and len(stem) > len(x) + 1]
    light = max(fitting, key=len, default=None)  # `White_Light` is not `Light` of a part called `..._White`
    return (stem, None) if light is None else (stem[: -len(light) - 1], light)


def _golden(known: dict[str, Path], label: str, below: str, name: str, light: str) -> Path | None:
    end = f"_{light}" if light else ""
    places = [f"{below}/{name}{end}", f"{label}/{below}/{name}{end}", f"{name}{end}", f"{below}{end}"]
    tidy = (str(PurePosixPath(place)).lstrip("/") for place in places)
    only = next(iter(known.values())) if len(known) == 1 and not light else None
    return next((known[place] for place in tidy if place in known), only)


def _board(pattern: re.Pattern[str] | None, folder: str, name: str, below: str) -> str:
    if pattern is None:
        return below or f"{folder}/{name}"
    met = pattern.search(f"{folder}/{name}")
    if met is None:
        raise InputError(f"no board in {folder}/{name}", where="--board", fix="mend the expression, or leave it out")
    return next((text for text in met.groups() if text), met.group(0))


def _check_labels(pictures: Path, found: set[str]) -> None:
    if not found:
        raise InputError(
            "no pictures in folders of labels", where=pictures, fix="sort them: PASS/..., and a folder a defect"
        )
    if PASS not in found:
        shown = ", ".join(sorted(found))
        raise InputError(
            f"no good parts: the folders are {shown}", where=pictures, fix="call the folder of good parts PASS"
        )
    for label in sorted(found):
        if is_zero(label):
            what, fix = (
                f"the folder {label!r} may hold good parts or the first defect",
                "call it PASS, or by its defect",
            )
            raise InputError(what, where=pictures, fix=fix)
        if not label or label in READ_AS_MISSING:
            raise InputError(
                f"TAO's CSV reader takes the label {label!r} for a missing cell",
                where=pictures,
                fix="rename its folder",
            )
    if found == {PASS}:
        raise InputError("no defects, only good parts", where=pictures, fix="add a folder a defect, under its name")


def _check_sets(pictures: Path, sets: dict[str, list[Sample]]) -> None:
    for name, rows in sets.items():
        kinds = {s.label == PASS for s in rows}
        if name != "pool" and kinds != {True, False}:
            lacking = "good parts" if True not in kinds else "defects"
            raise InputError(
                f"too few boards: the {name} set would have no {lacking}",
                where=pictures,
                fix="add pictures, leave out acceptance and pool with --shares 40,20,40,0,0, or give --board",
            )


def _counts(rows: Iterable[Sample]) -> dict[str, int]:
    found = Counter(s.label for s in rows)
    return dict(sorted(found.items(), key=lambda item: (item[0] != PASS, item[0])))


def _write(workspace: Path, sets: dict[str, list[Sample]], lightings: Sequence[str]) -> None:
    """Everything into a folder beside, which then takes the workspace's name."""
    everything = [s for rows in sets.values() for s in rows]
    endings = {path.suffix for s in everything for path in (*s.captures, *s.goldens)}
    formats = {_format(ending) for ending in endings}
    ext = endings.pop() if len(endings) == 1 else formats.pop() if len(formats) == 1 else ".png"
    with _scratch(workspace) as scratch:
        _put_pictures(scratch / "images", everything, lightings, ext)
        layout = Workspace(scratch)
        files = (layout.training_csv, layout.validation_csv, layout.kpi_csv, layout.acceptance_csv, layout.pool_csv)
        for name, path in zip(SETS, files, strict=True):
            if name in sets:
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = [(f"captures/{s.folder}/", f"golden/{s.folder}/", s.label, s.name) for s in sets[name]]
                write_pairs(path, dict(zip(REQUIRED_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
        smallest = min(len(sets[name]) for name in ("training", "validation"))
        fsio.write_text(layout.spec, _spec(everything[0].captures[0], lightings, ext, max(1, min(16, smallest))))
        os.replace(scratch, workspace)
        fsio.fsync_dir(workspace.parent)


@contextlib.contextmanager
def _scratch(workspace: Path) -> Iterator[Path]:
    """A folder beside the workspace that is gone when the block ends badly; those of killed calls are cleared.

    Its lock tells a call that goes on from one that was killed, whose process ids mean nothing in another container.
    """
    workspace.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{workspace.name[:60]}.", ".part"
    for entry in os.scandir(workspace.parent):
        if entry.name.startswith(prefix) and entry.name.endswith(suffix) and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError), _locked(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=workspace.parent))
    try:
        with _locked(scratch):
            umask = os.umask(0)
            os.umask(umask)
            scratch.chmod(0o777 & ~umask)
            yield scratch
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; `BlockingIOError` where somebody else does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _format(ending: str) -> str:
    return _ONE_FORMAT.get(ending.lower(), ending.lower())


def _put_pictures(images: Path, samples: Iterable[Sample], lightings: Sequence[str], ext: str) -> None:
    endings = [f"_{light}{ext}" for light in lightings] or [ext]
    for sample in samples:
        for side, files in (("captures", sample.captures), ("golden", sample.goldens)):
            folder = images / side / sample.folder
            folder.mkdir(parents=True, exist_ok=True)
            for file, ending in zip(files, endings, strict=True):
                _put(file, folder / f"{sample.name}{ending}")


def _put(source: Path, target: Path) -> None:
    """Link where the file system can, else copy; another format is read and written anew, without loss."""
    if _format(source.suffix) != _format(target.suffix):
        with _opened(source) as image:
            (image if image.mode in _PNG_MODES else image.convert("RGB")).save(target, "PNG")
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError("cannot be read as a picture", where=path, fix="take it out or export it again") from None


def _spec(example: Path, lightings: Sequence[str], ext: str, batch: int) -> str:
    with _opened(example) as image:
        largest = max(image.size)
    side = min(LARGEST_SIDE, max(STEP * 2, -(-largest // STEP) * STEP))
    # Quoted: YAML takes `on` and `1` for other things than names.
    lights = "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {i}" for i, name in enumerate(lightings)) + "}"
    return _SPEC.format(ext=ext, batch=batch, inputs=max(1, len(lightings)), lights=lights, side=side)
