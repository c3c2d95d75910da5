"""`tao-skills evaluate`: an evaluation that exists, held against its annotations."""

from __future__ import annotations

from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH
from tao_skill_bank.commands.out import echo


@click.group()
def cli() -> None:
    """Hold an evaluation against its annotations."""


@cli.command()
@click.argument("annotations", type=PATH)
@click.option("--results", type=PATH, required=True, help="results.json, predictions, or the evaluator's folder.")
@click.option("--output", type=PATH, help="Folder for what is written.  [default: evaluation beside the results]")
@click.option("--workspace", "-w", type=PATH, help="What the videos lie in.  [default: above ANNOTATIONS' folder]")
@click.option(
    "--answer-in",
    type=click.Choice(["auto", "anywhere", "after_think", "answer_tag"]),
    default="auto",
    show_default=True,
    help="Where in a response its answer stands.",
)
def vlm(annotations: Path, results: Path, output: Path | None, workspace: Path | None, answer_in: str) -> None:
    """Yes/no answers: every row of ANNOTATIONS is answered once by RESULTS; accuracies and rates with intervals.

    Writes answers.jsonl, predictions.json and metrics.json; the last line is their folder, which `rca vlm` takes.
    """
    from tao_skill_bank.tasks.vlm_bcq.single import judge_file

    out = (output or results.absolute().parent / "evaluation").absolute()
    found = judge_file(annotations, results.absolute(), out, answer_in=answer_in, workspace=workspace)
    echo("\n".join(found.lines()))
    echo(str(found.folder))
