"""The kernel's own wall around a job; on a kernel without it, that there is none is said and nothing breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill_bank.core import landlock

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock (Linux 5.19)")
_HELD = """
import sys
from tao_skill_bank.core import landlock
assert landlock.restrict(landlock.python_and_system(), [sys.argv[1], *landlock.devices()])
try:
    {code}
except OSError as error:
    print("refused", error.errno)
else:
    print("done")
"""


def held(root: Path, code: str) -> str:
    """What a process that is held to `root` says of `code`."""
    argv = [sys.executable, "-P", "-c", _HELD.format(code=code), str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/folder").mkdir(parents=True)
    (tmp_path / "root/file").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("hunter2")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside/secret")
    return tmp_path / "root"


@needs_landlock
@pytest.mark.parametrize(
    "code",
    [
        "open('{outside}/secret').read()",
        "open('{root}/link').read()",
        "open('{outside}/new', 'w')",
        "open('{outside}/secret', 'a')",
        "__import__('os').truncate('{outside}/secret', 0)",
        "__import__('os').mkdir('{outside}/new')",
        "__import__('os').unlink('{outside}/secret')",
        "__import__('os').rename('{root}/file', '{outside}/file')",
        "__import__('os').link('{outside}/secret', '{root}/mine')",
        "__import__('os').listdir('{outside}')",
        "__import__('os').listdir('/root')",
        "open('/etc/shadow').read()",
    ],
)
def test_nothing_outside_is_read_or_changed(root: Path, code: str) -> None:
    outside = root.parent / "outside"
    assert held(root, code.format(root=root, outside=outside)) == "refused"
    assert [p.name for p in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "hunter2"


@needs_landlock
@pytest.mark.parametrize(
    "code",
    [
        "open('{root}/file').read()",
        "open('{root}/new', 'w').write('x')",
        "__import__('os').rename('{root}/file', '{root}/folder/file')",
        "__import__('os').makedirs('{root}/a/b')",
        "__import__('os').symlink('file', '{root}/name')",
        "__import__('subprocess').run([__import__('sys').executable, '-c', 'import json'], check=True)",
        "open('/dev/null', 'w').write('x')",
        "__import__('numpy')",
        "__import__('PIL.Image')",
    ],
)
def test_what_a_job_needs_goes_on(root: Path, code: str) -> None:
    assert held(root, code.format(root=root)) == "done"


@needs_landlock
def test_a_child_is_held_too(root: Path) -> None:
    code = f"assert __import__('subprocess').run(['cat', '{root}/link'], capture_output=True).stdout == b''"
    assert held(root, code) == "done"


def test_without_landlock_nothing_is_held_and_it_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert not landlock.restrict([], [])
    assert (root / "file").read_text() == "inside"
