"""A workspace from folders of pictures: one folder a label, goldens beside them, every set drawn by board.

A plant's export rarely looks as TAO wants it. What it nearly always has is a folder of good parts, folders of defects,
and goldens. From these the four or five CSVs, the names and a spec follow by rules, without a row typed by hand.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.labels import PASS, may_be_good, near_misses
from tao_skill_bank.data.changenet.layout_find import Sample, find_samples, label_of, not_text, walk
from tao_skill_bank.data.changenet.layout_names import Proposal, lighting_hint, propose_board
from tao_skill_bank.data.changenet.layout_write import SETS, Remade, write_workspace
from tao_skill_bank.data.changenet.validate import READ_AS_MISSING
from tao_skill_bank.data.pictures.facts import Facts
from tao_skill_bank.data.pictures.look import look, memory_for, still_known

SHARES = (0.25, 0.10, 0.25, 0.20, 0.20)
"""Parts of the samples that go to each of `SETS`; a set of share 0 is not made."""
LEAVE_OUT = "leave these out with --leave-out-incomplete"


@dataclass(frozen=True)
class LaidOut:
    """What was laid out.

    Attributes:
        sets: For each set its rows by label, PASS first.
        boards: How many boards there are, none of them in two sets; None where nothing says which part is of which.
        proposal: What may tell boards, where they are not known and names share beginnings.
        left_out: What was left out because it lacks a picture: a line each.
        remade: Pictures that were written anew.
        warnings: What a person should look at: a line each.
    """

    workspace: Path
    sets: dict[str, dict[str, int]]
    boards: int | None
    proposal: Proposal | None
    left_out: tuple[str, ...]
    remade: Remade
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """A line a set, as the pre-flight summary writes them, then what was made of the pictures, then the boards."""
        out = []
        for name, labels in self.sets.items():
            shown = ", ".join(f"{label} {count}" for label, count in labels.items())
            out.append(f"{name:<11} {sum(labels.values())} rows: {shown}")
        if self.left_out:
            out.append(f"left out    {len(self.left_out)} incomplete, first: {self.left_out[0]}")
        if self.remade.turned:
            out.append(f"upright     {self.remade.turned} pictures turned by their EXIF orientation, which TAO ignores")
        if self.remade.scaled:
            how = f"from {self.remade.bits} bits by one factor: TAO cuts off everything above 255"
            out.append(f"8 bits      {self.remade.scaled} pictures scaled {how}")
        out += [f"warning: {line}" for line in self.warnings]
        known = self.boards is not None
        out.append(f"{self.boards} boards, none of them in two sets" if known else _unknown_boards(self.proposal))
        return out


def _unknown_boards(proposal: Proposal | None) -> str:
    what = "warning: boards are not known: each picture was drawn for itself, and a board may stand in several sets"
    if proposal is None:
        return f"{what}. Put a folder a board below each label, or say --board PATTERN"
    return (
        f"{what}. By {proposal.quoted()} there are {proposal.boards} boards of {proposal.smallest} to "
        f"{proposal.largest} pictures, such as {proposal.example}, and {proposal.torn} of them do: if that is the "
        f"board, lay out anew with --board {proposal.quoted()}"
    )


def lay_out(
    pictures: Path,
    goldens: Path,
    workspace: Path,
    *,
    lightings: Sequence[str] = (),
    board: str | None = None,
    shares: Sequence[float] = SHARES,
    leave_out_incomplete: bool = False,
) -> LaidOut:
    """Make a workspace of folders of pictures. The same folders give the same workspace.

    `pictures` holds a folder a label; `pass`, `ok`, `good` and the like are good parts, every other name is a defect.
    The golden of `LABEL/ANY/NAME.png` is the first of `ANY/NAME`, `LABEL/ANY/NAME`, `NAME` and `ANY` that is a
    picture below `goldens`, or the only picture there. Goldens may lie among the pictures, as a folder
    beside the labels. Files are linked, or copied where the file system cannot link; pictures of several formats are
    made PNG, those with an EXIF orientation are turned upright and those with values above 255 scaled to 8 bits by one
    factor, because TAO does neither. Names that begin with a dot are passed over.

    Args:
        pictures: Captures by label.
        goldens: Goldens.
        workspace: A folder that is new or empty.
        lightings: How file names end, for several pictures a part: `("SolderLight", "WhiteLight")`.
        board: Regular expression that finds the board in a picture's path below `pictures`; its first group counts if
            it has one. By default a picture's folder below its label is its board. Where a picture lies in the folder
            of its label itself, boards are not known: each picture is drawn for itself.
        shares: Parts of the samples for training, validation, KPI, acceptance and pool.
        leave_out_incomplete: Leave out parts that lack a golden or a picture of a lighting, or have one that does not
            decode, and files of no lighting, instead of refusing them.

    Raises:
        InputError: Folders without pictures, without good parts or without defects; labels that TAO would read as no
            label; too few boards for the sets; a board that cannot be found; a workspace folder that holds something
            or lies among the pictures; shares that are no shares.
        InputErrors: Pictures without a golden or one of their lightings, in two formats, or that do not decode; names
            that are not UTF-8: a line each.
    """
    _check_arguments(pictures, goldens, workspace, lightings, shares)
    files, known = walk(pictures, aside=goldens), walk(goldens, aside=pictures)
    _check_labels(pictures, {label_of(name.split("/")[0]) for name in files if "/" in name})
    found = find_samples(files, known, lightings, _pattern(board))
    _refuse(
        pictures,
        (not_text([*files, *known]), "of a name that is not UTF-8", "rename them"),
        (found.doubled, "of a name that another format has too", "keep one format of each picture"),
        (found.two_goldens, "with two goldens of one name", "keep one format of each golden"),
    )
    by_name = f"a golden has the name of its picture, or of the picture's folder, below {goldens}"
    lacking = (
        (found.incomplete, "that lack a lighting", f"add what is missing, or {LEAVE_OUT}"),
        (found.unlit, "without a lighting in their name", f"name all endings with --lightings, or {LEAVE_OUT}"),
        (found.without_golden, "without a golden", f"{by_name}; or {LEAVE_OUT}"),
    )
    if not leave_out_incomplete:
        _refuse(pictures, *lacking)
    memory = memory_for()
    looked = look((str(p) for s in found.samples for p in (*s.captures, *s.goldens)), memory=memory)
    facts = looked.facts
    broken = {s: lines for s in found.samples if (lines := _broken(s, facts))}
    if not leave_out_incomplete:
        faults = list(dict.fromkeys(line for lines in broken.values() for line in lines))
        _refuse(pictures, (faults, "that are no pictures or are damaged", f"export them again, or {LEAVE_OUT}"))
    left_out = [line for lines, _, _ in lacking for line in lines] + [lines[0] for lines in broken.values()]
    samples = [s for s in found.samples if s not in broken]
    if not samples:
        raise InputError(f"no part is whole, first: {left_out[0]}", where=pictures, fix="add what is missing")
    sets = draw_sets(samples, shares)
    _check_sets(pictures, sets)
    known_boards = board is not None or not found.flat
    remade = write_workspace(workspace.resolve(), sets, lightings, facts, boards=known_boards)
    still_known(looked, memory)
    return LaidOut(
        workspace=workspace,
        sets={name: _counts(rows) for name, rows in sets.items()},
        boards=len({s.board for s in samples}) if known_boards else None,
        proposal=None if known_boards else propose_board(sets),
        left_out=tuple(left_out),
        remade=remade,
        warnings=tuple(_warnings(samples, lightings)),
    )


def _refuse(where: Path, *kinds: tuple[Sequence[str], str, str]) -> None:
    for faults, what, fix in kinds:
        if faults:
            raise InputErrors(f"{len(faults)} {what}, first: {faults[0]}", list(faults), where=where, fix=fix)


def _broken(sample: Sample, facts: dict[str, Facts]) -> list[str]:
    paths = [str(path) for path in (*sample.captures, *sample.goldens)]
    return [f"{path}: {facts[path].fault}" for path in paths if facts[path].fault is not None]


def _warnings(samples: Sequence[Sample], lightings: Sequence[str]) -> Iterable[str]:
    hint = None if lightings else lighting_hint(samples)
    if hint is not None:
        yield hint
    for line in near_misses(Counter(s.label for s in samples)):
        yield f"one defect under two names? {line}"


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
        if may_be_good(label):
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
