"""What the engine says, in the words of a tool: it speaks of the command line's options, and a tool has arguments.

A whole command line stays one, called as it is on this machine: a person types it. Everywhere else `--results-dir` is
`results_dir`, and `--set key=value` is an entry of `settings`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

_COMMAND = re.compile(
    r"""(?P<quote>`?)                              # from the program's name on: to where the sentence goes on
    (?P<program>'[^'\n]*/tao-skills'|(?:[^\s']*/)?tao-skills
    |python3\ (?:'[^'\n]*launch\.py'|\S*launch\.py)\ run\ tao_skill_bank\.cli)
    \ (?P<rest>(?:(?<=[\s=])'[^'\n]*'|,(?=\S)|[^\n`;(),])*)      # what is quoted, and a list's comma, belong to it""",
    re.VERBOSE,
)
_OTHERS = re.compile(r"\b(?:vllm serve|docker run|swift sft|sbatch|kubectl|pip install|launch\.py)\b[^\n;()]*")
_OPTION = re.compile(r"(?<![\w/.-])--([a-z][a-z0-9-]*)(?:[ =]([A-Z][A-Z_]*=[A-Z,]+|[A-Z][A-Z_]*|\S+=\S+))?")
_NAMES = {"set": "settings"}
_MAPPING = re.compile(r"(\S+)=(INPUT),(OUTPUT)")
_TOOLS = {
    "deft plan": "plan_deft_run",
    "deft run": "start_deft_run",
    "deft status": "get_deft_status",
    "deft stop": "stop_deft_run",
    "deft compare": "compare_runs",
    "annotate run": "start_annotation",
    "annotate status": "get_annotation_status",
    "annotate stop": "stop_annotation",
}
_SPOKEN = re.compile(rf"(?<![\w/-])(?:{'|'.join(_TOOLS)})(?![\w/-])")
"""Commands that a sentence names without the program, and what a client has for them."""
_PERSONS_OWN = frozenset({"root", "toolsets", "approve", "yes"})
"""A person starts the server with them, or approves; no tool can."""
# What holds text that is no sentence of ours: it is shown as it stands.
_AS_IT_STANDS = frozenset({"command", "log", "digest", "output"})


def program() -> list[str]:
    """How a person calls the console of this very environment."""
    if shutil.which("tao-skills"):
        return ["tao-skills"]
    beside = Path(sys.executable).with_name("tao-skills")
    if beside.exists():
        return [str(beside)]
    from tao_skill_bank.bank.home import bank_root

    return ["python3", str(bank_root() / "scripts" / "launch.py"), "run", "tao_skill_bank.cli"]


def in_own_words(text: str, arguments: Collection[str] = ()) -> str:
    """A sentence of the engine as a tool says it.

    Args:
        text: What the engine says.
        arguments: Those of the tool; an option that is none of them is said to be the command line's.
    """
    if "--" not in text and "tao-skills " not in text and _SPOKEN.search(text) is None:
        return text
    out, at = [], 0
    for found in _commands(text):
        out += [_plain(text[at : found.start()], arguments), _called_here(found)]
        at = found.end()
    return "".join([*out, _plain(text[at:], arguments)])


def all_in_own_words(value: Any, arguments: Collection[str] = (), key: str = "") -> Any:
    """The same for every text within a result, but what holds command lines and digests."""
    if isinstance(value, str):
        return value if key in _AS_IT_STANDS else in_own_words(value, arguments)
    if isinstance(value, list):
        return [all_in_own_words(item, arguments, key) for item in value]
    if isinstance(value, dict):
        return {name: all_in_own_words(item, arguments, name) for name, item in value.items()}
    return value


def _commands(text: str) -> list[re.Match[str]]:
    found = sorted([*_COMMAND.finditer(text), *_OTHERS.finditer(text)], key=lambda match: match.start())
    return [match for n, match in enumerate(found) if n == 0 or match.start() >= found[n - 1].end()]


def _called_here(found: re.Match[str]) -> str:
    """A command as it is called here: after a plugin install none is on the PATH."""
    groups = found.groupdict()
    if groups.get("program") != "tao-skills":
        return found[0]
    return f"{groups['quote']}{shlex.join(program())} {groups['rest']}"


def _plain(text: str, arguments: Collection[str]) -> str:
    def said(match: re.Match[str]) -> str:
        if match[1] in _PERSONS_OWN:
            return match[0]
        name = match[1].replace("-", "_")
        name = _NAMES.get(name, name)
        value = "" if match[2] is None else " " + _MAPPING.sub(r'{"\1": [\2, \3]}', match[2])
        own = not arguments or name in arguments
        return f"{name}{value}" if own else f"{name}{value} (of the command line)"

    return _OPTION.sub(said, _SPOKEN.sub(lambda match: _TOOLS[match[0]], text))
