"""What goes into a monitor: files of scores, the labels that some parts have, a stratum that begins anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from tao_skill_bank.assurance.lot_order import late
from tao_skill_bank.assurance.monitor_record import (
    SETTINGS_FILE,
    STATISTICS,
    Fed,
    Labelled,
    Lot,
    Settings,
    Statistic,
    append,
    held,
    read_settings,
    stratum_name,
)
from tao_skill_bank.assurance.monitor_state import History, State, keep, read_state
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.clock import Clock, SystemClock, log_time
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.score_files import LIGHTINGS, LOTS, PART_TYPES, ScoreFile, finite_threshold
from tao_skill_bank.loop.approval import approver
from tao_skill_bank.metrics.drift import evidence, running_sums
from tao_skill_bank.tasks.changenet.metric import ESCAPE, FAR, GRAMMAR, RECALL

_SHARES: dict[Statistic, tuple[float, ...]] = {"tail": (0.95,), "spread": (0.25, 0.75)}
"""Which quantiles a statistic is, or is the distance of; the level is the median."""
RATES = ("rate", "label_rate")
"""A column of one of these names says at which rate a labelled part was drawn."""


@dataclass(frozen=True)
class Rates:
    """At which rate parts were drawn for a label; None: the file's own column, or that every part has one."""

    flagged: float | None = None
    passed: float | None = None


