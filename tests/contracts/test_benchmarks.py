"""`make bench` calls every benchmark in the same way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", ALL, ids=[path.stem for path in ALL])
def test_a_benchmark_takes_quick_needs_nothing_else_and_is_explained(script: Path) -> None:
    shown = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, timeout=60)
    usage = shown.stdout.partition("\n\n")[0]
    assert (shown.returncode, "[--quick]" in usage or "| --quick]" in usage) == (0, True), shown.stderr
    required = [w for w in usage.split()[2:] if not w.startswith(("[", "--")) and not w.endswith("]") and w != "|"]
    assert required == [], usage
    assert f"`{script.name}`" in (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
