"""The set-up on small indexes of its own: what comes out is what the lock names, and a failure says why in a line."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pip_and_uv
import pytest
import set_up
from node_clients import uv_command
from packaging.utils import canonicalize_name
from packaging.version import Version
from pip_and_uv import pip_settings, uv_environment
from pips import PIPS, environment, pip_wheel, versions
from set_up import Lock, SetUpError
from wheels import REAL, SOURCE_ONLY, Index, closure, size_mb

ROOT = Path(__file__).resolve().parents[2]
SET_UP = ROOT / "scripts/set_up.py"
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a pip and nothing else, to be copied: making one takes as long as all the rest."""
    return environment(tmp_path_factory.mktemp("empty") / "env", sys.executable, None)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Three packages: what comes first, what the set-up asks for markers, and one more; nothing is built."""
    names = {"setuptools", "packaging", "pyyaml"}
    return Index(tmp_path_factory.mktemp("few"), ROOT / "requirements.lock", names, real={"packaging"})


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The same with what builds, and a source that it builds."""
    names = {"setuptools", "packaging", SOURCE_ONLY}
    return Index(tmp_path_factory.mktemp("building"), ROOT / "requirements.lock", names)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """What google-genai and Hydra bring (an extra is asked for, and a source is built), with newer ones beside them."""
    names = closure({"google-genai", "hydra-core", *REAL})
    return Index(tmp_path_factory.mktemp("in dex"), ROOT / "requirements.lock", names)


@pytest.fixture(scope="module")
def silent_index() -> Iterator[str]:
    """An index whose machine takes every call and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


class Machine:
    """A home, a PATH with one Python, and a pip that knows one index."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder / "en v", index
        self.home, self.bin = folder / "home", folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        (self.bin / "python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
        self.settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.simple.as_uri()}

    def with_(self, empty: Path) -> Machine:
        """With an environment that nothing was installed in yet."""
        shutil.copytree(empty, self.folder, symlinks=True)
        activate = self.folder / "bin/activate"
        activate.write_text(activate.read_text().replace(f'"{empty}"', f'"{self.folder}"'))
        return self

    def run(self, *words: str, lock: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), **self.settings, **variables}
        command = [str(self.bin / "python3"), str(SET_UP), *(words or (str(self.folder),))]
        command += ["--lock", str(lock or self.index.lock)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=self.home)

    def has_what_the_lock_names(self) -> bool:
        found = versions(self.folder)
        lines = re.findall(r"^(\S+)==(\S+)", self.index.lock.read_text(), re.MULTILINE)
        wanted: dict[str, set[str]] = {}
        for name, version in lines:
            wanted.setdefault(name, set()).add(version)
        return len(wanted) > 2 and all(found.get(name) in allowed for name, allowed in wanted.items())

    def failed(self, *words: str, **more: str) -> str:
        """The one line that says why."""
        done = self.run(*words, **more)
        assert done.returncode == 1, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("set-up failed: ")]
        assert "Traceback" not in done.stderr
        return line


@pytest.fixture
def machine(tmp_path: Path, few: Index) -> Machine:
    return Machine(tmp_path, few)


@pytest.fixture
def large(tmp_path: Path, index: Index) -> Machine:
    return Machine(tmp_path, index)


@pytest.mark.parametrize(
    "pip",
    [
        "22.3",
        pytest.param("26.3", marks=pytest.mark.slow),
        pytest.param(None, id="the one Python brings", marks=pytest.mark.slow),
    ],
)
def test_beside_newer_versions_of_everything_the_lock_is_installed(large: Machine, pip: str | None) -> None:
    if pip is not None:
        environment(large.folder, sys.executable, pip_wheel(pip))
    done = large.run()
    assert done.returncode == 0, done.stderr
    assert large.has_what_the_lock_names()


def test_with_uv_the_same_is_installed(large: Machine) -> None:
    (large.bin / "uv").symlink_to(uv_command())
    done = large.run()
    assert done.returncode == 0, done.stderr
    assert large.has_what_the_lock_names()
    assert not (large.folder / "bin/pip").exists()