def start(
    folder: Path,
    threshold: float,
    *,
    target: str | None = None,
    certificate: str | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Settings:
    """Make a monitor.

    `certificate`: digest of the one that it follows.

    Raises:
        InputError: Something is there already; a setting that cannot be.
    """
    finite_threshold(threshold)
    asked = None if target is None else _watchable(target)
    try:
        made = Settings(
            threshold=threshold,
            target=asked,
            certificate=certificate,
            started_by=approver(),
            started_at=log_time((clock or SystemClock()).now()),
            statistics=STATISTICS,
            **settings,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{first['loc'][0]}: {first['msg']}", where="monitor start", fix="give another number"
        ) from None
    if guard.exists(folder / SETTINGS_FILE):
        raise InputError("is a monitor already", where=folder, fix="feed it, or name another folder")
    guard.make_folder(folder)
    fsio.write_text(folder / SETTINGS_FILE, made.model_dump_json(indent=2) + "\n")
    return made


def _watchable(text: str) -> str:
    """The canonical text of a target whose every limit is held against the judged parts."""
    target = GRAMMAR.parse(text, where="--target")
    watched = (FAR.name, RECALL.name, ESCAPE.name)
    if other := [limit.name for limit in target.limits if limit.name not in watched]:
        fix = f"name a target of {', '.join(watched)}, or none: a change of the scores is told without one"
        raise InputError(f"a monitor holds nothing against {' and '.join(other)}", where="--target", fix=fix)
    return target.text()


def feed(
    folder: Path,
    scores: ScoreFile,
    *,
    lot: str | None = None,
    rates: Rates | None = None,
    labels_only: bool = False,
    clock: Clock | None = None,
) -> Fed | None:
    """Take in a file: its lots, and the labels that some of its parts have.

    A column `lot`, `part_type`, `lighting` tells lots and strata apart; without the first, `lot` or the file's name is
    the lot's. `rates`: at which parts were drawn for a label.

    Returns:
        What was taken in; None where this very file was fed before.

    Raises:
        InputError: A lot that was fed before from another file; labels of unknown rates; no labels.
        BankError: Another feeder holds the monitor.
    """
    settings = read_settings(folder)
    digest = fsio.sha256_file(scores.path)
    labelled, least_rate = _labelled(scores, settings.threshold, rates or Rates(), all_parts=not labels_only)
    if labels_only and not labelled:
        raise InputError("has no labels", where=scores.path, fix="fill in the column label: PASS or a defect")
    with held(folder):
        state = read_state(folder, settings)
        if digest in state.digests:
            return None
        newest = {history.stratum: history.newest for history in state.strata}
        lots = () if labels_only else tuple(_lots(settings, scores, lot, digest, state))
        line = Fed(
            at=log_time((clock or SystemClock()).now()),
            by=approver(),
            file=scores.path.name,
            sha256=digest,
            lots=lots,
            late=_late(newest, lots),
            labelled=labelled,
            least_rate=least_rate,
        )
        written = append(folder, line)
        # Its lots are in the state already: each was made from what the ones before it came to.
        state.add(msgspec.structs.replace(line, lots=()), settings)
        keep(folder, state, *written)
    return line


def restart(folder: Path, part_type: str, lighting: str, note: str = "", clock: Clock | None = None) -> Fed:
    """Begin a stratum anew: its next lots are the reference. What was fed stays.

    Raises:
        InputError: There is no such stratum.
    """
    settings = read_settings(folder)
    with held(folder):
        state = read_state(folder, settings)
        known = [history.stratum for history in state.strata]
        if (part_type, lighting) not in known:
            names = ", ".join(sorted(stratum_name(*k) for k in known)) or "none yet"
            raise InputError(f"no stratum {stratum_name(part_type, lighting)}", where=folder, fix=f"there are: {names}")
        line = Fed(at=log_time((clock or SystemClock()).now()), by=approver(), restart=(part_type, lighting), note=note)
        written = append(folder, line)
        state.add(line, settings)
        keep(folder, state, *written)
    return line


def _lots(settings: Settings, scores: ScoreFile, name: str | None, digest: str, state: State) -> Iterator[Lot]:
    """The lots of a file, each with the evidence after it; the state takes in one by one."""
    part_types = scores.whole(PART_TYPES) or scores.part_types
    columns = (scores.whole(LOTS), part_types, scores.whole(LIGHTINGS))
    _told_apart_as_before(scores, columns[1:], state)
    plain = (name or scores.path.stem, "", "")
    codes, kinds = zip(
        *(_coded(cells, len(scores), one) for cells, one in zip(columns, plain, strict=True)), strict=True
    )
    joint = (codes[0] * len(kinds[1]) + codes[1]) * len(kinds[2]) + codes[2]
    _, first, counts = np.unique(joint, return_index=True, return_counts=True)
    order = np.argsort(joint, kind="stable")
    ends = np.cumsum(counts)
    rng = np.random.default_rng(int(digest[:16], 16))
    # Lots in the order of their first row, so that a file of several days is a history.
    for k in np.argsort(first, kind="stable"):
        lot, part_type, lighting = (names[code[first[k]]] for names, code in zip(kinds, codes, strict=True))
        history = state.history(part_type, lighting)
        if lot in history.fed:
            raise InputError(
                f"lot {lot} of {stratum_name(part_type, lighting)} was fed before, from another file",
                where=scores.path,
                fix="give every lot once; labels that come later: --labels",
            )
        values = scores.score[order[ends[k] - counts[k] : ends[k]]]
        made = _lot(settings, lot, values, rng, history)
        state.add_lot(made, settings)
        yield made


def _late(newest: Mapping[tuple[str, str], str], lots: Sequence[Lot]) -> tuple[str, str] | None:
    """The first two lots of one part type and lighting that came in the other order; `newest`: fed before these."""
    names: dict[tuple[str, str], list[str]] = {}
    for lot in lots:
        names.setdefault(lot.stratum, []).append(lot.lot)
    return next(filter(None, (late(newest.get(key, ""), those) for key, those in names.items())), None)


def _told_apart_as_before(scores: ScoreFile, cells: Sequence[list[str] | None], state: State) -> None:
    """Refuse a file whose parts would go to other strata than those of the files before."""
    known = state.strata[0].stratum if state.strata else ()
    for told, was, what in zip(cells, known, ("part type", "lighting"), strict=False):
        if (told is not None) != bool(was):
            here, there = ("is told", "was not") if told is not None else ("is not told", "was told")
            fix = f"write the {what} as in those files, or start another monitor"
            text = f"the {what} of a part {here} here, and {there} in what was fed before"
            raise InputError(text, where=scores.path, fix=fix)


def _coded(cells: list[str] | None, rows: int, one: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Texts as numbers, and the text of each number; `one` for all rows where there are none."""
    import pyarrow as pa

    if cells is None:
        return np.zeros(rows, dtype=np.int64), [one]
    encoded = pa.array(cells, type=pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _lot(
    settings: Settings, name: str, scores: npt.NDArray[np.float64], rng: np.random.Generator, history: History
) -> Lot:
    sizes = history.sizes
    common: dict[str, Any] = {
        "lot": name,
        "part_type": history.part_type,
        "lighting": history.lighting,
        "parts": len(scores),
        "flagged": int(np.count_nonzero(scores > settings.threshold)),
        "ties": tuple(rng.random(len(settings.statistics)).tolist()),
    }
    if sizes is not None and len(scores) > sizes.most:
        common["drawn"] = sizes.usual
        scores = rng.choice(scores, sizes.usual, replace=False)
    common["values"] = tuple(_value(scores, statistic) for statistic in settings.statistics)
    if len(scores) < max(settings.least_parts, 0 if sizes is None else sizes.least):
        return Lot(**common, small=True)
    if sizes is None:
        return Lot(**common)
    ranked = history.score(common["values"], common["ties"])
    found = evidence(running_sums(np.column_stack([history.scores, ranked])), history.first)
    names = [*history.names, name]
    return Lot(
        **common,
        log_evidence=tuple(found.log_evidence.tolist()),
        starts=tuple(names[start] for start in found.start.tolist()),
        rises=tuple(found.rises.tolist()),
    )


def _value(scores: npt.NDArray[np.float64], statistic: Statistic) -> float:
    """One statistic of a lot; finite, as its scores are."""
    halves = scores / 2  # the distance of two scores may be no float
    if statistic == "level":
        # To the last digit what monitors have that are at work: a lot as before is to tie with them.
        return 2 * float(np.median(halves))
    ends: list[float] = np.quantile(halves, _SHARES[statistic]).tolist()
    distance = ends[0] if len(ends) == 1 else ends[1] - ends[0]
    return min(2 * distance, sys.float_info.max)


def _labelled(
    scores: ScoreFile, threshold: float, rates: Rates, *, all_parts: bool
) -> tuple[tuple[Labelled, ...], float | None]:
    """The judged parts of a file, counted by what they have in common, and the smallest rate a part was drawn at.

    `all_parts`: the file has every part that was inspected, so a side whose parts are all judged was drawn at 1.
    """
    if "label" not in scores.table.names:
        return (), None
    judged = np.asarray([cell.strip() for cell in scores.table.label]) != ""
    if not judged.any():
        return (), None
    rows = np.flatnonzero(judged)
    some = scores.take(rows)
    good, flagged = some.is_pass, some.score > threshold
    rate, least = _rates(scores, judged if all_parts else None, rows, flagged, threshold, rates)
    keys, counts = np.unique(np.stack([rate, good, flagged], axis=1), axis=0, return_counts=True)
    groups = (
        Labelled(rate=float(drawn), good=bool(is_good), flagged=bool(is_flagged), parts=int(count))
        for (drawn, is_good, is_flagged), count in zip(keys, counts, strict=True)
    )
    return tuple(groups), least


def _rates(
    scores: ScoreFile,
    judged: npt.NDArray[np.bool_] | None,
    rows: npt.NDArray[np.intp],
    flagged: npt.NDArray[np.bool_],
    threshold: float,
    rates: Rates,
) -> tuple[npt.NDArray[np.float64], float]:
    """The rate at which each judged part was drawn, float64 [judged], and the smallest of any part, judged or not.

    A side of which no rate is known was drawn at 0, for all that is known: nothing can be said of all parts then.
    """
    name = next((name for name in RATES if name in scores.table.names), None)
    written = np.full(len(scores), np.nan) if name is None else _numbers(scores, name)
    above = scores.score > threshold
    found, least = np.ones(len(rows)), 1.0
    for side, word, option in ((True, "flagged", "--rate-flagged"), (False, "passed", "--rate-passed")):
        own, here = flagged == side, written[above == side]
        asked = rates.flagged if side else rates.passed
        told = here[~np.isnan(here)].tolist()
        by_column = name is not None and bool(own.any())
        if asked is None and not by_column and (judged is None or not judged[above == side].all()):
            raise InputError(
                f"not every {word} part has a label, and nothing says at which rate they were drawn",
                where=scores.path,
                fix=f"give {option}" + (f" or a column {RATES[0]}" if own.any() else ""),
            )
        if asked is None and len(set(told)) > 1 and (judged is None or len(told) < len(here)):
            raise InputError(
                f"{word} parts have rates from {min(told):g} to {max(told):g}; one that was not drawn may have less",
                where=scores.path,
                fix=f"give the smallest rate of any {word} part as {option}, or write {name} for every part",
            )
        least = min([least, *told] if asked is None else [least, asked, *told])
        unwritten = asked if asked is not None else np.nan if by_column else 1.0
        found[own] = np.where(np.isnan(written[rows[own]]), unwritten, written[rows[own]])
    wrong = np.append(found, least)
    wrong = wrong[~((wrong > 0) & (wrong <= 1))]
    if len(wrong):
        fix = "give 0 < rate <= 1: how likely the part was to be judged, whether it was or not"
        told_of = "no rate" if np.isnan(wrong[0]) else f"a rate of {wrong[0]:g}"
        raise InputError(f"{told_of} for a judged part, or one that might have been", where=scores.path, fix=fix)
    return found, least


def _numbers(scores: ScoreFile, name: str) -> npt.NDArray[np.float64]:
    """The rates that are written, float64 [n]; NaN where a cell is blank."""
    cells = [cell.strip() for cell in scores.table.column(name)]
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        raise InputError(f"{name} is not a number", where=scores.path, fix="give 0 < rate <= 1") from None
