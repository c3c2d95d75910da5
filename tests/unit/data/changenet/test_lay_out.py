"""A workspace out of folders of pictures: labels, goldens, boards, names, and what is refused."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import re
import shlex
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tao_skill_bank.commands.workspace import cli
from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.lay_out import SETS, SHARES, Sample, draw_sets, lay_out
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.data.changenet.layout_write import scratch
from tao_skill_bank.data.changenet.spec import classify_spec, load_spec, spec_faults
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.changenet.validate import check_dataset, check_leakage


def picture(path: Path, size: int = 20, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size, size), len(str(path)) % 200).save(path)
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Twelve boards of one good and one bad part, each with a golden of its own name."""
    for board in range(12):
        name = f"cam 1, {board:04d}.png"
        picture(tmp_path / f"export/Good/P{board}/{name}")
        picture(tmp_path / f"export/{'Pin Hole' if board % 2 else 'open'}/P{board}/x{name}")
        picture(tmp_path / f"goldens/P{board}/{name}")
        picture(tmp_path / f"goldens/P{board}/x{name}")
    return tmp_path


def test_folders_of_a_stranger_become_a_workspace_that_passes_every_check(export: Path) -> None:
    made = lay_out(export / "export", export / "goldens", export / "w")
    layout = Workspace(export / "w")
    spec = classify_spec(load_spec(layout.spec), layout.spec)
    assert spec_faults(load_spec(layout.spec)) == []
    assert (spec.lights, spec.image_ext, spec.raw["dataset"]["classify"]["image_width"]) == ((), ".png", 64)
    reports = {}
    for path, kind in ((layout.training_csv, "train"), (layout.kpi_csv, "kpi"), (layout.acceptance_csv, "acceptance")):
        reports[kind] = check_dataset(path, spec.naming, kind=kind, images_dir=layout.images_dir)  # type: ignore[arg-type]
        assert reports[kind].ok, reports[kind].faults
    assert check_leakage([reports["train"]], [reports["kpi"], reports["acceptance"]]) == []
    assert set(made.sets) == set(SETS)
    assert sum(sum(labels.values()) for labels in made.sets.values()) == 24
    assert {label for labels in made.sets.values() for label in labels} == {"PASS", "pin_hole", "open"}
    assert made.boards == 12
    assert not [name for name in os.listdir(export) if name.startswith(".")]


def test_the_same_folders_give_the_same_workspace(export: Path) -> None:
    for name in ("one", "two"):
        lay_out(export / "export", export / "goldens", export / name)
    files = [sorted(p.relative_to(export / n) for p in (export / n).rglob("*.*")) for n in ("one", "two")]
    assert files[0] == files[1]
    assert all((export / "one" / f).read_bytes() == (export / "two" / f).read_bytes() for f in files[0])


def test_a_part_under_several_lightings_is_one_row(tmp_path: Path) -> None:
    for board in range(8):
        for label in ("ok", "bridge"):
            for light in ("Solder", "White"):
                picture(tmp_path / f"p/{label}/B{board}/U_3_{light}.jpg")
    for light in ("Solder", "White"):
        picture(tmp_path / f"g/U_3_{light}.jpg")
    lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=("Solder", "White"), shares=(4, 2, 4, 0, 0))
    layout = Workspace(tmp_path / "w")
    spec = classify_spec(load_spec(layout.spec), layout.spec)
    assert (spec.lights, spec.image_ext) == (("Solder", "White"), ".jpg")
    assert spec_faults(load_spec(layout.spec)) == []
    table = read_pairs(layout.kpi_csv)
    assert set(table.object_name) == {"U_3"}
    for row in range(len(table)):
        for folder in (table.input_path[row], table.golden_path[row]):
            for file in spec.naming.files(tmp_path / "w/images", folder, "U_3"):
                assert file.is_file()
    assert not layout.acceptance_csv.exists()
    assert not layout.pool_csv.exists()


