#!/usr/bin/env python3
"""Check what linters do not: file lengths, addresses in lock files, words that mark unfinished work, credentials."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tao_skill_bank.bank.redaction import TOKEN

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 600
MOST_SKILL_LINES = 300
UNFINISHED = re.compile("TO" + r"DO\b|FIX" + r"ME\b|XX" + r"X\b|raise NotImpl" + "emented")

KEY = re.compile("-----BEGIN [A-Z ]*PRIVATE KEY" + r"-----\s*\n\s*[A-Za-z0-9+/=]{16}")
# What tests call a key: nobody ever had it.
INVENTED = ("sk-abcdefghijklmnop",)


def tracked() -> list[Path]:
    """Files git knows that are still there."""
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [p for name in out.decode().split("\0") if name and (p := ROOT / name).is_file()]


def faults() -> list[str]:
    """A line for everything that is wrong."""
    found: list[str] = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" or path.name == "SKILL.md":
            text = path.read_text(encoding="utf-8")
            limit = MOST_LINES if path.suffix == ".py" else MOST_SKILL_LINES
            if (lines := text.count("\n")) > limit:
                found.append(f"{name}: {lines} lines, more than {limit} (split it by what changes together)")
            for number, line in enumerate(text.splitlines(), start=1):
                if UNFINISHED.search(line):
                    found.append(f"{name}:{number}: unfinished work (finish it or take it out)")
        found.extend(
            f"{name}: looks like a credential: {text[:8]}… (take it out, and have it revoked)" for text in secrets(path)
        )
        if name.endswith(".lock") and re.search(r"://|--(extra-)?index-url|--find-links", path.read_text("utf-8")):
            found.append(f"{name}: holds an address (lock files carry names, versions and hashes only)")
    return found


def secrets(path: Path) -> list[str]:
    """What in a file has the form of a token or of a private key."""
    text = path.read_bytes().decode("utf-8", "replace")
    return [m[0] for pattern in (TOKEN, KEY) for m in pattern.finditer(text) if m[0] not in INVENTED]


def main() -> int:
    """Print the faults; 1 if there are any."""
    found = faults()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
