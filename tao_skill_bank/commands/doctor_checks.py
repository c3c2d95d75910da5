"""What is installed, what each platform lacks, and what mends it: looked at, never changed.

A platform is asked by its own pre-flight checks, on an empty scratch workspace, so that what it says here is what it
says before a run. Only the bank itself can be `broken`; a platform nobody uses may lack whatever it likes.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform as machine
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.core.errors import BankError, EngineUnreachableError, InputError, InputErrors, did_you_mean
from tao_skill_bank.core.fsio import write_json
from tao_skill_bank.core.redaction import redact
from tao_skill_bank.core.settings import Frozen
from tao_skill_bank.core.version import __version__
from tao_skill_bank.data.pictures.memory import cache_folder
from tao_skill_bank.data.releases.facts import known, newest, ordered
from tao_skill_bank.platforms.machine import Complaint, Machine

PACKAGE = "nvidia-tao-pytorch"
_PATIENCE_SEC = 30.0
_VERSION = re.compile(r"\d+(\.\d+){1,3}")


def release_text(listed: list[str] | None, seen: list[str] | None = None) -> tuple[bool, str, str]:
    """Whether all is known, what to say, and what mends it.

    Args:
        listed: The versions that an index has; None where it was asked and did not answer; empty: not asked.
        seen: Those that it had when it was asked last.
    """
    mine = f"known: {', '.join(known())}"
    if listed is None:
        return False, f"{mine}; the Python index does not answer", "check the network, or leave --index away"
    newer = [v for v in sorted(listed, key=ordered) if ordered(v) > ordered(newest())]
    if newer:
        text = f"{mine}; the Python index has {', '.join(newer)}: specs are checked as for {newest()}"
        return False, text, "make releases, in the repository"
    later = [] if listed else [v for v in sorted(seen or [], key=ordered) if ordered(v) > ordered(newest())]
    if later:
        text = f"{mine}; the Python index had {', '.join(later)} when asked last: specs are checked as for {newest()}"
        return False, text, "make releases, in the repository"
    return (
        True,
        f"{mine}; " + ("nothing newer on the Python index" if listed else "the index was not asked (--index)"),
        "",
    )


def keep(listed: list[str], path: Path | None = None) -> None:
    """Remember what the index had, so that a later look says it without asking; where that cannot be, nothing is."""
    with contextlib.suppress(OSError):
        write_json(path or _kept(), {"versions": listed})


def seen_last(path: Path | None = None) -> list[str]:
    """What the index had when it was asked last; nothing where it never was."""
    try:
        found = json.loads((path or _kept()).read_text(encoding="utf-8"))["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [v for v in found if isinstance(v, str) and _VERSION.fullmatch(v)] if isinstance(found, list) else []


def _kept() -> Path:
    return cache_folder() / "tao-releases.json"


def on_index(run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> list[str] | None:
    """The versions that the user's Python index has; None where it does not answer in time."""
    line = [sys.executable, "-m", "pip", "index", "versions", PACKAGE, "--python-version", "3.12"]
    try:
        done = run(
            [*line, "--only-binary=:all:", "--retries", "0", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_SEC,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"Available versions: (.*)", done.stdout)
    return [v.strip() for v in found[1].split(",")] if found else None


Outcome = Literal["ok", "note", "lacks", "broken"]
PATIENCE_SEC = 20.0
"""How long a platform may take to say what it lacks; an engine that hangs must not hang the doctor."""
LITTLE_DISK_GB = 5
_EXTRAS = {
    "video": (("av",), "annotate videos without a system ffmpeg"),
    "siglip": (("torch", "transformers"), "mine by the learned SigLIP encoder; without it the local one is used"),
    "hub": (("huggingface_hub",), "stage backbones from the Hugging Face hub"),
}
_RUNTIME = ("numpy", "pyarrow", "PIL", "pydantic", "yaml", "hydra", "jinja2", "mcp", "rich")
_DATA = (
    "reports/templates/deft_report.html.j2",
    "reports/templates/report.css",
    "reports/templates/report.js",
    "schemas/deft_state.schema.json",
    "bank/platforms.yaml",
)
_SPEC = "specs/baseline_spec.yaml"


class Finding(Frozen):
    """One thing that was looked at: `ok`, `note` (nothing is wrong, but know it), `lacks` or `broken`.

    `fix` is the one command that mends it, or an instruction where no command does; empty where nothing is to be done.
    """

    group: str
    name: str
    outcome: Outcome
    text: str
    fix: str = ""


class Diagnosis(Frozen):
    """Everything that was looked at; `sound` says that the bank itself works."""

    version: str
    findings: list[Finding]
    sound: bool


@dataclass
class Looks:
    """Where the doctor looks; tests put their own places here."""

    root: Path = field(default_factory=bank_root)
    package: Path = Path(__file__).resolve().parent.parent
    platforms: tuple[str, ...] | None = None
    patience_sec: float = PATIENCE_SEC
    index: bool = False
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    here: Machine = field(default_factory=Machine)


def diagnose(looks: Looks | None = None) -> Diagnosis:
    """Look at the bank, the machine, the extras, every platform and the credentials by name.

    Raises:
        InputError: A platform is named that there is not.
    """
    from tao_skill_bank.platforms import names, own_name

    where = looks or Looks()
    for name in where.platforms or ():
        if own_name(name) not in names():
            raise InputError(f"unknown platform {name!r}", where="--platform", fix=did_you_mean(name, names()))
    found = [*_bank(where), _releases(where), *_machine(), *_extras(where), *_platforms(where), *_credentials(where)]
    return Diagnosis(version=__version__, findings=found, sound=all(f.outcome != "broken" for f in found))


def lines(diagnosis: Diagnosis) -> list[str]:
    """The diagnosis as text for a terminal, what to do behind an arrow."""
    marks = {"ok": "ok   ", "note": "note ", "lacks": "lacks", "broken": "BROKEN"}
    out, group = [f"tao-skill-bank {diagnosis.version}"], ""
    for f in diagnosis.findings:
        if f.group != group:
            out += ["", f.group]
            group = f.group
        out.append(f"  {marks[f.outcome]} {f.name}: {f.text}")
        if f.fix:
            out.append(f"        → {f.fix}")
    lacking = sum(f.outcome == "lacks" for f in diagnosis.findings)
    verdict = "The bank works." if diagnosis.sound else "The bank itself is broken; mend what is marked."
    behind = f" {lacking} optional thing{'s' * (lacking != 1)} lacking; → mends it." if lacking else ""
    return [*out, "", verdict + behind]


def _found(group: str, name: str, outcome: Outcome, text: str, fix: str = "") -> Finding:
    """A finding; where nothing is wrong, nothing is to be done."""
    return Finding(group=group, name=name, outcome=outcome, text=text, fix="" if outcome == "ok" else fix)


def _bank(where: Looks) -> Iterator[Finding]:
    def part(name: str, wrong: bool, text: str, fix: str) -> Finding:
        return _found("bank", name, "broken" if wrong else "ok", text, fix)

    install = where.here.pip(_wanted(where))
    running = f"{machine.python_version()} ({sys.executable})"
    yield part("Python", sys.version_info < (3, 11), running, "install Python 3.11 or newer")
    missing = [name for name in _RUNTIME if find_spec(name) is None]
    text = f"missing: {', '.join(missing)}" if missing else "everything it needs is installed"
    yield part("packages", bool(missing), text, install)
    absent = [name for name in _DATA if not (where.package / name).is_file()]
    text = f"missing: {', '.join(absent)}" if absent else f"in {where.package}"
    yield part("its own files", bool(absent), text, f"{install} --force-reinstall")
    name = "manifests, skills, versions" if _is_repository(where.root) else "skills, versions"
    if missing:
        yield _found("bank", name, "note", "not looked at: packages are missing", install)
        return
    faults = _faults(where.root)
    text = f"{faults[0]}" + (f", and {len(faults) - 1} more" if len(faults) > 1 else "") if faults else "sound"
    yield part(name, bool(faults), text, "restore the files from the repository")


def _is_repository(root: Path) -> bool:
    """The wheel carries the skills and versions; what clients read lies in the repository."""
    return (root / ".mcp.json").is_file() or (root / "pyproject.toml").is_file()


def _releases(where: Looks) -> Finding:
    """A release that is not known is worth a word, and no fault of the bank's."""
    listed = on_index() if where.index else []
    if listed:
        keep(listed)
    fine, text, fix = release_text(listed, seen_last())
    return _found("bank", "TAO releases", "ok" if fine else "note", text, fix)


def _faults(root: Path) -> list[str]:
    from tao_skill_bank.bank.manifests import bank_faults
    from tao_skill_bank.bank.skills import skills_faults
    from tao_skill_bank.bank.versions import load_versions

    check = bank_faults if _is_repository(root) else skills_faults
    try:
        load_versions(root if (root / "versions.yaml").is_file() else None)
        return check(root)
    except BankError as error:
        return [error.line()]


def _machine() -> Iterator[Finding]:
    yield _found("machine", "processors", "ok", f"{os.cpu_count() or 1} ({machine.system()} {machine.machine()})")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    outcome: Outcome = "ok" if free >= LITTLE_DISK_GB else "lacks"
    fix = "work in a folder with more room: a run keeps every checkpoint"
    yield _found("machine", "disk", outcome, f"{free:.0f} GB free in {Path.cwd()}", fix)


def _extras(where: Looks) -> Iterator[Finding]:
    for extra, (modules, use) in _EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        text = f"{use} (missing: {', '.join(missing)})" if missing else f"{', '.join(map(_version, modules))}"
        yield _found("extras", extra, "lacks" if missing else "ok", text, where.here.pip(_wanted(where, extra)))


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def _platforms(where: Looks) -> Iterator[Finding]:
    """Every platform's own checks, side by side, none for longer than the doctor's patience."""
    from tao_skill_bank.platforms import names

    wanted = where.platforms or names()
    with _scratch() as workspace:
        asked = [(name, *_asked(lambda name=name: _checked(name, workspace))) for name in wanted]  # type: ignore[misc]
        for name, thread, answer in asked:
            thread.join(where.patience_sec)
            if not answer:
                text = f"did not answer within {where.patience_sec:g} s"
                yield _found("platforms", name, "lacks", text, f"see that {name} answers, then again")
            for found in answer[0] if answer else []:
                yield _mended(found, where)


def _asked(call: Callable[[], list[Finding]]) -> tuple[threading.Thread, list[list[Finding]]]:
    answer: list[list[Finding]] = []
    # In the context of whoever asks: the same roots hold.
    context = copy_context()
    thread = threading.Thread(target=lambda: answer.append(context.run(call)), daemon=True)
    thread.start()
    return thread, answer


def _checked(name: str, workspace: Path) -> list[Finding]:
    """What one platform says of itself; the first line that is wrong ends it, as before a run."""
    from tao_skill_bank.platforms import platform_named
    from tao_skill_bank.platforms.work import Work

    work = Work(workspace=str(workspace), specs_file=str(workspace / _SPEC), platform=name)
    try:
        checks = platform_named(work).checks(work)
    except InputErrors as error:
        return [_lacking(name, fault, "") for fault in error.faults]
    except EngineUnreachableError as error:
        return [_lacking(name, error.what, error.fix or "")]
    except BankError as error:
        return [_lacking(name, f"{error.where}: {error.what}" if error.where else error.what, error.fix or "")]
    except Exception as error:  # what a broken engine or client raises is not the bank's to fail on
        return [_lacking(name, f"{type(error).__name__}: {redact(str(error))}", f"see that {name} answers, then again")]
    said = []
    for check in (c for c in checks if c.status != "skip"):
        text = check.text if check.name == "platform" else f"{check.name}: {check.text}"
        outcome: Outcome = "note" if check.status == "warn" else "ok"
        said.append(_found("platforms", name, outcome, text.replace(str(workspace), "WORKSPACE")))
    return said or [_found("platforms", name, "ok", "it checks nothing before a run is planned")]


def _wanted(where: Looks, extra: str = "") -> str:
    """What pip installs for an extra, from the repository; a bank that runs from it goes on doing so."""
    home = where.root if (where.root / "pyproject.toml").is_file() else "FOLDER-OF-THE-REPOSITORY"
    source = shlex.quote(f"{home}" + f"[{extra}]" * bool(extra))
    return f"-e {source}" if where.package.parent == where.root else source


def _mended(finding: Finding, where: Looks) -> Finding:
    """With the command that is right on this machine, and without what only the scratch workspace put there."""
    if finding.outcome not in ("lacks", "note"):
        return finding
    from tao_skill_bank.platforms import own_name, platform_class

    said = Complaint(finding.text, finding.fix, finding.outcome == "lacks")
    told = platform_class(own_name(finding.name)).explained(said, where.here, _wanted(where, own_name(finding.name)))
    update = {"text": told.text, "fix": told.fix, "outcome": "lacks" if told.lacks else "note"}
    return finding.model_copy(update=update)


def _lacking(name: str, text: str, fix: str) -> Finding:
    """A fault of a platform; one that came as a line carries its fix in brackets at the end."""
    if not fix and text.endswith(")") and " (" in text:
        depth, at = 0, len(text)
        for i in range(len(text) - 1, -1, -1):
            depth += (text[i] == ")") - (text[i] == "(")
            if depth == 0:
                at = i
                break
        text, fix = text[:at].rstrip(), text[at + 1 : -1]
    return _found("platforms", name, "lacks", text, fix)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """An empty workspace that is gone afterwards: what the checks want to read is there."""
    with tempfile.TemporaryDirectory(prefix="tao-doctor-", ignore_cleanup_errors=True) as name:
        workspace = Path(name)
        (workspace / "specs").mkdir()
        (workspace / _SPEC).write_text("dataset: {classify: {batch_size: 8}}\n", encoding="utf-8")
        yield workspace


def _credentials(where: Looks) -> Iterator[Finding]:
    """Which credentials the environment holds, by name; their values are not looked at."""
    from tao_skill_bank.bank.platforms_catalog import load_catalog

    catalog = load_catalog()
    known = {c.name: c for p in catalog.platforms for c in [*p.required_credentials, *p.optional_credentials]}
    present = [name for name in known if where.environ.get(name)]
    text = ", ".join(present) or "none; the local platform needs none"
    yield _found("credentials", "in the environment", "ok", text)
