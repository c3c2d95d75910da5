"""`tao-skills compare`: two models on the same parts, and a test that fails where the second is worse."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH, SCORE
from tao_skill_bank.commands.out import tell


@click.command(no_args_is_help=True)
@click.argument("first", metavar="FIRST", type=PATH)
@click.argument("second", metavar="SECOND", type=PATH)
@click.option("--first-threshold", type=float, help="The first model's frozen threshold; default: its run's.")
@click.option("--second-threshold", type=float, help="The second model's; default: its run's, else the first's.")
@SCORE
@click.option(
    "--fail-if-worse", metavar="0.2pp", help="Exit 4 where FAR or misses are worse by more than this, or not measured."
)
@click.option("--strict", is_flag=True, help="Exit 4 also where these parts do not show that they are not.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def cli(
    first: Path,
    second: Path,
    first_threshold: float | None,
    second_threshold: float | None,
    score: str | None,
    fail_if_worse: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Compare two models, FIRST and SECOND (run folders or files of scores), on the parts that both have seen.

    Exact McNemar test of good parts and of defects at the frozen thresholds, DeLong's interval of the areas, and bounds
    of how much worse the second may be.
    """
    from tao_skill_bank.assurance.subject import scores_and_threshold
    from tao_skill_bank.assurance.two_models import chosen_threshold, compare_models, margin_of

    margin = None if fail_if_worse is None else margin_of(fail_if_worse)
    one, own = scores_and_threshold(first, score)
    other, others = scores_and_threshold(second, score)
    frozen = chosen_threshold(first, first_threshold, own, "--first-threshold")
    moved = chosen_threshold(second, second_threshold, frozen if others is None else others, "--second-threshold")
    made = compare_models(one, other, frozen, moved)
    outcomes = {} if margin is None else {side.rate: side.outcome(margin) for side in made.sides}
    tell({**made.model_dump(mode="json"), "outcomes": outcomes}, made.lines(margin), as_json)
    failing = {"worse", "not measured", *(["cannot be told"] if strict else [])}
    if failing & set(outcomes.values()):
        raise SystemExit(4)
