#!/usr/bin/env python3
"""Resolve the environment of NVIDIA's TAO packages into two locks, for the CPU and for CUDA (needs uv and the network).

Names, versions and hashes for Python 3.11 and newer, no address. The CPU lock leaves out PyTorch itself, whose CPU
build is another file on every index, and what only its CUDA build needs.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lock import FLAGS

FOLDER = Path(__file__).resolve().parent.parent / "tao_skill_bank" / "platforms" / "tao_environment"
# Entries of PyTorch's CUDA build; `nvidia-ml-py` is the plain reader of the driver's tables, and stays.
ONLY_CUDA = re.compile(r"(torch|triton|cuda-[a-z-]+|nvidia-(?!ml-py)[a-z0-9-]+)==")


def write(name: str, entries: list[str]) -> None:
    """Write a lock; its first line, which says what an installation took, is kept: measure it anew by installing."""
    path = FOLDER / name
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    sizes = [line for line in before[:1] if line.startswith("# ")]
    path.write_text("\n".join([*sizes, *entries]) + "\n", encoding="utf-8")


def main() -> int:
    """Resolve, and write both."""
    uv = os.environ.get("TAO_LOCK_UV") or shutil.which("uv")
    if not uv:
        sys.exit("uv is needed to resolve (pip install uv)")
    line = [uv, "pip", "compile", "--quiet", *FLAGS, "--no-annotate", "--python-version", "3.11"]
    asked = [*line, str(FOLDER / "requirements.in")]
    whole = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    entries = re.split(r"\n(?=[a-z0-9])", whole.strip())
    write("cuda.lock", entries)
    plain = [entry for entry in entries if not ONLY_CUDA.match(entry)]
    write("cpu.lock", plain)
    print(f"{len(entries)} packages for CUDA, {len(plain)} for the CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
