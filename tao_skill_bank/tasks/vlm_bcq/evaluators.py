"""Who answers: a file that exists, the local stand-in, cosmos-rl in its container, or a served model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.annotate.yes_no import Question, Server, ask_all
from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.core.overrides import get
from tao_skill_bank.data.bcq import answers
from tao_skill_bank.data.bcq.answers import Answered, Said
from tao_skill_bank.data.bcq.records import Record, RecordSet, tool_record
from tao_skill_bank.tasks.vlm_bcq import measuring, specs
from tao_skill_bank.tasks.vlm_bcq.metric import threshold_for
from tao_skill_bank.tasks.vlm_bcq.results import Evaluation
from tao_skill_bank.tasks.vlm_bcq.state import Run

EVALUATE = "cosmos-rl-evaluate"
TRAIN = "cosmos-rl"
HOOK = "tools/custom_hooks/tao_sft_example.py"
"""Of the image's own `cosmos_rl` package; found inside by its interpreter."""
JOURNAL = "evaluation_calls"


@dataclass(frozen=True)
class Candidate:
    """A model to be evaluated: what it is, and where; `base` is the model below a LoRA adapter."""

    kind: str
    checkpoint: str
    base: str | None = None


def evaluate(
    run: Run, label: str, stage: str, name: str, records: RecordSet, candidate: Candidate, out: Path
) -> tuple[Evaluation, list[Answered]]:
    """Have a model answer every annotation of a set, and leave answers, predictions and figures in `out`.

    Raises:
        GateError: Gate `evaluation_coverage` or `unreadable`.
    """
    config = run.state.config
    evaluator = "file" if candidate.kind == "file" else config.evaluate.by
    if evaluator == "file":
        path = Path(candidate.checkpoint)
        said = answers.join(records.records, answers.read_rows(path), path, records.out)
    elif evaluator == "endpoint":
        said = ask_annotations(run, records.records, candidate.checkpoint)
    else:
        annotations = write_annotations(out / "annotations.json", records.records, run.workspace)
        results = out / "results"
        spec = specs.evaluate_spec(
            config, folder=results, annotations=annotations, model=candidate.checkpoint, base=candidate.base
        )
        spec_path = specs.write(out / "evaluate.toml", spec)
        run.job(label, stage, name, [EVALUATE, "--config", str(spec_path)], [results])
        rows, where = answers.read_results(results)
        said = answers.join(records.records, rows, where)
    found = answers.answered(records.records, said, config.evaluate.answer_in)
    return settle(run, found, candidate, evaluator, out), found


def settle(run: Run, found: list[Answered], candidate: Candidate, evaluator: str, out: Path) -> Evaluation:
    """Write what every evaluator ends in, and take its figures; a frozen threshold is applied later."""
    config = run.state.config
    answers.write_answers(out / "answers.jsonl", found, model=candidate.checkpoint, evaluator=evaluator)
    answers.write_predictions(out / "predictions.json", found)
    figures = measuring.figures(found)
    share = figures["unreadable"] / len(found)
    if share > config.evaluate.max_unreadable:
        why = ", ".join(f"{count} {name}" for name, count in figures["why"].items())
        raise GateError(
            "unreadable",
            f"{figures['unreadable']} of {len(found)} answers are neither yes nor no ({why})",
            where=out / "answers.jsonl",
            fix="look at max_tokens, the prompt and evaluate.answer_in, or raise evaluate.max_unreadable",
        )
    return Evaluation(
        kind=candidate.kind,
        checkpoint=candidate.checkpoint,
        evaluator=evaluator,
        answers_jsonl=str(out / "answers.jsonl"),
        predictions_json=str(out / "predictions.json"),
        **figures,
    )


def at_threshold(run: Run, evaluation: Evaluation, found: list[Answered], threshold: float | None = None) -> Evaluation:
    """The evaluation as the target takes it: at a frozen threshold, or at the one that it chooses here.

    Raises:
        GateError: Gate `scores`: the target needs a score of every answer.
    """
    target = run.state.target
    if not target.constraints:
        return evaluation
    scores = measuring.scores_of(found, evaluation.answers_jsonl)
    if threshold is None:
        chosen = threshold_for(scores, answers.arrays(found)[0], target)
        if chosen is None:
            raise StageFailedError("no threshold can be chosen", where=evaluation.answers_jsonl, fix="add both answers")
        threshold = chosen.threshold
    figures = measuring.figures(found, threshold)
    held = figures["measures"].get(target.constraints[0].name)
    return evaluation.model_copy(update={**figures, "at_pct": None if held is None else held.value_pct})


def write_metrics(path: Path, evaluation: Evaluation) -> None:
    """`metrics.json`: the table, the rates, every measure with its interval, and the questions."""
    extra = evaluation.model_dump(mode="json", include={"measures", "keys", "why", "threshold", "evaluator"})
    fsio.write_json(path, {**evaluation.table, **extra})


def write_annotations(path: Path, records: Sequence[Record], workspace: Path) -> Path:
    """A copy of annotations as tools take them: videos relative to the workspace, exactly `Yes` or `No`."""
    rows = [tool_record(record, workspace) for record in records]
    fsio.write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return path


def ask_annotations(run: Run, records: Sequence[Record], model: str) -> dict[str, Said]:
    """What a served model says of every annotation, by id.

    Raises:
        StageFailedError: Some calls failed; the next run asks for what is missing only.
        BankError: The budget is used up, or the server refuses for good.
    """
    config = run.state.config
    endpoint = config.evaluate.endpoint
    system = get(specs.base_spec(config, "evaluate"), "dataset.system_prompt", "")
    server = Server(
        base_url=str(endpoint.base_url),
        model=model,
        api_key_env=endpoint.api_key_env,
        max_tokens=endpoint.max_tokens,
        system=str(system or ""),
        logprobs=endpoint.logprobs,
        max_workers=endpoint.max_workers,
    )
    questions = [Question(r.id, r.path, r.prompt, endpoint.frames) for r in records]
    told, _ = ask_all(
        run.root / JOURNAL,
        server,
        questions,
        max_calls=config.evaluate.max_calls,
        max_cost=config.evaluate.max_cost,
        prices=None if config.evaluate.prices is None else Path(config.evaluate.prices),
    )
    return {name: Said(of.text, of.score, blocked=of.blocked, cut_off=of.cut_off) for name, of in told.items()}
