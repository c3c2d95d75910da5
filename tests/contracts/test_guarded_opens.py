"""Every file is opened by the guard: a tool that is added later leaks nothing by a path that it took from a file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tao_skill_bank.core import guard, roots
from tao_skill_bank.data.changenet.layout_write import _put
from tao_skill_bank.data.pictures.facts import UPRIGHT

ROOT = Path(__file__).resolve().parents[2]
AS_IT_IS: Any = SimpleNamespace(orientation=UPRIGHT, cut_off=False)
CONTENT = {"read_text", "read_bytes", "write_text", "write_bytes", "symlink_to", "hardlink_to"}
OS = {"open", "link", "symlink"}
COPIES = {"copy", "copy2", "copyfile", "copytree", "move"}
# What opens a handle or a name that the guard gave: libraries, and the guard's own folder (`guard.Within`).
HANDED_IN = re.compile(r"os|io|tarfile|gzip|av|Image|zipfile|webbrowser|aside|self\._folder\(\)|(\w+\.)*library")
# Files that open what nobody names in a request: the package's own, the user's own settings and cache, /dev/null,
# /proc, a folder that they have just made; and what only a person's own command line calls.
OWN = {
    "mcp_server/stdio.py": "/dev/null",
    "tao_skill_bank/actions/console.py": "/dev/null",
    "tao_skill_bank/annotate/allow.py": "the user's list, and a module whose bytes a person is asked about",
    "tao_skill_bank/annotate/quality/patterns.py": "the package's languages",
    "tao_skill_bank/bank/manifests.py": "the bank's manifests",
    "tao_skill_bank/bank/platforms_catalog.py": "the package's list",
    "tao_skill_bank/bank/skills.py": "the bank's skills",
    "tao_skill_bank/cli.py": "/dev/null",
    "tao_skill_bank/core/beneath.py": "the guard's own step",
    "tao_skill_bank/core/foreground.py": "/dev/null",
    "tao_skill_bank/core/guard.py": "the guard",
    "tao_skill_bank/core/landlock.py": "the kernel's wall",
    "tao_skill_bank/core/personal.py": "the user's settings",
    "tao_skill_bank/core/process.py": "/proc",
    "tao_skill_bank/data/changenet/layout_write.py": "the lock of a folder that it has made",
    "tao_skill_bank/data/pictures/memory.py": "the user's cache",
    "tao_skill_bank/loop/approval.py": "the user's key",
    "tao_skill_bank/platforms/docker/platform.py": "the package's wrapper",
    "tao_skill_bank/platforms/kubernetes.py": "the package's wrapper",
    "tao_skill_bank/platforms/tao_environment/check.py": "a folder of its own",
    "tao_skill_bank/platforms/tao_environment/install.py": "an environment that a person sets up",
    "tao_skill_bank/tasks/vlm_bcq/specs.py": "the package's specs",
}


def direct(source: str) -> Iterator[str]:
    """The calls that open, write, copy or link a file past the guard."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open":
            yield f"{node.lineno}: open"
        elif isinstance(called, ast.Attribute):
            owner = ast.unparse(called.value)
            beneath = any(word.arg in ("dir_fd", "dst_dir_fd") for word in node.keywords)
            if owner in ("guard", "fsio") or beneath or "resources.files" in owner:
                continue
            own = (owner == "os" and called.attr in OS) or (owner == "shutil" and called.attr in COPIES)
            method = called.attr in CONTENT or (called.attr == "open" and not HANDED_IN.fullmatch(owner))
            if own or method:
                yield f"{node.lineno}: {owner}.{called.attr}"


def test_no_module_opens_a_file_past_the_guard() -> None:
    modules = [p for top in ("tao_skill_bank", "mcp_server") for p in sorted((ROOT / top).rglob("*.py"))]
    found = {p.relative_to(ROOT).as_posix(): list(direct(p.read_text(encoding="utf-8"))) for p in modules}
    # The console's own commands are a person's, who may open what a person may.
    past = {name: calls for name, calls in found.items() if calls and "/commands/" not in name}
    assert {name: calls for name, calls in past.items() if name not in OWN} == {}
    assert sorted(OWN.keys() - past.keys()) == [], "a reason that nothing needs any more"


@pytest.mark.parametrize(
    "line",
    ["open(path)", "path.read_text()", "Path(x).open('rb')", "os.open(p, 0)", "shutil.copyfile(a, b)", "os.link(a, b)"],
)
def test_the_look_for_such_calls_finds_them(line: str) -> None:
    assert list(direct(line))
    assert not list(direct("with guard.open_read(path) as f, Image.open(f) as i, guard.place(p) as at: i.load()"))


@pytest.fixture
def picture(tmp_path: Path) -> tuple[Path, Path, Path]:
    """(a root, a file outside it, a name in the root that was looked at and is exchanged for a link since)."""
    root, outside = tmp_path / "root", tmp_path / "outside.png"
    root.mkdir()
    outside.write_bytes(b"canary")
    (root / "a.png").symlink_to(outside)
    return root, outside, root / "a.png"


def test_a_picture_that_became_a_link_since_it_was_looked_at_is_neither_linked_nor_copied(
    picture: tuple[Path, Path, Path],
) -> None:
    root, outside, name = picture
    with roots.confined([root]), pytest.raises(roots.OutsideError):
        _put(name, root / "b.png", AS_IT_IS, 8)
    assert not (root / "b.png").exists() and outside.stat().st_nlink == 1


def test_a_picture_is_linked_where_the_file_system_can(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    with roots.confined([tmp_path]):
        _put(tmp_path / "a.png", tmp_path / "b.png", AS_IT_IS, 8)
    assert (tmp_path / "a.png").stat().st_nlink == 2
    assert guard.read_bytes(tmp_path / "b.png") == b"pixels"
