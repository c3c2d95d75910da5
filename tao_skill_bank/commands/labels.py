"""`tao-skills labels ...`: what people say of samples: list, set, drop, undo, export, import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tao_skill_bank.commands.options import PATH, together
from tao_skill_bank.commands.out import echo

if TYPE_CHECKING:
    from tao_skill_bank.data.corrections import Correction


@click.group()
def cli() -> None:
    """Correct labels: kept beside your files, which are never edited; the next plan shows them.

    SAMPLE is what every page prints: input_path/object_name of a board, video/id of a question, or its id alone.
    WORKSPACE may be the results folder of an annotation, too.
    """


_SAID = together(
    click.option("--set", "set_name", help="training, validation, kpi, acceptance or pool, where several have it."),
    click.option(
        "--reason",
        default="mislabeled",
        show_default=True,
        help="mislabeled, edge_case, data_quality or systematic.",
    ),
    click.option("--who", required=True, help="Who looked at it."),
    click.option("--note", default="", help="What was seen."),
)


@cli.command("list")
@click.argument("workspace", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: undone words too.")
def list_(workspace: Path, as_json: bool) -> None:
    """Show what was said, and how each sample stands."""
    from tao_skill_bank.labels import listing

    found = listing(workspace)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    shown = [word for word in found.words if word.status not in ("undone", "replaced")]
    for word in shown:
        line = word.line
        to = "drop" if line["drop"] else line["to"] or "?"
        note = f"  ({line['note']})" if line["note"] else ""
        echo(
            f"{line['id']}  {word.set:<10}  {word.name}  {line['from']} -> {to}  {word.status}, {line['reason']}, "
            f"{line['who']}{note}"
        )
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    gone = len(found.words) - len(shown)
    none = f"nothing stands: {gone} taken back (--json shows them)" if gone else "nothing was said of any sample"
    echo(counts if shown else none)


@cli.command("set")
@click.argument("workspace", type=PATH)
@click.argument("sample")
@click.argument("label")
@_SAID
def set_(workspace: Path, sample: str, label: str, **said: Any) -> None:
    """Say which LABEL is right: PASS or a defect's name of a board, Yes or No of a question, an annotation's answer.

    The label it has already says that it is right.
    """
    _say(workspace, sample, to=label, **said)


@cli.command()
@click.argument("workspace", type=PATH)
@click.argument("sample")
@_SAID
def drop(workspace: Path, sample: str, **said: Any) -> None:
    """Take SAMPLE out of its set."""
    _say(workspace, sample, drop=True, **said)


@cli.command()
@click.argument("workspace", type=PATH)
@click.argument("what", metavar="ID|SAMPLE")
@click.option("--set", "set_name", help="The sample's set, where several have it.")
@click.option("--who", help="Who takes it back.  [default: the user of this machine]")
def undo(workspace: Path, what: str, set_name: str | None, who: str | None) -> None:
    """Take back a correction, or the last word on a sample; what stood before stands again."""
    from tao_skill_bank.labels import take_back

    done = take_back(workspace, what, who, set_name)
    echo(f"undone: {_shown(done)}")


@cli.command()
@click.argument("workspace", type=PATH)
@click.argument("file", type=PATH)
def export(workspace: Path, file: Path) -> None:
    """Write everything that was said into the CSV FILE."""
    from tao_skill_bank.labels import export as write

    count = write(workspace, file)
    echo(f"{count} corrections in {file}")


@cli.command("import")
@click.argument("workspace", type=PATH)
@click.argument("file", type=PATH)
def import_(workspace: Path, file: Path) -> None:
    """Take the rows of the CSV FILE, all or none; those known already are left out, a row without an id is new."""
    from tao_skill_bank.labels import take_in

    rows, new = take_in(workspace, file)
    echo(f"{new} of {rows} corrections are new" if rows else f"{file} has no rows")


def _say(workspace: Path, sample: str, set_name: str | None, **said: Any) -> None:
    from tao_skill_bank.data.corrections import Word
    from tao_skill_bank.labels import say

    [made] = say(workspace, [Word(sample, set=set_name, **said)])
    echo(_shown(made))


def _shown(correction: Correction) -> str:
    now = f"{correction.before} -> {correction.to}" if correction.to else f"{correction.before}, looked at"
    to = "dropped" if correction.drop else now
    said = f"{correction.reason}, {correction.who}"
    return f"{correction.id}  {correction.sample.name} of the {correction.sample.set} set: {to} ({said})"
