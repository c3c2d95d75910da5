"""An error is one line that a person can read, whatever stands in it."""

from __future__ import annotations

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.text import json_objects, plural


def test_a_count_of_thousands_stands_in_an_error_as_in_a_report() -> None:
    error = InputErrors(plural(12345, "fault"), [plural(1000, "row")], where="t.csv")
    assert error.line() == "t.csv: 12\u202f345 faults"
    assert error.faults == ["1\u202f000 rows"]
    assert InputError("a\nb\x1b\u202e").line() == "a\\nb\\x1b\\u202e"


def test_of_a_file_of_json_lines_what_is_no_object_is_missed() -> None:
    text = '{"a": 1}\n[2]\nnot json\n\n{"b": "x\u2028y"}\n{"c": '
    assert list(json_objects(text)) == [{"a": 1}, {"b": "x\u2028y"}]
    assert list(json_objects("[" * 100_000)) == []
