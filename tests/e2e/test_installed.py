"""The wheel and the sdist, installed by pip, uv and pipx into a home of their own, used, and uninstalled again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
from node_clients import pipx_command, uv_command
from ran import ran

from tao_skill_bank import __version__
from tao_skill_bank.bank.skills import skill_folders

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("tao-skills", "gap_analysis", "visual_changenet", "embedding", "tmm", "auto_label")
# How the machine reaches its package index is the machine's business, not the home's.
INDEX_VARIABLES = ("PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_", "CURL_")
STAYS = (".cache", ".config/tao-skills", ".config/matplotlib")
"""What a home holds afterwards: caches, and the person's settings; docs/clients.md names them."""

pytestmark = pytest.mark.timeout(1500)


@dataclass
class Install:
    """A home with the package in it."""

    home: Path
    bin: Path
    remove: Callable[[], None]

    def run(self, *words: str, said: str = "", status: int = 0) -> str:
        """What an installed command prints."""
        done = ran(
            [str(self.bin / words[0]), *words[1:]], env=environment(self.home), cwd=self.home, input=said, timeout=900
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


def environment(home: Path, **more: str) -> dict[str, str]:
    index = {k: v for k, v in os.environ.items() if k.startswith(INDEX_VARIABLES)}
    return {**index, "HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **more}


def shell(home: Path, *words: object, **more: str) -> None:
    done = ran([str(word) for word in words], env=environment(home, **more), cwd=home, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def by_pip(home: Path, artefact: Path) -> Install:
    shell(home, sys.executable, "-m", "venv", home / "venv")
    pip = (home / "venv/bin/python", "-m", "pip", "--disable-pip-version-check")
    shell(home, *pip, "install", "--quiet", artefact)
    return Install(home, home / "venv/bin", lambda: shell(home, *pip, "uninstall", "--yes", "tao-skill-bank"))


def by_uv(home: Path, artefact: Path) -> Install:
    uv = uv_command()
    folders = {"UV_TOOL_DIR": str(home / "tools"), "UV_TOOL_BIN_DIR": str(home / "bin")}
    shell(home, uv, "tool", "install", "--quiet", "--python", sys.executable, artefact, **folders)
    return Install(home, home / "bin", lambda: shell(home, uv, "tool", "uninstall", "tao-skill-bank", **folders))


def by_pipx(home: Path, artefact: Path) -> Install:
    pipx = pipx_command()
    folders = {
        "PIPX_HOME": str(home / "pipx"),
        "PIPX_BIN_DIR": str(home / "bin"),
        "PYTHONPATH": str(pipx.parent.parent),
    }
    shell(home, sys.executable, pipx, "install", "--python", sys.executable, artefact, **folders)
    remove = (sys.executable, pipx, "uninstall", "tao-skill-bank")
    return Install(home, home / "bin", lambda: shell(home, *remove, **folders))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [str(uv_command()), "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True, timeout=300
    )
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


def small_run(installed: Install) -> str:
    """A run with the trainer of this machine on a workspace of a few small pictures: the report's path."""
    workspace = tiny.make_workspace(installed.home / "project/tiny")
    asked = ("--workspace", str(workspace), "--kpi-target", "FAR < 1% at recall=99%", "--max-iterations", "1")
    settings = ("--set", "num_epochs=1", "--set", "anomalygen.num_SDG=2")
    return installed.run("tao-skills", "deft", "run", *asked, *settings, "--yes").splitlines()[-1]


def whole_demo(installed: Install) -> str:
    """What newcomers type first; its report's path."""
    words = ("tao-skills", "demo", str(installed.home / "project/demo"), "--max-iterations", "1")
    return installed.run(*words).splitlines()[-1]


def tool(installed: Install, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the installed server answers over stdio."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    asked = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}]
    asked += [
        {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls, start=1)
    ]
    process = subprocess.Popen(
        [str(installed.bin / "tao-skills"), "serve"],
        env=environment(installed.home),
        cwd=installed.home / "project",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[int, dict[str, Any]] = {}
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(json.dumps(line) + "\n" for line in asked))
        process.stdin.flush()
        while len(found) < len(asked):
            answer = json.loads(process.stdout.readline())
            found[answer["id"]] = answer["result"]
        process.stdin.close()
    assert found.pop(0)["serverInfo"]["version"] == __version__
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize(
    ("install", "artefact", "loop"),
    [
        pytest.param(by_uv, "wheel", small_run, id="uv-wheel"),
        pytest.param(by_uv, "wheel", whole_demo, id="uv-wheel-demo", marks=pytest.mark.slow),
        pytest.param(by_pip, "wheel", whole_demo, id="pip-wheel", marks=pytest.mark.slow),
        pytest.param(by_pip, "sdist", whole_demo, id="pip-sdist", marks=pytest.mark.slow),
        pytest.param(by_pipx, "wheel", whole_demo, id="pipx-wheel", marks=pytest.mark.slow),
        pytest.param(by_pipx, "sdist", whole_demo, id="pipx-sdist", marks=pytest.mark.slow),
        pytest.param(by_uv, "sdist", whole_demo, id="uv-sdist", marks=pytest.mark.slow),
    ],
)
def test_what_is_installed_works_as_the_repository_does_and_leaves_only_what_is_named(
    tmp_path: Path,
    built: dict[str, Path],
    install: Callable[[Path, Path], Install],
    artefact: str,
    loop: Callable[[Install], str],
) -> None:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    installed = install(home, built[artefact])
    for command in COMMANDS:
        assert "usage" in installed.run(command, "--help").lower()
    assert __version__ in installed.run("tao-skills", "--version")
    assert "nvcr.io/nvidia/tao/" in installed.run("tao-skills", "images", "resolve", "images.tao_toolkit.pyt")

    listed, jobs, outside = tool(
        installed,
        ("list_skills", {}),
        ("list_jobs", {"results_dir": str(home / "project")}),
        ("list_jobs", {"results_dir": str(home)}),
    )
    skills = listed["structuredContent"]
    assert [s["name"] for s in skills["skills"]] == [folder.name for folder in skill_folders()]
    assert all((Path(skills["folder"]) / s["name"] / "SKILL.md").is_file() for s in skills["skills"])
    assert jobs["structuredContent"] == {"jobs": {}}
    assert "roots add FOLDER" in outside["content"][0]["text"]

    report = Path(loop(installed))
    assert report.name == "DEFT_Loop_Report.html" and report.is_file()

    installed.remove()
    assert not [command for command in COMMANDS if (installed.bin / command).exists()]
    for folder in (home / "tools", home / "pipx"):
        assert not list(folder.rglob("*tao_skill*"))
    assert not list((home / "venv").rglob("*/tao_skill_bank")) and not list((home / "venv").rglob("*/mcp_server"))
    own = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    made_by_installers = ("venv/", "tools/", "pipx/", "bin/", "project/", ".local/")
    assert [name for name in own if not name.startswith((*STAYS, *made_by_installers))] == []
    page = (ROOT / "docs/clients.md").read_text()
    assert all(f"`~/{name}" in page for name in STAYS)
