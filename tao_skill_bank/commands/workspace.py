"""`tao-skills workspace`: from folders of pictures to a workspace that a run can be planned on."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tao_skill_bank.commands.options import PATH
from tao_skill_bank.commands.out import echo


@click.command(no_args_is_help=True)
@click.argument("pictures", type=PATH)
@click.option("--goldens", required=True, type=PATH, help="Folder of the goldens.")
@click.option("--to", "workspace", required=True, type=PATH, help="The workspace; new or empty.")
@click.option("--lightings", default="", help="How file names end, for several pictures a part: SolderLight,WhiteLight")
@click.option("--board", help="Regular expression that finds the board in a picture's path; without: its folder.")
@click.option(
    "--shares",
    default="25,10,25,20,20",
    show_default=True,
    help="Of training, validation, KPI, acceptance and pool; the last two may be 0.",
)
@click.option(
    "--leave-out-incomplete",
    is_flag=True,
    help="Leave out parts that lack a golden or a lighting, or whose picture is damaged, instead of refusing them.",
)
def cli(
    pictures: Path,
    goldens: Path,
    workspace: Path,
    lightings: str,
    board: str | None,
    shares: str,
    leave_out_incomplete: bool,
) -> None:
    """Lay out a workspace from PICTURES, which holds a folder a label: PASS (or ok, good), and one a defect.

    A golden has the name of its picture, or of the picture's folder; a single golden serves all. No board stands in
    two sets, where boards are told by folders or --board. Pictures are linked, not copied, where the file system can;
    yours are not changed.
    """
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.data.changenet.lay_out import lay_out

    try:
        parts = [float(part) for part in shares.split(",")]
    except ValueError:
        raise InputError(f"not numbers: {shares!r}", where="--shares", fix="for example 25,10,25,20,20") from None
    named = [name.strip() for name in lightings.split(",") if name.strip()]
    made = lay_out(
        pictures,
        goldens,
        workspace.absolute(),
        lightings=named,
        board=board,
        shares=parts,
        leave_out_incomplete=leave_out_incomplete,
    )
    echo("\n".join(made.lines()))
    echo(
        f"next: tao-skills deft plan --workspace {shlex.quote(str(workspace))} "
        '--kpi-target "FAR < 5% at recall=95%" --max-iterations 3'
    )
