"""Routing: which module is asked for more data like each weak label.

A label (upper-cased) that the mining pool has goes to mining; one that the generator can make goes to the generator;
both are allowed. A weak label that nobody accepts would drop out silently, so it is named, and the loop stops on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core import fsio
from tao_skill_bank.core.arrow import arrow_file, read_parquet, write_parquet
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import clean

if TYPE_CHECKING:
    import pyarrow as pa

MINING_FILE = "mining_gaps.parquet"
GENERATOR_FILE = "anomalygen_gaps.parquet"
SUMMARY_FILE = "routing_summary.txt"
REPORT_FILE = "Routing_Report.md"

_MOST_TEXT = 256 << 20


@dataclass(frozen=True)
class Routing:
    """The outcome, rows told by position in the weak samples that were routed.

    Attributes:
        mining: Positions that go to mining, in order.
        anomalygen: Positions that go to the generator, in order.
        verdicts: Label (upper-cased) → `mining`, `anomalygen`, `mining+anomalygen`, `dropped`, `dropped (accepted)`.
    """

    mining: list[int]
    anomalygen: list[int]
    verdicts: dict[str, str]
    counts: dict[str, int]

    @property
    def dropped(self) -> list[str]:
        """Labels that nobody takes and nobody accepted to lose."""
        return [label for label, verdict in self.verdicts.items() if verdict == "dropped"]


def route(
    labels: Sequence[str],
    pool_labels: Collection[str],
    generator_labels: Collection[str],
    accept_dropped: Collection[str] = (),
) -> Routing:
    """Route weak samples by their labels.

    Args:
        labels: The label of every weak row, any case, shape [n].
        pool_labels: Labels of the mining pool, any case.
        generator_labels: Labels the generator can make, any case.
        accept_dropped: Labels that may be left without new data, any case.
    """
    pool, generator, accepted = (
        {normal(x) for x in names} for names in (pool_labels, generator_labels, accept_dropped)
    )
    upper = [normal(x) for x in labels]
    verdicts: dict[str, str] = {}
    for label in sorted(set(upper), key=lambda x: (x != "PASS", x)):
        takers = [name for name, has in (("mining", pool), ("anomalygen", generator)) if label in has]
        verdicts[label] = "+".join(takers) or ("dropped (accepted)" if label in accepted else "dropped")
    return Routing(
        mining=[i for i, label in enumerate(upper) if label in pool],
        anomalygen=[i for i, label in enumerate(upper) if label in generator],
        verdicts=verdicts,
        counts={label: upper.count(label) for label in verdicts},
    )


def route_gaps(
    gaps_parquet: Path,
    results_dir: Path,
    *,
    pool_csv: Path | None = None,
    pool_labels: Collection[str] = (),
    generator_labels: Collection[str] = (),
    accept_dropped: Collection[str] = (),
) -> Routing:
    """Route the weak samples of a gap analysis and write the outcome into a folder.

    Args:
        gaps_parquet: Weak samples with a `label` column.
        results_dir: Where the two parquet files, the summary and the report go.
        pool_csv: The mining pool; None: there is none.
        pool_labels: Labels that the pool has, whatever stands in a file.
        generator_labels: Labels a generator can make.
        accept_dropped: Labels that may be left without new data.

    Raises:
        InputError: A file cannot be read, or the weak samples have no label.
    """
    import pyarrow as pa

    from tao_skill_bank.data.changenet.tables import read_pairs

    pool = {*pool_labels, *(read_pairs(pool_csv).label if pool_csv is not None else ())}
    try:
        rows = _weak_samples(gaps_parquet)
        labels = [str(x) for x in rows.column("label").to_pylist()]
    except FileNotFoundError:
        raise InputError("no such file", where=gaps_parquet, fix="name the kpi_gaps.parquet of an analysis") from None
    except (pa.ArrowException, OSError, KeyError, ValueError, UnicodeError) as error:
        # Damaged bytes come back as nearly any of Arrow's errors.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"is no table of weak samples: {reason}", where=gaps_parquet, fix="analyse again") from None
    routing = route(labels, pool, generator_labels, accept_dropped)
    write_routing(results_dir, rows, routing)
    return routing


def _weak_samples(path: Path) -> pa.Table:
    """The table; texts that repeat are counted before they are written out."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tao_skill_bank.actions.mining.tables import refuse_endless

    with arrow_file(path) as opened, pq.ParquetFile(opened) as file:
        refuse_endless(file, path)
        kinds = {f.name: f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in file.schema_arrow}
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    size = 0
    with arrow_file(path) as opened, pq.ParquetFile(opened, read_dictionary=texts) as file:
        for batch in file.iter_batches(columns=texts) if texts else ():
            batch.validate(full=True)  # Arrow takes a dictionary's indices as they lie in the file.
            for column in batch.columns:
                values = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
                lengths = np.array([len(text or "") for text in values.dictionary.to_pylist()], dtype=np.int64)
                kept = values.indices.drop_null().to_numpy()
                size += int(lengths[kept].sum()) if len(kept) else 0
                if size > _MOST_TEXT:
                    raise InputError(f"holds more than {_MOST_TEXT >> 20} MiB of text", where=path, fix="analyse again")
    return read_parquet(path)


def normal(label: str) -> str:
    """A label as routing compares it: stripped, upper-cased."""
    return label.strip().upper()


def write_routing(folder: Path, rows: pa.Table, routing: Routing) -> None:
    """Write the two parquet files (the schema of `rows`, also when empty), the summary and the report."""
    import pyarrow as pa

    for name, positions in ((MINING_FILE, routing.mining), (GENERATOR_FILE, routing.anomalygen)):
        write_parquet(folder / name, rows.take(pa.array(positions, pa.int64())))
    fsio.write_text(folder / SUMMARY_FILE, summary_text(routing))
    fsio.write_text(folder / REPORT_FILE, report_text(routing))


def summary_text(routing: Routing) -> str:
    """Every label's verdict, a line each, and the totals."""
    lines = [f"rows to mining: {len(routing.mining)}", f"rows to anomalygen: {len(routing.anomalygen)}", ""]
    lines += [f"{label}: {routing.counts[label]} rows -> {verdict}" for label, verdict in routing.verdicts.items()]
    return "\n".join(lines) + "\n"


def report_text(routing: Routing) -> str:
    """The routing as Markdown."""

    def cell(value: Any) -> str:
        return clean(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

    lines = [
        "# Routing Report",
        "",
        f"{len(routing.mining)} weak rows go to mining, {len(routing.anomalygen)} to the generator. "
        "A row may go to both.",
        "",
        "| Label | Rows | Verdict |",
        "|---|---:|---|",
    ]
    lines += [f"| {cell(label)} | {routing.counts[label]} | {cell(v)} |" for label, v in routing.verdicts.items()]
    if routing.dropped:
        lines += ["", f"Nobody takes: {', '.join(cell(x) for x in routing.dropped)}. The loop stops on this."]
    return "\n".join(lines) + "\n"
