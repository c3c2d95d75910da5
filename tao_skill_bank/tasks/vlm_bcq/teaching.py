"""The failed questions of unlabelled videos, asked of a teacher in two independent passes; what both say is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tao_skill_bank.annotate.yes_no import Question, Server, Spent, Told, ask_all
from tao_skill_bank.core import fsio
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.data.bcq.clips import ClipError, clip_of, content_of
from tao_skill_bank.data.bcq.leakage import Seen
from tao_skill_bank.data.bcq.questions import plain_answer, read_answer
from tao_skill_bank.data.bcq.records import Record, walked_videos
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.tasks.vlm_bcq.embed_jobs import encoder_of
from tao_skill_bank.tasks.vlm_bcq.failing import ANNOTATE, targets_of
from tao_skill_bank.tasks.vlm_bcq.pool import evaluation_sets
from tao_skill_bank.tasks.vlm_bcq.results import AnnotateResult, RoutingResult
from tao_skill_bank.tasks.vlm_bcq.selecting import most_beside
from tao_skill_bank.tasks.vlm_bcq.state import Run
from tao_skill_bank.tasks.vlm_bcq.workspace import read

JOURNAL = "annotation_calls"
CONTROLS = 20
LEAST_AGREEMENT = 0.9
_FRAMES = 8
_TOKENS = 256
_SCHEMA_A = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["Yes", "No"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_SCHEMA_B = {
    "type": "object",
    "properties": {"evidence": {"type": "string"}, "answer": {"type": "string", "enum": ["Yes", "No"]}},
    "required": ["evidence", "answer"],
    "additionalProperties": False,
}
_ASK_A = '{question}\nAnswer as JSON: {{"answer": "Yes" or "No"}}.'
_ASK_B = (
    "{question}\nFirst say in one sentence what in the pictures decides it, then answer. "
    'Write JSON: {{"evidence": one sentence, "answer": "Yes" or "No"}}.'
)


@dataclass(frozen=True)
class Asked:
    """One question of one video: of a target, or a control with a known truth."""

    id: str
    path: Path
    content: str
    question: str
    key: str
    target: str | None
    similarity: float | None
    truth: str | None = None


def teach(run: Run, label: str, out: Path) -> Outcome:
    """Ask, hold the controls against the truth, keep what both passes agree on.

    Raises:
        GateError: Gate `teacher`: it agrees too seldom with known truths; gate `review`: a person has to look first.
    """
    config = run.state.config
    routed = run.state.iteration(label).result(RoutingResult)
    verdicts = {} if routed is None else routed.routing_verdicts
    targets = [row.record for row in targets_of(run, label) if verdicts.get(row.record.key) == ANNOTATE]
    asked = choose(run, label, out, targets)
    if not asked:
        fsio.write_text(out / "annotate_summary.txt", "no question was routed here\n")
        result = AnnotateResult()
        return Outcome(summary="nothing to ask", result=result, promised=[out / "annotate_summary.txt"])
    controls = control_pairs(run, {record.key for record in targets})
    first, spent_a = _pass(run, [*asked, *controls], "a")
    second, spent_b = _pass(run, [*asked, *controls], "b")
    agreement = agreed(controls, first, second)
    control = {"pairs": len(controls), "agreement": agreement}
    fsio.write_json(out / "controls.json", control)
    if agreement is not None and agreement < LEAST_AGREEMENT:
        raise GateError(
            "teacher",
            f"of {2 * len(controls)} answers to known pairs {100 * agreement:.0f} % are right, and it takes 90 %",
            where=out / "controls.json",
            fix="use another teacher; nothing of it was kept",
        )
    rows = kept_rows(run, asked, first, second)
    path = out / "annotated.jsonl"
    fsio.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    kept = sum(row["kept"] for row in rows)
    if config.annotate.review == "required":
        raise GateError(
            "review",
            f"{kept} of {len(rows)} answers wait for a person",
            where=path,
            fix="look at them; `tao-skills labels drop` refuses one by digest; then (later iterations do not wait): "
            f"tao-skills deft run --results-dir {run.root} --yes --set annotate.review=done",
        )
    spent = spent_b if spent_b.calls >= spent_a.calls else spent_a
    return Outcome(
        summary=f"{kept} of {len(rows)} answers kept, {len(controls)} controls",
        result=AnnotateResult(
            annotated_jsonl=str(path), kept=kept, asked=len(rows), control=control, spent=spent.plain()
        ),
        promised=[path],
    )


def choose(run: Run, label: str, out: Path, targets: Sequence[Record]) -> list[Asked]:
    """The nearest unlabelled videos of the failed ones, each with the questions of the targets it is near to."""
    config = run.state.config
    if not targets or config.pool_videos is None:
        return []
    seen = Seen(evaluation_sets(config))
    paths = []
    for path in walked_videos(Path(config.pool_videos)):
        try:
            clip = clip_of(path)
        except ClipError:
            continue
        if seen.video(path, content_of(path), clip.looks) is None:
            paths.append(path)
    if not paths:
        return []
    shown = [*paths, *(record.path for record in targets)]
    encoder = encoder_of(run, label, "annotate", out, shown, [])
    similar = encoder.videos(paths) @ encoder.videos([record.path for record in targets]).T
    order = sorted(range(len(paths)), key=lambda place: (-float(similar[place].max()), str(paths[place])))
    found: list[Asked] = []
    for place in order[: config.annotate.videos]:
        nearest: dict[str, int] = {}
        for target in np.argsort(-similar[place], kind="stable")[: config.mining.top_k].tolist():
            nearest.setdefault(targets[target].key, target)
        for key, target in nearest.items():
            found.append(
                Asked(
                    id=f"{place}:{key}",
                    path=paths[place],
                    content=content_of(paths[place]),
                    question=targets[target].question,
                    key=key,
                    target=targets[target].id,
                    similarity=round(float(similar[place, target]), 6),
                )
            )
    return found


def control_pairs(run: Run, keys: set[str]) -> list[Asked]:
    """Twenty pairs of known truth, of the same questions where the pool or the base has them, both answers alike."""
    config = run.state.config
    held = [r for name in ("pool", "base") if (found := read(config, name)) is not None for r in found.records]
    rows = [r for r in held if r.key in keys] or held
    rng = np.random.default_rng([config.seed, 20])
    sides = [[r for r in rows if r.gt == answer] for answer in ("yes", "no")]
    mixed = [[side[place] for place in rng.permutation(len(side)).tolist()] for side in sides]
    half = CONTROLS // 2
    # Where one answer is rare, the other fills up.
    chosen = [*mixed[0][:half], *mixed[1][:half], *mixed[0][half:], *mixed[1][half:]][:CONTROLS]
    return [Asked(f"control:{r.id}", r.path, r.content, r.question, r.key, None, None, truth=r.gt) for r in chosen]


def agreed(controls: Sequence[Asked], first: dict[str, Told], second: dict[str, Told]) -> float | None:
    """Share of the controls' answers, of both passes, that are the truth; None without controls."""
    right = [answer_of(side[c.id])[0] == c.truth for c in controls for side in (first, second)]
    return round(sum(right) / len(right), 4) if right else None


