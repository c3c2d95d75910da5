"""Is a ChangeNet data set what TAO, and an honest measurement, need? Every fault is named by its row.

What TAO does with the faults found here: a label `pass` trains silently as a defect; a missing training image fails
only if it happens to be sampled; a cell such as `NA` is read as missing; a column of nothing but numbers is read as
numbers, which are no paths; fewer rows than a batch, or rows of one class only, end in an error minutes later.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.images import FolderIndex, ImageNaming, Placed, place, root_candidates
from tao_skill_bank.data.changenet.labels import is_pass, label_fault, near_misses, says_good
from tao_skill_bank.data.changenet.leakage import shared_images
from tao_skill_bank.data.changenet.tables import PASS, REQUIRED_COLUMNS, PairTable, read_pairs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Kind = Literal["train", "validation", "kpi", "acceptance", "pool"]

# What pandas, TAO's CSV reader, takes for a missing cell.
READ_AS_MISSING = (
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)


@dataclass(frozen=True)
class DatasetReport:
    """What was found in one CSV.

    Attributes:
        rows: Number of rows; 0 where it could not be read.
        labels: Label → number of rows, PASS first, then by name.
        faults: A line each; empty if the set can be used.
        placed: The rows and where their files are; None where files are missing.
    """

    path: Path
    kind: Kind
    rows: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    faults: Sequence[str] = ()
    placed: Placed | None = None

    @property
    def ok(self) -> bool:
        """No fault was found."""
        return not self.faults

    @property
    def root(self) -> Path | None:
        """The folder that the paths of the CSV start at."""
        return None if self.placed is None else self.placed.root

    def summary(self) -> str:
        """`training_set.csv: 200 rows (100 PASS, 60 bridge, 40 shift), images under /w/images`."""
        counts = ", ".join(f"{count} {label}" for label, count in self.labels.items())
        where = f", images under {self.root}" if self.root else ""
        return f"{self.path}: {self.rows} rows ({counts}){where}" if self.rows else f"{self.path}: cannot be read"


def check_dataset(
    csv: Path,
    naming: ImageNaming,
    *,
    kind: Kind = "train",
    images_dir: Path | None = None,
    workspace: Path | None = None,
    batch_size: int | None = None,
    index: FolderIndex | None = None,
    table: PairTable | None = None,
) -> DatasetReport:
    """Check one CSV and its images.

    Args:
        csv: The file.
        naming: Lights and extension.
        kind: What it is for: training needs both classes, a KPI or acceptance set a defect.
        images_dir: The image root, tried first.
        workspace: Tried second; paths that lead out of it (and out of the image root) are faults.
        batch_size: Fewer rows than this are a fault, because TAO stops on them.
        index: Folder listings to share between the sets.
        table: Its rows, where they are not as the file has them.
    """
    try:
        table = read_pairs(csv) if table is None else table
    except InputErrors as error:
        return DatasetReport(csv, kind, faults=error.faults)
    except InputError as error:
        return DatasetReport(csv, kind, faults=[error.line().removeprefix(f"{csv}: ")])
    counts = _label_counts(table)
    faults = [*_labels(table, counts), *_read_as_missing(table), *_numbers(table)]
    faults += _amounts(len(table), counts, kind, batch_size)
    placed: Placed | None = None
    try:
        placed = place(table, naming, root_candidates(images_dir, workspace, csv), index)
    except InputErrors as error:
        faults += error.faults if "mixes roots" not in error.what else [f"{error.what} ({error.fix})"]
    if placed is not None:
        faults += _duplicates(placed)
        if workspace is not None:
            faults += _outside(placed, [workspace, *([images_dir] if images_dir else [])])
    return DatasetReport(csv, kind, len(table), counts, faults, placed)


def check_training(
    csv: Path,
    workspace: Path,
    *,
    validation_csv: Path | None = None,
    lights: Sequence[str] | None = None,
    image_ext: str | None = None,
) -> tuple[list[DatasetReport], list[str]]:
    """Check a training CSV, its validation set, and that they share no test image.

    Args:
        csv: The training CSV.
        workspace: The workspace folder; its `images/` (or `kpi/images/`) is tried first.
        validation_csv: The validation set, if it is to be checked too.
        lights: Lightings in the images' names; None: those of the workspace's spec, none without a spec.
        image_ext: Extension; None: that of the workspace's spec, `.png` without a spec.

    Returns:
        A report a CSV, and a line for every leak.

    Raises:
        InputError: The workspace is no folder, or its spec cannot be read.
    """
    if not guard.is_folder(workspace):
        raise InputError("no such folder", where=workspace, fix="name the workspace folder")
    from tao_skill_bank.data.changenet.layout import Workspace

    layout = Workspace(workspace)
    naming = naming_by(layout.spec, lights, image_ext)
    index = FolderIndex()
    todo: list[tuple[Path, Kind]] = [(csv, "train")]
    if validation_csv is not None:
        todo.append((validation_csv, "validation"))
    reports = [
        check_dataset(path, naming, kind=kind, images_dir=layout.images_dir, workspace=workspace, index=index)
        for path, kind in todo
    ]
    return reports, check_leakage(reports[:1], reports[1:])


def naming_by(spec: Path, lights: Sequence[str] | None = None, image_ext: str | None = None) -> ImageNaming:
    """How a workspace calls its images: by what is given, else by its spec, else without lightings and `.png`."""
    if (lights is None or image_ext is None) and guard.is_file(spec):
        from tao_skill_bank.data.changenet.spec import classify_spec, load_spec

        given = classify_spec(load_spec(spec), spec)
        lights, image_ext = given.lights if lights is None else lights, image_ext or given.image_ext
    return ImageNaming(tuple(lights or ()), image_ext or ".png")


def label_warnings(reports: Iterable[DatasetReport]) -> list[str]:
    """A line for every two defect names of the sets, taken together, that are probably one."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.labels)
    return near_misses(counts)