@pytest.mark.parametrize("golden", ["P{0}/c.png", "ok/P{0}/c.png", "c.png", "P{0}.png", "anything.png"])
def test_a_golden_is_found_under_the_name_of_its_picture_or_its_folder_or_alone(tmp_path: Path, golden: str) -> None:
    for board in range(6):
        picture(tmp_path / f"p/ok/P{board}/c.png")
        picture(tmp_path / f"p/open/P{board}/c.png")
        picture(tmp_path / "g" / golden.format(board))
        if golden.startswith("ok/"):
            picture(tmp_path / "g" / golden.format(board).replace("ok/", "open/"))
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", shares=(1, 1, 1, 0, 0))
    assert sum(sum(labels.values()) for labels in made.sets.values()) == 12


def test_goldens_in_a_folder_beside_the_labels_are_no_label(export: Path) -> None:
    (export / "goldens").rename(export / "export/golden")
    made = lay_out(export / "export", export / "export/golden", export / "w")
    assert {label for labels in made.sets.values() for label in labels} == {"PASS", "pin_hole", "open"}


def test_pictures_of_several_formats_are_made_png_and_the_originals_stay(export: Path) -> None:
    old = picture(export / "export/open/P0/scan.bmp")
    picture(export / "goldens/P0/scan.tif", mode="CMYK")
    before = old.read_bytes()
    lay_out(export / "export", export / "goldens", export / "w")
    for side in ("captures", "golden"):
        with Image.open(export / f"w/images/{side}/open/P0/scan.png") as image:
            assert (image.format, image.size) == ("PNG", (20, 20))
    assert old.read_bytes() == before


def test_the_board_can_be_read_from_the_file_name(tmp_path: Path) -> None:
    for n in range(20):
        picture(tmp_path / f"p/{'ok' if n % 2 else 'open'}/B{n // 4}_{n}.png")
    picture(tmp_path / "g/golden.png")
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", board=r"(B\d+)_", shares=(1, 1, 1, 0, 0))
    assert made.boards == 5
    seen: dict[str, set[str]] = defaultdict(set)
    layout = Workspace(tmp_path / "w")
    for path in (layout.training_csv, layout.validation_csv, layout.kpi_csv):
        for name in read_pairs(path).object_name:
            seen[name.split("_")[0]].add(path.name)
    assert all(len(sets) == 1 for sets in seen.values())


def test_what_cannot_be_laid_out_is_one_line_and_leaves_nothing(export: Path) -> None:
    pictures, goldens, to = export / "export", export / "goldens", export / "w"

    def refused(**more: object) -> str:
        given = {"pictures": pictures, "goldens": goldens, "workspace": to, **more}
        with pytest.raises(InputError) as raised:
            lay_out(**given)  # type: ignore[arg-type]
        assert "\n" not in raised.value.line()
        assert not to.exists()
        return raised.value.line()

    assert "no such folder" in refused(pictures=export / "nowhere")
    assert "no pictures in folders of labels" in refused(pictures=goldens / "P0")
    assert "no good parts: the folders are p0, p1" in refused(pictures=goldens, goldens=pictures)
    assert "no defects" in refused(pictures=picture(export / "only/ok/a.png").parent.parent)
    assert "without a lighting" in refused(lightings=("White",))
    assert "not a regular expression" in refused(board="(")
    assert "no board in" in refused(board="never")
    assert "too few boards" in refused(board="Good|open|Pin")
    assert "not 5 shares" in refused(shares=(1, 1, 1))
    assert "pictures and goldens in one folder" in refused(goldens=pictures)
    assert "taken for pictures" in refused(workspace=pictures / "w")
    assert "taken for pictures" in refused(workspace=goldens / "w")
    for shares in ((math.inf, 1, 1, 0, 0), (1e308, 1e308, 1e308, 0, 0), (1, 1, 1, 0, math.nan), (5e-324, 1, 1, 0, 0)):
        assert "not 5 shares" in refused(shares=shares)
    assert "a lighting twice" in refused(lightings=("White", "White"))
    picture(pictures / "NaN/P0/cam 1, 0000.png")
    assert "the label 'nan' for a missing cell" in refused()
    shutil.rmtree(pictures / "NaN")
    second = picture(goldens / "P3/cam 1, 0003.jpg")
    assert "1 with two goldens of one name, first: Good/P3/cam 1, 0003" in refused()
    second.unlink()
    (goldens / "P3/cam 1, 0003.png").unlink()
    assert "1 without a golden, first: Good/P3/cam 1, 0003" in refused()
    picture(pictures / "Good/P3/cam 1, 0003.jpg")
    assert "another format" in refused()
    to.mkdir()
    kept = picture(to / "mine.png")
    with pytest.raises(InputError, match="not an empty folder"):
        lay_out(pictures, goldens, to)
    assert os.listdir(to) == [kept.name]


