"""The sets of a run with what people said of their samples: the CSVs of the customer are read and never edited.

A run takes the first lines of the workspace's corrections, as many as its plan was approved with. Where they change a
set, the run works on a copy in `labels/<digest>/`, beside it `<set>_corrections.csv` with every change and who made it.
"""

from __future__ import annotations

from pathlib import Path

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.seal import digest_of
from tao_skill_bank.core.sheets import write_columns
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.images import root_candidates
from tao_skill_bank.data.changenet.sample_book import MEASURED, Rows, label_problem
from tao_skill_bank.data.changenet.tables import PairTable, read_pairs, write_pairs
from tao_skill_bank.data.corrections import Applied, Corrections, sample_name
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.state import Run
from tao_skill_bank.tasks.changenet.taken import FOLDER, KEY_OF
from tao_skill_bank.tasks.taken import taken


def applied(config: RunConfig, name: str) -> tuple[PairTable, Applied]:
    """The rows of a set as the customer wrote them, and what the corrections make of them.

    Raises:
        InputError: A new label that was written into the file by hand and is none.
    """
    csv = Path(getattr(config, KEY_OF[name]))
    table = read_pairs(csv)
    found = taken(config)
    if name in MEASURED and config.corrections.use == "unmeasured":
        found = Corrections()
    rows = Rows(table, specs.naming_of(config), root_candidates(Path(config.images_dir), Path(config.workspace), csv))
    if not found.of_set(name):
        return table, Applied(table.label, list(range(len(table))))
    done = corrections.apply(found, name, table.input_path, table.object_name, table.label, rows.pictures)
    for change in done.made:
        # The file may have been written by hand, past the doors that look at a label.
        if change.outcome == "relabelled" and (fault := label_problem(change.found.to or "")) is not None:
            raise InputError(
                f"the new label of {change.found.sample.name} in the {name} set {fault}",
                where=corrections.corrections_path(Path(config.workspace)),
                fix=f"take it back (labels undo {change.found.last.id}) and say it anew",
            )
    return table, done


def corrected(config: RunConfig, name: str) -> PairTable:
    """The rows of a set, corrected; under the name of the customer's file."""
    table, done = applied(config, name)
    return _with(table, done) if done.made else table


def csv_of(run: Run, name: str) -> Path:
    """The CSV that the run works with: the customer's own, or a corrected copy, which is made once."""
    config = run.state.config
    original = Path(getattr(config, KEY_OF[name]))
    found = taken(config)
    if not any(one.status in ("relabelled", "dropped") for one in found.of_set(name)):
        return original
    digest = digest_of({"corrections": config.corrections.model_dump(), "csv": fsio.sha256_file(original)})[:16]
    copy = run.root / FOLDER / digest / f"{KEY_OF[name]}.csv"
    if guard.is_file(copy):
        return copy
    table, done = applied(config, name)
    if not done.made:
        return original
    # The copy is written last: where it is, its provenance is.
    write_columns(copy.with_name(f"{KEY_OF[name]}_corrections.csv"), _provenance(table, done))
    write_pairs(copy, _with(table, done).columns)
    return copy


def labels_as_written(config: RunConfig, name: str, scored: PairTable) -> tuple[list[str], int, int] | None:
    """The labels of scored rows as the customer's CSV has them, and how many rows were relabelled and dropped.

    None where nothing was changed.
    """
    made = applied(config, name)[1].made
    if not made:
        return None
    before = {c.found.sample.name: c.found.last.before for c in made if c.outcome == "relabelled"}
    names = map(sample_name, scored.input_path, scored.object_name)
    labels = [before.get(own, label) for own, label in zip(names, scored.label, strict=True)]
    relabelled = sum(c.outcome == "relabelled" for c in made)
    return labels, relabelled, len(made) - relabelled


def unfit_pictures(config: RunConfig, name: str, root: Path) -> set[str]:
    """Pictures of samples whose label is doubted or disputed, or that are damaged: more like them teaches nothing."""
    naming = specs.naming_of(config)
    samples = [found.sample for found in taken(config).of_set(name) if found.unfit]
    return {str(file) for s in samples for file in naming.files(root, s.input_path, s.object_name)}


def _with(table: PairTable, done: Applied) -> PairTable:
    columns = {name: [values[row] for row in done.kept] for name, values in table.columns.items()}
    columns["label"] = [done.labels[row] for row in done.kept]
    return PairTable(table.path, columns)


def _provenance(table: PairTable, done: Applied) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {
        name: [] for name in ("row", "sample", "from", "to", "reason", "who", "when", "id", "outcome")
    }
    for change in done.changes:
        word = change.found.last
        values = (
            str(change.row + 1) if change.row >= 0 else "",
            change.found.sample.name,
            table.label[change.row] if change.row >= 0 else word.before,
            change.found.to or "",
            word.reason,
            "; ".join(change.found.readers),
            word.when,
            word.id,
            change.outcome,
        )
        for name, value in zip(out, values, strict=True):
            out[name].append(value)
    return out
