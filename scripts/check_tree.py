#!/usr/bin/env python3
"""Check what linters do not: lengths, addresses in locks, unfinished work, credentials, tests that reach for others."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tao_skill_bank.core.redaction import TOKEN

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 600
MOST_SKILL_LINES = 300
UNFINISHED = re.compile("TO" + r"DO\b|FIX" + r"ME\b|XX" + r"X\b|raise NotImpl" + "emented")

KEY = re.compile("-----BEGIN [A-Z ]*PRIVATE KEY" + r"-----\s*\n\s*[A-Za-z0-9+/=]{16}")
# What tests call a key: nobody ever had it.
INVENTED = ("sk-abcdefghijklmnop",)

# Files that run in a process of their own, or before every test.
ALONE = (
    "tests/crash/forkserver.py",
    "tests/fuzz/bombs.py",
    "tests/support/at_once.py",
    "tests/support/forked.py",
    "tests/support/interrupts.py",
    "tests/support/stand_in_command.py",
)
# What these change belongs to the process.
SHARED_CALLS = (
    r"os\.(chdir|fchdir|putenv|unsetenv|umask|setsid|setpgrp)|os\.environ\.(update|pop|popitem|setdefault|clear)"
    r"|sys\.(path|modules|meta_path)\.(append|clear|extend|insert|pop|remove|update)|signal\.(signal|setitimer)|resource\.setrlimit"
    r"|(random|np\.random|numpy\.random)\.seed|locale\.setlocale|time\.tzset|socket\.setdefaulttimeout"
    r"|logging\.(basicConfig|disable)|warnings\.(simplefilter|filterwarnings)"
)


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
        if name.startswith("tests/") and path.suffix == ".py" and not name.startswith(ALONE):
            found.extend(
                f"{name}:{line}: {what} is changed for other tests (use monkeypatch, or a process of its own)"
                for line, what in reaches(path.read_text(encoding="utf-8"))
            )
        found.extend(
            f"{name}: looks like a credential: {text[:8]}… (take it out, and have it revoked)" for text in secrets(path)
        )
        if name.endswith(".lock") and re.search(r"://|--(extra-)?index-url|--find-links", path.read_text("utf-8")):
            found.append(f"{name}: holds an address (lock files carry names, versions and hashes only)")
    return found


def reaches(source: str) -> list[tuple[int, str]]:
    """(line, what) where a test changes a module, the environment or a folder outside `monkeypatch` or `patch`.

    Left out is what the end of the same function puts back (`finally`), and what runs in a process of its own
    (`if __name__ == "__main__"`).
    """
    tree = ast.parse(source)
    imported = {
        (name.asname or name.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    allowed = {id(n) for block in ast.walk(tree) if _is_main(block) for n in ast.walk(block)}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            last = [line for t in ast.walk(function) if isinstance(t, ast.Try) for line in t.finalbody]
            put_back = {what for line in last for n in ast.walk(line) for what in _changed(n, imported)}
            allowed |= {id(n) for n in ast.walk(function) if put_back & set(_changed(n, imported))}
    return [(n.lineno, what) for n in ast.walk(tree) if id(n) not in allowed for what in _changed(n, imported)]


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _changed(node: ast.AST, imported: set[str]) -> Iterator[str]:
    """What of a module, a class or the process a statement sets, deletes or calls for."""
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        owner: ast.AST = node
        while isinstance(owner, ast.Attribute | ast.Subscript):
            owner = owner.value
        if isinstance(owner, ast.Name) and owner.id in imported:
            yield ast.unparse(node)
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if re.fullmatch(SHARED_CALLS, called):
            yield called
        elif called in ("setattr", "delattr") and isinstance(node.args[0], ast.Name) and node.args[0].id in imported:
            yield ast.unparse(node)


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
