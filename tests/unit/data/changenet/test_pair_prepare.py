from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.data.changenet.images import ImageNaming, place
from tao_skill_bank.data.changenet.pair_prepare import PAIR_COLUMNS, pair_files, pair_label, prepare_pairs
from tao_skill_bank.data.changenet.tables import read_pairs


def picture(path: Path, seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (12, 9)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for i, label in enumerate(("bridge", "Excess_Solder", "bridge")):
        picture(tmp_path / f"ng/PCB+{label}_{i:05d}.png", i)
        picture(tmp_path / f"ok/PCB+{label}_{i:05d}.jpg", 10 + i)
    return tmp_path


def run(folder: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "input_dir": folder / "ng",
        "golden_dir": folder / "ok",
        "images_dir": folder / "images",
        "subdir": "sdg",
        "lights": ["SolderLight"],
        "image_ext": ".png",
        "output_csv": folder / "out/rows.csv",
    }
    return prepare_pairs(**{**arguments, **changes})


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("PCB+bridge_00000.png", "bridge"),
        ("PCB+Excess_Solder_00012.png", "excess_solder"),
        ("a_b+missing_7.jpg", "missing"),
        ("a+b+c_00001.png", "b+c"),
    ],
)
def test_the_label_is_the_part_behind_the_plus(name: str, label: str) -> None:
    assert pair_label(Path(name)) == label