def test_the_folder_one_stands_in_is_not_replaced(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (export / "w").mkdir()
    monkeypatch.chdir(export / "w")
    with pytest.raises(InputError, match="you stand in"):
        lay_out(export / "export", export / "goldens", Path())
    assert os.listdir(export / "w") == []


def test_a_damaged_picture_is_named_and_leaves_nothing(export: Path) -> None:
    cut = picture(export / "export/open/P0/scan.bmp")
    cut.write_bytes(cut.read_bytes()[:-30])
    picture(export / "goldens/P0/scan.bmp")
    with pytest.raises(InputError, match=r"1 that are no pictures or are damaged, first: .*scan\.bmp: .*truncated"):
        lay_out(export / "export", export / "goldens", export / "w")
    assert sorted(os.listdir(export)) == ["export", "goldens"]


def test_what_only_has_the_name_of_a_picture_is_listed(export: Path) -> None:
    bad = {name: export / f"export/Good/P0/{name}.png" for name in ("empty", "link", "pipe", "text")}
    bad["empty"].touch()
    bad["link"].symlink_to(export / "nowhere.png")
    os.mkfifo(bad["pipe"])
    bad["text"].write_text("no picture")
    for name in bad:
        picture(export / f"goldens/P0/{name}.png")
    (export / "goldens/P1/cam 1, 0001.png").write_bytes(b"")
    with pytest.raises(InputErrors, match="5 that are no pictures") as raised:
        lay_out(export / "export", export / "goldens", export / "w")
    named = {fault.partition(": ")[0] for fault in raised.value.faults}
    assert named == {*map(str, bad.values()), str(export / "goldens/P1/cam 1, 0001.png")}
    assert sorted(os.listdir(export)) == ["export", "goldens"]


def test_names_that_a_csv_cannot_hold_are_listed(export: Path) -> None:
    for folder in (b"export/open", b"goldens"):
        picture(export / "seed.png").rename(os.fsdecode(os.fsencode(export) + b"/" + folder + b"/P0/\xff.png"))
    with pytest.raises(InputErrors, match="UTF-8") as raised:
        lay_out(export / "export", export / "goldens", export / "w")
    assert raised.value.faults == ["open/P0/\\xff.png", "P0/\\xff.png"]
    assert sorted(os.listdir(export)) == ["export", "goldens"]


def test_links_that_lead_back_are_walked_once_and_names_with_a_dot_in_front_passed_over(export: Path) -> None:
    for name in ("one", "two"):
        (export / f"export/open/P0/{name}").symlink_to(export / "export")
    picture(export / "export/.thumbnails/a.png")
    made = lay_out(export / "export", export / "goldens", export / "w")
    assert sum(sum(labels.values()) for labels in made.sets.values()) == 24


def test_pictures_in_a_folder_beside_the_goldens_are_no_goldens(export: Path) -> None:
    (export / "export").rename(export / "goldens/captures")
    made = lay_out(export / "goldens/captures", export / "goldens", export / "w")
    assert sum(sum(labels.values()) for labels in made.sets.values()) == 24


def test_endings_of_one_format_are_linked_not_written_anew(tmp_path: Path) -> None:
    for board in range(6):
        for label in ("ok", "open"):
            picture(tmp_path / f"p/{label}/P{board}/c.{'JPG' if board % 2 else 'jpeg'}")
    picture(tmp_path / "g/golden.jpg")
    lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", shares=(1, 1, 1, 0, 0))
    assert (tmp_path / "w/images/captures/open/P1/c.jpg").samefile(tmp_path / "p/open/P1/c.JPG")
    assert (tmp_path / "w/images/captures/open/P2/c.jpg").samefile(tmp_path / "p/open/P2/c.jpeg")


@pytest.mark.parametrize("lights", [("on", "off"), ("1", "2"), ("Light", "White_Light")])
def test_lightings_are_names_whatever_yaml_takes_them_for(tmp_path: Path, lights: tuple[str, ...]) -> None:
    for board in range(6):
        for label in ("ok", "open"):
            for light in lights:
                picture(tmp_path / f"p/{label}/P{board}/U_{light}.png")
    for light in lights:
        picture(tmp_path / f"g/U_{light}.png")
    lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=lights, shares=(1, 1, 1, 0, 0))
    layout = Workspace(tmp_path / "w")
    spec = classify_spec(load_spec(layout.spec), layout.spec)
    assert spec.lights == lights
    assert check_dataset(layout.kpi_csv, spec.naming, kind="kpi", images_dir=layout.images_dir).ok


