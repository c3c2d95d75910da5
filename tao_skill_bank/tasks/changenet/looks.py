"""The plan looks: every picture that a run will read, and on which boards they lie. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tao_skill_bank.core.errors import StageFailedError
from tao_skill_bank.data.changenet.boards import board_finding
from tao_skill_bank.data.changenet.images import FolderIndex, Placed, place
from tao_skill_bank.data.changenet.looking import LookedSets, look_at_sets
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.changenet.validate import DatasetReport
from tao_skill_bank.data.pictures.look import look, memory_for
from tao_skill_bank.loop.checks import Check
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.taken import beside


def picture_checks(config: RunConfig, reports: Mapping[str, DatasetReport], faults: list[str]) -> list[Check]:
    """Open the pictures of the sets; a check a finding, and a line in `faults` for all that must be fixed.

    Sets whose files are missing are left out: their own faults come first.
    """
    placed = {name: report.placed for name, report in reports.items() if report.placed is not None}
    found = _looked(config, placed)
    for name, lines in found.faults.items():
        faults.extend(f"{placed[name].table.path}: {line}" for line in lines)
    findings = list(found.findings)
    if placed:
        findings.append(board_finding({name: one.table for name, one in placed.items()}))
    return [Check(name=f.name, status=f.status, text=f.text) for f in findings]


def require_sound(config: RunConfig, *csvs: Path) -> None:
    """Look again at the pictures of sets that are about to be read: one that has changed since the plan is opened.

    Raises:
        StageFailedError: One of them cannot be used; the row and the file are named.
    """
    naming, index = specs.naming_of(config), FolderIndex()
    sets: dict[str, Placed] = {}
    for csv in csvs:
        roots = [Path(config.images_dir), Path(config.workspace), beside(config, csv).parent]
        sets[str(csv)] = place(read_pairs(csv), naming, roots, index)
    for name, lines in _looked(config, sets).faults.items():
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise StageFailedError(f"{lines[0]}{more}", where=name, fix="restore the picture, then run again")


def blank_pictures(config: RunConfig, files: Sequence[str]) -> set[str]:
    """Those of some pictures that have one colour all over."""
    facts = look(files, memory=memory_for(Path(config.workspace))).facts
    return {file for file in files if facts[file].blank}


def _looked(config: RunConfig, sets: Mapping[str, Placed]) -> LookedSets:
    return look_at_sets(sets, decode=config.plan.pictures == "decoded", memory=memory_for(Path(config.workspace)))
