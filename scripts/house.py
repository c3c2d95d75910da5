#!/usr/bin/env python3
"""Measure the house: circles of imports, imports that run up, what names a task or a platform, sizes."""

from __future__ import annotations

import ast
import re
import statistics
import sys
import tomllib
from pathlib import Path

import grimp

from tao_skill_bank.bank.platforms_catalog import load_catalog

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "tao_skill_bank"
TREES = (PACKAGE, "mcp_server", "scripts", "skills", "hooks")
TASK_NAMES = re.compile("change" + "net|vcn_aoi|siamese|anomaly" + "gen", re.IGNORECASE)


def floors() -> dict[str, int]:
    """Folder or module below the package → its floor, 0 at the top, as the import contract has them."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in tool["contracts"] if contract["type"] == "layers")
    return {name.strip(): floor for floor, layer in enumerate(layers) for name in re.split("[|:]", layer)}


def arrows_up(graph: grimp.ImportGraph) -> list[str]:
    """A line for every import from a lower floor to a higher one."""
    floor_of = floors()

    def floor(module: str) -> int | None:
        return floor_of.get(module.split(".")[1]) if "." in module else None

    return [
        f"{importer} imports {imported}"
        for importer in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if (above := floor(imported)) is not None and (below := floor(importer)) is not None and above < below
    ]


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """The groups of modules that lead to one another; each is a circle."""
    reaches = {module: graph.find_upstream_modules(module) for module in graph.modules}
    groups: list[list[str]] = []
    seen: set[str] = set()
    for module in sorted(graph.modules):
        group = [other for other in sorted(reaches[module]) if other != module and module in reaches[other]]
        if group and module not in seen:
            groups.append([module, *group])
            seen.update(groups[-1])
    return groups


def modules(*trees: str) -> dict[str, str]:
    """Path → text of every Python file."""
    files = [path for tree in trees for path in sorted((ROOT / tree).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def naming_a_task() -> list[str]:
    """Files of the loop that name a task."""
    return [name for name, text in modules(f"{PACKAGE}/loop").items() if TASK_NAMES.search(text)]


def platform_conditions() -> list[str]:
    """`file:line` of every comparison with a platform's name outside `platforms/`."""
    names = {platform.name for platform in load_catalog().platforms}
    found = []
    for path, text in modules(*TREES).items():
        if path.startswith(f"{PACKAGE}/platforms/") or not path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                flat = [item for part in parts for item in (part.elts if isinstance(part, ast.Tuple) else [part])]
                if any(isinstance(item, ast.Constant) and item.value in names for item in flat):
                    found.append(f"{path}:{node.lineno}")
    return found


def main() -> int:
    """Print the figures; with `--list` also the lines behind them. 1 if there is a circle or an import that runs up."""
    graph = grimp.build_graph(PACKAGE)
    sizes = {name: text.count("\n") for name, text in modules(PACKAGE).items()}
    longest = max(sizes, key=lambda name: sizes[name])
    lines = {tree: sum(text.count("\n") for text in modules(tree).values()) for tree in TREES}
    listed = {
        "circles of imports": [" <-> ".join(group) for group in circles(graph)],
        "imports that run up": arrows_up(graph),
        "files of loop/ that name a task": naming_a_task(),
        "platform names in conditions outside platforms/": platform_conditions(),
    }
    for title, found in listed.items():
        print(f"{title}: {len(found)}")
        if "--list" in sys.argv[1:]:
            print("".join(f"    {line}\n" for line in found), end="")
    print(f"lines of Python: {sum(lines.values())} ({', '.join(f'{tree} {count}' for tree, count in lines.items())})")
    print(f"modules of {PACKAGE}: {len(sizes)}, median {statistics.median(sizes.values()):g} lines, ", end="")
    print(f"longest {longest} with {sizes[longest]}")
    return int(bool(listed["circles of imports"] or listed["imports that run up"]))


if __name__ == "__main__":
    sys.exit(main())
