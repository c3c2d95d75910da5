from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.images import FolderIndex, ImageNaming, look_up, place, root_candidates
from tao_skill_bank.data.changenet.tables import PairTable

NAMING = ImageNaming(("SolderLight", "WhiteLight"), ".png")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def table_of(*rows: tuple[str, str, str], path: Path = Path("t.csv")) -> PairTable:
    return PairTable(
        path,
        {
            "input_path": [r[0] for r in rows],
            "golden_path": [r[1] for r in rows],
            "label": ["PASS"] * len(rows),
            "object_name": [r[2] for r in rows],
        },
    )


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[str, str, str], None]:
    def put(root: str, folder: str, name: str) -> None:
        touch(*NAMING.files(tmp_path / root, folder, name))

    return put


def test_files_are_one_a_light_in_key_order() -> None:
    assert NAMING.files(Path("/w"), "a/b/", "C1") == [
        Path("/w/a/b/C1_SolderLight.png"),
        Path("/w/a/b/C1_WhiteLight.png"),
    ]


def test_without_lights_the_name_has_no_suffix() -> None:
    assert ImageNaming((), ".jpg").files(Path("/w"), "a", "C1") == [Path("/w/a/C1.jpg")]


def test_the_first_root_that_has_every_row_is_taken(tmp_path: Path, stage: Callable[..., None]) -> None:
    stage("images", "a", "C1")
    stage("images", "g", "C1")
    stage("work", "a", "C1")
    stage("work", "g", "C1")
    table = table_of(("a/", "g/", "C1"))
    assert place(table, NAMING, [tmp_path / "images", tmp_path / "work"]).root == tmp_path / "images"
    assert place(table, NAMING, [tmp_path / "none", tmp_path / "work"]).root == tmp_path / "work"


def test_rows_that_resolve_only_under_different_roots_are_mixed(tmp_path: Path, stage: Callable[..., None]) -> None:
    for root, folder in (("images", "a"), ("images", "g"), ("work", "b"), ("work", "g")):
        stage(root, folder, "C1")
    table = table_of(("a", "g", "C1"), ("b", "g", "C1"))
    with pytest.raises(InputErrors, match="mixes roots") as error:
        place(table, NAMING, [tmp_path / "images", tmp_path / "work"])
    assert error.value.faults == [f"row 2: resolves under {tmp_path / 'work'}"]


def test_a_file_missing_for_one_lighting_is_named(tmp_path: Path, stage: Callable[..., None]) -> None:
    stage("images", "a", "C1")
    stage("images", "g", "C1")
    gone = tmp_path / "images/g/C1_WhiteLight.png"
    gone.unlink()
    with pytest.raises(InputErrors, match="1 image file missing") as error:
        place(table_of(("a", "g", "C1")), NAMING, [tmp_path / "images"])
    assert error.value.faults == [f"row 1: golden {gone} is missing"]


def test_a_folder_in_the_place_of_an_image_and_a_broken_link_are_missing(tmp_path: Path) -> None:
    naming = ImageNaming((), ".png")
    (tmp_path / "a/C1.png").mkdir(parents=True)
    (tmp_path / "a/C2.png").symlink_to(tmp_path / "nowhere.png")
    touch(tmp_path / "a/C3.png")
    found = look_up(table_of(*[("a", "a", f"C{i}") for i in (1, 2, 3)]), naming, tmp_path, "input_path", FolderIndex())
    assert found.found[0].to_pylist() == [False, False, True]


def test_an_object_name_with_a_slash_is_looked_up_below_the_folder(tmp_path: Path) -> None:
    naming = ImageNaming((), ".png")
    touch(tmp_path / "a/deep/er/C1.png", tmp_path / "a/C1.png")
    table = table_of(("a/", "a", "deep/er/C1"), ("a/", "a", "C1"), ("a", "a", "deep/C1"))
    found = look_up(table, naming, tmp_path, "input_path", FolderIndex())
    assert found.found[0].to_pylist() == [True, True, False]
    assert found.resolved[0].to_pylist() == [str(tmp_path / "a/deep/er/C1.png"), str(tmp_path / "a/C1.png"), None]


