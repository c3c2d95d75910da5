"""`key=value` reaches settings at any depth, and tables whose keys are a person's own."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.settings import apply_settings


class Inner(BaseModel):
    address: str | None = None
    tries: int = 1


class Outer(BaseModel):
    inner: Inner = Field(default_factory=Inner)
    files: dict[str, str] = Field(default_factory=dict)


class Config(BaseModel):
    outer: Outer = Field(default_factory=Outer)
    seed: int = 1


def test_a_setting_of_a_group_within_a_group_leaves_its_brothers_alone() -> None:
    before = {"outer": {"inner": {"tries": 3}, "files": {"a": "x"}}}
    found = apply_settings(Config, before, ["outer.inner.address=http://h/v1", "outer.files.iter1=/p.json", "seed=2"])
    assert found == {
        "outer": {"inner": {"tries": 3, "address": "http://h/v1"}, "files": {"a": "x", "iter1": "/p.json"}},
        "seed": 2,
    }
    assert before == {"outer": {"inner": {"tries": 3}, "files": {"a": "x"}}}


@pytest.mark.parametrize("key", ["outer.inner.adress", "outer.inner", "outer.file.x", "files.x", "outer"])
def test_what_is_no_setting_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(InputError, match="unknown key"):
        apply_settings(Config, {}, [f"{key}=1"])