@pytest.mark.parametrize("uv", [False, True], ids=["pip", "uv"])
def test_an_index_in_the_persons_pip_configuration_is_the_one_that_is_asked(
    machine: Machine, empty: Path, uv: bool
) -> None:
    machine.with_(empty)
    if uv:
        (machine.bin / "uv").symlink_to(uv_command())
    machine.settings = {}
    (machine.home / ".config/pip").mkdir(parents=True)
    lines = (
        f"[global]\nindex-url = {machine.index.simple.as_uri()}\nextra-index-url = {NOWHERE}\n[install]\nno-index = 0\n"
    )
    (machine.home / ".config/pip/pip.conf").write_text(lines.replace(f"extra-index-url = {NOWHERE}\n", ""))
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()


def test_what_pip_is_told_to_do_otherwise_by_a_persons_configuration_changes_nothing_here(
    machine: Machine, empty: Path
) -> None:
    machine.with_(empty)
    other, conf = machine.home / "constraints.txt", machine.home / "pip.conf"
    other.write_text("packaging==1.0\n")
    conf.write_text(
        f"[global]\nuser = true\nrequire-virtualenv = true\nno-binary = :all:\nonly-binary = setuptools\n"
        f"[install]\ntarget = {machine.home}/elsewhere\nconstraint = {other}\ndry-run = true\n"
    )
    done = machine.run(PIP_CONFIG_FILE=str(conf), PIP_PREFIX=str(machine.home / "prefix"), PIP_QUIET="3")
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()
    assert f"fetching 3 of {len(Lock(str(machine.index.lock)).names)}: " in done.stderr


def test_a_pip_configuration_that_is_none_is_told_by_its_path(machine: Machine) -> None:
    conf = machine.home / "pip.conf"
    conf.write_text("index-url = here\n")
    line = machine.failed(PIP_CONFIG_FILE=str(conf))
    assert f"pip's configuration {conf} cannot be read (File contains no section headers" in line
    assert "mend or remove that file" in line


@pytest.mark.parametrize("packages", ["few", pytest.param("building", marks=pytest.mark.slow)])
def test_a_wheelhouse_is_filled_where_there_is_an_index_and_is_enough_where_there_is_none(
    tmp_path: Path, request: pytest.FixtureRequest, empty: Path, packages: str
) -> None:
    machine = Machine(tmp_path, request.getfixturevalue(packages)).with_(empty)
    house = machine.home / "wheel house"
    filled = machine.run("wheelhouse", house.name)  # beside where it is run
    assert filled.returncode == 0, filled.stderr
    names = {re.split(r"-\d", path.name)[0] for path in house.iterdir()}
    assert names == set(Lock(str(machine.index.lock)).names)
    done = machine.run(str(machine.folder), "--wheelhouse", str(house), PIP_INDEX_URL=NOWHERE)
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()


@pytest.fixture(scope="module")
def first_time(
    tmp_path_factory: pytest.TempPathFactory, few: Index, empty: Path
) -> tuple[Machine, subprocess.CompletedProcess[str]]:
    """A machine that was set up once, and what was said meanwhile."""
    machine = Machine(tmp_path_factory.mktemp("first"), few).with_(empty)
    lock = few.lock.with_name("sized.lock")
    lock.write_text("# 120 MB to fetch, 600 MB on disk (here)\n" + few.lock.read_text())
    return machine, machine.run(lock=lock)


def test_it_says_what_it_does_before_while_and_after(
    first_time: tuple[Machine, subprocess.CompletedProcess[str]],
) -> None:
    machine, done = first_time
    lines = done.stderr.splitlines()
    count = len(Lock(str(machine.index.lock)).names)
    size = "120 MB to fetch, 600 MB on disk, about 1 min"
    assert lines[0] == f"setting up {machine.folder} with {count} packages: {size}"
    assert sum(line.startswith("  fetching ") for line in lines) >= count
    assert any(f"fetching 3 of {count}: " in line for line in lines)
    assert re.fullmatch(r"set up in \d+ s", lines[-1])


