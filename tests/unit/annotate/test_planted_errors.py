"""The planted errors of the benchmark: what the rules find on wordings that their patterns were not written for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks/quality.py"


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_errors_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Data classes look for their module while they are made.
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def result(quality: ModuleType) -> dict[str, Any]:
    return dict(quality.measure())


def test_nine_of_ten_unseen_wordings_are_found_in_each_language(result: dict[str, Any]) -> None:
    unseen = {key[:2]: value for key, value in result["recall"].items() if not key[2]}
    assert {language for language, _ in unseen} == {"en", "de", "zh"}
    assert {key: value for key, value in unseen.items() if value < 0.9} == {}


def test_rules_without_words_of_a_language_find_everything(quality: ModuleType, result: dict[str, Any]) -> None:
    shapes = {key: v for key, v in result["recall"].items() if key[2] and key[1] not in quality.LANGUAGE_RULES}
    assert len(shapes) == 11
    assert set(shapes.values()) == {1.0}


def test_hardly_a_good_item_and_hardly_a_trap_is_refused(result: dict[str, Any]) -> None:
    assert result["good_refused"] <= 0.01
    assert result["traps_refused"] <= 0.05
