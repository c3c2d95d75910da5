"""Resources: the skills' texts, and a run's state, log and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from mcp.server.mcpserver import Context, MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from mcp_server.roots import roots_of
from tao_skill_bank.core import guard, roots
from tao_skill_bank.core.errors import BankError

# A run is named by its absolute path, percent-encoded; `Roots.path` checks it.
_RUN = ResourceSecurity(exempt_params=frozenset({"run"}))
_FILES = {
    "state": ("deft_state.json", "application/json", "The run's snapshot."),
    "log": ("loop_log.jsonl", "application/jsonl", "One line a stage."),
    "report": ("DEFT_Loop_Report.html", "text/html", "The report as a page."),
}


def report_link(run: Path) -> tuple[str, str, str]:
    """(URI, name, media type) of a run's report."""
    return f"deft-run://{quote(str(run), safe='')}/report", _FILES["report"][0], "text/html"


def skill_text(name: str) -> str:
    """A skill's SKILL.md."""
    from tao_skill_bank.bank.skills import find_skill

    try:
        return find_skill(name).text
    except BankError as error:
        raise ResourceNotFoundError(error.line()) from None


def reference_text(name: str, file: str) -> str:
    """A text of a skill's `references/`, by the name that its SKILL.md gives it."""
    from tao_skill_bank.bank.skills import find_skill

    try:
        folder = find_skill(name).folder / "references"
    except BankError as error:
        raise ResourceNotFoundError(error.line()) from None
    return _text_of(folder, file, f"skill {name}")


def guide_text(name: str) -> str:
    """A guide of the repository, for people: `docs/guides/NAME.md`."""
    from tao_skill_bank.bank.home import bank_root

    return _text_of(bank_root() / "docs" / "guides", f"{name.removesuffix('.md')}.md", "the bank")


def _text_of(folder: Path, file: str, whose: str) -> str:
    """A text of a folder by its name, and of no other."""
    from tao_skill_bank.core.errors import did_you_mean

    there = {path.name: path for path in folder.glob("*") if path.is_file() and not path.is_symlink()}
    if file not in there:
        raise ResourceNotFoundError(f"{whose} has no text {file!r} ({did_you_mean(file, there)})")
    with roots.own_files():
        # The bank's own texts, by a name that was found in their folder.
        return guard.read_text(there[file])


def register(server: MCPServer[Any]) -> None:
    """Add the resources."""
    server.resource("skill://{name}", name="skill", mime_type="text/markdown")(skill_text)
    server.resource("skill://{name}/references/{file}", name="reference", mime_type="text/markdown")(reference_text)
    server.resource("guide://{name}", name="guide", mime_type="text/markdown")(guide_text)
    for kind, (file, mime, about) in _FILES.items():
        server.resource(
            f"deft-run://{{run}}/{kind}",
            name=f"run_{kind}",
            description=f"{about} `run` is the run folder's absolute path, percent-encoded.",
            mime_type=mime,
            security=_RUN,
        )(_reader(file))


def _reader(file: str) -> Any:
    def read(run: str, ctx: Context) -> str:
        try:
            allowed = roots_of(ctx, [])
            folder = allowed.path(unquote(run), "run")
            with roots.granted(allowed.folders):
                return guard.read_text(folder / file, "run's file")
        except BankError as error:
            raise ResourceError(error.line()) from None
        except OSError as error:
            raise ResourceNotFoundError(f"{file}: {error.strerror}") from None

    return read
