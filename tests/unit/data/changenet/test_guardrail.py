"""Pairs that a generator blocked never become rows: by its table, by their pictures, in every way they may come in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.core.errors import GateError, InputError
from tao_skill_bank.data.changenet.guardrail import is_told, left_out
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.pair_prepare import pair_files, prepare_pairs
from tao_skill_bank.tasks.changenet.generator import compare
from tao_skill_bank.tasks.changenet.synthetic import pregen_labels, stage_pool, verify_pairs

HEADER = "defect_type,psnr,nn_score,guardrail_pass"
NAMING = ImageNaming(("SolderLight",), ".png")


def generation(folder: Path, stems: Sequence[str], table: str | None, *, black: Sequence[str] = ()) -> Path:
    """`reconstructed_image/`, `original_image/` and the table of a generator, below `folder`."""
    rng = np.random.default_rng(7)
    for kind in ("reconstructed_image", "original_image"):
        (folder / kind).mkdir(parents=True)
        for stem in stems:
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            if kind == "reconstructed_image" and stem in black:
                pixels[:] = 0
            Image.fromarray(pixels).save(folder / kind / f"{stem}.png")
    if table is not None:
        (folder / "SDG_result.csv").write_text(table)
    return folder


def found(folder: Path) -> dict[str, str]:
    pairs = pair_files(folder / "reconstructed_image", folder / "original_image")
    return left_out(pairs, folder / "SDG_result.csv")


STEMS = ("PCB+bridge_00000", "PCB+bridge_00001", "PCB+missing_00000")


def test_a_blocked_row_is_tied_to_its_picture_by_its_place_among_those_of_its_defect(tmp_path: Path) -> None:
    rows = ["PCB+bridge,30,0.9,1", "PCB+missing,28,0.8,0", "PCB+bridge,3,0.0,0"]
    folder = generation(tmp_path, STEMS, "\n".join([HEADER, *rows]) + "\n")
    assert found(folder) == {"PCB+bridge_00001": "guardrail_pass is 0", "PCB+missing_00000": "guardrail_pass is 0"}


def test_a_blocked_row_is_tied_to_its_picture_by_the_file_it_names_whatever_the_order(tmp_path: Path) -> None:
    rows = [f"/out/run/reconstructed_image/{STEMS[1]}.png,PCB+bridge,0", f"x/{STEMS[0]}.png,PCB+bridge,1"]
    table = "\n".join(["output_filename,anomaly_type,guardrail_pass", *rows]) + "\n"
    assert found(generation(tmp_path, STEMS, table)) == {STEMS[1]: "guardrail_pass is 0"}


@pytest.mark.parametrize(("cell", "blocked"), [("1", 0), ("1.0", 0), ("True", 0), ("False", 1), ("0.0", 1), ("", 1)])
def test_only_a_yes_passes_the_guardrail(tmp_path: Path, cell: str, blocked: int) -> None:
    folder = generation(tmp_path, STEMS[:1], f"{HEADER}\nPCB+bridge,30,0.9,{cell}\n")
    assert len(found(folder)) == blocked


@pytest.mark.parametrize(
    "table",
    [
        "defect_type;psnr;guardrail_pass\nPCB+bridge;30,5;0\nPCB+bridge;3;1\nPCB+missing;1;1\n",
        "defect_type\tguardrail_pass\nPCB+bridge\t0\nPCB+bridge\t1\nPCB+missing\t1\n",
        "Defect Type,Guardrail Pass\nPCB+bridge,0\nPCB+bridge,1\nPCB+missing,1\n",
        "guardrail_pass,defect_type,guardrail_pass\n0,PCB+bridge,1\n1,PCB+bridge,1\n1,PCB+missing,1\n",
        f"output_filename,guardrail_pass\nC:\\out\\{STEMS[0]}.png,0\n\nD:\\{STEMS[1]}.png,1\n",
        "defect_type,guardrail_pass\nPCB+bridge\nPCB+bridge,1\nPCB+missing,1\n",
    ],
    ids=["semicolons", "tabs", "spaces in names", "a column twice", "paths of Windows", "a row cut short"],
)
def test_a_table_that_was_saved_in_another_way_blocks_the_same(tmp_path: Path, table: str) -> None:
    folder = generation(tmp_path, STEMS, table)
    assert list(found(folder)) == [STEMS[0]] and is_told(folder / "SDG_result.csv")


def test_blocked_files_that_bear_no_pictures_name_stop_where_pictures_stand_in_no_row(tmp_path: Path) -> None:
    table = "output_filename,guardrail_pass\nout/a1.png,0\nout/a2.png,1\n"
    with pytest.raises(InputError, match=r"blocked a1, which is no picture here, and 2 pictures stand in no row"):
        found(generation(tmp_path / "renamed", STEMS[:2], table))
    # Whoever has taken the blocked picture out has left nothing to guess.
    table = f"output_filename,guardrail_pass\n{STEMS[1]}.png,0\n{STEMS[0]}.png,1\n"
    assert found(generation(tmp_path / "taken-out", STEMS[:1], table)) == {}


def test_a_table_without_the_column_blocks_nothing(tmp_path: Path) -> None:
    assert found(generation(tmp_path, STEMS, "index,defect_type\n0,PCB+bridge\n")) == {}


def test_a_black_picture_is_left_out_without_any_table(tmp_path: Path) -> None:
    assert found(generation(tmp_path, STEMS, None, black=STEMS[:1])) == {STEMS[0]: "its picture is black"}


def test_a_dark_part_whose_golden_is_as_black_is_no_blocked_pair(tmp_path: Path) -> None:
    folder = generation(tmp_path, STEMS[:2], None, black=STEMS[:1])
    Image.new("RGB", (16, 16), (1, 1, 1)).save(folder / "original_image" / f"{STEMS[0]}.png")
    assert found(folder) == {}


def test_a_picture_that_is_its_golden_shows_no_defect_and_is_left_out(tmp_path: Path) -> None:
    folder = generation(tmp_path, STEMS[:2], f"{HEADER}\nPCB+bridge,30,0.9,1\nPCB+bridge,30,0.9,1\n")
    made, golden = (folder / kind / f"{STEMS[0]}.png" for kind in ("reconstructed_image", "original_image"))
    made.write_bytes(golden.read_bytes())
    assert found(folder) == {STEMS[0]: "its picture is its golden, with nothing made in it"}


def test_blocked_rows_that_fit_no_picture_stop_instead_of_being_guessed(tmp_path: Path) -> None:
    table = f"{HEADER}\nPCB+bridge,30,0.9,1\nPCB+bridge,30,0.9,0\nPCB+bridge,30,0.9,1\n"
    folder = generation(tmp_path, STEMS, table)
    with pytest.raises(InputError, match="3 rows cannot be tied to 2 pictures"):
        found(folder)
    with pytest.raises(GateError, match="cannot be tied"):
        verify_pairs(folder)


def test_the_pair_preparation_leaves_blocked_pairs_out_and_names_them_in_its_summary(tmp_path: Path) -> None:
    folder = generation(
        tmp_path / "sdg", STEMS, f"{HEADER}\n" + "PCB+bridge,1,1,0\nPCB+bridge,1,1,1\nPCB+missing,1,1,1\n"
    )
    done = prepare_pairs(
        input_dir=folder / "reconstructed_image",
        golden_dir=folder / "original_image",
        images_dir=tmp_path / "w",
        subdir="sdg",
        lights=(),
        image_ext=".png",
        output_csv=tmp_path / "rows.csv",
    )
    assert done.rows.object_name == list(STEMS[1:])
    assert done.left_out == {STEMS[0]: "guardrail_pass is 0"}
    assert '"PCB+bridge_00000": "guardrail_pass is 0"' in done.summary.read_text()
    assert not (tmp_path / "w" / "sdg_ng" / f"{STEMS[0]}.png").exists()


def test_blocked_pairs_of_a_customer_are_no_candidates_and_their_labels_no_source(tmp_path: Path) -> None:
    table = f"{HEADER}\nPCB+bridge,1,1,1\nPCB+bridge,1,1,1\nPCB+missing,1,1,0\n"
    folder = generation(tmp_path / "pairs", STEMS, table, black=STEMS[:1])
    assert pregen_labels(folder) == ["BRIDGE"]
    assert verify_pairs(folder).left_out == {STEMS[0]: "its picture is black", STEMS[2]: "guardrail_pass is 0"}
    pool = stage_pool(tmp_path, folder, NAMING)
    assert pool.rows.object_name == [STEMS[1]]
    assert [p.stem for p in pool.manifest.pairs] == [STEMS[1]]
    assert stage_pool(tmp_path, folder, NAMING).rows.object_name == [STEMS[1]]


def test_a_pool_staged_before_guardrails_were_read_gives_up_its_blocked_pairs_only(tmp_path: Path) -> None:
    folder = generation(tmp_path / "pairs", STEMS, None)
    assert len(stage_pool(tmp_path, folder, NAMING).rows) == 3
    (folder / "SDG_result.csv").write_text(f"{HEADER}\nPCB+bridge,1,1,0\nPCB+bridge,1,1,1\nPCB+missing,1,1,1\n")
    pool = stage_pool(tmp_path, folder, NAMING)
    assert pool.rows.object_name == list(STEMS[1:]) == [p.stem for p in pool.manifest.pairs]


def test_pairs_that_are_blocked_to_the_last_stop_the_plan(tmp_path: Path) -> None:
    folder = generation(tmp_path, STEMS[:2], None, black=STEMS)
    with pytest.raises(
        GateError, match=r"none of 2 pairs can be trained on, first PCB\+bridge_00000: its picture is black"
    ):
        verify_pairs(folder)


def test_a_generation_is_counted_as_allotted_and_its_blocked_pairs_beside_it(tmp_path: Path) -> None:
    generation(tmp_path / "sdg", STEMS[:2], f"{HEADER}\nPCB+bridge,30,0.9,1\nPCB+bridge,3,0.0,0\n", black=STEMS[1:2])
    (tmp_path / "amp").mkdir()
    (tmp_path / "amp" / "allocation.json").write_text('{"PCB+bridge": 2}')
    (tmp_path / "testcase.jsonl").write_text('{"defect_type": "PCB+bridge"}\n' * 2)
    counts = compare(tmp_path)
    assert counts["allotted"] == counts["paired images"] == {"BRIDGE": 2}
    assert counts["left out"] == {"BRIDGE": 1}


def test_that_nothing_was_blocked_is_known_from_a_table_that_says_so_alone(tmp_path: Path) -> None:
    table = tmp_path / "SDG_result.csv"
    assert not is_told(table)
    for text, told in (("", False), ("index,defect_type\n0,PCB+bridge\n", False), (f"\ufeff{HEADER}\n", True)):
        table.write_text(text)
        assert is_told(table) is told
