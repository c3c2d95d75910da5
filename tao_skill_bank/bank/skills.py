"""The bank's skills as data, and the rules they keep: form, length, references, and what a static scan would flag."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.core.errors import InputError, did_you_mean

MOST_LINES = 300
MOST_TOKENS = 2500
MOST_NAME, MOST_DESCRIPTION, MOST_COMPATIBILITY = 64, 1024, 500
MOST_DESCRIPTIONS = 3500
"""All descriptions together; beyond that a client shows bare names."""
CHARS_PER_TOKEN = 4
_KEYS = {"name", "description", "license", "allowed-tools", "metadata", "compatibility"}
_EVAL_KEYS = {"id", "question", "expected_skill", "expected_script", "ground_truth", "expected_behavior"}
_NAME = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
_FILE = re.compile(
    r"(?<![\w./])(?:\./)?((?:references|scripts|agents|specs|evals|assets)/[A-Za-z0-9_.-]*[A-Za-z0-9_-])"
)
# What a static scan of agent skills flags. Each is a fault wherever it stands in a skill's text.
_FLAGGED = {
    "an image outside versions.yaml": r"\b(?:nvcr\.io|docker\.io|ghcr\.io)/|\bdocker (?:run|pull)\b",
    "an unpinned install": r"\bpip install (?!FOLDER)[a-z]|\bnpm i(?:nstall)? |\bnpx ",
    "root rights": r"\bsudo\b|--privileged\b|\bchmod 777\b",
    "a pipe into a shell": r"\b(?:curl|wget)\b[^\n]*\|\s*(?:ba)?sh\b",
    "reading of secrets": r"~/\.ssh\b|\.env\b|\bcat [^\n]*(?:key|token|secret)",
    "hidden text": r"<!--|[ \t]{40,}|[\u200b-\u200f\u202a-\u202e\u2060\ufeff]",
    "words that switch off a person's say": (
        r"(?i)\bnever ask\b|\balways comply\b|\bdo not warn\b|\b(?:no|without) confirmation\b|\bbypass[- ]permissions\b"
        r"|\bautonomous(?:ly)?\b|\bauto-accept\b"
    ),
    "force flags": r"(?<![\w-])--force\b|\brm -rf?\b",
    "persistence": r"\bcrontab\b|\bsystemctl\b|\b\.bashrc\b|\blaunchctl\b",
}
# A script may define an option of its own, and names the command that installs the package.
_TEXT_ONLY = {"an unpinned install", "force flags"}
_FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "getattr", "system", "popen"}
_FORBIDDEN_IMPORTS = {"subprocess", "importlib", "socket", "ctypes", "pickle", "requests", "urllib"}


class Skill(BaseModel):
    """One skill: what its frontmatter says, and its text."""

    folder: Path
    frontmatter: dict[str, Any]
    body: str
    text: str

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def description(self) -> str:
        """When to use it."""
        return " ".join(str(self.frontmatter.get("description", "")).split())


def skill_folders(root: Path | None = None) -> list[Path]:
    """Every folder with a `SKILL.md`, by name."""
    return sorted(p.parent for p in ((root or bank_root()) / "skills").glob("*/SKILL.md"))


def load_skill(folder: Path) -> Skill:
    """Read one skill.

    Raises:
        InputError: No `SKILL.md`, or its frontmatter cannot be read.
    """
    from tao_skill_bank.core.yamlio import parse_yaml

    path = folder / "SKILL.md"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"cannot be read: {reason}", where=path, fix="write it") from None
    match = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    if match is None:
        raise InputError("no frontmatter", where=path, fix="begin the file with --- and name, description")
    frontmatter = parse_yaml(match[1], f"{path} frontmatter")
    if not isinstance(frontmatter, dict):
        raise InputError("frontmatter is not a mapping", where=path, fix="write name: and description:")
    for key in frontmatter:
        if not isinstance(key, str):  # YAML reads `on:` and `no:` as truth values.
            raise InputError(f"frontmatter key {key!r} is no text", where=path, fix="quote it, or take it out")
    return Skill(folder=folder, frontmatter=frontmatter, body=match[2], text=text)


def find_skill(name: str, root: Path | None = None) -> Skill:
    """The skill of a name.

    Raises:
        InputError: There is none; the nearest names are shown.
    """
    folders = {folder.name: folder for folder in skill_folders(root)}
    if name not in folders:
        raise InputError(f"no skill {name!r}", where="skills", fix=did_you_mean(name, folders))
    return load_skill(folders[name])


def skills_faults(root: Path | None = None) -> list[str]:
    """A line for every rule that a skill of the bank breaks; empty when all is well."""
    found: list[str] = []
    described = 0
    for folder in skill_folders(root):
        try:
            skill = load_skill(folder)
        except InputError as error:
            found.append(error.line())
            continue
        described += len(skill.description)
        found += [f"skills/{skill.name}: {fault}" for fault in skill_faults(skill)]
    if described > MOST_DESCRIPTIONS:
        found.append(f"skills: descriptions have {described} characters together, more than {MOST_DESCRIPTIONS}")
    return found


def skill_faults(skill: Skill) -> list[str]:
    """What is wrong with one skill, a line each."""
    return [*_frontmatter(skill), *_size(skill), *_references(skill), *_evals(skill), *_flags(skill), *_scripts(skill)]


def _frontmatter(skill: Skill) -> Iterator[str]:
    front = skill.frontmatter
    for key in sorted(set(front) - _KEYS):
        yield f"frontmatter key {key!r} is not part of the format (move it below metadata)"
    name = front.get("name")
    if name != skill.name or len(skill.name) > MOST_NAME or not _NAME.match(skill.name):
        yield f"name {name!r} must be the folder's, lower-case words with hyphens, at most {MOST_NAME} characters"
    if not 1 <= len(skill.description) <= MOST_DESCRIPTION:
        yield f"description has {len(skill.description)} characters (1 to {MOST_DESCRIPTION})"
    if "<" in skill.description:
        yield "description holds a '<'"
    if "use" not in skill.description.lower() or "not for" not in skill.description.lower():
        yield "description must say when to use the skill, and what it is 'not for'"
    if len(str(front.get("compatibility", ""))) > MOST_COMPATIBILITY:
        yield f"compatibility has more than {MOST_COMPATIBILITY} characters"
    tools = front.get("allowed-tools")
    if not isinstance(tools, str) or not tools.strip():
        yield "allowed-tools must be a comma-separated list"
    metadata = front.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        yield "metadata must map names to plain text (tags: one, two), without lists or numbers"


def _size(skill: Skill) -> Iterator[str]:
    lines, tokens = skill.text.count("\n"), len(skill.text) // CHARS_PER_TOKEN
    if lines > MOST_LINES or tokens > MOST_TOKENS:
        yield f"SKILL.md has {lines} lines and about {tokens} tokens (at most {MOST_LINES} and {MOST_TOKENS})"


def _references(skill: Skill) -> Iterator[str]:
    """Every file that a skill's text names is there, inside the skill's folder."""
    for page in [skill.folder / "SKILL.md", *sorted((skill.folder / "references").glob("*.md"))]:
        for name in sorted(set(_FILE.findall(page.read_text(encoding="utf-8")))):
            if not (skill.folder / name).exists():
                yield f"{page.name} names {name}, which is not there"


def _evals(skill: Skill) -> Iterator[str]:
    path = skill.folder / "evals" / "evals.json"
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield f"evals/evals.json cannot be read: {error}"
        return
    if not isinstance(cases, list) or not cases:
        yield "evals/evals.json must be a list of cases"
        return
    for number, case in enumerate(cases, start=1):
        missing = sorted(_EVAL_KEYS - set(case)) if isinstance(case, dict) else sorted(_EVAL_KEYS)
        if missing:
            yield f"evals/evals.json case {number}: missing {', '.join(missing)}"


def _flags(skill: Skill) -> Iterator[str]:
    for path in sorted(p for p in skill.folder.rglob("*") if p.is_file()):
        name = path.relative_to(skill.folder).as_posix()
        if path.suffix in (".pyc", ".so") or "__pycache__" in name:
            continue  # never shipped: git ignores them
        text = path.read_text(encoding="utf-8", errors="replace")
        for what, pattern in _FLAGGED.items():
            match = re.search(pattern, text)
            if match is not None and not (path.suffix == ".py" and what in _TEXT_ONLY):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{name}:{line}: {what}: {match[0].strip()[:60]!r}"


def _scripts(skill: Skill) -> Iterator[str]:
    """A skill's script calls the package and starts nothing itself."""
    for path in sorted((skill.folder / "scripts").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            for name in sorted(_FORBIDDEN_IMPORTS.intersection(names)):
                yield f"scripts/{path.name}:{getattr(node, 'lineno', 0)}: imports {name}"
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if called in _FORBIDDEN_CALLS:
                    yield f"scripts/{path.name}:{node.lineno}: calls {called}"