def test_a_call_that_was_killed_is_cleared_away_by_the_next_and_one_that_goes_on_is_not(export: Path) -> None:
    with scratch(export / "w") as working:
        picture(working / "a.png")
        killed = picture(export / ".w.gone.part/images/a.png").parents[1]
        lay_out(export / "export", export / "goldens", export / "w")
        assert not killed.exists()
        assert (working / "a.png").is_file()


def refused(_fd: int, _how: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("flock", [refused, lambda _fd, _how: None], ids=["are not there", "are had by everybody"])
def test_where_locks_tell_nothing_a_call_that_goes_on_keeps_its_folder_and_the_next_one_works(
    flock: Callable[[int, int], None], export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", flock)
    with scratch(export / "w") as working:
        picture(working / "a.png")
        lay_out(export / "export", export / "goldens", export / "w")
        assert (working / "a.png").is_file()


def test_a_folder_that_another_call_clears_before_it_is_locked_is_made_again(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, made = fcntl.flock, tempfile.mkdtemp

    def cleared(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        shutil.rmtree(next(export.glob(".w.*.part")))
        flock(fd, how)

    def cleared_at_once(**names: str) -> str:
        monkeypatch.setattr(tempfile, "mkdtemp", made)
        monkeypatch.setattr(fcntl, "flock", cleared)
        shutil.rmtree(gone := made(**names))
        return gone

    monkeypatch.setattr(tempfile, "mkdtemp", cleared_at_once)
    with scratch(export / "w") as working:
        assert working.is_dir()


def test_an_empty_folder_or_a_link_to_one_is_filled(export: Path) -> None:
    (export / "real").mkdir()
    (export / "link").symlink_to(export / "real")
    lay_out(export / "export", export / "goldens", export / "link")
    assert Workspace(export / "real").spec.is_file()
    assert (export / "link").is_symlink()


def test_every_picture_without_a_golden_is_listed(export: Path) -> None:
    for file in (export / "goldens").rglob("x*.png"):
        file.unlink()
    with pytest.raises(InputErrors) as raised:
        lay_out(export / "export", export / "goldens", export / "w")
    assert len(raised.value.faults) == 12


@given(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(["PASS", "a", "b"])), min_size=1, max_size=120),
    st.tuples(*[st.floats(0.05, 1.0)] * 3, *[st.sampled_from([0.0, 0.2])] * 2),
)
def test_every_sample_is_in_one_set_and_no_board_in_two(rows: list[tuple[int, str]], shares: tuple[float, ...]) -> None:
    samples = [Sample(label, label, str(i), f"b{board}", (), ()) for i, (board, label) in enumerate(rows)]
    sets = draw_sets(samples, shares)
    assert sorted(s.name for drawn in sets.values() for s in drawn) == sorted(s.name for s in samples)
    where = defaultdict(set)
    for name, drawn in sets.items():
        for sample in drawn:
            where[sample.board].add(name)
    assert all(len(names) == 1 for names in where.values())
    assert set(sets) == {name for name, share in zip(SETS, shares, strict=True) if share > 0}


def test_single_boards_are_spread_by_the_shares_label_by_label() -> None:
    samples = [Sample(label, label, str(i), f"{label}{i}", (), ()) for label in ("PASS", "rare") for i in range(40)]
    sets = draw_sets(samples, SHARES)
    for name, share in zip(SETS, SHARES, strict=True):
        for label in ("PASS", "rare"):
            assert abs(sum(s.label == label for s in sets[name]) - 40 * share) <= 1


def test_the_next_line_can_be_pasted_whatever_the_folder_is_called(export: Path) -> None:
    to = export / "my data's W"
    done = CliRunner().invoke(cli, [str(export / "export"), "--goldens", str(export / "goldens"), "--to", str(to)])
    assert done.exit_code == 0
    next_step = done.stdout.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(next_step)[:5] == ["tao-skills", "deft", "plan", "--workspace", str(to)]


# -- boards --


def flat(root: Path, boards: int = 20, names: str = "B{0:02d}_{1}") -> Path:
    """Boards of two good and one bad part whose pictures lie in the folders of their labels."""
    for board in range(boards):
        for part, label in (("C1", "Pass"), ("C2", "Pass"), ("D1", "bad")):
            picture(root / f"p/{label}/{names.format(board, part)}.png")
    picture(root / "g/golden.png")
    return root


def sets_of(root: Path, find: str) -> dict[str, set[str]]:
    layout = Workspace(root)
    found: dict[str, set[str]] = defaultdict(set)
    for path in (layout.training_csv, layout.validation_csv, layout.kpi_csv, layout.acceptance_csv, layout.pool_csv):
        for name in read_pairs(path).object_name:
            met = re.search(find, name)
            assert met is not None
            found[met[0]].add(path.name)
    return found


def test_without_folders_or_a_pattern_no_board_is_claimed_and_one_is_proposed(tmp_path: Path) -> None:
    made = lay_out(flat(tmp_path) / "p", tmp_path / "g", tmp_path / "w")
    assert made.boards is None and made.proposal is not None
    torn = sum(len(sets) > 1 for sets in sets_of(tmp_path / "w", "^B[0-9]+").values())
    assert (made.proposal.boards, made.proposal.smallest, made.proposal.largest) == (20, 3, 3)
    assert made.proposal.torn == torn > 0
    said = made.lines()[-1]
    assert said.startswith("warning: boards are not known") and f"--board {made.proposal.quoted()}" in said
    assert "none of them in two sets" not in "\n".join(made.lines())
    assert "board" not in read_pairs(Workspace(tmp_path / "w").kpi_csv).names


def test_the_proposed_pattern_lays_out_by_board_and_the_csvs_say_which(tmp_path: Path) -> None:
    first = lay_out(flat(tmp_path) / "p", tmp_path / "g", tmp_path / "w")
    assert first.proposal is not None
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "again", board=first.proposal.pattern)
    assert made.lines()[-1] == "20 boards, none of them in two sets"
    assert all(len(sets) == 1 for sets in sets_of(tmp_path / "again", "^B[0-9]+").values())
    table = read_pairs(Workspace(tmp_path / "again").kpi_csv)
    assert table.column("board") == [name.split("_")[0] for name in table.object_name]


@pytest.mark.parametrize(
    ("names", "boards"),
    [("2024-03_B{0:02d}_{1}", 20), ("panel-{0:03d}-{1}", 20), ("P{0:03d}{1}x", 20), ("{0:04d}_{1}", 20)],
)
def test_usual_ways_to_name_a_board_are_proposed(tmp_path: Path, names: str, boards: int) -> None:
    made = lay_out(flat(tmp_path, names=names) / "p", tmp_path / "g", tmp_path / "w")
    assert made.proposal is not None and made.proposal.boards == boards


@pytest.mark.parametrize("names", ["{1}_{0:05d}", "img_{0}{1}", "{1}{0:05d}"])
def test_names_that_share_no_beginning_propose_nothing(tmp_path: Path, names: str) -> None:
    made = lay_out(flat(tmp_path, names=names) / "p", tmp_path / "g", tmp_path / "w")
    assert made.boards is None
    assert made.proposal is None or made.proposal.boards < 20


def test_a_folder_below_each_label_is_a_board_and_one_picture_beside_them_makes_boards_unknown(export: Path) -> None:
    made = lay_out(export / "export", export / "goldens", export / "w")
    assert made.lines()[-1] == "12 boards, none of them in two sets"
    assert read_pairs(Workspace(export / "w").training_csv).column("board")[0].startswith("P")
    picture(export / "export/open/lone.png")
    picture(export / "goldens/lone.png")
    assert lay_out(export / "export", export / "goldens", export / "w2").boards is None


# -- lightings --


def lit(root: Path, lights: tuple[str, ...], boards: int = 8) -> Path:
    for board in range(boards):
        for label in ("ok", "bridge"):
            for light in lights:
                picture(root / f"p/{label}/B{board}/U3_{light}.png")
    for light in lights:
        picture(root / f"g/U3_{light}.png")
    return root


LIGHTS = ("LowAngle", "Side", "SolderLight", "WhiteLight")


def test_a_part_that_lacks_a_lighting_is_named_with_what_it_lacks_and_the_way_out(tmp_path: Path) -> None:
    lit(tmp_path, LIGHTS)
    (tmp_path / "p/bridge/B3/U3_Side.png").unlink()
    with pytest.raises(InputErrors) as raised:
        lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=LIGHTS)
    assert raised.value.faults == ["bridge/B3/U3 has no picture of Side"]
    assert "add what is missing, or leave these out with --leave-out-incomplete" in raised.value.line()
    assert "--lightings" not in raised.value.line()


