"""Whatever a folder is called, the command line says it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.core.overrides import parse_override, setting

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


@given(NAMES.filter(lambda name: not name.endswith("\\")))
def test_a_path_of_any_name_is_read_back_as_it_is(name: str) -> None:
    assert parse_override(setting("results_dir", f"/boards/{name}")) == ("results_dir", f"/boards/{name}")


def test_a_plain_path_stays_plain() -> None:
    assert setting("results_dir", "/boards/run_20260101_000000") == "results_dir=/boards/run_20260101_000000"
    assert setting("topn", 5) == "topn=5"
