"""rca: the wrong answers, held against the gap analysis, and what causes them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.core.overrides import setting
from tao_skill_bank.core.text import lines_of, plural
from tao_skill_bank.data.bcq import answers, causes
from tao_skill_bank.data.bcq.answers import Answered
from tao_skill_bank.data.bcq.clips import clip_of, stills
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.loop.stage import Outcome, timestamp
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder
from tao_skill_bank.tasks.vlm_bcq.results import RcaResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage
from tao_skill_bank.tasks.vlm_bcq.workspace import need, read

WORST = 24
LEAST_LABELLED = 11
"""Labelled rows of a question from which its labels are doubted by their neighbours."""
TABLES = "tables.json"
GAPS = "kpi_gaps.jsonl"
SHOWN = 4
_SIDE = 256


class Rca(Stage):
    """Gaps, tables, frames."""

    name = "rca"
    Result = RcaResult
    home = "rca_results"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The chosen evaluation's answers."""
        found = run.state.iteration(label).evaluation
        if found is None:
            raise StageFailedError("nothing was evaluated", where=label, fix="run evaluate first")
        return [Path(found.answers_jsonl), Path(found.predictions_json)]

    def work(self, run: Run, label: str) -> Outcome:
        """Run the gap analysis, hold it against the answers, tell the causes."""
        config = run.state.config
        answers_jsonl, predictions = self.needs(run, label)
        records = need(config, "kpi")
        rows = answers.read_answers(answers_jsonl, records.by_id)
        out = self.folder(run, label) / timestamp(run, label)
        spec = out / "gaps.yaml"
        fsio.write_text(spec, f"report: gaps\n{setting('results_dir', out).replace('=', ': ', 1)}\n")
        command = ["gap_analysis", "vlm_bcq", "-e", str(spec), setting("predictions_json", predictions)]
        run.job(label, self.name, "gap_analysis", command, [out])
        expected = hold_gaps(out / GAPS, rows)
        parquet = write_gaps(out / "gaps.parquet", rows) if expected else None
        encoder = Encoder(config)
        labelled = [
            r for name in ("kpi", "pool", "base") if (held := read(config, name)) is not None for r in held.records
        ]
        found = describe(out, rows, labelled, encoder)
        promised = [out / TABLES, *([parquet] if parquet is not None else [])]
        told = found["causes"]
        doubted = len(found["doubts"])
        return Outcome(
            summary=f"{len(expected)} wrong answers, {len(told)} causes, {_doubts_text(doubted, found['not_doubted'])}",
            result=RcaResult(
                rca_results_dir=str(out),
                gaps_parquet=None if parquet is None else str(parquet),
                causes=told,
                doubts=doubted,
            ),
            promised=promised,
        )


def hold_gaps(path: Path, rows: Sequence[Answered]) -> list[dict[str, str]]:
    """Hold the gap analysis's lines against the wrong answers, in order.

    Raises:
        GateError: Gate `gap_join`: they differ; the first difference is named.
    """
    expected = answers.gap_lines(rows)
    found = [json.loads(line) for line in lines_of(guard.read_text(path))] if guard.is_file(path) else []
    if found == expected:
        return expected
    place = next(
        (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), min(len(found), len(expected))
    )
    raise GateError(
        "gap_join",
        f"{len(found)} gaps were found and {len(expected)} answers are wrong; they part at line {place + 1}",
        where=path,
        fix="see the gap analysis's log",
    )


def write_gaps(path: Path, rows: Sequence[Answered]) -> Path:
    """`gaps.parquet`: the gap lines' fields and `id, question_key, content, score`."""
    import pyarrow as pa

    wrong = [row for row in rows if row.wrong is not None]
    lines = answers.gap_lines(rows)
    columns: dict[str, list[Any]] = {key: [line[key] for line in lines] for key in lines[0]}
    columns["id"] = [row.record.id for row in wrong]
    columns["question_key"] = [row.record.key for row in wrong]
    columns["content"] = [row.record.content for row in wrong]
    table = pa.table({**columns, "score": pa.array([row.score for row in wrong], pa.float64())})
    write_parquet(path, table)
    return path


