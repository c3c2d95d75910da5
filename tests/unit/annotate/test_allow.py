"""A prompts module is somebody's Python: nothing of it runs before a person allowed exactly these bytes."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill_bank.annotate import allow
from tao_skill_bank.annotate.prompts import load_prompts
from tao_skill_bank.core import roots
from tao_skill_bank.core.errors import InputError

MODULE = (
    "from pathlib import Path\n"
    "Path({mark!r}).touch()\n"
    "PROMPT_TEMPLATES = {{'scene_description': 'Say what stands still.'}}\n"
    "def get_prompt(key, **values):\n    return PROMPT_TEMPLATES[key]\n"
)


@pytest.fixture(autouse=True)
def _own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(allow.VARIABLE, raising=False)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def module(tmp_path: Path, mark: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODULE.format(mark=str(mark)), encoding="utf-8")
    return path


def test_without_a_persons_word_nothing_of_a_module_runs_and_one_line_says_what_to_type(
    module: Path, mark: Path
) -> None:
    with pytest.raises(allow.NotAllowedError) as refused:
        load_prompts(str(module))
    assert not mark.exists()
    assert refused.value.exit_code == 5
    assert refused.value.line() == (
        f"video_reasoning_annotation.prompts_module: {module} is Python that nobody has allowed to run "
        f"(read it, then type: tao-skills annotate allow {module})"
    )


def test_an_allowed_module_runs_until_it_changes_and_then_it_is_asked_for_again(module: Path, mark: Path) -> None:
    allow.allow(allow.find(str(module)), how="command")
    assert load_prompts(str(module)).text("scene_description") == "Say what stands still."
    mark.unlink()
    module.write_text(module.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(allow.NotAllowedError):
        load_prompts(str(module))
    assert not mark.exists()


def test_the_same_bytes_elsewhere_are_allowed_and_a_word_taken_back_counts_no_more(module: Path, mark: Path) -> None:
    allow.allow(allow.find(str(module)), how="command")
    moved = module.rename(module.with_name("moved.py"))
    load_prompts(str(moved))
    mark.unlink()
    assert allow.revoke(allow.find(str(moved))) is True
    assert allow.revoke(allow.find(str(moved))) is False
    with pytest.raises(allow.NotAllowedError):
        load_prompts(str(moved))
    assert not mark.exists()


def test_compiled_code_beside_an_allowed_module_is_not_what_runs(module: Path, mark: Path, tmp_path: Path) -> None:
    harmless = module.read_text(encoding="utf-8").replace(f"Path({str(mark)!r}).touch()", "pass")
    py_compile.compile(str(module), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    module.write_text(harmless, encoding="utf-8")
    allow.allow(allow.find(str(module)), how="command")
    load_prompts(str(module))
    assert not mark.exists()


def test_a_dotted_name_is_looked_up_without_running_it_or_its_package(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "plant"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    (package / "line.py").write_text(MODULE.format(mark=str(mark)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(allow.NotAllowedError, match=r"line\.py is Python"):
        load_prompts("plant.line")
    assert not mark.exists()
    allow.allow(allow.find("plant.line"), how="command")
    assert load_prompts("plant.line").text("scene_description") == "Say what stands still."


@pytest.mark.parametrize("name", ["no.such.module", "nowhere.py", "sys", "..", "a..b", "json.", "/"])
def test_a_name_that_means_no_python_file_is_named(name: str) -> None:
    with pytest.raises(InputError, match="prompts_module"):
        load_prompts(name)


def test_the_banks_own_modules_need_nobodys_word() -> None:
    for name in ("", "general", "traffic", "tao_skill_bank.annotate.prompts.warehouse"):
        load_prompts(name)
    assert not Path(os.environ["XDG_CONFIG_HOME"]).exists()


def test_a_machine_where_nobody_types_is_told_the_digest_in_its_environment(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(allow.VARIABLE, f"{'0' * 64},{allow.find(str(module)).sha256}")
    load_prompts(str(module))


def test_a_damaged_list_allows_nothing(module: Path, mark: Path) -> None:
    path = allow.allow(allow.find(str(module)), how="command")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(allow.NotAllowedError):
        load_prompts(str(module))
    assert not mark.exists()


def test_a_list_that_others_may_write_or_that_lies_in_a_workspace_allows_nothing(
    module: Path, mark: Path, tmp_path: Path
) -> None:
    folder = allow.allow(allow.find(str(module)), how="command").parent
    with roots.granted([tmp_path]):
        assert not allow.allowed(allow.find(str(module))), "whoever works in that folder could write it"
        with pytest.raises(InputError, match="where others could write it"):
            allow.allow(allow.find(str(module)), how="command")
    folder.chmod(0o777)
    with pytest.raises(InputError, match="where others could write it"):
        allow.allow(allow.find(str(module)), how="command")
    with pytest.raises(allow.NotAllowedError):
        load_prompts(str(module))
    assert not mark.exists()


def test_the_command_shows_what_it_allows_and_takes_it_back(module: Path, mark: Path) -> None:
    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tao_skill_bank.cli", "annotate", "allow", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = typed(str(module), "--json")
    shown = json.loads(done.stdout)
    assert (shown["path"], shown["lines"], shown["allowed"]) == (str(module), 5, True)
    assert shown["sha256"] == allow.find(str(module)).sha256
    assert not mark.exists()
    load_prompts(str(module))
    assert typed(str(module), "--revoke").stdout.startswith(f"no longer allowed: {module}")
    nothing = typed("nowhere.py")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
