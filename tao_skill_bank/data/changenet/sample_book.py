"""The samples of a workspace by name: which set, which row, which pictures, for what people say of them."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.data.changenet.images import SIDES, ImageNaming, root_candidates
from tao_skill_bank.data.changenet.labels import label_fault
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs
from tao_skill_bank.data.changenet.validate import READ_AS_MISSING, naming_by
from tao_skill_bank.data.corrections import Known, Sample, sample_name

TRAINING, VALIDATION, KPI, ACCEPTANCE, POOL = SETS = ("training", "validation", "kpi", "acceptance", "pool")
MEASURED = (KPI, ACCEPTANCE)
"""The sets by which a model is judged: what is corrected there changes the figure itself."""
_ALSO = {"train": TRAINING, "val": VALIDATION, "test": KPI, "testing": KPI, "miningpool": POOL}
_MOST_NAMES = 5000
LABEL_ADVICE = "a label is PASS or a defect's name"


def set_named(text: str) -> str:
    """A set by any of its usual names.

    Raises:
        InputError: None of them.
    """
    plain = "".join(c for c in text.lower() if c.isalnum()).removesuffix("set")
    name = _ALSO.get(plain, plain)
    if name not in SETS:
        raise InputError(f"no set {text!r}", where="set", fix="one of: " + ", ".join(SETS))
    return name


class Rows:
    """The rows of one set, and where the pictures of each are.

    Args:
        table: The rows.
        naming: Lightings and extension.
        roots: Folders that the paths may start at, in the order in which they are tried.
    """

    def __init__(self, table: PairTable, naming: ImageNaming, roots: Sequence[Path]) -> None:
        self.table, self.naming, self.roots = table, naming, roots

    def name(self, row: int) -> str:
        """`input_path/object_name`."""
        return sample_name(self.table.input_path[row], self.table.object_name[row])

    def files(self, row: int) -> list[Path]:
        """The images and goldens of a row, one a lighting, under the first root that has them all.

        Raises:
            InputError: None has.
        """
        found: list[Path] = []
        for root in self.roots:
            found = [
                file
                for side in SIDES
                if side in self.table.names
                for file in self.naming.files(root, self.table.column(side)[row], self.table.object_name[row])
            ]
            if all(guard.is_file(file) for file in found):
                return found
        missing = next((file for file in found if not guard.is_file(file)), None)
        raise InputError(f"picture {missing} is missing", where=self.table.where(row), fix="restore it")

    def pictures(self, row: int) -> str:
        """SHA-256 over the bytes of a row's pictures; empty where one is missing."""
        try:
            digests = [fsio.sha256_file(file) for file in self.files(row)]
        except InputError:
            return ""
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def fitting(self, name: str) -> tuple[list[int], list[int]]:
        """(rows of exactly this name, rows whose picture's path ends with it); the name may be that of a picture."""
        import pyarrow as pa
        import pyarrow.compute as pc

        plain = posixpath.normpath(name)
        wanted = {plain, *(plain.removesuffix(s) for s in self.naming.suffixes), os.path.splitext(plain)[0]}
        ends = pa.array(sorted({posixpath.basename(text) for text in wanted}), pa.string())
        own = pc.replace_substring_regex(self.table.arrow("object_name"), r"^.*/", "")
        rows = pc.indices_nonzero(pc.is_in(own, value_set=ends)).to_pylist()
        names = {row: self.name(row) for row in rows}
        exact = [row for row in rows if names[row] in wanted]
        if exact or not rows:
            return exact, exact
        # A page may show the end of a path, a person may paste all of it.
        tails = tuple("/" + text.lstrip("/") for text in wanted)
        whole = {row: [posixpath.join(str(root), names[row]) for root in self.roots] for row in rows}
        return [], [row for row in rows if any(w.endswith(tails) or w in wanted for w in whole[row])]


