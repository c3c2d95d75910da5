"""`tao-skills recalibrate`: a new threshold from new judged scores, with proof, beside the old one."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH, SCORE
from tao_skill_bank.commands.out import tell


@click.command(no_args_is_help=True)
@click.argument("scores", type=PATH)
@click.option("--run", "run_folder", type=PATH, help="The run whose threshold is moved.")
@click.option("--threshold", type=float, help="The threshold in use; default: the run's.")
@click.option("--target", help='What is asked, as "FAR < 1% at recall=99%"; default: the run\'s.')
@click.option("--proof", type=PATH, help="Judge by these scores, which choose nothing.")
@click.option("--split", default=0.5, show_default=True, help="Else: the share of boards that only judges.")
@click.option("--seed", default=0, show_default=True, help="Which boards.")
@click.option("--conformal", is_flag=True, help="Else: a conformal bound of escapes, on one set.")
@SCORE
@click.option("--who", help="Who moves it; default: user and machine.")
@click.option("--to", "folder", type=PATH, help="Write the proof and the hand-off spec there.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def cli(
    scores: Path,
    run_folder: Path | None,
    threshold: float | None,
    target: str | None,
    proof: Path | None,
    split: float,
    seed: int,
    conformal: bool,
    score: str | None,
    who: str | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Choose a threshold on new judged SCORES, and show what it does on parts that did not choose it.

    Nothing is moved by this: the old hand-off stays, the new spec goes into the folder that --to names.
    """
    from tao_skill_bank.assurance.recalibrate import recalibrate, set_apart, write
    from tao_skill_bank.assurance.subject import run_in_use
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.data.score_files import read_score_file
    from tao_skill_bank.tasks.changenet.metric import GRAMMAR

    used = None if run_folder is None else run_in_use(run_folder)
    asked = GRAMMAR.parse(target, where="--target") if target is not None else None if used is None else used.target
    if asked is None:
        raise InputError("no target", where="recalibrate", fix='give --target "FAR < 1% at recall=99%" or --run')
    sets = set_apart(
        read_score_file(scores, score),
        None if proof is None else read_score_file(proof, score),
        share=split,
        seed=seed,
        conformal=conformal,
    )
    old = threshold if threshold is not None else None if used is None else used.threshold
    made = recalibrate(sets, asked, old, trained=None if used is None else used.trained, who=who)
    written = [] if folder is None else write(made, folder, None if used is None else used.training_spec)
    tell(made, [*made.lines(), *map(str, written)], as_json)
