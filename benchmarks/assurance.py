"""What certificates, monitors and bounds promise, held against simulation, hindsight and the cost of reading.

    python benchmarks/assurance.py [--quick] [--full] [--only alarms|power|looks|days]

Prints: lots to a false alarm over what was asked; lots to an alarm over a CUSUM that knows size, direction and spread
of the change (Siegmund's approximation); how often an anytime bound is on the wrong side at any look; what a day's
file costs late in a history over early in it. Exit status 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tao_skill_bank.assurance import monitor_feed
from tao_skill_bank.assurance.monitor import status
from tao_skill_bank.assurance.monitor_record import STATISTICS
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.metrics.anytime import Drawn, anytime_bounds
from tao_skill_bank.metrics.drift import evidence, first_alarms, limit_for, rank_scores, running_sums

REFERENCE, BEFORE = 25, 75


def lots_to_alarm(values: np.ndarray, rng: np.random.Generator, limit: float) -> np.ndarray:
    """The lot at which each line alarms, counted from 1, [lines]; infinite where it does not."""
    sums = running_sums(rank_scores(values, rng.random(values.shape)))
    return first_alarms(sums.astype(np.float32), REFERENCE, limit)


def cusum_run(shift: float, mean: float, limit: float) -> float:
    """Siegmund's average run length of a CUSUM of unit normal lots that is tuned for `shift`, at a true mean."""
    slope, width = mean - shift / 2, limit + 1.166
    if abs(slope) < 1e-9:
        return width**2
    return (math.exp(-2 * slope * width) + 2 * slope * width - 1) / (2 * slope**2)


def cusum_delay(shift: float, run: float) -> float:
    """Lots to an alarm of a CUSUM that knows the change, at an average run of `run` lots without one."""
    low, high = 0.0, 50.0 / shift
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if cusum_run(shift, 0.0, middle) < run else (low, middle)
    return cusum_run(shift, shift, high)


def false_alarms(rng: np.random.Generator, runs: int, lots: int) -> bool:
    """Average lots to a false alarm over what is asked, as shipped, cut off at `lots`, which makes it smaller."""
    strata, asked = 3, 1000
    found = np.full(runs, np.inf)
    for _ in range(strata):
        level = rng.normal(size=(runs, lots))
        for statistic in STATISTICS:
            values = level if statistic == "level" else level + rng.normal(size=level.shape)
            found = np.minimum(found, lots_to_alarm(values, rng, limit_for(asked, len(STATISTICS) * strata)))
    seen = min(asked, lots)
    early = 100 * float(np.mean(found <= seen))
    ratio = float(np.mean(np.minimum(found, lots))) / asked
    print(f"{runs} lines of {strata} strata, {len(STATISTICS)} statistics each, {asked:,} lots to a false alarm asked:")
    print(f"  average / asked {ratio:.2f}, cut off at {lots:,}; alarms by lot {seen:,} {early:.1f} % (at most 50 %)")
    return early <= 50 and (lots < 1500 or ratio >= 1)


def late_strata(rng: np.random.Generator, runs: int) -> bool:
    """Four strata of which one more comes in every 30 lots and raises the limit of all."""
    asked, horizon, begins = 50, 150, (0, 30, 60, 90)
    found = np.full(runs, float(horizon))
    for begin in begins:
        values = rng.normal(size=(runs, horizon - begin))
        sums = running_sums(rank_scores(values, rng.random(values.shape)))
        for n in range(begin + REFERENCE + 1, horizon + 1):
            known = sum(other < n for other in begins)
            over = evidence(sums[:, : n - begin + 1], REFERENCE).log_evidence >= math.log(limit_for(asked, known))
            found[over] = np.minimum(found[over], n)
    ratio = float(np.mean(found)) / asked
    print(f"a stratum more every 30 lots: average lots to a false alarm / asked {ratio:.1f} (at least 1)")
    return ratio >= 1


def power(rng: np.random.Generator, runs: int, quick: bool) -> None:
    """Median lots to an alarm at 1,000 lots to a false one, beside a CUSUM that knows the change and the state before.

    The evidence of a change by d after n lots is at most n d^2 / 2 on average, however many lots follow (of the
    difference from n lots and from infinitely many): where that is below the limit, few lines tell it.
    """
    limit = limit_for(1000, len(STATISTICS))
    for before in (75, 300, 1000):
        for shift in (0.25, 0.5, 1.0, 1.5, 2.0):
            known, most = cusum_delay(shift, 1000), before * shift**2 / 2
            about = f"a change of {shift} standard deviations of a lot's statistic after {before} lots"
            if most < math.log(limit):
                print(f"{about}: {most:.1f} of the {math.log(limit):.1f} needed on average; the CUSUM's {known:.0f}")
                continue
            if quick and before > 300:
                continue
            values = rng.normal(size=(runs, before + int(40 * known)))
            values[:, before:] += shift
            found = lots_to_alarm(values, rng, limit) - before
            median, told = float(np.median(found[found > 0])), 100 * float(np.mean(np.isfinite(found)))
            print(f"{about}: {median:.0f} lots, {median / known:.1f} x the CUSUM's {known:.0f} ({told:.0f} % told)")