@pytest.mark.parametrize(
    "name", ["bridge_00000.png", "PCB+bridge.png", "PCB+_00000.png", "+bridge_0.png", "PCB+x_1a.png"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is not named <TEXTURE>\+<label>_<00000>"):
        pair_label(Path(name))


def test_an_ng_image_labelled_pass_is_refused() -> None:
    with pytest.raises(InputError, match="NG image labelled PASS"):
        pair_label(Path("PCB+Pass_00000.png"))


def test_pairs_become_rows_of_fourteen_columns_that_resolve(pairs: Path) -> None:
    result = run(pairs)
    table = read_pairs(pairs / "out/rows.csv")
    assert table.names == PAIR_COLUMNS
    assert len(table.names) == 14
    assert table.label == ["excess_solder", "bridge", "bridge"]
    assert table.object_name == ["PCB+Excess_Solder_00001", "PCB+bridge_00000", "PCB+bridge_00002"]
    assert set(table.input_path) == {"sdg_ng/"}
    assert set(table.golden_path) == {"sdg_ok/"}
    assert table.column("boardname") == ["PCB"] * 3
    assert result.rows.columns == table.columns
    naming = ImageNaming(("SolderLight",), ".png")
    assert place(table, naming, [pairs / "images"]).root == pairs / "images"


def test_images_are_copied_as_they_are_or_re_encoded_without_loss(pairs: Path) -> None:
    run(pairs)
    staged = pairs / "images/sdg_ng/PCB+bridge_00000_SolderLight.png"
    assert staged.read_bytes() == (pairs / "ng/PCB+bridge_00000.png").read_bytes()
    with (
        Image.open(pairs / "images/sdg_ok/PCB+bridge_00000_SolderLight.png") as golden,
        Image.open(pairs / "ok/PCB+bridge_00000.jpg") as source,
    ):
        assert golden.format == "PNG"
        assert np.array_equal(np.asarray(golden), np.asarray(source))


def test_the_summary_counts_what_was_done(pairs: Path) -> None:
    picture(pairs / "ok/PCB+bridge_00002.jpg", size=(20, 9))
    run(pairs)
    summary = json.loads((pairs / "out/ingest_summary.json").read_text())
    assert summary["pairs"] == 3
    assert summary["labels"] == {"bridge": 2, "excess_solder": 1}
    assert summary["reencoded"] == 3
    assert summary["images_written"] == 6
    assert summary["pairs_of_unequal_size"] == 1


def test_every_lighting_gets_the_image(pairs: Path) -> None:
    run(pairs, lights=["A", "B"])
    assert len(names(pairs / "images/sdg_ng")) == 6
    first, second = (pairs / f"images/sdg_ng/PCB+bridge_00000_{light}.png" for light in "AB")
    assert first.read_bytes() == second.read_bytes()


def test_without_lightings_the_names_have_no_suffix(pairs: Path) -> None:
    run(pairs, lights=[])
    assert "PCB+bridge_00000.png" in names(pairs / "images/sdg_ng")


def test_an_unpaired_stem_stops_it_and_names_the_file(pairs: Path) -> None:
    (pairs / "ok/PCB+bridge_00000.jpg").unlink()
    picture(pairs / "ok/PCB+bridge_00009.jpg")
    with pytest.raises(InputErrors) as error:
        run(pairs)
    assert error.value.faults == [
        f"{pairs}/ng/PCB+bridge_00000.png has no partner in {pairs}/ok",
        f"{pairs}/ok/PCB+bridge_00009.jpg has no partner in {pairs}/ng",
    ]
    assert not (pairs / "images").exists()
    assert not (pairs / "out").exists()


def test_one_stem_with_two_extensions_is_ambiguous(pairs: Path) -> None:
    picture(pairs / "ng/PCB+bridge_00000.jpg")
    with pytest.raises(InputErrors, match="have the same stem"):
        run(pairs)


def test_ill_named_files_are_all_named(pairs: Path) -> None:
    for name in ("x.png", "y.png"):
        picture(pairs / "ng" / name)
        picture(pairs / "ok" / name, 9)
    with pytest.raises(InputErrors, match="2 files are ill-named") as error:
        run(pairs)
    assert len(error.value.faults) == 2
    assert not (pairs / "images").exists()


def test_a_broken_image_leaves_nothing_behind(pairs: Path) -> None:
    whole = (pairs / "ng/PCB+bridge_00002.png").read_bytes()
    (pairs / "ng/PCB+bridge_00002.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"PCB\+bridge_00002\.png: cannot be decoded"):
        run(pairs)
    assert names(pairs / "images") == []
    assert not (pairs / "out").exists()


def test_sixteen_bit_pixels_are_not_squeezed_silently(pairs: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(pairs / "ng/PCB+bridge_00000.png")
    with pytest.raises(InputError, match="no faithful 8-bit form"):
        run(pairs, image_ext=".jpg")


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA"])
def test_grey_palette_and_transparent_images_are_re_encoded(pairs: Path, mode: str) -> None:
    picture(pairs / "ng/PCB+bridge_00000.png", 3, mode)
    run(pairs, image_ext=".jpg")
    with Image.open(pairs / "images/sdg_ng/PCB+bridge_00000_SolderLight.jpg") as staged:
        assert staged.format == "JPEG"
        assert staged.mode == ("L" if mode in ("L", "1") else "RGB")


def test_running_again_changes_nothing_and_is_no_error(pairs: Path) -> None:
    run(pairs)
    before = {path: path.read_bytes() for path in pairs.rglob("*") if path.is_file()}
    run(pairs)
    assert {path: path.read_bytes() for path in pairs.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_images_is_not_overwritten(pairs: Path) -> None:
    run(pairs)
    picture(pairs / "ng/PCB+bridge_00000.png", 99)
    before = (pairs / "out/rows.csv").read_bytes()
    with pytest.raises(InputError, match="sdg_ng: holds other images already"):
        run(pairs)
    assert (pairs / "out/rows.csv").read_bytes() == before
    assert not [path for path in (pairs / "images").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("ext", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_encoding_is_deterministic(pairs: Path, ext: str) -> None:
    run(pairs, image_ext=ext, subdir="a", output_csv=pairs / "a.csv")
    run(pairs, image_ext=ext, subdir="b", output_csv=pairs / "b.csv")
    for name in names(pairs / "images/a_ng"):
        assert (pairs / "images/a_ng" / name).read_bytes() == (pairs / "images/b_ng" / name).read_bytes()


def test_hidden_files_and_files_that_are_no_images_are_left_out(pairs: Path) -> None:
    (pairs / "ng/.DS_Store").write_text("x")
    (pairs / "ng/Thumbs.db").write_text("x")
    (pairs / "ng/deeper").mkdir()
    assert len(pair_files(pairs / "ng", pairs / "ok")) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_ext": ".gif"}, "cannot write '.gif'"),
        ({"image_ext": "png"}, "cannot write 'png'"),
        ({"subdir": "../x"}, "not a plain folder name"),
        ({"subdir": ""}, "not a plain folder name"),
    ],
)
def test_arguments_that_cannot_be_are_refused(pairs: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(pairs, **changes)


def test_missing_and_empty_folders_are_refused(pairs: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        run(pairs, input_dir=pairs / "none")
    (pairs / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        run(pairs, golden_dir=pairs / "empty")
