"""Reading YAML that anybody may have written: plain values only, and refused before it can cost much.

A few hundred bytes of YAML can stand for gigabytes (aliases of aliases) or take minutes (brackets in brackets), so
size and depth are limited while it is read, and what the aliases stand for is counted before anything is built.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError

MOST_BYTES = 256 * 1024
"""A training spec has some 10 KiB."""
MOST_DEPTH = 50
MOST_VALUES = 200_000
"""Values that a file may stand for, its aliases written out."""
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)[eE][-+]?[0-9]+$")


def read_yaml(path: Path, *, what: str = "file") -> Any:
    """The value of a YAML file.

    Raises:
        InputError: It is missing, no text, no YAML, or more than `parse_yaml` takes; the line is named.
    """
    try:
        with guard.open_read(path, what) as handle:
            data = handle.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no such {what}", where=path, fix="check the path") from None
    except IsADirectoryError:
        raise InputError(f"is a folder, not a {what}", where=path, fix="name the YAML file") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path, fix="check the path") from None
    if len(data) > MOST_BYTES:
        what = f"is larger than {MOST_BYTES >> 10} KiB"
        raise InputError(what, where=path, fix="data belongs into CSV or JSON files, not into YAML")
    try:
        return parse_yaml(data.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=path, fix="save it as UTF-8") from None


def parse_yaml(text: str, where: str | Path) -> Any:
    """The value of YAML text; floats as in YAML 1.2 (`lr: 1e-5` is a number, as it is for TAO's own reader).

    Raises:
        InputError: No YAML, larger than `MOST_BYTES`, deeper than `MOST_DEPTH`, or standing for more than
            `MOST_VALUES` values.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES >> 10} KiB", where=where, fix="write less into it")
    try:
        _refuse_depth(text)
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            _refuse_bombs(node, where)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # What is missing at the end is missing in the last line.
        line = f" line {min(mark.line + 1, max(1, len(text.splitlines())))}" if mark else ""
        problem = getattr(error, "problem", None) or (str(error).splitlines() or ["cannot be read"])[0]
        raise InputError(f"not valid YAML: {problem}", where=f"{where}{line}", fix="fix the file") from None


@functools.cache
def _loader() -> type[Any]:
    """PyYAML's safe loader, by libyaml where it was built with it (ten times as fast)."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return Loader


def _refuse_depth(text: str) -> None:
    """Read the text's events only, before anything is put together by functions that call themselves."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                problem = f"nested deeper than {MOST_DEPTH} levels"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_bombs(node: Any, where: str | Path) -> None:
    """Count what a node stands for, each alias as often as it is used; one that holds itself is refused."""
    sizes: dict[int, int | None] = {}

    def size(node: Any) -> int:
        if isinstance(node.value, str):
            return 1
        found = sizes.get(id(node), -1)
        if found is None:
            raise InputError("an alias holds itself", where=f"{where} line {_line(node)}", fix="write it out")
        if found >= 0:
            return found
        sizes[id(node)] = None
        children = (child for entry in node.value for child in (entry if isinstance(entry, tuple) else (entry,)))
        total = 1 + sum(size(child) for child in children)
        if total > MOST_VALUES:
            problem = f"stands for more than {MOST_VALUES:,} values"
            raise InputError(problem, where=f"{where} line {_line(node)}", fix="use fewer aliases")
        sizes[id(node)] = total
        return total

    if node is not None:
        size(node)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
