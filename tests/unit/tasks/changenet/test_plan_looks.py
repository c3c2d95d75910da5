"""A plan that looks: faults planted into drawn boards, what it finds of them, and nothing in the clean ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image
from planted import COPYINGS, SETS, Planted, as_jpeg, deepen, near_copy, turn

from tao_skill_bank import runs
from tao_skill_bank.core.errors import InputErrors, StageFailedError
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.loop.request import PreFlight
from tao_skill_bank.tasks.changenet.looks import board_finding, require_sound
from tao_skill_bank.tasks.registry import load_state


@pytest.fixture
def clean(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "w")


def plan(planted: Planted, *settings: str) -> PreFlight:
    # What sets of this size can show.
    target = "FAR < 15% at recall=70%"
    return runs.plan_run(tiny.request(planted.root, target, settings=("anomalygen.mode=local_standin", *settings)))


def check(summary: PreFlight, name: str) -> Any:
    (found,) = [c for c in summary.checks if c.name == name]
    return found


def faults(planted: Planted, *settings: str) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        plan(planted, *settings)
    return caught.value.faults


LOOKS = (
    *("boards", "pictures", "orientation", "shapes", "kinds", "lightings", "contents"),
    *("repeated rows", "equal pictures", "near copies"),
)


def test_the_clean_set_is_not_warned_of_and_every_check_says_how_much_it_looked_at(clean: Planted) -> None:
    summary = plan(clean)
    assert summary.warnings == []
    total = 2 * 2 * sum(rows for _, rows in SETS.values())
    assert f"{total:,} pictures" in check(summary, "pictures").text
    assert f"{total:,} decode" in check(summary, "pictures").text
    assert "64 x 64" in check(summary, "pictures").text and "PNG L, 8 bit" in check(summary, "pictures").text
    for name in LOOKS:
        assert check(summary, name).status == "ok"
        assert any(c.isdigit() for c in check(summary, name).text) or name == "lightings"


def test_a_kpi_set_of_one_defect_is_warned_of(clean: Planted) -> None:
    for row in clean.rows["KPI"][1:]:
        row["label"] = "PASS"
    clean.write("KPI")
    said = check(plan(clean), "set sizes")
    assert said.status == "warn" and said.text.endswith("KPI 1 defect: recall ≥ 5 % (≥ 70 % takes 9)")


def test_a_plan_writes_nothing_into_the_workspace(clean: Planted) -> None:
    before = sorted(clean.root.rglob("*"))
    plan(clean)
    assert sorted(clean.root.rglob("*")) == before


def test_a_truncated_picture_is_refused_with_row_file_and_reason(clean: Planted) -> None:
    for name, row, side in (("training", 4, "image"), ("KPI", 7, "golden"), ("mining pool", 2, "image")):
        path = clean.file(name, row, side)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = faults(clean)
    assert len(found) == 3
    for line, (name, row, noun) in zip(
        found, (("training", 4, "image"), ("KPI", 7, "golden"), ("mining pool", 2, "image")), strict=True
    ):
        assert line.startswith(f"{clean.root / SETS[name][0]}: row {row + 1}: {noun} ")
        assert "cannot be read as an image" in line


def test_a_truncated_jpeg_is_refused_in_the_plan(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", ext=".jpg", lights=("SolderLight",))
    assert plan(planted).warnings == []
    path = planted.file("acceptance", 5)
    path.write_bytes(path.read_bytes()[:-300])
    (line,) = faults(planted)
    assert f"row 6: image {path} cannot be read as an image: " in line


def test_an_empty_file_and_one_that_is_no_picture_are_refused(clean: Planted) -> None:
    clean.file("training", 1).write_bytes(b"")
    clean.file("validation", 1).write_text("<html>not found</html>")
    found = faults(clean)
    assert len(found) == 2 and all("no known image format" in line for line in found)


def test_a_golden_of_many_rows_is_one_fault_that_says_how_many(clean: Planted) -> None:
    for row in clean.rows["KPI"]:
        row["golden_path"], row["object_name"] = "golden/one/", row["object_name"]
    for row in range(len(clean.rows["KPI"])):
        for light in clean.lights:
            target = clean.file("KPI", row, "golden", light)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clean.file("training", 0, "golden", light), target)
    clean.rows["KPI"][3]["object_name"] = clean.rows["KPI"][2]["object_name"]
    for light in clean.lights:
        clean.file("KPI", 3, "image", light)
    clean.write("KPI")
    clean.file("KPI", 2, "golden").write_bytes(b"")
    # Rows 3 and 4 name one golden; their captures stand in folders of their own.
    for light in clean.lights:
        source = clean.root / "images" / clean.rows["KPI"][3]["input_path"] / f"C3_{light}.png"
        source.rename(clean.file("KPI", 3, "image", light))
    (line,) = [x for x in faults(clean) if "golden" in x]
    assert "row 3: golden" in line and "(in 2 rows)" in line


@pytest.mark.parametrize(("scale", "top"), [(16, 4080), (257, 65535)])
def test_twelve_and_sixteen_bit_captures_are_refused_with_their_range_and_the_remedy(
    clean: Planted, scale: int, top: int
) -> None:
    for row in range(10):
        for path in clean.files("KPI", row):
            deepen(path, scale)
    (line,) = faults(clean)
    assert "20 of 144 pictures hold values up to" in line and "TAO cuts off all above 255" in line
    assert "row 1 of the KPI set" in line and "convert them to 8 bits" in line


def test_eight_bits_in_sixteen_bit_files_are_fine(clean: Planted) -> None:
    for row in range(5):
        for path in (*clean.files("training", row), *clean.files("training", row, "golden")):
            deepen(path, 1)
    assert plan(clean).warnings == []


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_counted_and_pairs_that_it_tears_apart_too(clean: Planted, orientation: int) -> None:
    for row in range(7):
        for path in clean.files("KPI", row):
            turn(path, orientation)
    for path in (*clean.files("training", 2), *clean.files("training", 2, "golden")):
        turn(path, orientation)
    said = check(plan(clean), "orientation")
    assert said.status == "warn"
    assert said.text.startswith("18 pictures (training 4, KPI 14) carry an EXIF orientation")
    assert "in 14 pairs picture and golden differ by it" in said.text
    assert "neither TAO's loader nor the local network applies" in said.text


def test_a_capture_that_was_turned_in_its_pixels_is_told_by_its_shape(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", lights=("SolderLight",))
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            for side in ("image", "golden"):
                path = planted.file(name, row, side)
                Image.open(path).resize((96, 64)).save(path)
    assert plan(planted).warnings == []
    for row in range(3):
        path = planted.file("acceptance", row)
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    said = check(plan(planted), "shapes")
    assert said.status == "warn" and said.text.startswith("in 3 pairs (acceptance 3)")
    assert "64 x 96 beside 96 x 64" in said.text


def test_a_lighting_under_the_name_of_another_is_found_copied_or_swapped(clean: Planted) -> None:
    first, second = clean.files("training", 5)
    second.write_bytes(first.read_bytes())
    for row in (1, 2):
        a, b = clean.files("KPI", row)
        kept = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(kept)
    said = check(plan(clean), "lightings")
    assert said.status == "warn"
    assert "1 parts have the same picture under two lightings (training 1)" in said.text
    assert "2 parts have a picture that looks like the golden of another lighting (KPI 2)" in said.text


def test_byte_copies_across_sets_are_counted_shown_and_named(clean: Planted) -> None:
    for row in range(11):
        clean.copy(("training", row), ("KPI", row))
    clean.copy(("training", 20), ("acceptance", 30))
    said = check(plan(clean), "equal pictures")
    assert said.status == "warn"
    assert "11 of 36 KPI pictures are pixel for pixel those of the training set" in said.text
    assert "1 of 36 acceptance pictures are pixel for pixel those of the training set" in said.text
    assert "first row 1 of the KPI set and row 1 of the training set" in said.text


def test_the_same_pixels_in_another_file_are_no_other_picture(clean: Planted) -> None:
    for light in clean.lights:
        with Image.open(clean.file("training", 3, "image", light)) as image:
            image.save(clean.file("validation", 4, "image", light), compress_level=1, dpi=(300, 300))
    assert clean.file("training", 3).read_bytes() != clean.file("validation", 4).read_bytes()
    assert "1 of 12 validation pictures" in check(plan(clean), "equal pictures").text


def test_copies_that_were_saved_anew_brightened_or_shifted_are_named_by_both_rows(clean: Planted) -> None:
    for at, change in enumerate(COPYINGS):
        near_copy(clean, ("KPI", 2 * at), ("training", 3 * at + 1), change)
    near_copy(clean, ("acceptance", 7), ("mining pool", 9), as_jpeg)
    summary = plan(clean)
    said = check(summary, "near copies")
    assert said.status == "warn" and said.text in " ".join(summary.warnings)
    assert "5 of 36 KPI pictures are all but those of the training set" in said.text
    assert "1 of 24 mining pool pictures are all but those of the acceptance set" in said.text
    assert "row 1 of the KPI set and row 2 of the training set, row 3 of the KPI set and row 5 of the" in said.text
    assert "and 3 more (" in said.text
    assert check(summary, "equal pictures").status == "ok"


def test_a_copy_with_equal_pixels_is_told_once(clean: Planted) -> None:
    clean.copy(("training", 4), ("KPI", 4))
    summary = plan(clean)
    assert (check(summary, "equal pictures").status, check(summary, "near copies").status) == ("warn", "ok")


def test_many_captures_of_one_design_are_no_copies_and_the_copy_among_them_is_found(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", lights=("SolderLight",))
    rng = np.random.default_rng(5)
    design = np.asarray(Image.open(planted.file("training", 1, "golden")), np.float32) * 0.8 + 15
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            for side in ("image", "golden"):
                capture = np.roll(design, int(rng.integers(-1, 2)), 1) + rng.normal(0, 5, design.shape)
                Image.fromarray(capture.clip(0, 255).astype(np.uint8)).save(planted.file(name, row, side))
    said = check(plan(planted), "near copies")
    assert said.status == "ok" and "a copy that lost its noise, to JPEG say, shows only where" in said.text
    near_copy(planted, ("acceptance", 11), ("validation", 3), lambda a: np.roll(as_jpeg(a), 1, 0))
    said = check(plan(planted), "near copies")
    assert "1 of 36 acceptance pictures are all but those of the validation set: row 12 of the" in said.text


def test_shapes_that_every_board_has_are_no_copies_where_there_is_no_noise(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", lights=("SolderLight",))
    rng = np.random.default_rng(6)
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            pixels = np.zeros((64, 64), np.uint8)
            pixels[:, int(rng.integers(8, 40)) :] = 255
            Image.fromarray(pixels).save(planted.file(name, row))
            Image.fromarray(np.zeros((64, 64), np.uint8) + 90).save(planted.file(name, row, "golden"))
    assert check(plan(planted), "near copies").status == "ok"


def test_pictures_that_tell_nothing_are_not_said_to_be_no_copies(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", lights=("SolderLight",))
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            Image.new("L", (64, 64), 100 + row).save(planted.file(name, row))
    said = check(plan(planted), "near copies")
    assert said.status == "warn" and said.text.startswith("not looked for: all 138 pictures are too smooth")


def test_captures_that_stand_in_another_set_turned_or_mirrored_are_counted_and_named(tmp_path: Path) -> None:
    clean = Planted(tmp_path / "w", lights=("SolderLight",))

    def turned(source: tuple[str, int], target: tuple[str, int], way: Image.Transpose) -> None:
        with Image.open(clean.file(*source)) as image:
            image.transpose(way).convert("RGB").save(clean.file(*target), compress_level=1)

    for row, way in enumerate(Image.Transpose):
        turned(("training", row + 3), ("acceptance", row + 11), way)
    turned(("KPI", 3), ("mining pool", 5), Image.Transpose.FLIP_LEFT_RIGHT)  # it would be mined
    turned(("training", 20), ("training", 21), Image.Transpose.ROTATE_90)  # which is no leak
    for row in range(5):
        pixels = np.full((64, 64), 90, np.uint8)
        pixels[:, 10 + row :] = 200
        Image.fromarray(pixels).save(clean.file("KPI", 20 + row))
    said = check(plan(clean), "equal pictures")
    assert said.status == "warn"
    assert "7 of 36 acceptance pictures are, turned or mirrored, those of the training set" in said.text
    assert "first row 12 of the acceptance set and row 4 of the training set" in said.text
    assert "1 of 24 mining pool pictures are, turned or mirrored, those of the KPI set, first" in said.text
    assert "5 of too few grey values to tell a turned one" in said.text


def in_two_colours(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", (image, image.point(lambda v: 255 - v), image))


def test_captures_that_are_stored_in_another_way_are_counted_by_set(tmp_path: Path) -> None:
    clean = Planted(tmp_path / "w", lights=("SolderLight",))
    ways = (lambda image: image.convert("1"), lambda image: in_two_colours(image).quantize(64), in_two_colours)
    for number, stored in enumerate(ways):
        for name, row in (("training", 2), ("KPI", 4), ("KPI", 5)):
            path = clean.file(name, row + 6 * number)
            with Image.open(path) as image:
                stored(image).save(path)
    found = check(plan(clean), "kinds")
    assert found.status == "warn"
    for at, kind in ((3, "1-bit"), (9, "of a palette"), (15, "in colour")):
        assert f"3 captures are {kind} among 129 that are grey (training 1, KPI 2), row {at} of the" in found.text


def test_grey_captures_among_coloured_ones_are_found_however_many_channels_they_have(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", lights=("SolderLight",))
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            with Image.open(planted.file(name, row)) as image:
                grey = name == "acceptance" and row < 4
                (image.convert("RGB") if grey else in_two_colours(image)).save(planted.file(name, row))
    found = check(plan(planted), "kinds")
    assert found.status == "warn" and "4 captures are grey among 134 that are in colour (acceptance 4)" in found.text
    assert "goldens are grey, their captures in colour" in found.text


def test_blank_captures_that_are_equal_are_no_leak_and_are_counted(clean: Planted) -> None:
    for name in ("training", "KPI"):
        for row in (1, 2):
            for path in (*clean.files(name, row), *clean.files(name, row, "golden")):
                Image.new("L", (64, 64), 200).save(path)
    summary = plan(clean)
    assert check(summary, "equal pictures").status == check(summary, "repeated rows").status == "ok"
    assert "4 blank captures aside" in check(summary, "equal pictures").text


def test_a_pool_that_holds_evaluation_pictures_is_said_and_stops_nothing(clean: Planted) -> None:
    clean.copy(("KPI", 4), ("mining pool", 4))
    said = check(plan(clean), "equal pictures")
    assert said.status == "ok" and "1 of 24 mining pool pictures" in said.text and "never mined" in said.text


def test_the_same_pair_under_two_labels_is_named_by_both_rows(clean: Planted) -> None:
    clean.copy(("training", 1), ("training", 9))
    for a, b in zip(clean.files("training", 1, "golden"), clean.files("training", 9, "golden"), strict=True):
        b.write_bytes(a.read_bytes())
    said = check(plan(clean), "repeated rows")
    assert said.status == "warn"
    assert "row 2 of the training set is 'PASS', row 10 shows the same and is" in said.text


def test_a_good_part_labelled_as_a_defect_is_found_where_it_shows_its_golden(clean: Planted) -> None:
    for row in (3, 6, 9):
        for image, golden in zip(clean.files("training", row), clean.files("training", row, "golden"), strict=True):
            image.write_bytes(golden.read_bytes())
    said = check(plan(clean), "contents")
    assert said.status == "warn" and "3 rows labelled as a defect show their golden" in said.text


def test_black_captures_are_counted(clean: Planted) -> None:
    for row in (1, 2):
        Image.new("L", (64, 64), 0).save(clean.file("KPI", row))
    said = check(plan(clean), "contents")
    assert said.status == "warn" and "2 captures are black beside a golden that is not (KPI 2)" in said.text


def test_headers_alone_say_what_was_not_looked_at_in_plan_and_state(
    clean: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAO_CACHE_DIR", str(tmp_path / "nothing-known"))
    path = clean.file("KPI", 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for row in range(9):
        clean.copy(("training", row), ("acceptance", row))
    summary = plan(clean, "plan.pictures=headers")
    said = check(summary, "pictures")
    assert said.status == "warn"
    assert "552 were looked at by their headers alone" in said.text
    assert "whether they decode, hold values above 255, or are the same in two sets was not looked at" in said.text
    assert not [c for c in summary.checks if c.name == "equal pictures"]
    wanted = tiny.request(clean.root, settings=("anomalygen.mode=local_standin", "plan.pictures=headers"))
    folder = runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")
    assert next(c for c in load_state(folder).checked if c.name == "pictures").text == said.text


def test_a_picture_that_was_spoilt_after_the_plan_is_found_before_it_is_read(clean: Planted) -> None:
    wanted = tiny.request(clean.root, settings=("anomalygen.mode=local_standin",))
    config = load_state(runs.open_run(wanted, approve=runs.plan_run(wanted).digest, how="flag")).config
    csv = Path(config.kpi_test_csv)
    require_sound(config, csv)
    path = clean.file("KPI", 5, "golden")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StageFailedError, match="row 6: golden"):
        require_sound(config, csv)


def test_what_the_plan_saw_is_kept_with_the_run(clean: Planted) -> None:
    wanted = tiny.request(clean.root, settings=("anomalygen.mode=local_standin",))
    summary = runs.plan_run(wanted)
    state = load_state(runs.open_run(wanted, approve=summary.digest, how="flag"))
    names = {c.name for c in state.checked}
    assert set(LOOKS) <= names and all(c.status != "fail" for c in state.checked)


# -- boards --


def test_boards_that_stand_in_two_sets_are_counted_by_board_with_their_rows(clean: Planted) -> None:
    first, second = clean.rows["training"][0]["board"], clean.rows["training"][4]["board"]
    for row, board in ((0, first), (1, first), (7, second)):
        clean.rows["KPI"][row]["board"] = board
    clean.write("KPI")
    said = check(plan(clean), "boards")
    assert said.status == "warn"
    assert said.text.startswith("2 of 46 boards (column board) stand in several sets, with these rows: ")
    assert "training 6 of 30" in said.text and "KPI 3 of 36" in said.text and "acceptance 0 of 36" in said.text


@pytest.mark.parametrize(("name", "as_saved"), [("0007", "7"), ("0007", "7.0"), ("B-07", "b-7"), ("0007", "\uff10007")])
def test_a_board_that_a_spreadsheet_spelled_anew_is_the_same_board(tmp_path: Path, name: str, as_saved: str) -> None:
    tables = {}
    for folder, boards in (("training", (name, "0008")), ("KPI", (as_saved, "0009"))):
        rows = [f"{folder}{board}/,g/,PASS,C1,{board}" for board in boards]
        (tmp_path / folder).write_text("\n".join(["input_path,golden_path,label,object_name,board", *rows]) + "\n")
        tables[folder] = read_pairs(tmp_path / folder)
    said = board_finding(tables)
    assert said.status == "warn" and said.text.startswith("1 of 3 boards (column board) stand in several sets")
    assert f"First {name!r} in training and {as_saved!r} in KPI. Put" in said.text


def test_without_a_column_boards_are_not_known_and_nothing_is_claimed_of_them(tmp_path: Path) -> None:
    summary = plan(Planted(tmp_path / "w", boards=False))
    said = check(summary, "boards")
    assert said.status == "warn" and said.text.startswith("not known: no column board")
    assert "was not looked at" in said.text and "none is named by two sets" in said.text
    assert [w for w in summary.warnings if "board" in w] == summary.warnings


def test_names_that_share_beginnings_across_sets_are_said_where_boards_are_not_known(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "w", boards=False)
    number = 0
    for name, (_, rows) in SETS.items():
        for row in range(rows):
            places = [(side, light) for side in ("image", "golden") for light in planted.lights]
            old = [(side, light, planted.file(name, row, side, light)) for side, light in places]
            planted.rows[name][row]["object_name"] = f"B{number % 40:02d}_C{row}{name[:2]}"
            for side, light, path in old:
                path.rename(planted.file(name, row, side, light))
            number += 1
        planted.write(name)
    said = check(plan(planted), "boards")
    assert "by the beginnings of file names there are 40 (such as B00), and 40 stand in several sets" in said.text


def test_a_column_of_designs_is_asked_about(clean: Planted) -> None:
    clean.columns = (*clean.columns[:4], "boardname")
    for name, rows in clean.rows.items():
        for row in rows:
            row["boardname"] = "AX12"
        clean.write(name)
    said = check(plan(clean), "boards")
    assert "1 of 1 boards (column boardname) stand in several sets" in said.text
    assert "where boardname names a design and no single board, add a column board" in said.text


# -- what stands in two sets, and what was not looked at --


def test_a_file_that_two_evaluation_sets_name_is_told_with_both_rows(clean: Planted) -> None:
    clean.rows["acceptance"][4:6] = [dict(row) for row in clean.rows["KPI"][7:9]]
    clean.write("acceptance")
    said = check(plan(clean), "leakage")
    assert said.status == "warn"
    assert said.text.startswith("2 acceptance images are files of the KPI set too, first ")
    assert "acceptance_set.csv row 5 and " in said.text and "testing_set.csv row 8" in said.text


def test_labels_that_may_be_dropped_are_not_said_to_be_covered(clean: Planted) -> None:
    said = check(plan(clean), "weak labels")
    assert (said.status, said.text) == ("ok", "pool and generator cover 3 of 3 labels of the KPI set")
    clean.rows["KPI"][1]["label"] = "rust"
    clean.write("KPI")
    assert check(plan(clean), "weak labels").status == "warn"
    said = check(plan(clean, "routing.accept_dropped=[rust]"), "weak labels")
    assert said.status == "ok" and "cover 3 of 4 labels" in said.text and "RUST gets nothing new" in said.text