def test_a_second_time_nothing_is_made_anew(first_time: tuple[Machine, subprocess.CompletedProcess[str]]) -> None:
    machine, _ = first_time
    before = (machine.folder / "pyvenv.cfg").stat().st_mtime_ns
    done = machine.run(PIP_INDEX_URL=NOWHERE)
    assert done.returncode == 0, done.stderr
    assert (machine.folder / "pyvenv.cfg").stat().st_mtime_ns == before


def test_two_at_once_in_one_folder_are_done_one_after_the_other(machine: Machine, empty: Path) -> None:
    machine.with_(empty)
    (machine.bin / "uv").symlink_to(uv_command())
    (machine.folder / set_up.HALF).touch()  # both would make it anew
    both: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: both.append(machine.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in both] == [0, 0], [done.stderr for done in both]
    assert machine.has_what_the_lock_names()
    waited = f"another set-up of {machine.folder} is at work: waiting until it has ended\n"
    assert [done.stderr.count(waited) for done in both] in ([0, 1], [1, 0])


def test_what_runs_after_a_set_up_gets_none_of_its_descriptors(tmp_path: Path) -> None:
    work = set_up.Work(str(tmp_path / "env"), str(tmp_path / "env.log"))
    with work.alone():
        pass
    others = "import os, sys; sys.exit(sum(int(n) > 2 for n in os.listdir('/dev/fd')) - 1)"  # one is the look's own
    work.run([sys.executable, "-I", "-c", others], "look")