def test_incomplete_parts_are_left_out_when_asked_and_counted(tmp_path: Path) -> None:
    lit(tmp_path, LIGHTS)
    (tmp_path / "p/bridge/B3/U3_Side.png").unlink()
    cut = tmp_path / "p/ok/B1/U3_WhiteLight.png"
    cut.write_bytes(cut.read_bytes()[:60])
    picture(tmp_path / "p/ok/B1/overview.png")
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=LIGHTS, leave_out_incomplete=True)
    assert len(made.left_out) == 3
    assert "left out    3 incomplete, first: bridge/B3/U3 has no picture of Side" in made.lines()
    assert any("overview.png ends in none of" in line for line in made.left_out)
    assert any(str(cut) in line for line in made.left_out)
    assert sum(sum(labels.values()) for labels in made.sets.values()) == 14
    layout = Workspace(tmp_path / "w")
    spec = classify_spec(load_spec(layout.spec), layout.spec)
    for path in (layout.training_csv, layout.kpi_csv):
        assert check_dataset(path, spec.naming, kind="pool", images_dir=layout.images_dir).ok


def test_a_golden_that_lacks_one_lighting_is_no_missing_golden(tmp_path: Path) -> None:
    lit(tmp_path, LIGHTS)
    (tmp_path / "g/U3_WhiteLight.png").unlink()
    with pytest.raises(InputErrors, match="16 that lack a lighting") as raised:
        lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=LIGHTS)
    assert raised.value.faults[0].endswith("has no golden of WhiteLight")