def check_leakage(train: Sequence[DatasetReport], evaluation: Sequence[DatasetReport]) -> list[str]:
    """A line for every test image that stands in training and in an evaluation set; by file, not by name.

    Sets whose files are missing are left out: their own faults come first.
    """
    ours, theirs = ([r.placed for r in reports if r.placed is not None] for reports in (train, evaluation))
    return [match.line() for match in shared_images(ours, theirs)]


def _label_counts(table: PairTable) -> dict[str, int]:
    import pyarrow.compute as pc

    pairs = {str(c["values"]): int(c["counts"]) for c in pc.value_counts(table.arrow("label")).to_pylist()}
    return dict(sorted(pairs.items(), key=lambda item: (item[0] != PASS, item[0])))


def _labels(table: PairTable, counts: Mapping[str, int]) -> list[str]:
    wrong = {label: fault for label in counts if (fault := label_fault(label)) is not None}
    return _rows_with(table, "label", wrong)


def _read_as_missing(table: PairTable) -> list[str]:
    wrong = {text: f"is {text!r}, which TAO's CSV reader takes for a missing cell" for text in READ_AS_MISSING}
    return [line for name in REQUIRED_COLUMNS for line in _rows_with(table, name, wrong)]


def _rows_with(table: PairTable, column: str, wrong: Mapping[str, str]) -> list[str]:
    """A line for every row whose cell is one of `wrong`."""
    if not wrong:
        return []
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = table.arrow(column)
    rows = pc.indices_nonzero(pc.is_in(cells, value_set=pa.array(list(wrong), type=pa.string())))
    return [f"row {row + 1}: {column} {wrong[cells[row].as_py()]}" for row in rows.to_pylist()]