def test_resolving_sees_through_links_of_folders_and_files(tmp_path: Path) -> None:
    naming = ImageNaming((), ".png")
    touch(tmp_path / "real/C1.png")
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/C9.png").symlink_to("../real/C1.png")
    table = table_of(("real", "x", "C1"), ("alias/", "x", "C1"), ("b", "x", "C9"), ("./b/../real//", "x", "C1"))
    found = look_up(table, naming, tmp_path, "input_path", FolderIndex())
    assert set(found.resolved[0].to_pylist()) == {os.path.realpath(tmp_path / "real/C1.png")}


def test_dots_behind_a_link_follow_the_link(tmp_path: Path) -> None:
    naming = ImageNaming((), ".png")
    touch(tmp_path / "far/real/C1.png", tmp_path / "far/deep/x.png", tmp_path / "real/C2.png")
    (tmp_path / "b").symlink_to("far/deep")
    table = table_of(("b/../real", "x", "C1"), ("b/../real", "x", "C2"))
    found = look_up(table, naming, tmp_path, "input_path", FolderIndex())
    assert found.found[0].to_pylist() == [True, False]


def test_a_folder_is_listed_once_however_it_is_written(tmp_path: Path) -> None:
    touch(*NAMING.files(tmp_path, "a", "C1"))
    index = FolderIndex()
    place(table_of(("a", "a/", "C1"), ("./a", "a//", "C1")), NAMING, [tmp_path, tmp_path], index)
    assert index.scans == 1


def test_a_name_that_no_file_system_takes_is_missing_not_a_crash(tmp_path: Path) -> None:
    found = look_up(table_of(("a\0b", "x" * 5000, "C1")), NAMING, tmp_path, "input_path", FolderIndex())
    assert not found.complete()


def test_an_absolute_path_stands_for_itself(tmp_path: Path, stage: Callable[..., None]) -> None:
    stage("elsewhere", "a", "C1")
    here = str(tmp_path / "elsewhere/a")
    assert place(table_of((here, here, "C1")), NAMING, [tmp_path / "images"]).root == tmp_path / "images"


def test_no_candidates_is_an_error() -> None:
    with pytest.raises(InputError, match="no folder to look for images in"):
        place(table_of(("a", "b", "C1")), NAMING, [])


def test_candidates_are_tried_as_image_root_workspace_and_own_folder() -> None:
    assert root_candidates(Path("/i"), Path("/w"), Path("/w/train/a.csv")) == [Path("/i"), Path("/w"), Path("/w/train")]
    assert root_candidates(None, None, Path("/w/a.csv")) == [Path("/w")]


NAMES = st.sampled_from(["C1", "C2", "C3", "deep/C1"])
FOLDERS = st.sampled_from(["a", "a/", "./a", "b", "alias", "none", "b/../a"])


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(FOLDERS, NAMES), min_size=1, max_size=8),
    files=st.sets(st.tuples(st.sampled_from(["a", "b", "a/deep"]), st.sampled_from(["C1", "C2", "C3"]))),
    wide=st.booleans(),
)
def test_looking_up_agrees_with_asking_the_file_system_row_by_row(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    files: set[tuple[str, str]],
    wide: bool,
) -> None:
    root = tmp_path_factory.mktemp("look")
    naming = ImageNaming((), ".png")
    for folder in ("a", "b"):
        (root / folder).mkdir()
    for folder, name in files:
        touch(root / folder / f"{name}.png")
    (root / "alias").symlink_to("a")
    # Many folders and names make the search sparse, which takes another way.
    more = [(f"far{i}", f"X{i}") for i in range(60)] if wide else []
    table = table_of(*[(folder, "g", name) for folder, name in [*rows, *more]])
    sought = look_up(table, naming, root, "input_path", FolderIndex())
    paths = [naming.files(root, folder, name)[0] for folder, name in [*rows, *more]]
    assert sought.found[0].to_pylist() == [path.is_file() for path in paths]
    assert sought.resolved[0].to_pylist() == [os.path.realpath(p) if p.is_file() else None for p in paths]
    there = [i for i, path in enumerate(paths) if path.is_file()]
    kept = look_up(table.take(there), naming, root, "input_path", FolderIndex())
    real = [os.path.realpath(paths[i]) for i in there]
    numbers = kept.identity().tolist()
    assert [[a == b for b in numbers] for a in numbers] == [[a == b for b in real] for a in real]
