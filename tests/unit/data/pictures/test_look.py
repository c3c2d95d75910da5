"""Looking at many pictures once: what is opened, what is remembered, and that the memory never lies."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from polling import wait_until

from tao_skill_bank.core import roots
from tao_skill_bank.data.pictures import memory as module
from tao_skill_bank.data.pictures.look import look, still_known, watched
from tao_skill_bank.data.pictures.memory import FILE, Memory, cache_folder

LONG_AGO = 1_600_000_000_123_456_789


def draw(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Pictures that changed long ago as far as their own time says; their ctime is today's."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        path = folder / f"C{number}.png"
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8)).save(path)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
        paths.append(str(path))
    return paths


def later() -> int:
    """A clock an hour on: files of today have settled."""
    return time.time_ns() + 3_600_000_000_000


def kept_in(folder: Path, apart: Path | None = None) -> Memory:
    return Memory(folder, apart, now=later)


def opened(paths: list[str], folder: Path, **options: bool) -> int:
    return look(paths, memory=kept_in(folder), **options).opened


def test_a_second_look_opens_nothing_and_tells_the_same(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 20)
    first = look(paths, memory=kept_in(tmp_path / "c"))
    again = look(paths, memory=kept_in(tmp_path / "c"))
    assert (first.opened, first.remembered, again.opened, again.remembered) == (20, 0, 0, 20)
    assert first.facts == again.facts and list(again.facts) and again.problem is None


def test_a_picture_that_was_changed_is_opened_again(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 5)
    before = look(paths, memory=kept_in(tmp_path / "c")).facts
    Path(paths[2]).write_bytes(Path(paths[2]).read_bytes()[:60])
    os.utime(paths[2], ns=(LONG_AGO, LONG_AGO))
    again = look(paths, memory=kept_in(tmp_path / "c"))
    assert again.opened == 1
    assert again.facts[paths[2]].fault is not None
    assert {p: f for p, f in again.facts.items() if p != paths[2]} == {p: f for p, f in before.items() if p != paths[2]}


def test_bytes_of_equal_length_and_time_are_told_by_the_change_time(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "p", 1)
    look([path], memory=kept_in(tmp_path / "c"))
    data = bytearray(Path(path).read_bytes())
    data[-20] ^= 0xFF
    with open(path, "r+b") as handle:
        handle.write(data)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert opened([path], tmp_path / "c") == 1


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "p", 1)
    changed = os.stat(path).st_ctime_ns
    found = [
        look([path], memory=Memory(tmp_path / "c", now=lambda after=after: changed + after)).opened
        for after in (1_000_000, 1_000_000, 10_000_000_000, 0)
    ]
    assert found == [1, 1, 1, 0]


@pytest.mark.parametrize(("after", "opened_again"), [(1_500_000_000, 1), (2_500_000_000, 0)])
def test_a_file_system_of_whole_seconds_settles_later(tmp_path: Path, after: int, opened_again: int) -> None:
    (path,) = draw(tmp_path / "p", 1)
    os.utime(path, ns=(LONG_AGO // 10**9 * 10**9,) * 2)
    changed = os.stat(path).st_ctime_ns
    for _ in range(2):
        looked = look([path], memory=Memory(tmp_path / "c", now=lambda: changed + after))
    assert looked.opened == opened_again


def test_two_names_of_one_file_are_opened_once(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "p", 1)
    os.link(path, tmp_path / "other.png")
    os.symlink(path, tmp_path / "link.png")
    looked = look([path, str(tmp_path / "other.png"), str(tmp_path / "link.png")])
    assert looked.opened == 1 and len(set(looked.facts.values())) == 1 and len(looked.facts) == 3


def test_a_file_that_was_linked_to_another_name_is_still_known(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 3)
    looked = look(paths, memory=kept_in(tmp_path / "c"))
    for number, path in enumerate(paths):
        os.link(path, tmp_path / f"{number}.png")
    Path(paths[1]).write_bytes(Path(paths[0]).read_bytes())
    still_known(looked, kept_in(tmp_path / "c"))
    again = look([str(tmp_path / f"{n}.png") for n in range(3)], memory=kept_in(tmp_path / "c"))
    assert again.opened == 1
    assert again.facts[str(tmp_path / "1.png")].pixels == looked.facts[paths[0]].pixels


def test_missing_files_folders_and_pipes_are_faults_and_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    paths = [str(tmp_path / "none.png"), str(tmp_path), str(tmp_path / "pipe.png"), "nul\0byte"]
    facts = look(paths).facts
    assert facts[paths[0]].fault == "no such file"
    assert facts[paths[1]].fault == facts[paths[2]].fault == "is no file"
    assert facts[paths[3]].fault == "no such file"


def test_headers_are_not_remembered_as_if_they_were_looks(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 4)
    assert opened(paths, tmp_path / "c", decode=False) == 4
    assert opened(paths, tmp_path / "c", decode=True) == 4
    known = look(paths, decode=False, memory=kept_in(tmp_path / "c"))
    assert known.opened == 0 and all(f.decoded for f in known.facts.values())


def _damaged(folder: Path) -> None:
    (folder / FILE).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def _no_database(folder: Path) -> None:
    (folder / FILE).write_text("hello")


def _another_table(folder: Path) -> None:
    with sqlite3.connect(folder / FILE) as base:
        base.execute("create table facts (a integer)")


def _a_folder(folder: Path) -> None:
    (folder / FILE).mkdir()


def _writable_by_all(folder: Path) -> None:
    (folder / FILE).touch()
    (folder / FILE).chmod(0o666)


@pytest.mark.parametrize("spoil", [_damaged, _no_database, _another_table, _a_folder, _writable_by_all])
def test_a_memory_that_cannot_be_used_costs_a_look_and_nothing_else(tmp_path: Path, spoil) -> None:
    paths = draw(tmp_path / "p", 6)
    (tmp_path / "c").mkdir()
    spoil(tmp_path / "c")
    for _ in range(2):
        looked = look(paths, memory=kept_in(tmp_path / "c"))
        assert [f.fault for f in looked.facts.values()] == [None] * 6


def test_a_damaged_memory_is_made_anew_by_the_next_look(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 6)
    (tmp_path / "c").mkdir()
    _no_database(tmp_path / "c")
    assert look(paths, memory=kept_in(tmp_path / "c")).problem is not None
    assert opened(paths, tmp_path / "c") == 6
    assert opened(paths, tmp_path / "c") == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_read_and_not_written(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 4)
    opened(paths[:2], tmp_path / "c")
    (tmp_path / "c" / FILE).chmod(0o400)
    (tmp_path / "c").chmod(0o500)
    looked = look(paths, memory=kept_in(tmp_path / "c"))
    (tmp_path / "c").chmod(0o700)
    assert looked.opened == 2 and looked.problem is not None


def test_a_cache_folder_that_cannot_be_made_costs_a_look(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    looked = look(draw(tmp_path / "p", 3), memory=kept_in(tmp_path / "file" / "below"))
    assert looked.opened == 3 and looked.problem is not None


def test_nothing_is_written_into_a_workspace_that_holds_the_cache_folder(tmp_path: Path) -> None:
    paths = draw(tmp_path / "w" / "images", 3)
    for _ in range(2):
        assert look(paths, memory=kept_in(tmp_path / "w" / ".cache", apart=tmp_path / "w")).opened == 3
    assert sorted(p.name for p in (tmp_path / "w").iterdir()) == ["images"]


def test_the_cache_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TAO_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tao-skills"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/tao-skills")


def test_the_memory_is_private(tmp_path: Path) -> None:
    opened(draw(tmp_path / "p", 1), tmp_path / "c")
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0
    assert (tmp_path / "c" / FILE).stat().st_mode & 0o077 == 0


def test_facts_of_another_version_are_found_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = draw(tmp_path / "p", 3)
    opened(paths, tmp_path / "c")
    monkeypatch.setattr(module, "teller", lambda: "another")
    assert opened(paths, tmp_path / "c") == 3


def test_a_memory_that_has_grown_too_large_forgets_its_older_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(draw(tmp_path / "old", 200), tmp_path / "c")
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    fresh = draw(tmp_path / "new", 3, seed=9)
    look(fresh, memory=Memory(tmp_path / "c", now=lambda: later() + 3_600_000_000_000))
    with sqlite3.connect(tmp_path / "c" / FILE) as base:
        assert base.execute("select count(*) from facts").fetchone()[0] < 200


CHILD = """
import sys
from pathlib import Path
import time
from tao_skill_bank.data.pictures import memory as m
from tao_skill_bank.data.pictures.look import look, still_known
files = [str(p) for p in sorted(Path(sys.argv[1]).iterdir())]
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    memory = m.Memory(Path(sys.argv[2]), now=lambda: time.time_ns() + 3_600_000_000_000)
    looked = look(files, memory=memory)
    assert all(f.fault is None for f in looked.facts.values())
