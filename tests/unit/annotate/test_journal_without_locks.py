"""Where the database's own locks (`fcntl`) are given to everybody, nobody takes away what another has bought."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ran import ran

from tao_skill_bank.annotate.holder import desk, folder_lock
from tao_skill_bank.annotate.journal import Journal, journal_path, take_over
from tao_skill_bank.core import lifecycle
from tao_skill_bank.core.process import own_identity, process_identity


def cut_off(folder: Path) -> None:
    """Whoever works looks like one on another machine that fell silent, and its lock is not seen here."""
    said = json.loads(desk(folder).announcement.read_text())
    desk(folder).announcement.write_text(json.dumps({**said, "host": "elsewhere"}))
    os.utime(desk(folder).announcement, (0, 0))
    desk(folder).lock.unlink(missing_ok=True)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
static int given(const char *name, int fd, int what, void *with) {
    if (what == F_SETLK || what == F_SETLKW) return 0;
    if (what == F_GETLK) return ((struct flock *)with)->l_type = F_UNLCK, 0;
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, name))(fd, what, with);
}
#define GIVE(name) int name(int fd, int what, ...) { \\
    va_list rest; va_start(rest, what); void *with = va_arg(rest, void *); va_end(rest); \\
    return given(#name, fd, what, with); }
GIVE(fcntl)
GIVE(fcntl64)
"""
WRITER = """
import os, subprocess, sys
from pathlib import Path
from tao_skill_bank.annotate.journal import Journal

folder = Path(sys.argv[1])

def another(work):
    return subprocess.Popen([sys.executable, "-c", HEAD + work, str(folder)], stdin=-1, stdout=-1, text=True)

HEAD = '''
import os, sys
from pathlib import Path
from tao_skill_bank.annotate.journal import Journal
folder = Path(sys.argv[1])
'''

def seen():
    look = another("with Journal(folder, read_only=True) as one: print(*[one.meta(name) for name in 'abc'])")
    return look.communicate()[0].split()
"""
LOOKED_AT = """
with Journal(folder) as journal:
    for name, wanted in zip("abc", (["1", "None", "None"], ["1", "1", "None"], ["1", "1", "1"])):
        journal.set_meta(name, "1").result()
        assert seen() == wanted, (name, seen())
    print("done", flush=True)
    os._exit(0)  # as if killed
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler here, or no Linux")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    made = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, folder / "shim.c", "-ldl"], check=True)
    return made


def test_where_the_databases_locks_are_had_by_everybody_a_look_takes_no_answer_from_a_worker(
    library: Path, tmp_path: Path
) -> None:
    env = {**os.environ, "LD_PRELOAD": str(library)}
    done = ran([sys.executable, "-c", WRITER + LOOKED_AT, str(tmp_path)], env=env)
    assert done.stdout == "done\n", done.stderr
    look = f"{WRITER}\nprint(*seen())"
    last = subprocess.run([sys.executable, "-c", look, str(tmp_path)], capture_output=True, text=True, check=True)
    assert last.stdout.split() == ["1", "1", "1"]


LOST = """
import sys
from pathlib import Path
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import LostRunError

folder = Path(sys.argv[1])

def held():
    if (folder / "taken").exists():
        raise LostRunError("somebody else has taken this over")

with guard.fenced(held), Journal(folder) as journal:
    journal.set_meta("a", "1").result()
    print("bought", flush=True)
    sys.stdin.readline()
    try:
        journal.set_meta("c", "1").result()
    except LostRunError:
        print("lost", flush=True)
"""
HEIR = """
import os, sys
from pathlib import Path
from tao_skill_bank.annotate.journal import Journal

folder = Path(sys.argv[1])
(folder / "taken").touch()
with Journal(folder) as journal:
    journal.set_meta("b", "1").result()
    print("bought", flush=True)
    sys.stdin.readline()
    os._exit(0)  # as if killed
"""


def said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None and process.stdout.readline() == f"{word}\n"


def begun(work: str, library: Path, folder: Path) -> subprocess.Popen[str]:
    """A process without the database's locks that has bought something in the folder."""
    argv, env = [sys.executable, "-c", work, str(folder)], {**os.environ, "LD_PRELOAD": str(library)}
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    said(process, "bought")
    return process


