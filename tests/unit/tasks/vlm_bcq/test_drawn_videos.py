"""The drawn workspace of yes/no questions is a function of its seed."""

from __future__ import annotations

from pathlib import Path

import bcq

from tao_skill_bank.core.fsio import sha256_file
from tao_skill_bank.demo_vlm import make_vlm_workspace


def drawn(folder: Path, seed: int) -> dict[str, str]:
    made = make_vlm_workspace(folder, seed, bcq.FEW)
    return {str(path.relative_to(made)): sha256_file(path) for path in made.rglob("*") if path.is_file()}


def test_the_same_seed_draws_the_same_bytes_whatever_was_encoded_before(tmp_path: Path) -> None:
    first = drawn(tmp_path / "first", 3)
    other = drawn(tmp_path / "other", 4)
    assert len(first) == 39
    assert drawn(tmp_path / "again", 3) == first
    assert not set(first.values()) & set(other.values())