def test_after_a_kill_in_the_middle_of_a_package_that_package_is_whole_the_next_time(
    machine: Machine, empty: Path
) -> None:
    machine.with_(empty)
    (machine.bin / "uv").symlink_to(uv_command())
    version = next(line.split()[0] for line in machine.index.lock.read_text().splitlines() if "pyyaml==" in line)
    (library,) = machine.folder.glob("lib/*/site-packages")
    cut_off = library / f"{version.replace('==', '-')}.dist-info"
    cut_off.mkdir()
    (cut_off / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pyyaml\nVersion: {version.partition('==')[2]}\n")
    (machine.folder / set_up.HALF).touch()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert (library / "pyyaml_.py").exists() and not (machine.folder / set_up.HALF).exists()


def test_an_environment_that_was_moved_is_made_anew_where_it_is_now(machine: Machine) -> None:
    (machine.bin / "uv").symlink_to(uv_command())
    before = machine.folder.with_name("before")
    assert machine.run(str(before)).returncode == 0
    before.rename(machine.folder)
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert str(machine.folder) in (machine.folder / "bin/activate").read_text()


@pytest.mark.parametrize("word", ["scripts/set_up.py", "scripts/launch.py"])
def test_a_python_that_is_told_to_trust_no_folder_runs_it_too(word: str) -> None:
    command = [sys.executable, str(ROOT / word), "--fly"]
    done = subprocess.run(command, env={"PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_make_sets_up_anew_what_was_moved_or_lost_its_python(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tao_skill_bank").mkdir()
    (tmp_path / "tao_skill_bank/__init__.py").touch()
    python, ready = tmp_path / ".venv/bin/python", tmp_path / ".venv/.run-ready"
    python.parent.mkdir(parents=True)

    def would_set_up(origin: Path | None) -> bool:
        if origin is not None:
            python.write_text(f"#!/bin/sh\necho '{origin}'\n")
            python.chmod(0o755)
        ready.touch()
        said = subprocess.run(["make", "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        return "set_up.py" in said

    assert would_set_up(None)
    assert would_set_up(ROOT / "tao_skill_bank/__init__.py")
    assert not would_set_up(tmp_path / "tao_skill_bank/__init__.py")


@pytest.mark.parametrize(
    ("home", "uv"),
    [
        pytest.param("/dev/null/nobody", False, id="no folder, pip"),
        pytest.param("/proc/nobody", True, id="not to be made, uv"),
        pytest.param("/proc/nobody", False, id="not to be made, pip", marks=pytest.mark.slow),
        pytest.param("/dev/null/nobody", True, id="no folder, uv", marks=pytest.mark.slow),
    ],
)
def test_a_home_that_cannot_be_written_to_stops_nothing(machine: Machine, empty: Path, home: str, uv: bool) -> None:
    machine.with_(empty)
    if uv:
        (machine.bin / "uv").symlink_to(uv_command())
    done = machine.run(HOME=home)
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()


def test_a_lock_may_be_named_from_where_the_person_is(machine: Machine, empty: Path) -> None:
    machine.with_(empty)
    shutil.copy(machine.index.lock, machine.home)
    done = machine.run(lock=Path(machine.index.lock.name))
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()


def test_without_an_answer_the_index_is_named_and_so_is_the_way_without_one(machine: Machine, empty: Path) -> None:
    machine.with_(empty)
    line = machine.failed(PIP_INDEX_URL=NOWHERE)
    assert f"the package index {NOWHERE} does not answer (" in line and "Connection refused" in line
    assert "make wheelhouse" in line and f"(log: {machine.folder}.log)" in line


@pytest.mark.parametrize("uv", [False, True], ids=["pip", "uv"])
def test_an_index_that_takes_the_call_and_says_nothing_is_told_by_its_address_and_without_its_password(
    machine: Machine, empty: Path, silent_index: str, uv: bool
) -> None:
    machine.with_(empty)
    if uv:
        (machine.bin / "uv").symlink_to(uv_command())
    secret = silent_index.replace("//", "//ana:secret@")
    # However patient the person's pip is: the first answer is small.
    line = machine.failed(PIP_INDEX_URL=secret, PIP_DEFAULT_TIMEOUT="600", TAO_SKILL_BANK_PATIENCE="1.5")
    assert f"the package index {silent_index} has not answered within 1.5 s; mend the network" in line
    assert "make wheelhouse" in line and "secret" not in line


@pytest.mark.parametrize("said", ["soon", "-1", "0", "nan", "inf", "1,5"])
def test_a_patience_that_is_no_number_is_told_before_anything_is_made(machine: Machine, said: str) -> None:
    line = machine.failed(TAO_SKILL_BANK_PATIENCE=said)
    assert f"TAO_SKILL_BANK_PATIENCE={said!r} is no number of seconds above 0; write one, such as 30" in line
    assert not machine.folder.exists()


def test_an_index_that_falls_silent_after_the_first_package_is_told_too(
    machine: Machine, empty: Path, silent_index: str
) -> None:
    machine.with_(empty)
    settings = {"PIP_INDEX_URL": silent_index, "PIP_FIND_LINKS": "", "TAO_SKILL_BANK_PATIENCE": "0.4"}
    lock = machine.home / "no_builder.lock"
    lock.write_text(Lock(str(machine.index.lock)).only("packaging"))
    assert "has not answered within 2 s" in machine.failed(lock=lock, **settings)


def test_a_package_that_the_index_lacks_is_named(machine: Machine, empty: Path, tmp_path: Path) -> None:
    machine.with_(empty)
    lacking = Index(tmp_path / "other", ROOT / "requirements.lock", {"setuptools", "packaging"}, real={"packaging"})
    line = machine.failed(PIP_INDEX_URL=lacking.simple.as_uri())
    assert re.search(r"the package index file://\S+ does not have [\w-]+==\d", line)


@pytest.mark.parametrize("uv", [False, True], ids=["pip", "uv"])
def test_a_package_that_has_no_wheel_for_this_python_is_named_with_the_way_out(
    machine: Machine, empty: Path, tmp_path: Path, uv: bool
) -> None:
    machine.with_(empty)
    if uv:
        (machine.bin / "uv").symlink_to(uv_command())
    archive = tmp_path / "numpy-9.9.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name, text in (
            ("pyproject.toml", '[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n'),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: numpy\nVersion: 9.9\n"),
        ):
            entry = tarfile.TarInfo(f"numpy-9.9/{name}")
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    lock = tmp_path / "requirements.lock"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    lock.write_text(f"numpy==9.9 \\\n    --hash=sha256:{digest}\n")
    line = machine.failed(str(machine.folder), "--wheelhouse", str(tmp_path), lock=lock)
    assert f"numpy==9.9 is not published ready-made for Python 3.{sys.version_info.minor} on " in line
    assert "make demo PYTHON=python3.13" in line


def test_another_file_under_a_locked_name_is_refused_and_named(machine: Machine, empty: Path, tmp_path: Path) -> None:
    machine.with_(empty)
    text = machine.index.lock.read_text()
    start = text.index("sha256:", text.index("pyyaml==")) + len("sha256:")
    lock = tmp_path / "requirements.lock"
    lock.write_text(text[:start] + "0" * 64 + text[start + 64 :])
    line = machine.failed(lock=lock)
    assert "serves another file as pyyaml==" in line


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda text: text.replace("--hash=sha256:", "--hash=md5:", 1), "line 2 is damaged"),
        (lambda text: re.sub(r"==\S+", "", text, count=1), "line 1 is damaged"),
        (lambda text: text[: len(text) // 2].rsplit("\n", 1)[0] + " \\\n", "damaged"),
        (lambda text: text.rstrip("\n") + " \\\n", "is cut off"),
        (lambda text: "", "is cut off"),
        (lambda text: "<<<<<<< ours\n" + text, "line 1 is damaged"),
        (lambda text: text + "-e .\n", "is damaged"),
    ],
)
def test_a_damaged_lock_is_told_by_its_line_before_anything_begins(
    machine: Machine, tmp_path: Path, broken, said
) -> None:  # type: ignore[no-untyped-def]
    lock = tmp_path / "requirements.lock"
    lock.write_text(broken(machine.index.lock.read_text()))
    line = machine.failed(lock=lock)
    assert said in line and "git checkout requirements.lock" in line
    assert not machine.folder.exists()


def test_a_lock_that_is_not_there_is_named(machine: Machine, tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in machine.failed(lock=tmp_path / "none.lock")


def test_a_disk_without_room_is_told_before_anything_begins(machine: Machine, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# 1 MB to fetch, 999999999 MB on disk (here)\n" + machine.index.lock.read_text())
    line = machine.failed(lock=lock)
    assert "MB free, 999999999 are needed; free some space" in line
    assert not machine.folder.exists()


def test_a_disk_that_fills_up_meanwhile_is_told_as_full(machine: Machine, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(small)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        (small / "filler").write_bytes(b"\0" * (23 << 20))
        assert "the disk is full" in machine.failed(str(small / "env"))
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.mark.parametrize("place", ["/proc/nowhere/env", "/dev/null/env"])
@pytest.mark.parametrize("what", [[], ["wheelhouse"]], ids=["environment", "wheelhouse"])
def test_a_place_that_cannot_be_written_to_is_one_line(machine: Machine, what: list[str], place: str) -> None:
    assert machine.failed(*what, place)


def test_where_the_clone_is_not_to_be_written_to_make_is_told_the_other_folders() -> None:
    said = pip_and_uv.explain(
        "[Errno 30] Read-only file system: '/b/.venv.log'", "set up", set_up.Work("/b/.venv", "x")
    )
    assert said == ("/b/.venv.log cannot be written to", "name a folder that can be (`make demo VENV=DIR DEMO=DIR`)")


def test_where_no_folder_takes_temporary_files_the_variable_is_named(tmp_path: Path) -> None:
    said = "[Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp']"
    work = set_up.Work(str(tmp_path / "env"), str(tmp_path / "env.log"))
    assert "set TMPDIR to one that can be" in pip_and_uv.explain(said, "set up", work)[1]


def test_a_folder_of_the_persons_own_is_never_cleared(machine: Machine) -> None:
    machine.folder.mkdir()
    (machine.folder / "thesis.txt").write_text("years of work")
    assert "is not empty, and no environment" in machine.failed()
    assert (machine.folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("uv", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["uv", "pip"])
def test_an_environment_whose_interpreter_is_gone_is_made_anew(machine: Machine, uv: bool) -> None:
    if uv:
        (machine.bin / "uv").symlink_to(uv_command())
    (machine.folder / "bin").mkdir(parents=True)
    (machine.folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    (machine.folder / "bin/python").symlink_to("/nowhere/python3")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.has_what_the_lock_names()


def test_a_python_that_is_too_old_or_not_there_is_said(machine: Machine) -> None:
    old = machine.bin / "python3.9"
    old.write_text("#!/bin/sh\nexit 3\n")
    old.chmod(0o755)
    assert "Python 3.11 or newer is not installed" in machine.failed(str(machine.folder), "--python", str(old))
    assert "/none is not there" in machine.failed(str(machine.folder), "--python", "/none")


def test_a_python_without_venv_is_told_from_no_python(machine: Machine) -> None:
    bare = machine.bin / "bare"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    line = machine.failed(str(machine.folder), "--python", str(bare))
    assert "cannot make environments: its venv package is not installed" in line and "python3-venv" in line


def test_on_windows_the_way_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(set_up, "WINDOWS_HERE", True)
    with pytest.raises(SetUpError, match="install WSL"):
        set_up.checked(str(tmp_path / "env"), [])


def test_pips_configuration_is_read_as_pip_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "XDG_", "SSL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "own.conf"))
    monkeypatch.setenv("PIP_CERT", "/ca.pem")
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://a/simple\nfind_links = /x\n  /y\n")
    (tmp_path / "own.conf").write_text(
        "[install]\nindex-url = https://b/simple\nextra-index-url =\n  https://c\n  https://d\n"
    )
    settings = pip_settings()
    assert settings["index-url"] == "https://b/simple"
    given = uv_environment(settings)
    assert given["UV_DEFAULT_INDEX"] == "https://b/simple"
    assert given["UV_INDEX"] == "https://c https://d"
    assert given["UV_FIND_LINKS"] == "/x,/y"
    assert given["SSL_CERT_FILE"] == "/ca.pem"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv/simple")
    assert "UV_FIND_LINKS" not in uv_environment(settings)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert "index-url" not in pip_settings()


def test_the_locks_of_the_project_are_whole_and_agree() -> None:
    run, dev, video, audit = (Lock(str(ROOT / f"requirements{kind}.lock")) for kind in ("", "-dev", "-video", "-audit"))
    assert set(run.blocks) <= set(dev.blocks)
    assert set(video.blocks) <= set(dev.blocks)
    # What audits goes into the same environment: it changes no version there.
    pins = {first.split()[0] for first in dev.blocks}
    assert {first.split()[0] for first in audit.blocks if first.partition("==")[0] in dev.names} <= pins
    assert "pip-audit" in audit.names
    assert {"setuptools", "hatchling", "editables", SOURCE_ONLY} <= set(run.names)
    assert min(lock.fetch_mb and lock.disk_mb for lock in (run, dev, video, audit)) > 0
    assert not {"scipy", "matplotlib", "zstandard", "av"} & set(run.names)


def test_nothing_is_installed_but_from_a_lock() -> None:
    for name in ("Makefile", "containers/Dockerfile", "scripts/launch.py"):
        assert "pip install" not in (ROOT / name).read_text(), name


def test_what_the_lock_says_of_its_size_is_what_is_installed() -> None:
    lock = Lock(str(ROOT / "requirements.lock"))
    here = set(lock.names) & {canonicalize_name(found.name) for found in metadata.distributions()}
    assert abs(sum(size_mb(name) for name in here) - lock.disk_mb) < 0.2 * lock.disk_mb


def test_the_newest_pip_of_the_matrix_is_newer_than_the_fault() -> None:
    assert Version(PIPS[0]) < Version("23.3") < Version(PIPS[-1])
    assert list(PIPS) == sorted(PIPS, key=Version)
