"""What README and the guides tell people to type exists, and every file and picture they point at is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tao_skill_bank.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md"))]


def commands(page: Path) -> list[list[str]]:
    """Every `tao-skills` line of the console blocks and of inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    found = [line for line in blocks.splitlines() if "tao-skills " in line]
    found += [code for code in re.findall(r"`([^`\n]*)`", text) if re.match(r"(\.venv/bin/)?tao-skills ", code)]
    return [shlex.split(line, comments=True)[1:] for line in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_shows_exists(page: Path) -> None:
    for words in commands(page):
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(click.Context(command), rest.pop(0))
            assert found is not None, words
            command = found
        known = {name for option in command.params for name in option.opts}
        assert {word for word in rest if word.startswith("-")} <= known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_of_a_page_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links or page.name != "README.md"
    for link in links:
        assert (page.parent / link).exists(), link


def test_the_guide_counts_the_samples_as_the_report_does() -> None:
    from tao_skill_bank.metrics import samples_needed

    text = (ROOT / "docs/guides/your-own-data.md").read_text(encoding="utf-8")
    assert f"99 % takes {samples_needed(0.99)} defect samples" in text
    assert f"95 % takes {samples_needed(0.95)} " in text


def test_the_pictures_together_stay_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "docs/images").glob("*.png")]
    assert len(sizes) >= 6
    assert sum(sizes) < 1_000_000