def test_nothing_is_laid_out_where_no_part_is_whole(tmp_path: Path) -> None:
    lit(tmp_path, LIGHTS)
    for file in (tmp_path / "g").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="no part is whole, first: bridge/B0/U3"):
        lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", lightings=LIGHTS, leave_out_incomplete=True)


def test_forgotten_lightings_are_named_from_the_file_names(tmp_path: Path) -> None:
    lit(tmp_path, LIGHTS)
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w")
    (said,) = made.warnings
    assert "16 times 4 pictures have one name but for LowAngle, Side, SolderLight, WhiteLight" in said
    assert "--lightings LowAngle,Side,SolderLight,WhiteLight" in said
    assert not lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w2", lightings=LIGHTS).warnings


def test_parts_of_a_board_are_not_taken_for_lightings(tmp_path: Path) -> None:
    assert not lay_out(flat(tmp_path) / "p", tmp_path / "g", tmp_path / "w").warnings


def test_folders_that_spell_one_defect_twice_are_named(export: Path) -> None:
    for board in range(4):
        picture(export / f"export/pin-hole/P{board}/x.png")
        picture(export / f"goldens/P{board}/x.png")
    made = lay_out(export / "export", export / "goldens", export / "w")
    assert made.warnings == ("one defect under two names? 'pin-hole' (4 rows) beside 'pin_hole' (6 rows)",)