def kept_rows(
    run: Run, asked: Sequence[Asked], first: dict[str, Told], second: dict[str, Told]
) -> list[dict[str, Any]]:
    """Every question with both answers; kept where both are whole, readable and equal, refused with a reason."""
    rows: list[dict[str, Any]] = []
    for one in asked:
        (a, why_a), (b, why_b) = answer_of(first[one.id]), answer_of(second[one.id])
        reason = why_a or why_b or ("the passes differ" if a != b else "")
        digest = sha256_text(canonical_json([one.content, one.key, a if not reason else None]))
        record = {
            "id": annotated_id(digest),
            "video": one.path.relative_to(run.workspace).as_posix(),
            "conversations": [
                {"from": "human", "value": f"<video>\n{one.question} Answer with yes or no."},
                {"from": "gpt", "value": "Yes" if a == "yes" else "No"},
            ],
        }
        rows.append(
            {
                "kept": not reason,
                "reason": reason or None,
                "digest": digest,
                "answer": a if not reason else None,
                "record": record if not reason else None,
                "content": one.content,
                "question_key": one.key,
                "target_id": one.target,
                "similarity": one.similarity,
                "teacher": run.state.config.annotate.model_name,
                "pass_digests": [sha256_text(side[one.id].text)[:16] for side in (first, second)],
                "evidence": evidence_of(second[one.id]),
            }
        )
    return balance(rows)


def annotated_id(digest: str) -> str:
    """The id that a kept answer has in training sets."""
    return f"ann-{digest[:16]}"


def balance(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuse what makes one answer more than 60 % of what is kept, the least similar first."""
    counts = Counter(row["answer"] for row in rows if row["kept"])
    for answer, other in (("yes", "no"), ("no", "yes")):
        most = most_beside(counts[other])
        if counts[answer] <= most:
            continue
        mine = sorted((r for r in rows if r["kept"] and r["answer"] == answer), key=lambda r: -(r["similarity"] or 0))
        for row in mine[most:]:
            row.update(kept=False, reason="more than 60 % would have this answer")
    return rows


def answer_of(told: Told) -> tuple[Literal["yes", "no"] | None, str]:
    """(answer, why there is none) of one pass."""
    if told.blocked:
        return None, "the teacher refused"
    if told.cut_off:
        return None, "cut off"
    try:
        found = json.loads(told.text)
        text = str(found["answer"]) if isinstance(found, dict) else told.text
    except (ValueError, KeyError):
        text = told.text
    answer = plain_answer(text) or read_answer(text)
    return (answer, "") if answer in ("yes", "no") else (None, "neither yes nor no")  # type: ignore[return-value]


def evidence_of(told: Told) -> str | None:
    """What the second pass saw."""
    try:
        found = json.loads(told.text)
    except ValueError:
        return None
    return str(found["evidence"])[:500] if isinstance(found, dict) and found.get("evidence") else None


def _pass(run: Run, asked: Sequence[Asked], name: str) -> tuple[dict[str, Told], Spent]:
    """One pass over every question: the answer alone, or half a step later with its evidence first."""
    settings = run.state.config.annotate
    again = settings.second
    other = name == "b" and again.base_url is not None
    server = Server(
        base_url=str(again.base_url if other else settings.base_url),
        model=str((again.model_name if other else None) or settings.model_name),
        api_key_env=again.api_key_env if other else settings.api_key_env,
        max_tokens=_TOKENS,
        logprobs=False,
        labelled=True,
    )
    prompt, schema = (_ASK_A, _SCHEMA_A) if name == "a" else (_ASK_B, _SCHEMA_B)
    questions = [
        Question(one.id, one.path, prompt.format(question=one.question), _FRAMES, later=name == "b", schema=schema)
        for one in asked
    ]
    return ask_all(run.root / JOURNAL, server, questions, max_calls=settings.max_calls, max_cost=settings.max_cost)
