"""data_merge: the training set grows by the new rows, and only by them; every row keeps its provenance."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.data.changenet.sample_book import TRAINING
from tao_skill_bank.data.changenet.tables import PASS, REQUIRED_COLUMNS, PairTable, read_pairs, write_pairs
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.changenet import leaks, sets, specs
from tao_skill_bank.tasks.changenet.results import MergeResult
from tao_skill_bank.tasks.changenet.state import Run, Stage

BASE, PREVIOUS, POOL = "base_train", "previous_iter_train", "mining_pool"


class DataMerge(Stage):
    """iter1 = base + new; iterN = previous combined + new, never base again."""

    name = "data_merge"
    Result = MergeResult
    home = "dataset"

    def needs(self, run: Run, label: str) -> list[Path]:
        """What is merged."""
        return [self._earlier_csv(run, label), *self._new_csvs(run, label)]

    def work(self, run: Run, label: str) -> Outcome:
        """Merge, check the count, check for leakage, write."""
        config = run.state.config
        naming = specs.naming_of(config)
        first = run.previous(label) == BASELINE
        earlier = read_pairs(self._earlier_csv(run, label))
        if first:
            earlier = relative_to_workspace(earlier, specs.image_root(config, earlier.path, naming), run.workspace)
        mined_csv, synthetic_csv = self._new_csvs(run, label)
        mined, synthetic = read_pairs(mined_csv, allow_no_rows=True), read_pairs(synthetic_csv, allow_no_rows=True)
        out = self.folder(run, label)
        combined_csv = out / f"train_combined_{label}.csv"
        provenance_csv = out / f"train_combined_{label}_provenance.csv"
        parts = [earlier, mined, synthetic]
        merged = concatenate(combined_csv, parts)
        missing = specs.missing_rows(merged, naming, run.workspace)
        if missing:
            raise StageFailedError(
                f"{len(missing)} files of the combined set are missing, first: {missing[0]}",
                where=combined_csv,
                fix="restore the file, then run again",
            )
        leaks.refuse_leaks(merged, run.workspace, config, naming)
        source = [BASE if first else PREVIOUS] * len(earlier) + [POOL] * (len(mined) + len(synthetic))
        kind = self._kinds(run, label, earlier) + ["real"] * len(mined) + ["synthetic"] * len(synthetic)
        write_pairs(combined_csv, merged.columns)
        write_pairs(provenance_csv, {"row": [str(i + 1) for i in range(len(merged))], "source": source, "kind": kind})
        refuse_lost_rows(combined_csv, provenance_csv, parts, [BASE if first else PREVIOUS, POOL, POOL])
        counts = {
            "earlier": len(earlier),
            "mined": len(mined),
            "synthetic": len(synthetic),
            "total": len(merged),
            "synthetic_total": kind.count("synthetic"),
        }
        labels = dict(sorted(Counter(merged.label).items()))
        fsio.write_json(out / "merge_validation.json", {"rows": counts, "labels": labels, "missing": 0, "leaked": 0})
        return Outcome(
            summary=f"{len(earlier)} rows + {len(mined)} mined + {len(synthetic)} synthetic = {len(merged)}",
            result=MergeResult(
                combined_training_csv=str(combined_csv),
                provenance_csv=str(provenance_csv),
                provenance_counts=counts,
            ),
            promised=[combined_csv, provenance_csv, out / "merge_validation.json"],
        )

    def _earlier_csv(self, run: Run, label: str) -> Path:
        before = run.previous(label)
        if before == BASELINE:
            return sets.csv_of(run, TRAINING)
        earlier = run.need(before, MergeResult, "the previous iteration left no combined CSV", "run it first")
        return Path(earlier.combined_training_csv)

    def _new_csvs(self, run: Run, label: str) -> tuple[Path, Path]:
        folder = run.folder(label) / "mining_filter"
        return folder / "mining_pool.csv", folder / "sdg_rows.csv"

    def _kinds(self, run: Run, label: str, earlier: PairTable) -> list[str]:
        before = run.previous(label)
        csv = None if before == BASELINE else run.state.iteration(before).provenance_csv
        if csv is None:
            return ["real"] * len(earlier)
        kinds = read_pairs(Path(csv), required=("kind",)).column("kind")
        if len(kinds) != len(earlier):
            raise GateError("lost-row", "provenance and rows of the previous set differ in number", where=csv)
        return kinds


def relative_to_workspace(table: PairTable, root: Path, workspace: Path) -> PairTable:
    """The same rows with folders relative to the workspace root: prefixed once, and never twice.

    Labels are normalised on the way: `PASS` for any spelling of it, else lower-cased and stripped.

    Raises:
        GateError: `root` lies outside the workspace.
    """
    if root != workspace and workspace not in root.parents:
        raise GateError(
            "outside-workspace", f"images lie outside the workspace {workspace}", where=root, fix="move them inside"
        )
    prefix = root.relative_to(workspace).as_posix() if root != workspace else ""
    columns = {name: list(values) for name, values in table.columns.items()}
    for name in ("input_path", "golden_path"):
        columns[name] = [_joined(prefix, value) for value in columns[name]]
    columns["label"] = [normal_label(value) for value in columns["label"]]
    return PairTable(table.path, columns)


def normal_label(label: str) -> str:
    """`PASS`, or the defect's name lower-cased and stripped."""
    return PASS if is_pass(label) else label.strip().lower()


def concatenate(path: Path, tables: list[PairTable]) -> PairTable:
    """Rows one after the other; columns are those of the first table, then what the others add (empty elsewhere)."""
    names = list(REQUIRED_COLUMNS)
    for table in tables:
        names += [n for n in table.columns if n not in names]
    return PairTable(
        path, {n: [v for t in tables for v in (t.columns[n] if n in t.columns else [""] * len(t))] for n in names}
    )


def refuse_lost_rows(
    combined_csv: Path, provenance_csv: Path, parts: Sequence[PairTable], sources: Sequence[str]
) -> None:
    """Read back what was merged: every row of every part, in order, and its provenance in the same place.

    Raises:
        GateError: Gate `lost-row`; the first row that is not where it belongs is named.
    """

    def rows(table: PairTable) -> list[tuple[str, ...]]:
        return list(zip(*(table.column(name) for name in REQUIRED_COLUMNS), strict=True))

    combined = rows(read_pairs(combined_csv))
    provenance = read_pairs(provenance_csv, required=("row", "source", "kind"))
    wanted = [(row, source) for part, source in zip(parts, sources, strict=True) for row in rows(part)]
    for name, path, count in (("rows", combined_csv, len(combined)), ("provenances", provenance_csv, len(provenance))):
        if count != len(wanted):
            raise GateError("lost-row", f"{count} {name} of {len(wanted)} were written", where=path)
    numbers, found = provenance.column("row"), provenance.column("source")
    for at, (row, source) in enumerate(wanted):
        if combined[at] != row:
            raise GateError("lost-row", "is not the row that belongs here", where=f"{combined_csv} row {at + 1}")
        if (numbers[at], found[at]) != (str(at + 1), source):
            raise GateError("lost-row", f"is not from {source}", where=f"{provenance_csv} row {at + 1}")


def _joined(prefix: str, folder: str) -> str:
    trail = "/" if folder.endswith("/") else ""
    return posixpath.normpath(posixpath.join(prefix, folder)) + trail