# -- pictures that TAO would misread --


def test_captures_with_an_exif_orientation_are_laid_out_upright_in_their_own_format(tmp_path: Path) -> None:
    pixels = np.zeros((16, 48), np.uint8)
    pixels[:, :24] = 200
    for board in range(6):
        for label in ("ok", "open"):
            path = tmp_path / f"p/{label}/B{board}/c.jpg"
            path.parent.mkdir(parents=True)
            exif = Image.Exif()
            exif[0x0112] = 6
            turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
            turned.save(path, exif=exif.tobytes(), quality=90)
    (tmp_path / "g").mkdir()
    Image.fromarray(pixels).save(tmp_path / "g/golden.jpg", quality=90)
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", shares=(1, 1, 1, 0, 0))
    assert "upright     12 pictures turned by their EXIF orientation, which TAO ignores" in made.lines()
    with (
        Image.open(tmp_path / "w/images/captures/ok/B0/c.jpg") as image,
        Image.open(tmp_path / "g/golden.jpg") as golden,
    ):
        assert (image.format, image.size, image.getexif().get(0x0112)) == ("JPEG", (48, 16), None)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(golden).astype(int)).max() < 12
    assert (tmp_path / "w/images/golden/ok/B0/c.jpg").samefile(tmp_path / "g/golden.jpg")


def test_twelve_bit_captures_are_scaled_to_eight_by_one_factor_and_the_originals_stay(tmp_path: Path) -> None:
    values = np.arange(0, 1024, dtype=np.uint16).reshape(32, 32)
    for board in range(6):
        for label, factor in (("ok", 3), ("open", 1)):
            path = tmp_path / f"p/{label}/B{board}/c.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(values * factor).save(path)
    (tmp_path / "g").mkdir()
    Image.fromarray(values).save(tmp_path / "g/golden.png")
    made = lay_out(tmp_path / "p", tmp_path / "g", tmp_path / "w", shares=(1, 1, 1, 0, 0))
    assert "8 bits      13 pictures scaled from 12 bits by one factor" in "\n".join(made.lines())
    for label, factor in (("ok", 3), ("open", 1)):
        with Image.open(tmp_path / f"w/images/captures/{label}/B2/c.png") as image:
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), (values * factor) >> 4)
    with Image.open(tmp_path / "p/ok/B2/c.png") as image:
        assert np.array_equal(np.asarray(image), values * 3)
