"""A new threshold from new judged scores, with its proof on parts that did not choose it, beside the old one.

Three ways to have a proof: a file of its own; a part of the boards (rows, where no board is known) set apart by a seed;
or, on one set, a conformal bound (Angelopoulos et al. 2024, "Conformal risk control"): the next defect escapes with a
probability of at most 1 - recall, on average over sets like this one, which says nothing of FAR.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tao_skill_bank.assurance.certificate import Certificate, certify
from tao_skill_bank.assurance.subject import CHOSEN_HERE, FROZEN, Subject
from tao_skill_bank.assurance.two_models import KEYS, TwoModels, compare_models
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import sha256_file
from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.data.changenet.tables import BOARD_COLUMNS
from tao_skill_bank.data.score_files import ScoreFile, finite_threshold
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.metrics import Curve, clopper_pearson, operating_curve
from tao_skill_bank.tasks.changenet.metric import FAR, best_point, recall_asked

Proof = Literal["own file", "split", "conformal"]


class Recalibration(Frozen):
    """An old and a new threshold side by side.

    Attributes:
        old, new: Thresholds.
        target: What was asked of the new one.
        chosen_on: Parts that chose it.
        shown_on: Parts that judge both.
        sides: What changes on those: `first` is the old threshold, `second` the new one.
        certificate: Of the new threshold on those parts.
        old_certificate: Of the old one, on the same parts.
        statement: What the proof says, in one sentence.
        changed: Rows of the proof's file, from 1, that change sides, worst first.
    """

    old: float | None
    new: float
    target: str
    proof: Proof
    chosen_on: int
    shown_on: int
    sides: TwoModels | None
    certificate: Certificate
    old_certificate: Certificate | None
    statement: str
    changed: tuple[dict[str, Any], ...] = ()

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        old = "none" if self.old is None else repr(self.old)
        sets = f"chosen on {self.chosen_on} parts, judged on {self.shown_on} ({self.proof})"
        yield f"threshold {old} to {self.new!r}, {sets}"
        yield self.statement
        if self.sides is not None:
            yield from list(self.sides.lines())[1:3]
            yield f"{len(self.changed)} parts change sides"
        yield from list(self.certificate.lines())[:4]


@dataclass(frozen=True)
class Sets:
    """Parts that choose, and parts that judge; the same ones where a conformal bound is asked for."""

    choosing: ScoreFile
    judging: ScoreFile
    proof: Proof


def set_apart(
    scores: ScoreFile, proof: ScoreFile | None = None, *, share: float = 0.5, seed: int = 0, conformal: bool = False
) -> Sets:
    """Who chooses and who judges.

    Without `proof` that `share` of the boards (rows) is set apart; `conformal`: one set judges by a bound.

    Raises:
        InputError: A share that leaves a side without parts; two ways at once; a proof by parts that choose.
    """
    if proof is not None and conformal:
        raise InputError("two ways to prove at once", where="recalibrate", fix="give --proof or --conformal")
    if proof is not None:
        if shared := _shared(scores, proof):
            fix = "judge by parts that chose nothing, or leave --proof out: some are set apart then"
            raise InputError(f"{shared} of its parts choose the threshold too", where=proof.path, fix=fix)
        return Sets(scores, proof, "own file")
    if conformal:
        return Sets(scores, scores, "conformal")
    if not 0 < share < 1:
        raise InputError(f"{share} is no share to set apart", where="--split", fix="give for example 0.5")
    scores.whole(BOARD_COLUMNS)
    groups = scores.boards or [str(row) for row in range(len(scores))]
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    judging = np.isin(index, order[: round(share * len(names))])
    sides = [scores.take(np.flatnonzero(side)) for side in (~judging, judging)]
    if not all(len(side) for side in sides):
        raise InputError("too few boards to set some apart", where=scores.path, fix="give --proof, or more boards")
    return Sets(sides[0], sides[1], "split")


def _shared(choosing: ScoreFile, proof: ScoreFile) -> int:
    """How many parts are in both: equal in name, score and label; without names only a whole file can be told."""
    files = (choosing, proof)
    key = next((k for k in KEYS if all(set(k) <= set(file.table.names) for file in files)), ())
    chose, judge = (
        Counter(
            zip(*(file.table.column(name) for name in key), file.score.tolist(), file.is_pass.tolist(), strict=True)
        )
        for file in files
    )
    return (chose & judge).total() if key or chose == judge else 0


def recalibrate(
    sets: Sets,
    target: Target,
    old: float | None = None,
    *,
    trained: Trained | None = None,
    who: str | None = None,
) -> Recalibration:
    """Choose a threshold on one side and judge it, and the old one, on the other.

    Raises:
        InputError: No threshold keeps what is asked; too few defects for a conformal bound; an old threshold that is
            not finite.
    """
    if old is not None:
        finite_threshold(old)
    choosing, judging = sets.choosing, sets.judging
    if sets.proof == "conformal":
        new, statement = _conformal(choosing, target)
    else:
        new, statement = _with_room(choosing, target)
    digest = sha256_file(judging.path)

    def certified(threshold: float, independent: bool | None, origin: str) -> Certificate:
        name, by = judging.path.name, trained or Trained()
        subject = Subject(judging, threshold, target, name, independent, origin, by, digest)
        return certify(subject, who=who)

    if sets.proof == "conformal":
        proof = certified(new, False, CHOSEN_HERE)
    else:
        proof = certified(new, None, f"{sets.proof}: chosen on other parts")
    before = None if old is None else certified(old, None, FROZEN)
    return Recalibration(
        old=old,
        new=new,
        target=target.text(),
        proof=sets.proof,
        chosen_on=len(choosing),
        shown_on=len(judging),
        sides=None if old is None else compare_models(_named(judging), _named(judging), old, new),
        certificate=proof,
        old_certificate=before,
        statement=statement
        if sets.proof == "conformal"
        else f"{statement}on parts that did not choose it: {proof.word}",
        changed=() if old is None else tuple(_changed(judging, old, new)),
    )


def _with_room(scores: ScoreFile, target: Target) -> tuple[float, str]:
    """The threshold to propose, and what there is to say of it before it is judged.

    At the very edge of a target every second proof fails. Where FAR and recall both have a limit that some threshold
    meets, it is the one whose lesser distance from its limit, in standard deviations at the limit, is largest.
    """
    point = best_point(scores.score, scores.is_pass, target)
    if point is None:
        raise InputError(
            "no threshold keeps what is asked on the choosing parts", where=scores.path, fix="give more defects"
        )
    far, floor = target.limit(FAR.name), recall_asked(target)
    if far is None or floor is None:
        return point.threshold, ""
    curve = operating_curve(scores.score, scores.is_pass)
    good, bad = int(curve.fp[0] + curve.tn[0]), int(curve.tp[0] + curve.fn[0])
    met = (curve.far < far.share if far.strict else curve.far <= far.share) & (curve.recall >= floor)
    if not met.any():
        helps = (
            "moving it does not help here, mend what changed or train again"
            if _none_can_meet(curve, far.share, floor)
            else "by so few that may be chance, give more parts or mend what changed"
        )
        text = (
            f"no threshold meets {target.text()!r} on the choosing parts (at recall {100 * point.recall:.3g} % FAR is "
            f"{100 * point.far:.3g} %): {helps}; "
        )
        return point.threshold, text
    if not good or not 0 < far.share < 1 or not 0 < floor < 1:
        return point.threshold, ""
    room = np.minimum(
        (far.share - curve.far) / math.sqrt(far.share * (1 - far.share) / good),
        (curve.recall - floor) / math.sqrt(floor * (1 - floor) / bad),
    )
    return float(curve.thresholds[int(np.argmax(np.where(met, room, -np.inf)))]), ""


def _none_can_meet(curve: Curve, far: float, floor: float) -> bool:
    """Whether the parts show, at 95 %, that no threshold keeps both limits on all parts like them.

    A threshold that kept both would have, but for 2.5 % each, a recall whose upper bound reaches the floor and a FAR
    whose lower bound does not pass its limit. Both bounds fall as the threshold rises, so the highest one of the first
    kind answers for all.
    """
    good, bad = int(curve.fp[0] + curve.tn[0]), int(curve.tp[0] + curve.fn[0])
    fewest = bisect_left(range(bad), floor, key=lambda found: clopper_pearson(found, bad)[1])
    highest = int(np.flatnonzero(curve.tp >= fewest)[-1])
    return clopper_pearson(int(curve.fp[highest]), good)[0] > far


def _conformal(scores: ScoreFile, target: Target) -> tuple[float, str]:
    """The highest threshold whose escapes, one more counted, are at most the allowed share of one defect more."""
    floor = recall_asked(target)
    if floor is None:
        raise InputError(
            f"a conformal bound is one of escapes, and {target.text()!r} limits none",
            where="--target",
            fix="name a recall, or give --proof",
        )
    allowed = 1 - floor
    defects = np.sort(scores.score[~scores.is_pass])
    may_miss = math.floor(allowed * (len(defects) + 1) + 1e-9) - 1
    if may_miss < 0:
        need = "no number" if allowed <= 0 else f"at least {math.ceil(1 / allowed - 1e-9) - 1}"
        raise InputError(
            f"{len(defects)} defects give no conformal bound of an escape rate of {100 * allowed:g} %",
            where=scores.path,
            fix=f"{need} of defects does; or give --proof",
        )
    below = defects[min(may_miss, len(defects) - 1)]
    threshold = float(np.nextafter(below, -np.inf))
    statement = (
        f"conformal: the next defect escapes with a probability of at most {100 * allowed:g} %, on average over sets "
        f"of {len(defects)} defects like this one; of FAR nothing is shown"
    )
    return threshold, statement


def _changed(scores: ScoreFile, old: float, new: float) -> Iterator[dict[str, Any]]:
    """Parts between the two thresholds, those that turn wrong first."""
    low, high = sorted((old, new))
    rows = np.flatnonzero((scores.score > low) & (scores.score <= high))
    flagged = new < old
    wrong = scores.is_pass[rows] == flagged
    names = ("input_path", "object_name", "sample", "id", "label")
    named = {name: scores.table.column(name) for name in names if name in scores.table.names}
    for i in np.lexsort((scores.score[rows], ~wrong)):
        row = int(rows[i])
        yield {
            "row": row + 1,
            "was": "passed" if flagged else "flagged",
            "is": "flagged" if flagged else "passed",
            "right": not bool(wrong[i]),
            **{name: cells[row] for name, cells in named.items()},
            "score": float(scores.score[row]),
        }


def _named(scores: ScoreFile) -> ScoreFile:
    """The same parts, each with a name of its own: its row."""
    from tao_skill_bank.data.changenet.tables import PairTable

    columns = {"sample": [str(row) for row in range(len(scores))], "label": scores.table.label}
    return ScoreFile(PairTable(scores.path, columns), scores.score)


def write(recalibration: Recalibration, folder: Path, training_spec: Path | None = None) -> list[Path]:
    """Write `recalibration.json`, `changed.csv` and, with the spec of the training, the hand-off spec anew.

    The folder is a new one, so that the hand-off that is in use stays as it is.

    Raises:
        InputError: A recalibration is there already.
    """
    import yaml

    from tao_skill_bank.core import fsio, guard
    from tao_skill_bank.core.sheets import write_sheet
    from tao_skill_bank.data.changenet.inference_spec import inference_spec
    from tao_skill_bank.data.changenet.spec import load_spec

    path = folder / "recalibration.json"
    if guard.exists(path):
        raise InputError("there is a recalibration already", where=path, fix="name another folder")
    spec = None if training_spec is None else inference_spec(load_spec(training_spec), recalibration.new)
    guard.make_folder(folder)
    written = []
    if recalibration.changed:
        written.append(folder / "changed.csv")
        names = list(recalibration.changed[0])
        write_sheet(written[-1], names, ([row[name] for name in names] for row in recalibration.changed))
    if spec is not None:
        written.append(folder / "best_model_inference_spec.yaml")
        fsio.write_text(written[-1], yaml.safe_dump(spec, sort_keys=False))
    fsio.write_text(path, recalibration.model_dump_json(indent=2) + "\n")
    return [path, *written]
