"""The short way of reading `key=value` says exactly what Hydra's own parser says."""

from __future__ import annotations

import sys
from subprocess import run

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tao_skill_bank.core import overrides as spec
from tao_skill_bank.core.errors import InputError

HYDRA = OverridesParser.create()
PIECES = st.sampled_from(
    ["/", "./", ".", "..", "-", "_", "a", "e", "E", "null", "true", "inf", "nan", "1", "0", "007", "1.5", "e3", "x.y/"]
)
TEXTS = st.builds(
    lambda key, parts: f"{key}={''.join(parts)}", st.sampled_from(["k", "a.b", "_x.y1"]), st.lists(PIECES, max_size=8)
)


@settings(max_examples=500)
@given(st.from_regex(spec._PLAIN_OVERRIDE, fullmatch=True) | TEXTS)
@example("k=nan")
@example("k=Null")
@example("k=-0")
@example("k=-0.0")
@example("min_recall=0.99")
@example("results_dir=/data/1.5e3/run_2026.01-02")
def test_a_plain_override_means_what_it_means_to_hydra(text: str) -> None:
    if not spec._PLAIN_OVERRIDE.fullmatch(text):
        return
    key, value = spec.parse_override(text)
    theirs = HYDRA.parse_override(text)
    assert (key, type(value), repr(value)) == (theirs.key_or_group, type(theirs._value), repr(theirs._value))
    assert not theirs.is_delete() and not theirs.is_sweep_override() and theirs.package is None


def test_paths_and_numbers_are_read_without_importing_hydra() -> None:
    code = (
        "import sys; from tao_skill_bank.core.overrides import parse_override as p; "
        "assert p('a=/x/y.yaml') == ('a', '/x/y.yaml') and p('a=0.9') == ('a', 0.9) and p('a=50') == ('a', 50); "
        "print('hydra' in sys.modules)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("value", ["yes,no", "a(b", "OK|NG", "a:b,c"])
def test_a_misspelt_key_is_named_whatever_its_value_is(value: str) -> None:
    schema = spec.Schema({"labels": "yes,no", "fields": {"id": ""}}, text_keys=frozenset({"labels"}))
    assert spec.parse_command_line([f"labels={value}"], schema).config["labels"] == value
    for key, meant in (("lables", "labels"), ("+lables", "labels"), ("fields.idd", "fields.id")):
        with pytest.raises(InputError, match=rf"unknown key '{key.removeprefix('+')}' \(did you mean '{meant}'"):
            spec.parse_command_line([f"{key}={value}"], schema)


def test_a_value_that_is_none_is_still_the_fault_of_a_key_that_is_known() -> None:
    schema = spec.Schema({"topn": 5, "models": {"one": ""}}, open_keys=frozenset({"models"}))
    for text in ("topn=1,2", "models.other=1,2"):
        with pytest.raises(InputError, match="is a deletion or sweep"):
            spec.parse_command_line([text], schema)