class SampleBook:
    """Every sample of some sets.

    Args:
        sets: Name → CSV.
        naming: Lightings and extension.
        images_dir: The image root, tried first.
        workspace: Tried second.
    """

    label_advice = LABEL_ADVICE

    def __init__(self, sets: Mapping[str, Path], naming: ImageNaming, images_dir: Path | None, workspace: Path) -> None:
        self.sets, self._naming, self._images, self._workspace = sets, naming, images_dir, workspace

    @cached_property
    def _rows(self) -> dict[str, Rows]:
        return {}

    def rows(self, name: str) -> Rows:
        """The rows of a set; read once.

        Raises:
            InputError: There is no such set here, or its CSV cannot be read.
        """
        if name not in self.sets:
            raise InputError(f"there is no {name} set", where=self._workspace, fix=f"it has {', '.join(self.sets)}")
        if name not in self._rows:
            csv = self.sets[name]
            roots = root_candidates(self._images, self._workspace, csv)
            self._rows[name] = Rows(read_pairs(csv), self._naming, roots)
        return self._rows[name]

    def find(self, name: str, set_name: str | None = None) -> Known:
        """As `corrections.Book`."""
        if not name.strip():
            raise InputError("no sample is named", where="sample", fix="write input_path/object_name")
        wanted = None if set_name is None else set_named(set_name)
        if wanted is not None:
            self.rows(wanted)
        fits = {one: self.rows(one).fitting(name) for one in ([wanted] if wanted else self.sets)}
        exact = {one: rows for one, (rows, _) in fits.items() if rows}
        found = exact or {one: rows for one, (_, rows) in fits.items() if rows}
        if not found:
            raise self._unknown(name, wanted)
        if len(found) > 1:
            raise InputError(f"stands in the sets {' and '.join(found)}", where=name, fix="say which: the set's name")
        [(own, rows)] = found.items()
        table = self.rows(own)
        names = sorted({table.name(row) for row in rows})
        if len(names) > 1:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            raise InputError(f"could be {len(names)} samples of the {own} set: {shown}", where=name, fix="write it out")
        labels = sorted({table.table.label[row] for row in rows})
        if len(labels) > 1:
            what = f"has several labels in the {own} set: {', '.join(labels)}"
            raise InputError(what, where=name, fix=f"fix {self.sets[own]} first")
        row = rows[0]
        table.files(row)
        sample = Sample(set=own, input_path=table.table.input_path[row], object_name=table.table.object_name[row])
        return Known(sample, labels[0], table.pictures(row))

    def label_fault(self, label: str) -> str | None:
        """As `corrections.Book`."""
        return label_problem(label)

    def _unknown(self, name: str, wanted: str | None) -> InputError:
        others = [one for one in self.sets if wanted is not None and one != wanted and self.rows(one).fitting(name)[1]]
        if others:
            return InputError(f"is not in the {wanted} set", where=name, fix=f"it is in: {', '.join(others)}")
        looked = [wanted] if wanted else list(self.sets)
        tables = [self.rows(one) for one in looked]
        known = [rows.name(row) for rows in tables for row in range(min(_MOST_NAMES, len(rows.table)))]
        where = f"the {wanted} set" if wanted else f"the sets {', '.join(looked)}"
        return InputError(f"no such sample in {where}", where=name, fix=_near(name, known))


def _near(name: str, known: Sequence[str]) -> str:
    text = did_you_mean(name, known)
    return text if text.startswith("did") else "write input_path/object_name as the CSV has them"


def label_problem(label: str) -> str | None:
    """What is wrong with a new label: the rules of `labels`, and what TAO's reader takes for a missing cell."""
    if not label:
        return "is empty"
    if label in READ_AS_MISSING:
        return f"is {label!r}, which TAO's CSV reader takes for a missing cell"
    if any(not c.isprintable() for c in label):
        return f"is {label!r}, which holds signs that cannot be shown"
    return label_fault(label)


def book_of(workspace: Path) -> SampleBook:
    """The samples of a workspace, by its layout and its spec.

    Raises:
        InputError: No such folder, or it holds none of the sets.
    """
    if not guard.is_folder(workspace):
        raise InputError(
            "no such workspace folder", where=workspace, fix="name the folder that holds specs/ and train/"
        )
    layout = Workspace(workspace)
    usual = {
        TRAINING: layout.training_csv,
        VALIDATION: layout.validation_csv,
        KPI: layout.kpi_csv,
        ACCEPTANCE: layout.acceptance_csv,
        POOL: layout.pool_csv,
    }
    sets = {name: csv for name, csv in usual.items() if guard.is_file(csv)}
    if not sets:
        raise InputError("holds no set of samples", where=workspace, fix="name the folder that holds specs/ and train/")
    return SampleBook(sets, naming_by(layout.spec), layout.images_dir, workspace)
