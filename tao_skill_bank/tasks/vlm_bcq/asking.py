"""The endpoint as evaluator: every annotation asked once, through the run's journal and budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.annotate.yes_no import Question, Server, Told, ask_all
from tao_skill_bank.core.nested import get
from tao_skill_bank.data.bcq.answers import Said
from tao_skill_bank.data.bcq.records import Record
from tao_skill_bank.tasks.vlm_bcq import specs
from tao_skill_bank.tasks.vlm_bcq.state import Run

JOURNAL = "evaluation_calls"


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
        journal_of(run.root),
        server,
        questions,
        max_calls=config.evaluate.max_calls,
        max_cost=config.evaluate.max_cost,
        prices=None if config.evaluate.prices is None else Path(config.evaluate.prices),
    )
    return {name: said_of(answer) for name, answer in told.items()}


def journal_of(root: Path) -> Path:
    """The folder of a run's evaluation calls; it outlives every attempt."""
    return root / JOURNAL


def said_of(told: Told) -> Said:
    """An endpoint's answer as an evaluation takes it."""
    return Said(told.text, told.score, blocked=told.blocked, cut_off=told.cut_off)
