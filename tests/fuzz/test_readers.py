"""A taste of what `make proof` gives every reader ten thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest
from readers import Reader, fuzz, readers

READERS = readers()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)
def test_a_spoiled_file_is_read_or_refused_in_one_line(reader: Reader, tmp_path: Path) -> None:
    assert fuzz(reader, 40, 1, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)
def test_ten_thousand_spoiled_files_are_read_or_refused_in_one_line(reader: Reader, tmp_path: Path) -> None:
    assert fuzz(reader, 10_000, 2, tmp_path) == []
