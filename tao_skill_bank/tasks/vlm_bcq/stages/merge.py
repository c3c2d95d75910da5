"""data_merge: the training set grows by the new rows, and only by them; every row keeps its provenance."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import read_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.sheets import write_sheet
from tao_skill_bank.core.text import lines_of
from tao_skill_bank.data.bcq.clips import content_of
from tao_skill_bank.data.bcq.leakage import Seen
from tao_skill_bank.data.bcq.questions import question_key
from tao_skill_bank.data.bcq.records import Record, tool_record
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import BASELINE
from tao_skill_bank.tasks.vlm_bcq.labels import refused
from tao_skill_bank.tasks.vlm_bcq.pool import evaluation_sets
from tao_skill_bank.tasks.vlm_bcq.results import AnnotateResult, MergeResult, MiningResult
from tao_skill_bank.tasks.vlm_bcq.state import Run, Stage
from tao_skill_bank.tasks.vlm_bcq.teaching import annotated_id
from tao_skill_bank.tasks.vlm_bcq.workspace import need, read

PREVIOUS, MINED, ANNOTATED, BASE = "previous", "mined", "annotated", "base"
Row = dict[str, Any]


class DataMerge(Stage):
    """iter1 = new (+ base if asked); iterN = previous + new."""

    name = "data_merge"
    Result = MergeResult
    home = "dataset"

    def work(self, run: Run, label: str) -> Outcome:
        """Merge, check for leakage and contradictions, write rows and their provenance."""
        config = run.state.config
        number = int(label.removeprefix("iter"))
        before, barred = self._earlier(run, label), refused(config)
        # A row that was merged before has no digest any more: its id is made of it.
        gone = {annotated_id(digest) for digest in barred}
        earlier = [row for row in before if row["id"] not in gone]
        mined, annotated = self._mined(run, label, number), self._annotated(run, label, number, barred)
        if not mined and not annotated:
            raise GateError(
                "nothing_new", "neither mining nor annotation found a new row", where=label, fix="add pool rows"
            )
        merged, dropped = join_rows([*earlier, *mined], annotated, lambda row: _content(run, row))
        out = self.folder(run, label)
        leaked = self._leaks(run, merged, out)
        held = read(config, "val")
        validation = [] if held is not None else [row for row in merged if is_validation(_content(run, row))]
        kept = [row for row in merged if row not in validation] if validation else merged
        if not kept:
            raise GateError("nothing_new", "every row would be validation", where=out, fix="give val/annotations.json")
        train = write_rows(out / "train_annotations.json", kept)
        val: Path | None = None
        if held is not None:
            val = write_rows(out / "val_annotations.json", [tool_record(r, run.workspace) for r in held.records])
        elif validation:
            val = write_rows(out / "val_annotations.json", validation)
        write_provenance(out / "provenance.csv", merged)
        counts = {
            "previous": len(earlier),
            "rejected": len(before) - len(earlier),
            "mined": len(mined),
            "annotated": len(annotated) - dropped,
            "validation": len(validation),
            "total": len(kept),
        }
        share = sum(_answer(row) == "Yes" for row in kept) / len(kept)
        fsio.write_json(
            out / "merge_validation.json",
            {"rows": counts, "yes_share": round(share, 4), "contradicting_annotated": dropped, "leaked": leaked},
        )
        return Outcome(
            summary=f"{len(earlier)} rows + {len(mined)} mined + {counts['annotated']} annotated = {len(kept)}"
            + (f", {len(validation)} for validation" if validation else "")
            + f", {100 * share:.0f} % yes",
            result=MergeResult(
                train_annotations=str(train),
                val_annotations=None if val is None else str(val),
                rows=counts,
                yes_share=share,
                leakage={"checked": len(merged), "leaked": leaked},
            ),
            promised=[train, out / "provenance.csv", out / "merge_validation.json"],
        )

    def _earlier(self, run: Run, label: str) -> list[Row]:
        before = run.previous(label)
        config = run.state.config
        if before == BASELINE:
            base = read(config, "base") if config.train.include_base else None
            held = () if base is None else base.records
            return [tool_record(r, run.workspace, provenance(BASE, 0)) for r in held]
        merged = run.need(before, MergeResult, "the previous iteration left no training set", "run it first")
        rows = read_rows(Path(merged.train_annotations))
        if config.val is None and merged.val_annotations is not None:
            rows += read_rows(Path(merged.val_annotations))
        return rows

    def _mined(self, run: Run, label: str, number: int) -> list[Row]:
        found = run.state.iteration(label).result(MiningResult)
        if found is None or not found.mined_count:
            return []
        table = read_parquet(Path(found.mined_parquet), ["id", "target_id", "similarity"]).to_pylist()
        pool = need(run.state.config, "pool").by_id
        return [
            tool_record(
                pool[row["id"]],
                run.workspace,
                provenance(MINED, number, target_id=row["target_id"], similarity=round(row["similarity"], 6)),
            )
            for row in table
        ]

    def _annotated(self, run: Run, label: str, number: int, barred: set[str]) -> list[Row]:
        found = run.state.iteration(label).result(AnnotateResult)
        if found is None or found.annotated_jsonl is None:
            return []
        rows = [json.loads(line) for line in lines_of(guard.read_text(Path(found.annotated_jsonl)))]
        return [
            {
                **row["record"],
                "provenance": provenance(
                    ANNOTATED, number, target_id=row.get("target_id"), similarity=row.get("similarity"),
                    teacher=row.get("teacher"), pass_digests=row.get("pass_digests"),
                ),
            }
            for row in rows
            if row.get("kept") and row.get("digest") not in barred
        ]  # fmt: skip

    def _leaks(self, run: Run, merged: Sequence[Row], out: Path) -> int:
        """Refuse a training row that an evaluation's row equals.

        Raises:
            GateError: Gate `leakage`; three are named.
        """
        seen = Seen(evaluation_sets(run.state.config))
        found = []
        for row, raw in enumerate(merged, start=1):
            record = as_record(run.workspace, row, raw)
            leak = seen.leak("training", record)
            if leak is not None:
                found.append(leak.line)
        if found:
            raise GateError("leakage", "; ".join(found[:3]), where=out, fix="take these rows out of the pool")
        return len(found)


def join_rows(rows: Sequence[Row], annotated: Sequence[Row], content: Callable[[Row], str]) -> tuple[list[Row], int]:
    """Rows one after the other, equal ones once; returns them and how many annotated rows an earlier one has already.

    Args:
        rows: What must not contradict itself.
        annotated: What gives way.
        content: What a row's video is, whatever its file is called.

    Raises:
        GateError: Gate `contradiction`: one id for two things, or two answers to one question of one video.
    """
    ids: dict[str, tuple[str, str]] = {}
    pairs: dict[tuple[str, str], str] = {}
    kept: list[Row] = []
    dropped = 0
    for number, row in enumerate([*rows, *annotated]):
        pair = (content(row), question_key(_asked(row)))
        if ids.get(str(row["id"]), pair) != pair:
            what = f"id {row['id']!r} stands for two videos or questions"
            raise GateError("contradiction", what, where="data_merge", fix="give one of them another id")
        answer = _answer(row)
        if pair in pairs:
            if pairs[pair] != answer and number < len(rows):
                what = f"{row['id']!r} answers {answer}, an earlier row of the same video and question {pairs[pair]}"
                raise GateError("contradiction", what, where="data_merge", fix="take one of them out")
            dropped += number >= len(rows)
            continue
        ids[str(row["id"])], pairs[pair] = pair, answer
        kept.append(row)
    return kept, dropped


def is_validation(content: str) -> bool:
    """Whether a video is held out for validation: every tenth, by its bytes."""
    return int(content[:8], 16) % 10 == 0


def provenance(source: str, iteration: int, **more: Any) -> dict[str, Any]:
    """Where a row comes from."""
    told = {"source": source, "iteration": iteration, "target_id": None, "similarity": None, "teacher": None}
    return {**told, "pass_digests": None, **more}


def as_record(workspace: Path, row: int, raw: Row) -> Record:
    """A merged row as a record, for the leakage check."""
    group = raw.get("group")
    return Record(
        row, str(raw["id"]), str(raw["video"]), workspace / raw["video"], "", "", question_key(_asked(raw)), None,
        None if group is None else str(group), raw,
    )  # fmt: skip


def read_rows(path: Path) -> list[Row]:
    """The rows of a merged set."""
    found: list[Row] = json.loads(guard.read_text(path))
    return found


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as one JSON array."""
    fsio.write_text(path, json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n")
    return path


def write_provenance(path: Path, rows: Sequence[Row]) -> None:
    """`provenance.csv`: a line a row."""
    names = ("source", "iteration", "target_id", "similarity", "teacher", "pass_digests")
    told = [(row, row.get("provenance") or {}) for row in rows]
    lines = ([number, row["id"], *map(said.get, names)] for number, (row, said) in enumerate(told, start=1))
    write_sheet(path, ["row", "id", *names], lines)


def _content(run: Run, row: Row) -> str:
    return content_of(run.workspace / str(row["video"]))


def _asked(row: Row) -> str:
    return str(row["conversations"][0]["value"])


def _answer(row: Row) -> str:
    return str(row["conversations"][1]["value"])
