"""An extra that a command lacks: one printed command where nobody sits there, a question where somebody does."""

from __future__ import annotations

import io
import os
import pty
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tao_skill_bank import cli
from tao_skill_bank.annotate.config import default_text
from tao_skill_bank.core import extras
from tao_skill_bank.core.extras import MissingExtraError, install_command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec, and a folder with what is named as a video."""
    path = tmp_path / "experiment.yaml"
    path.write_text(default_text())
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"\0" * 64)
    return path


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A person at a terminal, who answers what this process asks."""
    with ExitStack() as closed:
        person, ours = pty.openpty()
        reads = closed.enter_context(os.fdopen(ours))
        says = closed.enter_context(os.fdopen(os.dup(ours), "w"))
        typed = closed.enter_context(os.fdopen(person, "w"))

        def answer(text: str) -> None:
            # Here, not before: what captures output puts its own in place when a test begins.
            monkeypatch.setattr(sys, "stdin", reads)
            monkeypatch.setattr(sys, "stderr", says)
            typed.write(text + "\n")
            typed.flush()

        yield answer


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["tao-skills", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["estimate", "run", "demo"])
def test_without_a_terminal_a_command_that_needs_videos_says_what_installs_them_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: Path, command: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setenv("GOOGLE_API_KEY", "nobodys")
    before = sorted(spec.parent.rglob("*"))
    options = ["-e", str(spec), "--results-dir", str(spec.parent / "out"), "--video-root", str(spec.parent / "videos")]
    demo = ["demo", str(spec.parent / "demo"), "--task", "vlm_bcq"]
    assert typed(monkeypatch, *(demo if command == "demo" else ["annotate", command, *options])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tao-skills: videos need PyAV, which is not installed here (107 MB) (install it by: ")
    assert "requirements-video.lock" in line
    assert sorted(spec.parent.rglob("*")) == before


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("n", False), ("", False), ("\x04", False)])
def test_at_a_terminal_it_is_installed_when_the_person_says_so_and_the_command_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spec: Path,
    answers: Callable[[str], None],
    answer: str,
    goes_on: bool,
) -> None:
    made, again = tmp_path / "made", []
    monkeypatch.setattr(extras, "install_command", lambda extra: [sys.executable, "-c", f"open({str(made)!r}, 'w')"])
    monkeypatch.setattr(os, "execv", lambda program, command: again.append(command[3:]))
    answers(answer)
    folders = ["--results-dir", str(spec.with_name("out")), "--video-root", str(spec.with_name("videos"))]
    words = ["annotate", "estimate", "-e", str(spec), *folders]
    typed(monkeypatch, *words)
    assert made.exists() == goes_on
    assert [command[1:] for command in again] == [words] * goes_on


def test_an_installation_that_fails_leaves_the_command_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: Path, answers: Callable[[str], None]
) -> None:
    monkeypatch.setattr(extras, "install_command", lambda extra: [sys.executable, "-c", "exit(1)"])
    monkeypatch.setattr(os, "execv", lambda program, command: pytest.fail("it went on"))
    answers("y")
    assert typed(monkeypatch, "demo", str(tmp_path / "demo"), "--task", "vlm_bcq") == 2


def test_what_installs_it_is_the_banks_own_lock_or_else_the_environments_own_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = str(ROOT / "requirements-video.lock")
    assert install_command("video")[1:] == [str(ROOT / "scripts/set_up.py"), sys.prefix, "--lock", lock]
    monkeypatch.setattr(extras, "_BESIDE", tmp_path)
    assert install_command("video") == [sys.executable, "-m", "pip", "install", "av>=14.0"]
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    wanted = ["/usr/bin/uv", "pip", "install", "--python", sys.executable, "av>=14.0"]
    assert install_command("video") == wanted
    assert str(MissingExtraError("video", "no")).endswith("'av>=14.0')")
