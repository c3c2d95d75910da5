"""Packaging an RCA folder: the configuration that made it and the agent's transcript, credentials taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.fsio import atomic_open, write_text
from tao_skill_bank.core.redaction import redact, redact_json_lines
from tao_skill_bank.reports.rca.analysis import SPEC
from tao_skill_bank.reports.rca.check import require_sound

CONFIG = "rca_config"
TRANSCRIPT = "claude_session.jsonl"


def package_rca(folder: Path, *, configs: Sequence[Path] = (), transcript: Path | None = None) -> list[Path]:
    """Put `rca_config/` and the transcript beside a checked report.

    Args:
        folder: An RCA folder.
        configs: Files to keep with it besides the spec that was run and its train YAML: a skill's text, a spec.
        transcript: An agent's transcript (JSON Lines), stored as `claude_session.jsonl`.

    Returns:
        The files written.

    Raises:
        InputErrors: The report does not pass its check; nothing is written.
        InputError: A file to package cannot be read.
    """
    require_sound(folder)
    texts = {}
    for source in [*package_sources(folder), *configs]:
        name = source.name
        while name in texts:
            name = f"{Path(name).stem}_{Path(name).suffix}"
        texts[name] = redact(_text(source))
    written = []
    for name, text in texts.items():
        write_text(folder / CONFIG / name, text)
        written.append(folder / CONFIG / name)
    if transcript is not None:
        try:
            lines = guard.open_text(transcript, errors="replace")
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=transcript, fix="name a transcript") from None
        with lines, atomic_open(folder / TRANSCRIPT) as handle:
            handle.writelines(redact_json_lines(lines))
        written.append(folder / TRANSCRIPT)
    return written


def package_sources(folder: Path) -> list[Path]:
    """The files beside the transcript that packaging takes: the spec that was run, and the train YAML it names."""
    return [p for p in (folder / SPEC, _train_config(folder)) if p is not None and guard.is_file(p)]


def find_transcript(cwd: Path, home: Path | None = None) -> Path | None:
    """The newest transcript of agent sessions started in `cwd`, if there is one."""
    from tao_skill_bank.bank.transcripts import project_dir

    folder = project_dir(cwd, home)
    found = [p for p in guard.matching(folder, "*.jsonl") if guard.is_file(p)] if guard.is_folder(folder) else []
    return max(found, key=_age, default=None)


def _age(path: Path) -> tuple[int, str]:
    found = guard.status(path)
    return (0 if found is None else found.st_mtime_ns, path.name)


def _train_config(folder: Path) -> Path | None:
    """The train YAML that the spec names."""
    from tao_skill_bank.core.overrides import load_yaml_mapping

    if not guard.is_file(folder / SPEC):
        return None
    value = load_yaml_mapping(folder / SPEC).get("train_config")
    return Path(value) if isinstance(value, str) else None


def _text(path: Path) -> str:
    try:
        return guard.read_text(path, errors="replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path, fix="name a readable file") from None
