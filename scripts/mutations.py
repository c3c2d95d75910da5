"""What a mutant changes, one place at a time: comparisons, `and` and `or`, arithmetic, values, returns, raises, calls.

Looked at are the bodies of functions and methods; what runs when a module is imported, sentences, annotations are not.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

LONGEST_WORD = 20
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    new: Any = copy.deepcopy(node)
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in COMPARED[type(op)]:
                new = copy.deepcopy(node)
                new.ops[at] = other()
                yield new
    elif isinstance(node, ast.BoolOp):
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield new
    elif isinstance(node, ast.UnaryOp):
        yield new.operand
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COUNTED:
        new.op = COUNTED[type(node.op)]()
        yield new
    elif isinstance(node, ast.Constant):
        yield from _values(node)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], ast.Load())
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            new.test = ast.UnaryOp(ast.Not(), new.test)
            yield new
    elif isinstance(node, ast.Return) and not (node.value is None or isinstance(node.value, ast.Constant)):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield ast.Pass()
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def _values(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif (
        isinstance(value, str) and 0 < len(value) <= LONGEST_WORD and value.replace(",", "").replace(" ", "").isalpha()
    ):
        # Words that are values; sentences are not looked at.
        yield ast.Constant(f"not {value}")


def mutants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(function's name, what was changed) of every mutant; while one is handed out, the tree is that mutant."""
    seen: Counter[str] = Counter()
    for name, function in _functions(tree.body):
        for parent, field, at, shown in _places(function.body, function):
            old: Any = getattr(parent, field) if at is None else getattr(parent, field)[at]
            for new in others(old):
                before = _text(shown)
                _put(parent, field, at, new)
                what = f"{name}: {before} -> {_text(new if shown is old else shown)}"
                seen[what] += 1
                yield name, what + (f" #{seen[what]}" if seen[what] > 1 else "")
                _put(parent, field, at, old)


def _put(parent: ast.AST, field: str, at: int | None, node: ast.AST) -> None:
    if at is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[at] = node


def _text(node: ast.AST) -> str:
    """A node in one line; of a statement with a body its head."""
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n")[0].split())


def _functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node


def _places(found: Any, parent: ast.AST, field: str = "body", around: ast.AST | None = None) -> Iterator[Any]:
    """(parent, field, index, what to show) of every node below; a constant is shown with what stands around it."""
    for at, node in enumerate(found) if isinstance(found, list) else [(None, found)]:
        if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr | ast.ClassDef):
            continue
        if isinstance(node, ast.keyword) and node.arg == "fix":  # a sentence, however short
            continue
        plain = isinstance(node, ast.Constant | ast.Name)
        yield parent, field, at, around if plain and around is not None else node
        for name, child in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list", "args") or isinstance(node, ast.Call):
                yield from _places(child, node, name, node if isinstance(node, ast.expr | ast.keyword) else None)