def power_of_parts(rng: np.random.Generator, runs: int, parts: int = 60) -> None:
    """The same for a change of every part's score, parts of a lot being independent, with and without `spread`.

    A shift in standard deviations of a part, and a spread that grows or shrinks about an unchanged median and an
    unchanged 95th percentile, beside a CUSUM of means that knows the shift.
    """
    for name, shift, factor in (
        *((f"{shift} standard deviations of a part's score", shift, 1.0) for shift in (0.25, 0.5, 1.0, 2.0)),
        *((f"scores of the middle {factor} times as far apart", 0.0, factor) for factor in (0.8, 1.25, 1.5)),
    ):
        scores = rng.normal(size=(runs, BEFORE + 60, parts))
        middle = (np.abs(scores) < 1.0) & (np.arange(BEFORE + 60) >= BEFORE)[:, None]
        scores = np.where(middle, scores * factor, scores)
        scores[:, BEFORE:] += shift
        quarter, level, third, tail = np.quantile(scores, (0.25, 0.5, 0.75, 0.95), axis=-1)
        told = []
        for statistics in ((level, tail), (level, tail, third - quarter)):
            limit = limit_for(1000, len(statistics))
            found = np.min([lots_to_alarm(values, rng, limit) for values in statistics], axis=0) - BEFORE
            median, share = float(np.median(found[found > 0])), 100 * float(np.mean(np.isfinite(found)))
            told.append(f"{median:.0f} ({share:.0f} % told within 60)")
        print(f"{name}, lots of {parts} independent parts, after {BEFORE} lots: ", end="")
        print(f"{told[1]} lots; of median and 95th percentile alone {told[0]}", end="")
        print(f"; CUSUM of means {cusum_delay(shift * math.sqrt(parts), 1000):.1f}" if shift else "")


def every_look(rng: np.random.Generator, runs: int, looks: int) -> bool:
    """How often a bound of a 2 % share is wrong at any of the looks, half of the passed parts drawn for a label."""
    wrong = 0
    for _ in range(runs):
        parts = rng.random(looks * 20) < 0.02
        seen = rng.random(looks * 20) < np.where(parts, 1.0, 0.5)
        ends = np.arange(1, looks + 1) * 20
        hits, others = np.cumsum(parts & seen)[ends - 1], np.cumsum(~parts & seen)[ends - 1]
        for hit, other in zip(hits.tolist(), others.tolist(), strict=True):
            found = anytime_bounds([Drawn(1.0, hit, hit), Drawn(0.5, 0, other)])
            if found.least > 0.02 or found.most < 0.02:
                wrong += 1
                break
    share = wrong / runs
    print(f"a bound on the wrong side at any of {looks} looks: {100 * share:.1f} % of {runs} runs (at most 10 %)")
    return share <= 0.10 + 3 * math.sqrt(0.09 / runs)


def feeding(days: int, parts: int) -> bool:
    """The cost of a day's file late in a history over early in it, beside reading the file alone."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        line = Path(folder) / "line"
        monitor_feed.start(line, 0.5)
        cost, reading = [], []
        for day in range(days):
            path = Path(folder) / f"d{day:05d}.csv"
            rows = zip(np.where(rng.random(parts) < 0.5, "C", "U"), rng.normal(0.2, 0.05, parts), strict=True)
            path.write_text("part_type,score\n" + "".join(f"{kind},{value:.6f}\n" for kind, value in rows))
            start = time.process_time()
            scores = read_score_file(path)
            reading.append(time.process_time() - start)
            monitor_feed.feed(line, scores)
            cost.append(time.process_time() - start)
            path.unlink()
        found = status(line)
    tenth = max(5, days // 10)
    early, late = (float(np.median(part)) for part in (cost[tenth : 2 * tenth], cost[-tenth:]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.parts} scores in {days} files: a late day / an early one {late / early:.2f} (at most 2), ", end="")
    print(f"a day / reading its file {float(np.median(cost)) / float(np.median(reading)):.1f}, {memory:.0f} MB at most")
    return late / early <= 2


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Small numbers, half a minute.")
    parser.add_argument("--full", action="store_true", help="10,000,000 scores in 1,000 files.")
    parser.add_argument("--only", choices=("alarms", "power", "looks", "days"), help="One part.")
    args = parser.parse_args()
    rng = np.random.default_rng(20)
    runs = 40 if args.quick else 200
    good = []
    if args.only in (None, "alarms"):
        good += [false_alarms(rng, runs, 300 if args.quick else 1500), late_strata(rng, runs)]
    if args.only in (None, "power"):
        power(rng, runs, args.quick)
        power_of_parts(rng, runs)
    if args.only in (None, "looks"):
        good.append(every_look(rng, 20 if args.quick else 200, 100 if args.quick else 1000))
    if args.only in (None, "days"):
        good.append(feeding(*((1000, 10_000) if args.full else (60, 2_000) if args.quick else (200, 5_000))))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