print(memory.problem, flush=True)
"""


def child(pictures: Path, cache: Path, times: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", CHILD, str(pictures), str(cache), str(times)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fill_one_memory_and_both_are_remembered(tmp_path: Path) -> None:
    first, second = draw(tmp_path / "a", 150), draw(tmp_path / "b", 150, seed=1)
    both = [child(tmp_path / "a", tmp_path / "c", 3), child(tmp_path / "b", tmp_path / "c", 3)]
    ends = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert [out.split() for out, _ in ends] == [["ready", "None"]] * 2
    assert opened(first + second, tmp_path / "c") == 0


def test_a_memory_whose_writer_was_killed_is_whole(tmp_path: Path) -> None:
    paths = draw(tmp_path / "p", 150)
    for number in range(6):
        one = child(tmp_path / "p", tmp_path / "c", 1000)
        assert one.stdout is not None
        one.stdout.readline()
        # Killed at another moment each time: how far it has come does not matter.
        wait_until(lambda: not number or (tmp_path / "c" / FILE).exists() or one.poll() is not None)  # noqa: B023
        one.kill()
        one.communicate()
    looked = look(paths, memory=kept_in(tmp_path / "c"))
    assert [f.fault for f in looked.facts.values()] == [None] * 150
    assert looked.problem is None
    assert opened(paths, tmp_path / "c") == 0


def test_who_is_held_to_folders_looks_at_nothing_outside_them_also_by_a_link_and_from_memory(tmp_path: Path) -> None:
    inside, outside = draw(tmp_path / "in", 3), draw(tmp_path / "out", 1)
    link = tmp_path / "in" / "link.png"
    link.symlink_to(outside[0])
    look([*inside, *outside], memory=kept_in(tmp_path / "c"))
    with roots.confined([tmp_path / "in"]):
        facts = look([*inside, str(link), *outside], memory=kept_in(tmp_path / "c")).facts
        fresh = look([*inside, str(link), *outside]).facts
    for found in (facts, fresh):
        assert [found[path].fault for path in inside] == [None] * 3
        for path in (str(link), *outside):
            assert found[path].fault is not None and found[path].width == 0 and found[path].sha256 is None


def test_whoever_watches_is_told_how_far_every_look_is_and_nothing_afterwards(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{n}.png") for n in range(5)]
    for n, path in enumerate(paths):
        Image.new("L", (4, 4), n).save(path)
    told: list[tuple[int, int]] = []
    with watched(lambda done, total: told.append((done, total))):
        look(paths)
    assert told == [(n, 5) for n in range(1, 6)]
    look(paths)
    assert len(told) == 5
