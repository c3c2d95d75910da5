"""What a folder's file system lacks is named with its remedy, and what is not needed is not asked for."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from ran import ran

from tao_skill_bank import runs
from tao_skill_bank.core import filesystem
from tao_skill_bank.core.errors import InputErrors, StageFailedError
from tao_skill_bank.loop.log import LOG_FILE, read_log
from tao_skill_bank.tasks.registry import load_state

SUPPORT = Path(tiny.__file__).parent


def lines(folder: Path) -> str:
    return "\n".join(finding.line() for finding in filesystem.look(folder))


def refusing(code: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def test_a_folder_of_a_whole_file_system_lacks_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    assert [f for f in filesystem.look(tmp_path) if f.status == "fail"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_no_locks_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(code))
    said = lines(tmp_path)
    assert "files cannot be locked here" in said and "local disk" in said
    assert list(tmp_path.iterdir()) == []


def test_locks_that_everybody_gets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert "locks are given to everybody here" in lines(tmp_path)
    assert [f.status for f in filesystem.look(tmp_path)][:1] == ["warn"]


def test_a_rename_that_does_not_replace_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", refusing(errno.EEXIST))
    assert "cannot be renamed over another" in lines(tmp_path)


def test_files_that_cannot_be_appended_to_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refuse = os.open, refusing(errno.EPERM)

    def open_(path: Any, flags: int, *given: Any, **more: Any) -> int:
        return refuse() if flags & os.O_APPEND else real(path, flags, *given, **more)

    monkeypatch.setattr(os, "open", open_)
    said = lines(tmp_path)
    assert "nothing can be appended to a file" in said and "local disk" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["link", "symlink", "chmod"])
def test_what_is_not_needed_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, name, refusing(errno.EPERM))
    assert [f for f in filesystem.look(tmp_path) if f.status == "fail"] == []


@pytest.mark.parametrize(
    ("has", "says"),
    [
        ({"f_bavail": 1, "f_files": 0, "f_favail": 0}, "only 0 MB are free"),
        ({"f_bavail": 1 << 40, "f_files": 500, "f_favail": 7}, "only 7 more files can be made (inodes)"),
        ({"f_bavail": 1 << 40, "f_files": 0, "f_favail": 0}, ""),
    ],
)
def test_room_and_inodes_are_looked_at_where_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: dict[str, int], says: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=4096, **has))
    assert says in lines(tmp_path) and (says != "" or lines(tmp_path) == "")


def test_a_plan_says_in_a_line_that_its_folder_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    before = sorted(workspace.rglob("*"))
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    with pytest.raises(InputErrors, match="files cannot be locked here"):
        runs.plan_run(tiny.request(workspace))
    assert sorted(workspace.rglob("*")) == before


def test_a_stage_that_has_no_room_is_not_begun_and_taken_up_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=1, f_bavail=5e6, f_files=0, f_favail=0))
    with pytest.raises(StageFailedError, match="only 5 MB are free"):
        runs.run_loop(run, once=True)
    assert not (run / "baseline" / "train_results").exists()
    monkeypatch.setattr(os, "statvfs", real)
    with tiny.fake_model():
        runs.run_loop(run, once=True)
    assert [line.status for line in read_log(run / LOG_FILE)] == ["error", "error", "ok"]


MOUNTS = {
    "tmpfs": "mount -t tmpfs -o size=3g tmpfs {at}",
    "overlay": "mount -t tmpfs -o size=3g tmpfs {by} && mkdir {by}/l {by}/u {by}/w && "
    "mount -t overlay overlay -o lowerdir={by}/l,upperdir={by}/u,workdir={by}/w {at}",
    "ext4": "truncate -s 3G {by}/image && mkfs.ext4 -q {by}/image && mount -o loop {by}/image {at}",
    "vfat": "truncate -s 3G {by}/image && mkfs.vfat {by}/image && "
    "(mount -o loop {by}/image {at} || fusefat -o rw+ {by}/image {at})",
    # Through FUSE it wants a device, which goes with the mount.
    "exfat": "truncate -s 3G {by}/image && mkfs.exfat {by}/image && (mount -t exfat -o loop {by}/image {at} || "
    "(d=$(losetup -f --show {by}/image) && mount.exfat-fuse $d {at}; r=$?; losetup -d $d; exit $r))",
}
# What a shim of the loader refuses where this machine has no such file system: hard and symbolic links, permissions,
# the sync of a folder; for a FUSE without locks the locks, too.
SHIMS = {"as exFAT": "link,symlink,chmod,dirsync", "as a FUSE without locks": "link,dirsync,flock"}
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
static int off(const char *n) { const char *e = getenv("FS_LACKS"); return e && strstr(e, n) != NULL; }
#define NO(n, code) if (off(n)) { errno = code; return -1; }
#define REAL(n) ((__typeof__(&n))dlsym(RTLD_NEXT, #n))
int flock(int fd, int how) { NO("flock", ENOLCK) int (*r)(int, int) = dlsym(RTLD_NEXT, "flock"); return r(fd, how); }
int linkat(int a, const char *b, int c, const char *d, int e) { NO("link,", EPERM)
  int (*r)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat"); return r(a, b, c, d, e); }
int link(const char *a, const char *b) { NO("link,", EPERM)
  int (*r)(const char *, const char *) = dlsym(RTLD_NEXT, "link"); return r(a, b); }
int symlink(const char *a, const char *b) { NO("symlink", EPERM)
  int (*r)(const char *, const char *) = dlsym(RTLD_NEXT, "symlink"); return r(a, b); }
int chmod(const char *a, mode_t m) { NO("chmod", EPERM) return REAL(chmod)(a, m); }
int fsync(int fd) { int (*r)(int) = dlsym(RTLD_NEXT, "fsync"); struct stat s;
  if (off("dirsync") && !fstat(fd, &s) && S_ISDIR(s.st_mode)) { errno = EINVAL; return -1; } return r(fd); }
"""
_PLAN = """
import sys
from pathlib import Path
import tiny
from tao_skill_bank.core.errors import BankError
try:
    run = tiny.approved(tiny.request(Path(sys.argv[1]), target="FAR < 100% at recall=50%", iterations=1))
except BankError as error:
    sys.exit("plan: " + error.line())
print(run)
"""


