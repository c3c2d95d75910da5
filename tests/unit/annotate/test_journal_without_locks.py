"""Where the database's own locks (`fcntl`) are given to everybody, nobody takes away what another has bought."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ran import ran

from tao_skill_bank.annotate.journal import Journal

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


def test_a_worker_that_has_lost_its_folder_takes_nothing_from_its_heir_when_it_closes(
    library: Path, tmp_path: Path
) -> None:
    env = {**os.environ, "LD_PRELOAD": str(library)}

    def begun(work: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", work, str(tmp_path)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert process.stdout is not None and process.stdout.readline() == "bought\n"
        return process

    lost, heir = begun(LOST), begun(HEIR)
    assert lost.communicate("go on\n")[0] == "lost\n" and lost.returncode == 0
    heir.communicate("end\n")
    with Journal(tmp_path) as journal:
        assert [journal.meta(name) for name in "abc"] == ["1", "1", None]