def test_a_worker_that_has_lost_its_folder_takes_nothing_from_its_heir_when_it_closes(
    library: Path, tmp_path: Path
) -> None:
    lost, heir = (begun(work, library, tmp_path) for work in (LOST, HEIR))
    assert lost.communicate("go on\n")[0] == "lost\n" and lost.returncode == 0
    heir.communicate("end\n")
    with Journal(tmp_path) as journal:
        assert [journal.meta(name) for name in "abc"] == ["1", "1", None]


CLOSING = """
import sys
from pathlib import Path
from tao_skill_bank.annotate.holder import folder_lock
from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import LostRunError

asks = guard.ask_the_fence

def asked_and_stopped():
    asks()
    print("closing", flush=True)
    sys.stdin.readline()

try:
    with folder_lock(Path(sys.argv[1]), "first"), Journal(Path(sys.argv[1])) as journal:
        journal.set_meta("a", "1").result()
        print("bought", flush=True)
        sys.stdin.readline()
        guard.ask_the_fence = asked_and_stopped
        journal.close()
        guard.ask_the_fence = asks
        journal.close = lambda: None
        print("closed", flush=True)
except LostRunError:
    print("lost", flush=True)
"""
TAKEN_OVER = """
import os, sys
from pathlib import Path
from tao_skill_bank.annotate.holder import folder_lock
from tao_skill_bank.annotate.journal import Journal

with folder_lock(Path(sys.argv[1]), "second"), Journal(Path(sys.argv[1])) as journal:
    journal.set_meta("b", "1").result()
    print("bought", flush=True)
    sys.stdin.readline()
    journal.set_meta("c", "1").result()
    os._exit(0)  # as if killed
"""


def test_a_worker_that_was_stopped_within_closing_its_journal_takes_nothing_from_its_heir(
    library: Path, tmp_path: Path
) -> None:
    def told(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()

    first = begun(CLOSING, library, tmp_path)
    for _ in range(2):  # of its two connections; the last one that closes writes the log back and removes it
        told(first)
        said(first, "closing")
    cut_off(tmp_path)
    heir = begun(TAKEN_OVER, library, tmp_path)
    told(first)
    said(first, "closed")
    assert first.communicate("")[0] == "" and first.returncode == 0
    heir.communicate("end\n")
    with Journal(tmp_path, read_only=True) as journal:
        assert [journal.meta(name) for name in "abc"] == ["1", "1", "1"]
    assert sorted(p.name for p in tmp_path.glob("journal*3")) == ["journal.2.sqlite3"]


def test_a_folder_that_is_taken_over_once_more_goes_on_in_the_next_journal(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.set_meta("a", "1").result()
    for number in (2, 3, 4):
        take_over(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [f"journal.{number}.sqlite3"] == [journal_path(tmp_path).name]
        with Journal(tmp_path) as journal:
            assert journal.meta("a") == "1"
    (tmp_path / "journal.old.sqlite3").touch()
    assert journal_path(tmp_path).name == "journal.4.sqlite3"


def test_who_takes_over_from_one_that_is_dead_or_ended_in_order_goes_on_in_the_same_journal(tmp_path: Path) -> None:
    for _ in range(2):
        with folder_lock(tmp_path, "annotate run"), Journal(tmp_path) as journal:
            journal.set_meta("a", "1").result()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lifecycle.announce(desk(tmp_path), process.pid, process_identity(process.pid), "worker")
    with folder_lock(tmp_path, "annotate run"), Journal(tmp_path) as journal:
        assert journal.path.name == "journal.sqlite3" and journal.meta("a") == "1"


def test_a_starter_that_finds_a_silent_one_hands_that_on_to_its_worker(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.set_meta("a", "1").result()
    lifecycle.announce(desk(tmp_path), 1, "b:1", "worker")
    cut_off(tmp_path)
    lifecycle.announce(desk(tmp_path), *own_identity(), "worker")
    with folder_lock(tmp_path, "worker"), Journal(tmp_path) as journal:
        assert journal.path.name == "journal.2.sqlite3" and journal.meta("a") == "1"
    with folder_lock(tmp_path, "worker"), Journal(tmp_path) as journal:
        assert journal.path.name == "journal.2.sqlite3", "it came to an orderly end"
