"""The certificate of a threshold: what it is shown to do on counted parts, with exact bounds, and what would show more.

Bounds are Clopper-Pearson's; where boards are known and whole boards drawn again say less, the wider one decides (it
stands beside the exact one). By part type, lighting, defect and lot all bounds hold together: each at 5 % divided by
the number of bounds (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tao_skill_bank.assurance.subject import CHOSEN_HERE, Subject
from tao_skill_bank.assurance.two_models import KEYS
from tao_skill_bank.core.clock import Clock, SystemClock, log_time
from tao_skill_bank.core.fsio import canonical_json, sha256_text
from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.core.text import plural
from tao_skill_bank.core.version import __version__
from tao_skill_bank.data.changenet.kpi import Scored
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS
from tao_skill_bank.data.score_files import LIGHTINGS, LOTS, PART_TYPES, ScoreFile
from tao_skill_bank.loop.approval import approver
from tao_skill_bank.loop.evidence import Interval, Trained
from tao_skill_bank.loop.judging import claims_of
from tao_skill_bank.loop.metric import Limit
from tao_skill_bank.loop.verdict import Word, word_of
from tao_skill_bank.metrics import beta_share, clopper_pearson, confusion_at
from tao_skill_bank.metrics.evidence import fewest
from tao_skill_bank.tasks.changenet.metric import ESCAPE, FAR, RECALL
from tao_skill_bank.tasks.changenet.scores import figures_at

CONFIDENCE = 0.95
MOST_STRATA = 500
FURTHER_ERRORS = 3


class Rate(Frozen):
    """A share in 0..1: `k` of `n`, the two-sided 95 % interval; `value` is None without a sample."""

    value: float | None
    low: float
    high: float
    n: int
    k: int


class Far(Rate):
    """The share of good parts that are flagged, and the one-sided 95 % bound that it lies under."""

    upper_one_sided: float


class Recall(Rate):
    """The share of defects that are flagged, and the one-sided 95 % bound that it lies above."""

    lower_one_sided: float


class Needed(Frozen):
    """How many more parts would show the target, none of them an error; 0: shown; None: no feasible number does."""

    pass_rows: int | None
    defect_rows: int | None


class Allowed(Frozen):
    """The same with `errors` further errors among them."""

    errors: int
    pass_rows: int | None
    defect_rows: int | None


class Stratum(Frozen):
    """One group of parts; its bounds hold together with those of all others.

    Attributes:
        by: `part type`, `lighting`, `defect`, `lot`, or a column that was named.
        far: None where it has no good part (or is a defect).
        recall: None where it has no defect.
        far_most: The one-sided bound, corrected.
        recall_least: The one-sided bound, corrected.
        far_shown: Whether that bound meets the limit.
    """

    by: str
    name: str
    far: Rate | None = None
    recall: Rate | None = None
    far_most: float | None = None
    recall_least: float | None = None
    far_shown: bool | None = None
    recall_shown: bool | None = None


class Certificate(Frozen):
    """What a frozen threshold is shown to do. Rates in 0..1.

    `shown` is the word `shown` of the verdict: both one-sided 95 % bounds meet their limits on parts that chose neither
    model nor threshold. `own_rows` is false where these rows did choose: `needed` then counts parts of a fresh set.
    `digest` is the SHA-256 of everything else, as canonical JSON.
    """

    threshold: float
    far: Far
    recall: Recall
    shown: bool
    needed: Needed
    target: str
    word: Word
    text: str
    cautions: tuple[str, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    by_board: dict[str, Any] | None = None
    strata: tuple[Stratum, ...] = ()
    bounds_together: int = 0
    left_out: tuple[str, ...] = ()
    set: str = ""
    threshold_from: str = ""
    own_rows: bool = True
    data: str = ""
    data_sha256: str = ""
    run: str | None = None
    model: str | None = None
    trained: Trained = Field(default_factory=Trained)
    software: str = ""
    certified_by: str = ""
    certified_at: str = ""
    digest: str = ""

    def digested(self) -> str:
        """The digest of the content, whatever `digest` says."""
        return sha256_text(canonical_json(self.model_dump(mode="json", exclude={"digest"})))

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield f"{self.word}: {self.text}"
        yield f"threshold {self.threshold!r}, {self.threshold_from}; {self.set}"
        yield f"FAR {_pct(self.far)}; at most {100 * self.far.upper_one_sided:.4g} % (one-sided, 95 %)"
        yield f"recall {_pct(self.recall)}; at least {100 * self.recall.lower_one_sided:.4g} % (one-sided, 95 %)"
        if not self.shown:
            yield from self._needed_lines()
        yield from (f"note: {text}" for text in self.cautions)
        if self.strata:
            yield f"by group, {self.bounds_together} bounds that hold together:"
            yield from (f"  {stratum_line(s)}" for s in self.strata)
        yield from (f"left out: {text}" for text in self.left_out)
        yield f"digest {self.digest}"

    def _needed_lines(self) -> Iterator[str]:
        for name, part, more in (
            ("FAR", "good parts", self.needed.pass_rows),
            ("recall", "defects", self.needed.defect_rows),
        ):
            if more is None and self.by_board is not None and self.by_board["boards"] == 1:
                yield f"{name}: no number of {part} of one board shows it"
            elif more is None:
                yield f"{name}: no feasible number of {part} shows it"
            elif more:
                what = "more" if self.own_rows else "fresh"
                yield f"{name}: {more} {what} {part} without an error would show it"


def _pct(rate: Rate) -> str:
    if rate.value is None:
        return "not measured"
    return f"{100 * rate.value:.4g} % ({rate.k} of {rate.n}; {100 * rate.low:.4g} to {100 * rate.high:.4g} %)"


def stratum_line(stratum: Stratum) -> str:
    """`part type C: FAR 0.4 % (1 of 250), at most 2.9 %; recall …`."""
    parts = []
    if stratum.far is not None:
        parts.append(f"FAR {_pct(stratum.far)}, at most {100 * (stratum.far_most or 0):.4g} %")
    if stratum.recall is not None:
        parts.append(f"recall {_pct(stratum.recall)}, at least {100 * (stratum.recall_least or 0):.4g} %")
    return f"{stratum.by} {stratum.name}: {'; '.join(parts)}"


def certify(
    subject: Subject, *, by: Sequence[str] = (), who: str | None = None, clock: Clock | None = None
) -> Certificate:
    """The certificate of a subject.

    `by`: further columns to tell groups by; `who`: by default user and machine.

    Raises:
        InputError: No label, no such column.
    """
    scores, target = subject.scores, subject.target
    point = confusion_at(scores.score, scores.is_pass, subject.threshold)
    figures = figures_at(Scored(scores.table, scores.score, scores.is_pass), point, target)
    independent = subject.independent is not False
    claims = claims_of(target, figures, independent=independent)
    word = word_of(claims)
    shown = {c.name for c in claims if c.outcome == "shown"}
    counted = [_counted(figures, target.limit(FAR.name), shown, independent=independent)]
    missed = target.limit(RECALL.name) or target.limit(ESCAPE.name)
    counted.append(_counted(figures, missed, shown, independent=independent))
    strata, bounds, left_out = _strata(subject, by, target.limit(FAR.name), target.limit(RECALL.name))
    made = Certificate(
        threshold=subject.threshold,
        far=Far(**_rate(point.fp, point.fp + point.tn), upper_one_sided=_one_sided(point.fp, point.fp + point.tn)[1]),
        recall=Recall(
            **_rate(point.tp, point.tp + point.fn), lower_one_sided=_one_sided(point.tp, point.tp + point.fn)[0]
        ),
        shown=word == "shown",
        needed=Needed(pass_rows=counted[0](0), defect_rows=counted[1](0)),
        target=target.text(),
        word=word,
        text="; ".join(c.text for c in claims) + "".join(f". {c.why}" for c in claims if c.why),
        cautions=tuple(_cautions(subject)),
        allowed=tuple(
            Allowed(errors=k, pass_rows=counted[0](k), defect_rows=counted[1](k)) for k in range(1, FURTHER_ERRORS + 1)
        ),
        by_board=_by_board(figures[FAR.name], figures[RECALL.name]),
        strata=strata,
        bounds_together=bounds,
        left_out=left_out,
        set=subject.set_name,
        threshold_from=subject.threshold_from,
        own_rows=independent,
        data=str(scores.path),
        data_sha256=subject.data_sha256,
        run=None if subject.run is None else str(subject.run),
        model=subject.model,
        trained=subject.trained,
        software=__version__,
        certified_by=who or approver(),
        certified_at=log_time((clock or SystemClock()).now()),
    )
    return made.model_copy(update={"digest": made.digested()})


def read_certificate(path: Path) -> Certificate:
    """A certificate as it was written.

    Raises:
        InputError: It is none, or its content is not what its digest says.
    """
    from pydantic import ValidationError

    from tao_skill_bank.core import guard
    from tao_skill_bank.core.errors import InputError

    try:
        found = Certificate.model_validate_json(guard.read_text(path))
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="name the certificate.json") from None
    except ValidationError:
        raise InputError("is no certificate", where=path, fix="name the certificate.json") from None
    if found.digested() != found.digest:
        raise InputError("was changed: its content has another digest than it says", where=path, fix="certify again")
    return found


def _rate(k: int, n: int) -> dict[str, Any]:
    low, high = clopper_pearson(k, n, CONFIDENCE)
    return {"value": k / n if n else None, "low": low, "high": high, "n": n, "k": k}


def _one_sided(k: int, n: int, error: float = 1 - CONFIDENCE) -> tuple[float, float]:
    """Lower and upper bound, each at its own error."""
    return clopper_pearson(k, n, 1 - 2 * error)


def _by_board(far: Interval, recall: Interval) -> dict[str, Any] | None:
    """The bounds by which the certificate decides where boards are known: the wider of exact and resampled."""
    if far.groups is None:
        return None
    return {
        "boards": max(far.groups, recall.groups or 0),
        "far": {"low": far.low_pct / 100, "high": far.high_pct / 100, "upper_one_sided": (far.most_pct or 0) / 100},
        "recall": {
            "low": recall.low_pct / 100,
            "high": recall.high_pct / 100,
            "lower_one_sided": (recall.least_pct or 0) / 100,
        },
    }


def _cautions(subject: Subject) -> Iterator[str]:
    if subject.threshold_from == CHOSEN_HERE:
        yield "the threshold was chosen on these very rows, so nothing is shown: give the frozen one with --threshold"
    elif subject.independent is None:
        yield "this holds only if neither model nor threshold was chosen with these rows; nothing here can tell"
    elif not subject.independent:
        yield "this set was seen before: an acceptance set that nobody has seen is what shows something"
    if repeated := _repeated(subject.scores):
        who = f"{plural(len(repeated), 'part')} named more than once (first: {repeated[0]})"
        yield f"{who}: every row is counted, which makes bounds too narrow"
    if subject.scores.boards is None:
        yield "no board is known: parts of one board are taken for independent, which makes bounds too narrow"
    if subject.trained.by == "stand-in":
        yield "a rehearsal: the bank's own small network was trained, not NVIDIA's"


def _repeated(scores: ScoreFile) -> list[str]:
    """Names that several rows have, where a column names parts."""
    key = next((k for k in KEYS if set(k) <= set(scores.table.names)), None)
    if key is None:
        return []
    rows = Counter(zip(*(scores.table.column(name) for name in key), strict=True))
    return ["/".join(name) for name, number in rows.items() if number > 1 and any(name)]


def _counted(
    figures: Mapping[str, Interval], limit: Limit | None, shown: set[str], *, independent: bool
) -> Callable[[int], int | None]:
    """How many more parts show a limit, as a function of the further errors among them; nothing for no limit.

    Of rows that chose model or threshold: parts of a set of its own.
    """

    def more(errors: int) -> int | None:
        if limit is None or (limit.name in shown and not errors):
            return 0
        found = figures[limit.name]
        if independent and found.groups == 1:
            return None
        wrong = found.successes if limit.at_most else found.trials - found.successes
        wrong, number = (wrong, found.trials) if independent else (0, 0)
        allowed = limit.share if limit.at_most else 1 - limit.share
        return more_to_show(wrong + errors, number, allowed, strict=limit.strict, factor=found.factor)

    return more


def more_to_show(errors: int, number: int, limit: float, *, strict: bool = False, factor: float = 1.0) -> int | None:
    """How many parts beyond `number` put the one-sided 95 % bound of the share of errors at `limit` or below.

    Args:
        errors: Errors among all of them, old and new.
        number: Parts there are already.
        limit: In 0..1; nothing shows 0.
        strict: Whether the bound must lie below the limit.
        factor: Parts that tell as much as one independent part.

    Returns:
        At least `errors` in all; None where it takes more than `MOST_SAMPLES`.
    """
    if limit >= 1:
        return 0
    if limit <= 0:
        return None

    def shows(total: int) -> bool:
        if total <= errors:
            return False
        reached = beta_share(errors + 1, total - errors, limit)
        return reached > CONFIDENCE if strict else reached >= CONFIDENCE - 1e-12

    found = fewest(shows, errors, max(1, 2 * errors), factor)
    return None if found is None else max(0, found - number)


def _strata(
    subject: Subject, by: Sequence[str], ask_far: Limit | None, ask_recall: Limit | None
) -> tuple[tuple[Stratum, ...], int, tuple[str, ...]]:
    """Every group with its counts and bounds, how many bounds hold together, and what was left out."""
    scores = subject.scores
    flagged = scores.score > subject.threshold
    left_out = list(_half_told(scores))
    counted: list[tuple[str, str, tuple[int, int] | None, tuple[int, int] | None]] = []
    for name, cells in _facets(scores, by):
        kinds, index = np.unique(np.asarray(cells), return_inverse=True)
        if len(kinds) < 2 and name not in by:
            continue
        if len(counted) + len(kinds) > MOST_STRATA:
            left_out.append(f"{name}: {len(kinds)} groups, more than {MOST_STRATA} in all")
            continue
        good, wrong = _counts(index, scores.is_pass, flagged, len(kinds))
        bad, hit = _counts(index, ~scores.is_pass, flagged, len(kinds))
        for i, kind in enumerate(kinds):
            far = (int(wrong[i]), int(good[i])) if good[i] else None
            recall = (int(hit[i]), int(bad[i])) if bad[i] else None
            counted.append((name, str(kind), far, recall))
    defects = np.asarray([label.strip() for label in scores.table.label])[~scores.is_pass]
    kinds, index = np.unique(defects, return_inverse=True)
    if len(counted) + len(kinds) > MOST_STRATA:
        left_out.append(f"defect: {len(kinds)} groups, more than {MOST_STRATA} in all")
    elif len(kinds) > 1:
        bad, hit = _counts(index, np.ones(len(defects), dtype=bool), flagged[~scores.is_pass], len(kinds))
        counted += [("defect", str(k), None, (int(hit[i]), int(bad[i]))) for i, k in enumerate(kinds)]
    bounds = sum((far is not None) + (recall is not None) for _, _, far, recall in counted)
    error = (1 - CONFIDENCE) / max(1, bounds)
    independent = subject.independent is not False
    found = []
    for name, kind, far, recall in counted:
        most = None if far is None else _one_sided(*far, error)[1]
        least = None if recall is None else _one_sided(*recall, error)[0]
        found.append(
            Stratum(
                by=name,
                name=kind,
                far=None if far is None else Rate(**_rate(*far)),
                recall=None if recall is None else Rate(**_rate(*recall)),
                far_most=most,
                recall_least=least,
                far_shown=None if most is None or ask_far is None else independent and ask_far.met(100 * most),
                recall_shown=None
                if least is None or ask_recall is None
                else independent and ask_recall.met(100 * least),
            )
        )
    return tuple(found), bounds, tuple(left_out)


def _half_told(scores: ScoreFile) -> Iterator[str]:
    """Columns by which no group is told, since some of their cells are empty."""
    for what, names in (("part type", PART_TYPES), ("lighting", LIGHTINGS), ("lot", LOTS), ("board", BOARD_COLUMNS)):
        for name, rows in scores.empty(names).items():
            if len(rows) < len(scores):
                yield f"{what}: {len(rows)} of {len(scores)} cells of {name} are empty"


def _facets(scores: ScoreFile, by: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    known = (("part type", scores.part_types), ("lighting", scores.column(LIGHTINGS)), ("lot", scores.column(LOTS)))
    yield from ((name, cells) for name, cells in known if cells is not None)
    yield from ((name, scores.table.column(name)) for name in by)


def _counts(
    index: npt.NDArray[np.intp], rows: npt.NDArray[np.bool_], flagged: npt.NDArray[np.bool_], groups: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Of each group the number of these rows, and of the flagged among them."""
    return np.bincount(index[rows], minlength=groups), np.bincount(index[rows & flagged], minlength=groups)
