"""What the source of a TAO release says, read as a syntax tree and never run: commands, actions, refusals, outputs.

Facts only. A refusal is kept as what it looks at (names and values in its conditions), where it stands and what it
raises; its words and its code are not kept, only a digest, so that a changed condition shows.
"""

from __future__ import annotations

import ast
import configparser
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("nvidia_tao_pytorch", "nvidia_tao_ds")
# Shared by every network: telemetry, logging, the launcher. Which of it changed says nothing about one action.
_SHARED = ("core",)
_FILE = re.compile(r"[\w*.-]*\.(csv|json|jsonl|parquet|pth|txt|html|onnx|yaml|png|engine)")
Refusal = dict[str, Any]


def commands(root: Path) -> dict[str, tuple[str, str]]:
    """Command → (distribution, module of its entry point) of the two packages that have commands."""
    found = {}
    for path in sorted(root.glob("*.dist-info/entry_points.txt")):
        parser = configparser.ConfigParser()
        parser.read_string(path.read_text(encoding="utf-8"))
        for name, target in parser["console_scripts"].items():
            module = target.partition(":")[0]
            if module.startswith(PACKAGES):
                found[name] = (path.parent.name.split("-")[0].replace("_", "-"), module)
    return found


def actions(root: Path, entry: str) -> dict[str, Path]:
    """Action → its script: the modules of the `scripts` package beside the entry point."""
    folder = (root / Path(*entry.split("."))).parent.parent / "scripts"
    return {p.stem: p for p in sorted(folder.rglob("*.py")) if p.name != "__init__.py"}


def schema_of(root: Path, script: Path) -> str | None:
    """`module:Class` that the script's runner merges a spec over, None where it has none."""
    tree = tree_of(script)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last(node.func) == "hydra_runner":
            for keyword in node.keywords:
                if keyword.arg == "schema" and isinstance(keyword.value, ast.Name):
                    return _imported(tree, keyword.value.id)
    return None


def closure(root: Path, script: Path) -> list[Path]:
    """The script, and what it imports of its own package without the shared parts, in path order."""
    own = script.relative_to(root).parts[0]
    seen, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            parts = module.split(".")
            if parts[0] != own or (len(parts) > 1 and parts[1] in _SHARED):
                continue
            places = (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts) / "__init__.py")
            todo += [target for target in places if target.is_file()]
    return sorted(seen)


def digest(root: Path, files: list[Path]) -> str:
    """Of their names and bytes."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.relative_to(root)}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def refusals(root: Path, files: list[Path]) -> list[Refusal]:
    """Every place that raises, asserts, or gives an error back without raising it."""
    found = [
        {"file": str(path.relative_to(root).relative_to(path.relative_to(root).parts[0])), **fact}
        for path in files
        for fact in _refusals_of(tree_of(path))
    ]
    return sorted(found, key=lambda f: (f["file"], f["function"], f["error"], f["condition"]))


def outputs(files: list[Path]) -> list[str]:
    """Names of files that the code spells out; `*` stands for what is filled in."""
    found = set()
    for path in files:
        tree = tree_of(path)
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
        for node in ast.walk(tree):
            text = _text(node) if id(node) not in docs else None
            if text and text[0] != "*" and _FILE.fullmatch(text.rsplit("/", 1)[-1]):
                found.add(text.rsplit("/", 1)[-1])
    return sorted(found)


def status_fields(files: list[Path]) -> list[str]:
    """Keys that are put into the dictionary handed to `status.json`."""
    found = set()
    for path in files:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if (
                        isinstance(target, ast.Subscript)
                        and _last(target.value) == "status_logging_dict"
                        and isinstance(target.slice, ast.Constant)
                    ):
                        found.add(str(target.slice.value))
    return sorted(found)


def choices(folder: Path) -> dict[str, list[str]]:
    """Module-level dictionaries named `…_model_dict`: name → keys."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in tree_of(path).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id.endswith("_model_dict"):
                        keys = {str(k.value) for k in node.value.keys if isinstance(k, ast.Constant)}
                        found.setdefault(target.id, set()).update(keys)
    return {name: sorted(keys) for name, keys in sorted(found.items())}


def passes_on(tree: ast.Module, name: str) -> bool:
    """Whether a call hands over `name=` with something else than a fixed value."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(k.arg == name and not isinstance(k.value, ast.Constant) for call in calls for k in call.keywords)


def made_with(tree: ast.Module, attribute: str) -> bool:
    """Whether what is assigned to `self.<attribute>` is made with an argument."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call))
    return any(bool(a.value.args) for a in found if any(_last(t) == attribute for t in a.targets))  # type: ignore[attr-defined]


@cache
def tree_of(path: Path) -> ast.Module:
    """The file's tree; an empty one where this Python is older than the file's grammar (see `unread`)."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def unread(root: Path, scripts: list[Path]) -> list[str]:
    """Scripts whose grammar this Python does not know."""
    return [str(p.relative_to(root)) for p in scripts if p.stat().st_size and not tree_of(p).body]


def _refusals_of(tree: ast.Module) -> Iterator[Refusal]:
    def visit(node: ast.AST, function: str, tests: list[ast.expr]) -> Iterator[Refusal]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            inner = f"{function}.{node.name}".lstrip(".")
            for child in node.body:
                yield from visit(child, inner, [])
            return
        if isinstance(node, ast.If):
            for child in node.body:
                yield from visit(child, function, [*tests, node.test])
            for child in node.orelse:
                yield from visit(child, function, [*tests, node.test])
            return
        error, guards = None, tests
        if isinstance(node, ast.Assert):
            error, guards = "AssertionError", [*tests, node.test]
        elif isinstance(node, ast.Raise) and node.exc is not None:
            error = _last(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            name = _last(node.value.func)
            error = f"returned {name}" if name.endswith("Error") else None
        if error:
            yield {"function": function, "error": error, **_looks_at(guards)}
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.withitem):
                yield from visit(child, function, tests)

    for node in tree.body:
        yield from visit(node, "", [])


def _looks_at(tests: list[ast.expr]) -> dict[str, Any]:
    reads, values = set(), set()
    for test in tests:
        for node in ast.walk(test):
            if isinstance(node, ast.Attribute):
                reads.add(node.attr)
            elif isinstance(node, ast.Name) and node.id not in ("self", "len", "str", "int", "os"):
                reads.add(node.id)
            elif isinstance(node, ast.Constant) and len(str(node.value)) <= 40:
                values.add("null" if node.value is None else str(node.value))
    dumped = "\0".join(ast.dump(t) for t in tests)
    return {
        "reads": sorted(reads),
        "values": sorted(values),
        "condition": hashlib.sha256(dumped.encode()).hexdigest()[:8],
    }


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _imported(tree: ast.Module, name: str) -> str | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}:{alias.name}"
    return None


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in node.values)
    return None


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
