"""Single steps without a run: an evaluation held against its annotations, its root cause, pairs like its failures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import write_parquet
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import lines_of
from tao_skill_bank.data.bcq import answers
from tao_skill_bank.data.bcq.answers import Answered
from tao_skill_bank.data.bcq.questions import question_key, question_text
from tao_skill_bank.data.bcq.records import Record, read_set
from tao_skill_bank.tasks.vlm_bcq import measuring, selecting
from tao_skill_bank.tasks.vlm_bcq.config import VlmConfig
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder
from tao_skill_bank.tasks.vlm_bcq.stages.mine import Mined, mined_table, targets_table
from tao_skill_bank.tasks.vlm_bcq.stages.rca import GAPS, describe, hold_gaps, write_gaps

ANSWERS = "answers.jsonl"


@dataclass(frozen=True)
class Judged:
    """An evaluation that was held against its annotations: its folder, its figures, a line for each of them."""

    folder: Path
    figures: dict[str, Any]

    def lines(self) -> list[str]:
        """The figures in words."""
        table = self.figures["table"]
        out = [f"{table['P'] + table['N']} answers: {table['P']} yes and {table['N']} no are right"]
        out += [
            f"{name} {found.value_pct:.1f} % ({found.low_pct:.1f}–{found.high_pct:.1f} %)"
            for name, found in self.figures["measures"].items()
        ]
        if self.figures["unreadable"]:
            why = ", ".join(f"{count} {name}" for name, count in self.figures["why"].items())
            out.append(f"{self.figures['unreadable']} unreadable: {why}")
        return out


def workspace_of(annotations: Path) -> Path:
    """The folder that a set's videos lie in: above `<set>/annotations.json`, else the file's own."""
    folder = annotations.absolute().parent
    return folder.parent if annotations.name == "annotations.json" and folder.parent != folder else folder


def judge_file(
    annotations: Path, results: Path, output: Path, *, answer_in: str = "auto", workspace: Path | None = None
) -> Judged:
    """Hold an evaluation that exists against its annotations, and leave answers, predictions and figures.

    Args:
        annotations: What was asked.
        results: `results.json`, predictions, or a folder with the evaluator's output.
        output: A folder for what is written.
        answer_in: Where in a response its answer stands.
        workspace: What the videos lie in; default: by the annotations' place.

    Raises:
        InputErrors: Faults of the annotations, by row.
        GateError: Gate `evaluation_coverage`.
    """
    root = (workspace or workspace_of(annotations)).absolute()
    records = read_set(annotations.absolute().parent.name, annotations.absolute(), root, strict=True)
    rows, where = answers.read_results(results) if guard.is_folder(results) else (answers.read_rows(results), "")
    said = answers.join(records.records, rows, where or results)
    found = answers.answered(records.records, said, answer_in)
    answers.write_answers(output / ANSWERS, found, model=str(results), evaluator="file")
    answers.write_predictions(output / "predictions.json", found)
    figures = measuring.figures(found)
    plain = {name: interval.model_dump(mode="json") for name, interval in figures["measures"].items()}
    extra = {name: figures[name] for name in ("keys", "why")}
    fsio.write_json(output / "metrics.json", {**figures["table"], "measures": plain, **extra})
    return Judged(output, figures)


def explain(folder: Path, now: str) -> tuple[Path, dict[str, Any]]:
    """The root cause of an evaluation whose answers lie in `folder`; returns the folder of the tables and them.

    Raises:
        InputError: There are no answers.
        GateError: Gate `gap_join`.
    """
    path = folder / ANSWERS
    if not guard.is_file(path):
        raise InputError("no answers here", where=path, fix="tao-skills evaluate vlm ANNOTATIONS --results FILE first")
    rows = read_judged(path)
    out = folder / "rca_results" / now
    guard.make_folder(out)
    lines = answers.gap_lines(rows)
    if lines:
        from tao_skill_bank.actions.gap_analysis.config import VlmBcqConfig
        from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq
        from tao_skill_bank.core.settings import validated

        values = {"predictions_json": str(folder / "predictions.json"), "results_dir": str(out)}
        analyze_vlm_bcq(validated(VlmBcqConfig, values))
        hold_gaps(out / GAPS, rows)
        write_gaps(out / "gaps.parquet", rows)
    found = describe(out, rows, [row.record for row in rows], Encoder(_settings(folder)))
    return out, found


def mine_like(
    gaps: Path, pool: Path, output: Path, *, top_k: int = 5, budget: int | None = None
) -> tuple[Path, list[str]]:
    """Pool pairs nearest to the failures of `kpi_gaps.jsonl`; returns the table and what to print.

    Raises:
        InputErrors: Faults of the pool, by row.
        InputError: A line of the gaps that is none.
    """
    targets = _targets(gaps)
    root = workspace_of(pool).absolute()
    held = read_set(pool.absolute().parent.name, pool.absolute(), root, strict=False)
    shown = {record.content for record in targets}
    rows = [record for record in held.records if record.content not in shown]
    failures = Counter(record.key for record in targets)
    chosen = Mined(targets, rows, failures, selecting.budget_of(len(targets), budget)).choose(
        Encoder(_settings(root)), "nearest", top_k, 0
    )
    write_parquet(output / "targets.parquet", targets_table(targets))
    write_parquet(output / "mined.parquet", mined_table(rows, targets, chosen))
    left = len(held.records) - len(rows)
    said = [f"{len(chosen)} of {len(rows)} pool rows for {len(targets)} failed pairs"]
    if left:
        said.append(f"{left} pool rows left out: the failed videos themselves")
    taken = {rows[found.place].key for found in chosen}
    said += [f"the pool has nothing of {key!r}" for key in failures if key not in taken]
    return output / "mined.parquet", said


def read_judged(path: Path) -> list[Answered]:
    """`answers.jsonl` with the records that its lines tell of.

    Raises:
        InputError: A line that is none of an answer.
    """
    rows = []
    for number, line in enumerate(lines_of(guard.read_text(path, "answers")), start=1):
        try:
            raw = json.loads(line)
            video = Path(raw["video"])
            asked = raw["question"]
            record = Record(number, raw["id"], video.name, video, asked, asked, raw["question_key"], raw["gt"])
            rows.append(Answered(record, raw["response"], raw["answer"], raw["why"], raw["score"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} is none of an answer: {error}", where=path, fix="evaluate again") from None
    return rows


def _targets(gaps: Path) -> list[Record]:
    found: dict[tuple[str, str], Record] = {}
    for number, line in enumerate(lines_of(guard.read_text(gaps, "gaps")), start=1):
        try:
            raw = json.loads(line)
            video, asked = Path(raw["video_id"]), str(raw["question"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"line {number} is no gap", where=gaps, fix="name kpi_gaps.jsonl") from None
        if not guard.is_file(video):
            raise InputError(f"line {number}: no such video: {video}", where=gaps, fix="restore it")
        truth: Any = str(raw.get("ground_truth", "")).lower()
        key = question_key(asked)
        record = Record(number, f"gap{number}", video.name, video, asked, question_text(asked), key, truth)
        found.setdefault((record.content, record.key), record)
    if not found:
        raise InputError("holds no gaps", where=gaps, fix="name the gaps of an evaluation with wrong answers")
    return list(found.values())


def _settings(workspace: Path) -> VlmConfig:
    return VlmConfig(workspace=str(workspace), kpi="")