def _numbers(table: PairTable) -> list[str]:
    """Columns that TAO's CSV reader turns into numbers, which its path functions then refuse."""
    import pyarrow.compute as pc

    lines: list[str] = []
    for name in ("input_path", "golden_path"):
        cells = table.arrow(name)
        first = cells[0].as_py() if len(cells) else ""
        if _is_number(first) and all(_is_number(cell) for cell in pc.unique(cells).to_pylist()):
            lines.append(f"column {name} is all numbers, and TAO does not take numbers for paths (write '{first}/')")
    return lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _amounts(rows: int, counts: Mapping[str, int], kind: Kind, batch_size: int | None) -> list[str]:
    # A misspelt PASS is a fault of its own; it does not make the set one without good parts.
    passes = sum(count for label, count in counts.items() if is_pass(label) or says_good(label))
    lines: list[str] = []
    if batch_size is not None and rows < batch_size and kind != "pool":
        lines.append(f"{rows} rows are fewer than batch_size {batch_size} (add rows or set batch_size: {rows} or less)")
    if kind == "train" and passes == rows:
        lines.append(f"all {rows} rows are PASS (training needs defects too)")
    if kind == "train" and passes == 0:
        lines.append(f"none of {rows} rows is PASS (training needs PASS rows too)")
    if kind in ("kpi", "acceptance") and passes == 0:
        lines.append(f"none of {rows} rows is PASS (without good parts there is no FAR)")
    if kind in ("kpi", "acceptance") and passes == rows:
        lines.append(f"all {rows} rows are PASS (without a defect recall is undefined and no KPI can be met)")
    return lines


def _duplicates(placed: Placed) -> list[str]:
    """The same pair twice, or the same image under two labels."""
    import numpy as np

    # Images of one row differ in their lighting only, so the first lighting tells rows apart.
    images = placed.images.identity()
    rows = len(images)
    seen = np.zeros(int(images.max(initial=-1)) + 1, dtype=np.bool_)
    seen[images] = True
    if int(np.count_nonzero(seen)) == rows:
        return []
    goldens, labels = placed.goldens.identity(), _codes(placed.table.arrow("label"))
    names = placed.table.label
    faults: list[tuple[int, str]] = []
    pairs = images * (int(goldens.max()) + 1) + goldens
    twice = _again(pairs)
    faults += [(row, f"the same image and golden as row {first + 1}") for row, first in twice]
    repeated = {row for row, _ in twice}
    firsts = np.full(int(images.max()) + 1, -1)
    firsts[images[::-1]] = np.arange(rows)[::-1]
    for row in np.flatnonzero(labels != labels[firsts[images]]).tolist():
        first = int(firsts[images[row]])
        text = f"the same image as row {first + 1}, labelled {names[row]!r} here and {names[first]!r} there"
        if row in repeated:
            faults = [fault for fault in faults if fault[0] != row]
        faults.append((row, text))
    return [f"row {row + 1}: {text}" for row, text in sorted(faults)]


def _codes(texts: pa.Array) -> npt.NDArray[np.int64]:
    """An integer a row, counted from 0 without gaps, equal for equal texts."""
    import numpy as np

    return np.asarray(texts.dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _again(values: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """(row, first row of the same value) for every row that is not the first."""
    import numpy as np

    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    of = first[inverse]
    return [(int(row), int(of[row])) for row in np.flatnonzero(of != np.arange(len(values)))]


def _outside(placed: Placed, allowed: Sequence[Path]) -> list[str]:
    """Rows whose path leads out of the workspace, as it is written (links are the user's own doing)."""
    import pyarrow.compute as pc

    homes = [os.path.abspath(folder) + os.sep for folder in allowed]
    lines: list[str] = []
    for name in ("input_path", "golden_path"):
        cells = placed.table.arrow(name)
        out = {
            folder: f"{folder!r} leads out of the workspace {allowed[0]}"
            for folder in pc.unique(cells).to_pylist()
            if not any((os.path.abspath(os.path.join(placed.root, folder)) + os.sep).startswith(home) for home in homes)
        }
        lines += _rows_with(placed.table, name, out)
    return lines
