"""`tao-skills certify`: what a frozen threshold is shown to do."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH, SCORE
from tao_skill_bank.commands.out import tell


@click.command(no_args_is_help=True)
@click.argument("subject", metavar="RUN|SCORES", type=PATH)
@click.option("--threshold", type=float, help="The frozen threshold; default: the run's.")
@click.option("--target", help='What is asked, as "FAR < 1% at recall=99%"; default: the run\'s.')
@SCORE
@click.option("--by", multiple=True, metavar="COLUMN", help="A further column to tell groups by.")
@click.option("--who", help="Who certifies; default: user and machine.")
@click.option("--to", "folder", type=PATH, help="Write certificate.json and .html there.")
@click.option("--sign", "key", type=PATH, help="Sign certificate.json with this SSH key.")
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
@click.option("--fail-unless-shown", is_flag=True, help="Exit 4 where the target is not shown.")
def cli(
    subject: Path,
    threshold: float | None,
    target: str | None,
    score: str | None,
    by: tuple[str, ...],
    who: str | None,
    folder: Path | None,
    key: Path | None,
    as_json: bool,
    fail_unless_shown: bool,
) -> None:
    """Certify the frozen threshold of a run, or of a file of scores (CSV, parquet, JSON lines) with labels.

    Exact 95 % bounds of FAR and recall; by part type, lighting, defect and lot with bounds that hold together; how many
    more parts would show the target.
    """
    from tao_skill_bank.assurance.certificate import certify
    from tao_skill_bank.assurance.subject import subject_of
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.reports.certificate import write_certificate

    if key is not None and folder is None:
        raise InputError("a signature needs a file", where="--sign", fix="give --to FOLDER as well")
    made = certify(subject_of(subject, target, threshold, score), by=by, who=who)
    written = [] if folder is None else write_certificate(made, folder, key)
    tell(made, [*made.lines(), *map(str, written)], as_json)
    if fail_unless_shown and not made.shown:
        raise SystemExit(4)