def run_on(workspace: Path, env: dict[str, str]) -> str:
    """A whole tiny run, or the line in which its plan is refused."""
    path = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, **env}
    planned = ran([sys.executable, "-c", _PLAN, str(workspace)], env=env)
    if planned.returncode:
        return planned.stderr.strip()
    run = Path(planned.stdout.split()[-1])
    drive = [sys.executable, str(SUPPORT / "drive.py"), str(run)]
    done = subprocess.run(drive, env=env, capture_output=True, text=True, check=False)
    return load_state(run).status if done.returncode == 0 else done.stderr.strip()


@pytest.fixture
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    at, by = tmp_path / "at", tmp_path / "by"
    at.mkdir()
    by.mkdir()
    line = MOUNTS[request.param].format(at=at, by=by)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    if done.returncode:
        subprocess.run(["umount", str(by)], capture_output=True, check=False)
        pytest.skip(f"{request.param} cannot be mounted here: {done.stderr.strip().splitlines()[-1]}")
    yield at
    for folder in (at, by):
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mounted", MOUNTS, indirect=True)
def test_a_run_ends_on_this_file_system_or_its_plan_says_why_not(mounted: Path) -> None:
    workspace = tiny.make_workspace(mounted / "w", pairs=0, pool=0, acceptance=False)
    said = run_on(workspace, {})
    assert said == "complete" or (said.startswith("plan: ") and "\n" not in said and "local disk" in said), said


@pytest.mark.slow
@pytest.mark.parametrize("lacks", SHIMS)
def test_a_run_ends_without_what_is_not_needed_and_a_plan_without_locks_is_refused_in_a_line(
    tmp_path: Path, lacks: str
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    (tmp_path / "shim.c").write_text(_SHIM)
    library = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "shim.c", "-ldl"], check=True)
    workspace = tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)
    said = run_on(workspace, {"LD_PRELOAD": str(library), "FS_LACKS": SHIMS[lacks]})
    if "flock" in SHIMS[lacks]:
        assert said.count("\n") == 0 and "files cannot be locked here" in said and "local disk" in said
    else:
        assert said == "complete"
