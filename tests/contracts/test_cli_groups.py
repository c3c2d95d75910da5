"""`tao-skills` and its groups, called with nothing more, with a mistyped name, and asked for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill_bank.cli import GROUPS
from tao_skill_bank.core.system import WINDOWS

ROOT = Path(__file__).resolve().parents[2]

# The others need nothing more: they run.
SHOWING = sorted(set(GROUPS) - {"demo", "doctor", "platforms", "releases", "serve", "studio"})
SINGLE = {"workspace", "certify", "compare", "recalibrate"}  # a command, not a group of them


def tao_skills(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tao_skill_bank.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("words", [(), *((name,) for name in SHOWING)], ids=lambda words: " ".join(words) or "alone")
def test_a_group_alone_says_what_it_has_as_if_asked_for_help(words: tuple[str, ...]) -> None:
    alone, asked = tao_skills(*words), tao_skills(*words, "--help")
    assert (alone.returncode, alone.stderr) == (0, "")
    assert ("Options:" if words and words[0] in SINGLE else "Commands:") in alone.stdout
    assert alone.stdout == asked.stdout


@pytest.mark.parametrize(
    ("words", "said"), [(("dfet",), "deft"), (("gaps", "rout"), "route"), (("deft", "--x"), "--x")]
)
def test_a_mistyped_word_is_one_line_and_status_2(words: tuple[str, ...], said: str) -> None:
    done = tao_skills(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tao_skill_bank.cli", ["deft", "plan"]),
        ("tao_skill_bank.cli", ["serve"]),
        ("tao_skill_bank.actions.gap_analysis.cli", ["vlm_bcq"]),
        ("tao_skill_bank.actions.visual_changenet.cli", ["train"]),
    ],
)
def test_on_windows_every_command_says_in_one_line_what_to_do(module: str, words: list[str]) -> None:
    code = f"import sys; from {module} import main; sys.platform = 'win32'; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(WINDOWS)


def test_the_set_up_says_the_same_of_windows() -> None:
    assert f'WINDOWS = "{WINDOWS}"' in (ROOT / "scripts/set_up.py").read_text()


def test_the_help_of_no_command_imports_what_only_its_work_needs() -> None:
    code = (
        "import importlib, sys\n"
        "from tao_skill_bank.cli import GROUPS\n"
        "for module, _ in GROUPS.values(): importlib.import_module(module)\n"
        "print(sorted({'pydantic', 'numpy', 'pandas', 'pyarrow', 'yaml', 'mcp'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