def describe(out: Path, rows: Sequence[Answered], labelled: Sequence[Record], encoder: Encoder) -> dict[str, Any]:
    """Write `tables.json`, `RCA_Report.md` and the frames of the worst failures; returns the tables."""
    clips = {row.record.content: clip_of(row.record.path) for row in rows}
    scored = all(row.score is not None for row in rows)
    found = causes.tables(rows, clips, scored=scored)
    found["doubts"] = [vars(doubt) for doubt in find_doubts(rows, labelled, encoder)]
    failed = {row.record.key for row in rows if row.wrong}
    found["not_doubted"] = sum(len(_known(labelled, key)) < LEAST_LABELLED for key in failed)
    found["causes"] += [
        {
            "table": "suspected wrong label",
            "cell": doubt["id"],
            "n": doubt["of"],
            "wrong": doubt["against"],
            "p": None,
            "recommends": "a person's keep, flip or drop",
        }
        for doubt in found["doubts"]
    ]
    found["worst"] = worst(out / "rca_images", rows)
    found["rows"] = {"all": len(rows), "wrong": sum(r.wrong is not None for r in rows)}
    fsio.write_json(out / TABLES, found)
    fsio.write_text(out / "RCA_Report.md", markdown(found))
    return found


def _known(labelled: Sequence[Record], key: str) -> list[Record]:
    return [record for record in labelled if record.key == key and record.gt is not None]


def _doubts_text(doubted: int, not_doubted: int) -> str:
    few = f" ({plural(not_doubted, 'weak question')} without {LEAST_LABELLED} labelled rows to doubt by)"
    return f"{plural(doubted, 'label')} in doubt" + (few if not_doubted else "")


def find_doubts(rows: Sequence[Answered], labelled: Sequence[Record], encoder: Encoder) -> list[causes.Doubt]:
    """Suspected wrong labels of every question key."""
    found: list[causes.Doubt] = []
    for key in dict.fromkeys(row.record.key for row in rows):
        asked = [row for row in rows if row.record.key == key]
        known = _known(labelled, key)
        if not any(row.wrong for row in asked) or len(known) < LEAST_LABELLED:
            continue
        vectors = encoder.videos([r.path for r in known])
        own = encoder.videos([row.record.path for row in asked])
        truths = np.array([r.gt == "yes" for r in known])
        contents = np.array([r.content for r in known])
        found += causes.doubts(asked, vectors, truths, contents, own)
    return found


def worst(folder: Path, rows: Sequence[Answered]) -> list[dict[str, Any]]:
    """The failures that were most sure of themselves, each with four timed frames."""

    def surety(row: Answered) -> float:
        return 0.0 if row.score is None else abs(row.score - 0.5)

    wrong = sorted((row for row in rows if row.wrong), key=lambda row: (-surety(row), row.record.row))[:WORST]
    return [
        {
            "id": row.record.id,
            "video": row.record.video,
            "question": row.record.question,
            "gt": row.record.gt,
            "response": row.response,
            "error_type": row.wrong,
            "score": row.score,
            "frames": write_frames(row.record.path, folder, row.record.id),
        }
        for row in wrong
    ]


def markdown(found: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = ["# Root cause of wrong answers", ""]
    lines.append(f"{causes.counted(found)}.")
    lines += ["", "## Causes", ""]
    lines += [
        f"- {c['table']}: {_cell(c['cell'])} ({c['wrong']} of {c['n']}"
        + (f", p {c['p']:.2g}" if c["p"] is not None else "")
        + f"): {c['recommends']}"
        for c in found["causes"]
    ] or [causes.without_cause(found)]
    for name in ("question_key", "kind", "negation", "duration", "brightness", "motion"):
        if not found[name]:
            continue
        lines += [
            "",
            f"## {name}",
            "",
            "| cell | n | wrong | FP | FN | 95 % | p (Holm) |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {_cell(c['name'])} | {c['n']} | {c['wrong']} | {c['fp']} | {c['fn']} "
            f"| {100 * c['low']:.1f}–{100 * c['high']:.1f} % | {c['p_holm']:.2g} |"
            for c in found[name]
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return "".join("\\" + c if c in "|\\`*_<>[]" else c for c in text)


def write_frames(path: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    """Four spread frames as `<name>_<n>.jpg`; returns file names and seconds."""
    from PIL import Image

    found = []
    for place, (seconds, pixels) in enumerate(stills(path, SHOWN, _SIDE)):
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=85)
        file = f"{name}_{place}.jpg"
        fsio.write_bytes(folder / file, held.getvalue())
        found.append({"file": file, "seconds": round(seconds, 2)})
    return found
