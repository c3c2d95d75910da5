"""What a spreadsheet saved with semicolons or tabs is told as such by whatever reads a person's CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tao_skill_bank.actions.gap_analysis.vcn_read import read_inference
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.corrections.sheet import read_sheet
from tao_skill_bank.data.score_files import read_score_file
from tao_skill_bank.data.vlm.source import opened
from tao_skill_bank.data.vlm.tables import delimited_rows

INFERENCE = "input_path,golden_path,label,object_name,siamese_score\na,b,PASS,C1,0.1\n"
WORDS = 'input_path,object_name,to,note\na,C1,PASS,"seen twice, it is solder"\n'
ANSWERS = "video_id,question,gt,response\na.mp4,Is it?,yes,no\n"


def answers(path: Path) -> list[Any]:
    with opened(path, "predictions_json") as source:
        return list(delimited_rows(source))


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a set": (INFERENCE, read_pairs),
    "scores": (INFERENCE, lambda path: read_score_file(path, "siamese_score")),
    "an inference": (INFERENCE, lambda path: read_inference(path.parent)),
    "corrections": (WORDS, lambda path: read_sheet(path, cast(Any, None))),
    "answers": (ANSWERS, answers),
}


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("reader", READERS)
def test_another_separator_is_told_as_such(tmp_path: Path, reader: str, mark: str, name: str) -> None:
    text, read = READERS[reader]
    path = tmp_path / "inference.csv"
    path.write_text("\ufeff" + text.replace(",", mark))
    with pytest.raises(InputError) as refused:
        read(path)
    assert f"inference.csv: is separated by {name}, not by commas (" in refused.value.line()
    assert [entry.name for entry in tmp_path.iterdir()] == ["inference.csv"]


@pytest.mark.parametrize("reader", ["corrections", "answers"])
def test_where_people_write_text_no_line_is_told_that_makes_points_of_its_commas(tmp_path: Path, reader: str) -> None:
    text, read = READERS[reader]
    path = tmp_path / "inference.csv"
    path.write_text(text.replace(",", ";"))
    with pytest.raises(InputError) as refused:
        read(path)
    assert "tr " not in refused.value.line() and "save it with commas" in refused.value.line()


def test_a_tsv_of_answers_has_tabs(tmp_path: Path) -> None:
    path = tmp_path / "answers.tsv"
    path.write_text(ANSWERS.replace(",", "\t"))
    assert [len(block.items) for block in answers(path)] == [1]


@pytest.mark.parametrize("reader", READERS)
def test_names_that_are_not_in_utf_8_are_told_in_one_line(tmp_path: Path, reader: str) -> None:
    text, read = READERS[reader]
    path = tmp_path / "inference.csv"
    path.write_bytes(text.replace("object_name", "Größe").replace("question", "Größe").encode("latin-1"))
    with pytest.raises(BankError) as refused:
        read(path)
    said = refused.value.line()
    assert "inference.csv" in said and "\n" not in said and ("UTF-8" in said or "no column 'object_name'" in said)
