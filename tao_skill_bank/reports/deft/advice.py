"""Recommendations: each one a rule over figures that are on disk, and each says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from tao_skill_bank.core.text import capital, clean, listed, percent, plural, score, whole
from tao_skill_bank.data.changenet.labels import is_pass
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.metrics import Threshold, far_at_recall, far_without_weakest
from tao_skill_bank.metrics.evidence import trials_to_show
from tao_skill_bank.reports.deft.checks import trained_text
from tao_skill_bank.reports.deft.status import Status, rate
from tao_skill_bank.reports.deft.view import LabelFigures, Phase, RunView, by_label, share
from tao_skill_bank.tasks.changenet.metric import FAR, RECALL, recall_asked, recall_floor

FEW_TRAINING_ROWS = 5
STEADY_PP = 0.25


@dataclass(frozen=True)
class Advice:
    """`rule` names it for tests and tools; `title` says what to do, `why` says from which figures."""

    rule: str
    title: str
    why: str

    @property
    def reason(self) -> str:
        """The first sentence of `why`."""
        first, stop, _ = self.why.partition(". ")
        return first + "." * bool(stop)


def recommendations(view: RunView, status: Status) -> list[Advice]:
    """What to do next, most urgent first."""
    rules: tuple[Callable[[RunView, Status], Iterator[Advice]], ...] = (
        _mend_the_stop,
        _deploy,
        _dearest_label,
        _doubtful_labels,
        _kept_promise,
        _hardly_trained,
        _pool_left,
        _no_more_gain,
        _samples_to_show,
        _certainty,
        _too_small_to_show,
        _no_acceptance_set,
        _mostly_synthetic,
        _rehearsal,
    )
    return [advice for rule in rules for advice in rule(view, status)]


def _mend_the_stop(view: RunView, status: Status) -> Iterator[Advice]:
    if status.tone != "stopped":
        return
    errors = [line for line in view.lines if line.status == "error" and line.stage != "loop_stop"]
    if not errors:
        if status.wording.endswith("on request"):
            yield Advice("resume", "Run it again to go on", "It was stopped on request; nothing that was done is lost.")
        return
    last = errors[-1]
    yield Advice(
        "mend-the-stop",
        f"Mend what stopped {last.stage}, then run again",
        f"{clean(last.summary)}. Running again takes up at {last.stage} of {last.iter}; "
        "stages that ended well are not repeated.",
    )


def _deploy(view: RunView, status: Status) -> Iterator[Advice]:
    best = view.best
    if not view.verdict.may_ship or best is None:
        return
    yield Advice(
        "deploy",
        f"Deploy {best.title.lower()} at threshold {score(best.record.threshold)}",
        "The target is shown to be met; checkpoint, threshold and inference spec are named under Deploy.",
    )


def _dearest_label(view: RunView, status: Status) -> Iterator[Advice]:
    """The defect type that sets FAR: without it, FAR at the same recall would be lower."""
    best = view.best
    if best is None or best.scored is None or not _limits_far(view.target) or _far_met(view, best):
        return
    floor = recall_floor(view.target)
    scored, now = best.scored, best.record.far_pct
    keys = np.array([label.strip().upper() for label in scored.table.label])
    without = []
    for figures in _costs(best):
        keep = keys != figures.label.upper()
        point = far_at_recall(scored.scores[keep], scored.is_pass[keep], floor)
        if point is not None:
            without.append((point.far, figures, point))
    if len(without) < 2 or now is None:
        return
    # Below full recall, leaving out any type moves the quota of misses: only what no other type does is a cause.
    (_, first, others), (next_far, _, _) = sorted(without, key=lambda item: item[0])[:2]
    least = max(STEADY_PP, 0.05 * now)
    if min(now, 100 * next_far) - 100 * others.far < least:
        return
    yield Advice(
        "dearest-label",
        f"Collect more {clean(first.label)} samples first",
        f"It is the defect type that sets FAR: with it FAR is {rate(best.far, now)}, without it {_far(others)}. "
        f"Its weakest of {plural(first.count, 'sample')} scores {score(first.weakest)}.",
    )


def _doubtful_labels(view: RunView, status: Status) -> Iterator[Advice]:
    """One sample that holds FAR up alone is either the hardest one or mislabelled: a person should look.

    Alone: leaving out any other as many would not do it. Below full recall it often would.
    """
    best = view.best
    if best is None or best.scored is None or not _limits_far(view.target) or best.record.far_pct is None:
        return
    floor = recall_floor(view.target)
    scored = best.scored
    defects = np.flatnonzero(~scored.is_pass)
    if len(defects) < 3:
        return
    now = best.record.far_pct
    order = defects[np.argsort(scored.scores[defects], kind="stable")]
    for count in (1, 2, 3):
        found = far_without_weakest(scored.scores, scored.is_pass, floor, count)
        if found is None:
            return
        point, other = found
        if min(now, 100 * other.far) - 100 * point.far > max(0.2 * now, STEADY_PP):
            names = [
                f"{clean(_cell(best, row, 'object_name'))} in {clean(_cell(best, row, 'input_path'))} "
                f"({clean(scored.table.label[row].strip())}, {score(float(scored.scores[row]))})"
                for row in order[:count]
            ]
            yield Advice(
                "doubtful-labels",
                f"Check the label of {'this sample' if count == 1 else f'these {count} samples'} by eye",
                f"{listed(names)}: without {'it' if count == 1 else 'them'} FAR would be {_far(point)} "
                f"instead of {rate(best.far, now)}. Labelled rightly, {'it is' if count == 1 else 'they are'} the "
                "hardest of all and worth collecting more of.",
            )
            return


def _kept_promise(view: RunView, status: Status) -> Iterator[Advice]:
    """KPI figures are optimistic; how much, the acceptance set tells."""
    accepted, best = view.accepted("best"), view.best
    if accepted is None or best is None or view.target is None:
        return
    missed = accepted.recall.trials - accepted.recall.successes
    asked = recall_asked(view.target)
    floor = None if asked is None else 100 * asked - 1e-9
    if (
        floor is not None
        and accepted.recall.value_pct < floor
        and (best.recall is None or best.recall.value_pct >= floor)
    ):
        yield Advice(
            "acceptance-recall",
            "Add defects to the KPI set, so that its threshold holds elsewhere",
            f"At the frozen threshold {whole(missed)} of {plural(accepted.recall.trials, 'acceptance defect')} "
            f"{'goes' if missed == 1 else 'go'} unseen: recall {rate(accepted.recall)}. The KPI set loses none beyond "
            "the target, but its threshold hangs on a handful of KPI defects.",
        )
    goal = view.target.measure
    here, there = best.interval(goal.name), accepted.figures.get(goal.name)
    if here is None or there is None:
        return
    if there.value_pct > here.high_pct if goal.at_most else there.value_pct < here.low_pct:
        yield Advice(
            "acceptance-far",
            f"Trust the acceptance {goal.name}, not the KPI one",
            f"{capital(goal.name)} is {rate(there)} on the acceptance set and {rate(here)} on the KPI set, outside its "
            "interval: the loop has fitted the KPI set.",
        )


def _hardly_trained(view: RunView, status: Status) -> Iterator[Advice]:
    """Defect types that the KPI set asks for and the newest training set hardly has."""
    training, kpi = view.dataset("training"), view.dataset("kpi")
    if training is None or kpi is None or view.best is None or _met(view):
        return
    have = by_label(training.labels, view.added("mining"), view.added("anomalygen"))
    rare = [label for label in kpi.labels if not is_pass(label) and have[label.upper()] < FEW_TRAINING_ROWS]
    if rare:
        shown = [f"{clean(label)} ({whole(have[label.upper()])})" for label in rare]
        yield Advice(
            "hardly-trained",
            f"Bring training rows of {plural(len(rare), 'defect type')} that the KPI set asks for",
            f"The training set has fewer than {FEW_TRAINING_ROWS} rows of each after all additions: {listed(shown)}.",
        )


def _pool_left(view: RunView, status: Status) -> Iterator[Advice]:
    """Whether the pool still has what the weak labels need."""
    pool, best = view.dataset("pool"), view.best
    if _met(view) or best is None or best.record.far_pct is None:
        return
    if pool is None:
        if view.state.config.mining_pool_csv is None:
            yield Advice(
                "no-pool",
                "Give the workspace a mining pool",
                "The run had no augmentation/mining_pool/mining_pool.csv, so no real sample could be added.",
            )
        return
    left = by_label(pool.labels)
    left.subtract(view.added("mining"))
    limiting = [figures for figures in _costs(best) if (figures.cost_pct or 0.0) > 0.0]
    spent = [f.label for f in limiting if left[f.label.upper()] <= 0]
    if spent:
        yield Advice(
            "pool-spent",
            f"Append new samples of {clean(listed(spent))} to the mining pool",
            "The pool has no unused row of "
            + ("it" if len(spent) == 1 else "them")
            + " left, so another iteration would find nothing like the weak samples.",
        )
    unused = sum(max(left[f.label.upper()], 0) for f in limiting)
    # A loop that met its target on the KPI set ends there, whatever the acceptance set says and iterations remain.
    if unused and status.tone == "near" and not _reached(view, best):
        yield Advice(
            "another-iteration",
            "Allow more iterations",
            f"The pool still holds {plural(unused, 'unused row')} of the defect types that cost most to catch.",
        )


def _no_more_gain(view: RunView, status: Status) -> Iterator[Advice]:
    """The last iteration did not better the best one before it."""
    measured = view.measured
    if len(measured) < 3 or status.tone == "running" or _met(view):
        return
    last, measure = measured[-1], view.state.measure
    lower = view.target is None or view.target.measure.at_most
    value = {p.label: view.state.value(p.record) or 0.0 for p in measured}
    best = min(measured[:-1], key=lambda p: value[p.label] if lower else -value[p.label])
    before = value[best.label]
    gain = before - value[last.label] if lower else value[last.label] - before
    if gain < STEADY_PP:
        yield Advice(
            "no-more-gain",
            "Change the data or the model before adding iterations",
            f"{last.title} has {measure} {rate(last.interval(measure), value[last.label])}, {best.title.lower()} "
            f"before it {rate(best.interval(measure), before)}: "
            f"the last round gained {'nothing' if gain <= 0 else percent(gain).replace(' %', ' pp')}.",
        )


def _samples_to_show(view: RunView, status: Status) -> Iterator[Advice]:
    """What the deciding set lacks, so that what is met is shown."""
    found = view.verdict
    if found.set is None or not found.final or found.word != "met, not shown":
        return
    lacking = [c for c in found.claims if c.outcome == "met" and c.more is not None]
    if not lacking:
        return
    more = " more" if view.state.config.acceptance_csv is not None else ""
    wanted = [f"about {plural(c.more or 0, c.of).replace(' ', f'{more} ', 1)}" for c in lacking]
    have = [
        f"{c.name} is {c.bound_side} {percent(c.bound_pct)} with 95 % confidence, and the target asks for {c.asked}"
        for c in lacking
        if c.bound_pct is not None
    ]
    yield Advice(
        "samples-to-show",
        f"Put {listed(wanted)} into the acceptance set",
        f"The figures meet the target and do not show it: {listed(have)}. So many more at the same rate would show it.",
    )


def _certainty(view: RunView, status: Status) -> Iterator[Advice]:
    """A recall of 100 % cannot be shown."""
    best, target = view.best, view.target
    asked = None if target is None else target.limit(RECALL.name)
    if best is None or best.recall is None or asked is None or asked.share < 1.0:
        return
    n, low = best.recall.trials, best.recall.bound_pct(at_most=False)
    need = [f"{percent(100 * r)} takes {whole(trials_to_show(1.0, r, at_most=False))}" for r in (0.99, 0.999)]
    yield Advice(
        "full-recall",
        "Read 100 % recall as a lower bound",
        f"{whole(n - best.recall.successes)} of {plural(n, 'KPI defect')} missed means recall of at least "
        f"{percent(low)} with 95 % confidence. To show {listed(need)} defect samples without a miss; "
        "no number shows 100 %.",
    )


def _too_small_to_show(view: RunView, status: Status) -> Iterator[Advice]:
    """Whether the deciding set could show the target at all, were every sample right."""
    found, target = view.verdict, view.target
    if target is None or found.set is None or found.word == "met, not shown":
        return
    for asked, claim in zip(target.limits, found.claims, strict=True):
        if not asked.measure.share:
            continue
        need = trials_to_show(0.0 if asked.at_most else 1.0, asked.limit_pct / 100, at_most=asked.at_most)
        have = None if claim.measured is None else claim.measured.trials
        if need is None or have is None or have >= need:
            continue
        yield Advice(
            f"enough-{'passes' if asked.name == FAR.name else f'{asked.of}s'.replace(' ', '-')}",
            f"Bring the {found.set} to {plural(need, asked.of)} or more",
            f"It has {whole(have)}. Even without a single error they could not show {asked.name} {asked.text} "
            "with 95 % confidence.",
        )


def _no_acceptance_set(view: RunView, status: Status) -> Iterator[Advice]:
    if view.state.config.acceptance_csv is None:
        yield Advice(
            "no-acceptance-set",
            "Put labelled samples aside as kpi/acceptance_set.csv",
            "The loop chooses its data and its threshold on the KPI set, so KPI figures are optimistic. "
            "An acceptance set is used once, at the end, and by nothing else.",
        )


def _mostly_synthetic(view: RunView, status: Status) -> Iterator[Advice]:
    best = view.best
    if best is not None and best.share_pct is not None and best.share_pct > 50:
        yield Advice(
            "mostly-synthetic",
            "Add real defects before relying on this model",
            f"{percent(best.share_pct)} of its training rows are synthetic.",
        )


def _rehearsal(view: RunView, status: Status) -> Iterator[Advice]:
    if view.verdict.rehearsal:
        yield Advice(
            "rehearsal",
            "Run the same plan with TAO's own network before deciding about production",
            f"This run trained {trained_text(view.verdict.trained)}. Its figures are not TAO's. "
            "Workspace, plan and commands stay the same.",
        )


def _limits_far(target: Target | None) -> TypeGuard[Target]:
    """Whether FAR is what the target limits: what raises it is then what stands in the way."""
    return target is not None and target.measure.name == FAR.name


def _reached(view: RunView, phase: Phase) -> bool:
    value = view.state.value(phase.record)
    return view.target is not None and value is not None and view.target.met(value)


def _met(view: RunView) -> bool:
    """Whether the run has ended with figures that meet the target: the model needs no mending then."""
    return view.verdict.final and view.verdict.point_met


def _far_met(view: RunView, best: Phase) -> bool:
    """Whether FAR meets its limit wherever it was measured: it is then not what stands in the way."""
    failed = any(c.name == FAR.name and c.outcome == "not met" for c in view.verdict.claims)
    return _reached(view, best) and not failed


def _costs(phase: Phase) -> list[LabelFigures]:
    """The defect types of a phase, dearest first."""
    found = [f for f in phase.figures.values() if f.cost_pct is not None and math.isfinite(f.cost_pct)]
    return sorted(found, key=lambda f: (-(f.cost_pct or 0.0), f.weakest, f.label))


def _far(point: Threshold) -> str:
    return rate(share(point.fp, point.fp + point.tn))


def _cell(phase: Phase, row: int, name: str) -> str:
    assert phase.scored is not None
    table = phase.scored.table
    return table.column(name)[row] if name in table.names else "?"
