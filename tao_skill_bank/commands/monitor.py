"""`tao-skills monitor`: does production still look as it did when the threshold was certified?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tao_skill_bank.commands.options import PATH, SCORE
from tao_skill_bank.commands.out import echo, tell


@click.group(no_args_is_help=True)
def cli() -> None:
    """Watch production scores for drift, and FAR and recall by what a review station found out.

    A monitor is a folder. Feed it files of scores day by day; every command exits 4 while something alarms, else 0.
    """


@cli.command()
@click.argument("monitor", type=PATH)
@click.option("--threshold", type=float, help="The frozen threshold; without --certificate.")
@click.option("--target", help='What FAR and recall are held against, as "FAR < 1% at recall=99%".')
@click.option("--certificate", type=PATH, help="Take threshold and target from a certificate.json.")
@click.option("--reference-lots", default=25, show_default=True, help="The first lots of a stratum are its reference.")
@click.option(
    "--lots-to-false-alarm",
    default=1000.0,
    show_default=True,
    help="Average number of lots to a false alarm of drift, over all strata together: at least this.",
)
@click.option("--least-parts", default=20, show_default=True, help="Smaller lots are counted and not tested.")
@SCORE
def start(
    monitor: Path, threshold: float | None, target: str | None, certificate: Path | None, **settings: Any
) -> None:
    """Make MONITOR, a new folder."""
    from tao_skill_bank.assurance import monitor_feed as engine
    from tao_skill_bank.assurance.certificate import read_certificate
    from tao_skill_bank.core.errors import InputError

    known = None if certificate is None else read_certificate(certificate)
    if known is not None and threshold not in (None, known.threshold):
        fix = "leave --threshold out, or certify the new threshold first"
        raise InputError(f"{threshold!r} is not the certified {known.threshold!r}", where="--threshold", fix=fix)
    frozen = known.threshold if threshold is None and known is not None else threshold
    if frozen is None:
        raise InputError("no threshold", where="monitor start", fix="give --threshold or --certificate")
    target = target or (None if known is None else known.target)
    engine.start(monitor, frozen, target=target, certificate=None if known is None else known.digest, **settings)
    echo(f"next: tao-skills monitor feed {monitor} SCORES")


@cli.command()
@click.argument("monitor", type=PATH)
@click.argument("scores", nargs=-1, required=True, type=PATH)
@click.option("--lot", help="The lot's name where the file has no column `lot`; default: the file's name.")
@click.option("--labels", "labels_only", is_flag=True, help="These parts were fed before; only their labels are new.")
@click.option("--rate-flagged", type=float, help="At which rate flagged parts were drawn for a label, 0 to 1.")
@click.option("--rate-passed", type=float, help="At which rate passed parts were drawn for a label, 0 to 1.")
@click.option("--as-given", is_flag=True, help="The files are in order, whatever their names say.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def feed(
    monitor: Path,
    scores: tuple[Path, ...],
    lot: str | None,
    labels_only: bool,
    rate_flagged: float | None,
    rate_passed: float | None,
    as_given: bool,
    as_json: bool,
) -> None:
    """Take in files of SCORES (CSV, parquet, JSON lines), oldest first; a file that was fed before is passed over."""
    from tao_skill_bank.assurance import monitor_feed as engine
    from tao_skill_bank.assurance.lot_order import first_fall, in_order
    from tao_skill_bank.assurance.monitor_record import read_settings
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.core.text import listed
    from tao_skill_bank.data.score_files import read_score_file

    if lot is not None and len(scores) > 1:
        raise InputError("one name for several files", where="--lot", fix="feed them one by one")
    column = read_settings(monitor).score
    rates = engine.Rates(rate_flagged, rate_passed)
    if not (as_given or labels_only) and (fall := first_fall([str(path) for path in scores])) is not None:
        fix = f"give the oldest first (by their names: {listed(in_order(map(str, scores)))}), or --as-given"
        raise InputError(f"stands before {fall[1]}, which is earlier by its name", where=fall[0], fix=fix)
    for path in scores:
        taken = engine.feed(monitor, read_score_file(path, column), lot=lot, rates=rates, labels_only=labels_only)
        if taken is None:
            echo(f"{path}: fed before", err=True)
        elif taken.late is not None:
            earlier = f"lot {taken.late[1]} came after lot {taken.late[0]}"
            echo(f"{path}: {earlier}; it is taken for the newer one: feed each day once it has ended", err=True)
    _tell(monitor, as_json)


@cli.command()
@click.argument("monitor", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(monitor: Path, as_json: bool) -> None:
    """Say what alarms, and write the page."""
    _tell(monitor, as_json)


@cli.command()
@click.argument("monitor", type=PATH)
@click.option("--part-type", default="", help="The stratum's part type.")
@click.option("--lighting", default="", help="The stratum's lighting.")
@click.option("--note", default="", help="Why its next lots are a new reference.")
def restart(monitor: Path, part_type: str, lighting: str, note: str) -> None:
    """Begin a stratum anew, after its cause was found: its next lots are the reference. Labels go on as they were."""
    from tao_skill_bank.assurance import monitor_feed as engine

    engine.restart(monitor, part_type, lighting, note)
    _tell(monitor, as_json=False)


def _tell(monitor: Path, as_json: bool) -> None:
    from tao_skill_bank.assurance.monitor import status
    from tao_skill_bank.reports.monitor import write_page

    found = status(monitor)
    page = write_page(monitor, found)
    tell(found, [*found.lines(), *([] if page is None else [str(page)])], as_json)
    if found.word == "alarm":
        raise SystemExit(4)
