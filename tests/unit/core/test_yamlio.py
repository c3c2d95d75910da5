"""YAML of anybody: plain values, and refused before it costs anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.yamlio import MOST_BYTES, MOST_DEPTH, parse_yaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghi"
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]}}\n" for name in "bcdefghi"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "stands for more than"),
        (MERGES, "stands for more than"),
        ("a: &a [*a]\n", "holds itself"),
        ("a: &a {b: *a}\n", "holds itself"),
        ("[" * 100_000, "nested deeper"),
        ("a: " + "{a: " * 20_000, "nested deeper"),
        ("- " * 20_000, "nested deeper"),
        ("? " * 20_000, "nested deeper"),
        ("\n".join(" " * n + "a:" for n in range(600)), "nested deeper"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("x" * (MOST_BYTES + 1), "larger than"),
        ("a: 2001-99-99", "month"),
        ("a: [", "line 1"),
    ],
    ids=lambda value: value[:12],
)
def test_yaml_made_to_hurt_is_refused_in_one_line_and_at_once(text: str, said: str) -> None:
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "spec.yaml")
    assert time.process_time() - began < 2
    assert said in caught.value.line()
    assert caught.value.line().startswith("spec.yaml")
    assert "\n" not in caught.value.line()


def test_a_file_of_a_hundred_megabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    with path.open("wb") as handle:
        handle.truncate(100 << 20)
    with pytest.raises(InputError, match="larger than 256 KiB"):
        read_yaml(path)


def test_nesting_and_aliases_of_a_usual_spec_are_taken() -> None:
    deep = "".join(f"{'  ' * n}k{n}:\n" for n in range(MOST_DEPTH - 2))
    assert parse_yaml(deep, "spec.yaml")["k0"]["k1"] is not None
    assert parse_yaml("a: &a {lr: 1e-5}\nb: {<<: *a, n: 2}\nc: *a\n", "s")["b"] == {"lr": 1e-5, "n": 2}


def test_the_largest_file_that_is_taken_is_read_in_time() -> None:
    text = "a:\n" + "- [1, two, 3.0]\n" * (MOST_BYTES // 16 - 1)
    began = time.process_time()
    assert len(parse_yaml(text, "s")["a"]) == MOST_BYTES // 16 - 1
    assert time.process_time() - began < 5
