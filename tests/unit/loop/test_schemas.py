"""The schemas that ship describe the files that are written."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import tiny

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.loop.state import STATE_FILE, save_state
from tao_skill_bank.tasks.registry import load_state
from tao_skill_bank.tasks.schemas import schemas


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_shipped_schema_is_what_its_model_says(name: str) -> None:
    shipped = json.loads(resources.files("tao_skill_bank").joinpath("schemas", name).read_text())
    assert shipped == schemas()[name], "run scripts/write_schemas.py"


def test_a_written_state_fits_the_shipped_schema(tmp_path: Path) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))
    jsonschema.validate(json.loads((run / STATE_FILE).read_text()), schemas()["deft_state.schema.json"])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: "", "not readable as JSON"),
        (lambda text: text.replace('"version": 4', '"version": 2'), "version 2"),
        (lambda text: text.replace('"max_iterations": 2', '"max_iterations": 0'), "max_iterations"),
        (lambda text: text.replace('"status": "planned"', '"status": "fine"'), "status"),
        (lambda text: text[: len(text) // 2], "not readable as JSON"),
    ],
)
def test_a_damaged_state_is_refused_with_its_key_and_left_as_it_is(tmp_path: Path, damage: object, says: str) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))
    path = run / STATE_FILE
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(InputError, match=says) as caught:
        load_state(run)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_what_is_read_is_written_back_unchanged_but_for_its_generation(tmp_path: Path) -> None:
    run = tiny.approved(tiny.request(tiny.make_workspace(tmp_path / "w", pairs=0, pool=0, acceptance=False)))
    before = json.loads((run / STATE_FILE).read_bytes())
    save_state(load_state(run))
    assert json.loads((run / STATE_FILE).read_bytes()) == {**before, "generation": before["generation"] + 1}
