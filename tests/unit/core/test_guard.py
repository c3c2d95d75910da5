"""Opening what somebody else named: inside the roots only, by no link that leads out, and never a pipe."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tao_skill_bank.core import beneath, guard, roots
from tao_skill_bank.core.beneath import by_kernel, by_walk
from tao_skill_bank.core.errors import InputError

Opener = Callable[[int, Sequence[str], int, int], int]
OPENERS = [by_walk, *([by_kernel] if beneath.has_openat2() else [])]
FOLDER = os.O_RDONLY | os.O_DIRECTORY


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root that this test is held to, with a file and a folder; `../outside/secret.txt` lies outside."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder/file").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.txt").write_text("hunter2")
    with roots.confined([root]):
        yield root


# -- one step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_beneath_a_folder_is_opened_and_made(root: Path, opener: Opener) -> None:
    at = os.open(root, FOLDER)
    fd = opener(at, ("folder", "file"), os.O_RDONLY, 0)
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    os.close(opener(at, ("folder", "new"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    assert (root / "folder/new").stat().st_mode & 0o777 == 0o600
    fd = opener(at, (), FOLDER, 0)
    assert sorted(os.listdir(fd)) == ["folder"]
    os.close(fd)
    os.close(at)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, FOLDER, os.O_WRONLY | os.O_CREAT, getattr(os, "O_PATH", os.O_RDONLY)])
@pytest.mark.parametrize("name", ["last", "on/the/way", "dangling", "loop"])
def test_no_link_is_followed_wherever_it_stands(root: Path, opener: Opener, flags: int, name: str) -> None:
    (root / "last").symlink_to(root / "folder")
    (root / "on").symlink_to(root.parent / "outside")
    (root / "dangling").symlink_to(root.parent / "outside/made")
    (root / "loop").symlink_to("loop")
    at = os.open(root, FOLDER)
    with pytest.raises(OSError) as caught:
        opener(at, tuple(name.split("/")), flags, 0o666)
    os.close(at)
    assert caught.value.errno == errno.ELOOP
    assert not (root.parent / "outside/made").exists()


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("parts", [("..", "outside", "secret.txt"), ("folder", "..", "..", "outside", "secret.txt")])
def test_no_dots_lead_out(root: Path, opener: Opener, parts: tuple[str, ...]) -> None:
    at = os.open(root, FOLDER)
    with pytest.raises(OSError) as caught:
        opener(at, parts, os.O_RDONLY, 0)
    os.close(at)
    assert caught.value.errno == errno.EXDEV


@pytest.mark.parametrize("opener", OPENERS)
def test_what_is_not_there_is_not_there(root: Path, opener: Opener) -> None:
    at = os.open(root, FOLDER)
    with pytest.raises(FileNotFoundError):
        opener(at, ("folder", "no"), os.O_RDONLY, 0)
    with pytest.raises(NotADirectoryError):
        opener(at, ("folder", "file", "x"), os.O_RDONLY, 0)
    os.close(at)


# -- reading ----------------------------------------------------------------------------------------------


def test_a_file_within_is_read(root: Path) -> None:
    assert guard.read_text(root / "folder/file") == "inside"
    assert guard.names(root) == ["folder"]
    assert guard.is_folder(root / "folder") and guard.is_file(root / "folder/file")
    with guard.open_text(root / "folder/file") as handle:
        assert handle.read() == "inside"


@pytest.mark.parametrize("to", ["folder/file", "{root}/folder/file", "../root/folder/file", "{root}/by/way"])
def test_a_link_is_followed_to_where_the_roots_hold_it(root: Path, to: str) -> None:
    (root / "by").symlink_to("hop")
    (root / "hop").mkdir()
    (root / "hop/way").symlink_to("../folder/file")
    (root / "link").symlink_to(to.format(root=root))
    assert guard.read_text(root / "link") == "inside"
    assert guard.is_file(root / "link")


def test_a_link_into_another_root_is_followed(root: Path) -> None:
    other = root.parent / "outside"
    (root / "link").symlink_to(other)
    with roots.own_files(), roots.confined([root, other]):
        assert guard.read_text(root / "link/secret.txt") == "hunter2"
        assert guard.names(root / "link") == ["secret.txt"]


@pytest.mark.parametrize("how", ["named", "dots", "link", "link to folder", "two links", "link by the system's own"])
def test_what_lies_outside_is_not_read_and_the_folder_to_add_is_named(root: Path, how: str) -> None:
    outside = root.parent / "outside"
    (root / "file").symlink_to(outside / "secret.txt")
    (root / "away").symlink_to(outside)
    (root / "first").symlink_to("away")
    (root / "proc").symlink_to("/proc/self/root")
    path = {
        "named": outside / "secret.txt",
        "dots": root / "folder/../../outside/secret.txt",
        "link": root / "file",
        "link to folder": root / "away/secret.txt.txt",
        "two links": root / "first/secret.txt",
        "link by the system's own": root / "proc" / str(outside)[1:] / "secret.txt",
    }[how]
    for look in (guard.read_bytes, guard.status, guard.is_file, guard.open_text):
        with pytest.raises(roots.OutsideError) as caught:
            look(path)
        assert "hunter2" not in str(caught.value)
        if how != "link by the system's own":
            assert caught.value.folder == outside
            assert f"tao-skills roots add {outside}" in str(caught.value)


def test_a_refusal_tells_nothing_of_where_links_outside_lead(root: Path) -> None:
    (root.parent / "outside/private-name").symlink_to("/srv/customers-secret-project/x")
    (root / "link").symlink_to(root.parent / "outside/private-name")
    with pytest.raises(roots.OutsideError) as caught:
        guard.read_bytes(root / "link")
    assert "customers" not in str(caught.value)


def test_whether_something_outside_is_there_is_not_told(root: Path) -> None:
    said = []
    for name in ("secret.txt", "nothing.txt"):
        with pytest.raises(roots.OutsideError) as caught:
            guard.status(root.parent / "outside" / name)
        said.append(str(caught.value).replace(name, "NAME"))
    assert said[0] == said[1]


def test_a_sibling_with_the_roots_name_as_its_beginning_is_outside(root: Path) -> None:
    (root.parent / "root-private").write_text("x")
    with pytest.raises(roots.OutsideError):
        guard.read_bytes(root.parent / "root-private")


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("what", ["pipe", "socket", "device"])
def test_a_pipe_a_socket_and_a_device_are_refused_at_once(root: Path, what: str, held: bool) -> None:
    path = root / what if what != "device" else Path("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound, contextlib.ExitStack() as stack:
        if what == "pipe":
            os.mkfifo(path)
        elif what == "socket":
            bound.bind(str(path))
        stack.enter_context(roots.own_files())
        if held:
            stack.enter_context(roots.confined([root, Path("/dev")]))
        for look in (guard.read_bytes, guard.open_text):
            with pytest.raises(InputError, match="neither a file nor a folder"):
                look(path)
        assert not guard.is_file(path) and not guard.is_folder(path)
        if what != "device":
            with pytest.raises(InputError):
                guard.open_write(path, "ab")


def test_a_link_to_itself_is_one_line(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="leads to itself"):
        guard.read_bytes(root / "loop")


@pytest.mark.parametrize("name", ["a\0b", "a\0/../b", "\ud800"])
@pytest.mark.parametrize("held", [True, False])
def test_a_text_that_can_be_no_path_leads_to_nothing(root: Path, name: str, held: bool) -> None:
    with roots.confined([root]) if held else contextlib.nullcontext():
        assert not guard.exists(root / name) and not guard.is_file(root / name) and not guard.is_folder(root / name)
        with pytest.raises(InputError, match="is no path"):
            guard.read_bytes(root / name)


def test_without_roots_a_person_opens_what_they_name(root: Path) -> None:
    with roots.own_files():
        assert roots.held() is None
        assert guard.read_text(root.parent / "outside/secret.txt") == "hunter2"


# -- writing ----------------------------------------------------------------------------------------------


def test_files_and_folders_within_are_made(root: Path) -> None:
    guard.make_folder(root / "a/b/c")
    guard.make_folder(root / "a/b/c")
    with guard.open_write(root / "a/b/c/log", "ab") as handle:
        handle.write(b"one\n")
    with guard.open_write(root / "d/e/new", "xb", make=True) as handle:
        handle.write(b"two")
    with guard.open_write(root / "d/e/new", "wb") as handle:
        handle.write(b"3")
    assert (root / "a/b/c/log").read_text() == "one\n" and (root / "d/e/new").read_text() == "3"


@pytest.mark.parametrize("mode", ["ab", "r+b", "xb", "wb"])
@pytest.mark.parametrize("name", ["file", "new", "way/secret.txt", "way/new", "within/file", "twice"])
def test_nothing_is_written_through_a_link(root: Path, name: str, mode: str) -> None:
    outside = root.parent / "outside"
    (root / "file").symlink_to(outside / "secret.txt")
    (root / "new").symlink_to(outside / "new")
    (root / "way").symlink_to(outside)
    (root / "within").symlink_to("folder")
    os.link(outside / "secret.txt", root / "twice")
    with pytest.raises((InputError, FileExistsError)):
        guard.open_write(root / name, mode, make=True)  # type: ignore[arg-type]
    assert sorted(os.listdir(outside)) == ["secret.txt"] and (outside / "secret.txt").read_text() == "hunter2"
    assert (root / "folder/file").read_text() == "inside"


@pytest.mark.parametrize("name", ["way/x", "way", "gone/x"])
def test_no_folder_is_made_through_a_link(root: Path, name: str) -> None:
    (root / "way").symlink_to(root.parent / "outside")
    (root / "gone").symlink_to(root.parent / "outside/gone")
    with pytest.raises(InputError):
        guard.make_folder(root / name)
    assert os.listdir(root.parent / "outside") == ["secret.txt"]


def test_a_file_outside_is_not_written(root: Path) -> None:
    with pytest.raises(roots.OutsideError):
        guard.open_write(root.parent / "outside/x", "ab")
    with pytest.raises(roots.OutsideError):
        guard.make_folder(root.parent / "outside/x")
    with pytest.raises(roots.OutsideError):
        guard.open_write(root / "../outside/x", "ab")


def test_a_lock_is_not_taken_through_a_link(root: Path) -> None:
    (root / "lock").symlink_to(root.parent / "outside/lock")
    with pytest.raises((OSError, InputError)), guard.locked(root / "lock", timeout=1):
        pass
    assert not (root.parent / "outside/lock").exists()


def test_a_folder_that_is_swapped_after_it_was_opened_gets_what_is_written(root: Path) -> None:
    with guard.place(root / "folder/new") as at:
        (root / "folder").rename(root / "moved")
        (root / "folder").symlink_to(root.parent / "outside")
        at.path.write_text("x")
    assert (root / "moved/new").read_text() == "x"
    assert os.listdir(root.parent / "outside") == ["secret.txt"]


def test_a_root_may_be_named_by_a_path_with_links(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    with roots.own_files(), roots.confined([root.parent / "alias"]):
        assert roots.held() == (root,)
        with guard.open_write(root.parent / "alias/folder/new", "ab") as handle:
            handle.write(b"x")
        assert guard.read_text(root.parent / "alias/folder/new") == "x"


# -- which roots ------------------------------------------------------------------------------------------


def test_roots_within_roots_only_narrow(root: Path) -> None:
    (root / "other").mkdir()
    with roots.confined([root / "folder", root.parent / "outside"]):
        assert roots.held() == (root / "folder",)
        with roots.confined([root]):
            assert roots.held() == (root / "folder",)
    assert roots.held() == (root,)


def test_a_root_within_another_is_not_one_of_its_own(root: Path) -> None:
    assert roots.outermost([root / "folder", root, root / "folder"]) == (root,)


def test_a_child_is_held_to_the_roots_of_its_parent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = roots.environment()
    monkeypatch.setenv(roots.VARIABLE, said[roots.VARIABLE])
    assert contextvars.Context().run(roots.held) == (root,)


@pytest.mark.parametrize("said", ["", "[]", "{}", "7", "/tmp", '["relative"]', "[3]"])
def test_roots_that_cannot_be_read_allow_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(roots.VARIABLE, said)
    assert contextvars.Context().run(roots.held) == ()
