"""The platforms a person can choose from, and the credentials each needs, by name only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.models import Strict

_FILE = Path(__file__).with_name("platforms.yaml")
SCHEMA_VERSION = 1
_STORAGE = {"protocol": "protocol", "uri_format": "URI format"}


class Credential(Strict):
    """An environment variable: its name, when it is needed, what it is, where one gets it."""

    name: str
    only_when: str | None = None
    description: str = ""
    how_to_get: str = ""

    def line(self) -> str:
        """`NAME (only when) - what. How to get it: …`."""
        return f"{self.name}{f' ({self.only_when})' if self.only_when else ''}{_details(self)}"


class CredentialGroup(Strict):
    """Credentials of which one is enough."""

    name: str
    require_one_of: list[str]
    description: str = ""
    how_to_get: str = ""

    def line(self) -> str:
        """`name: one of [A, B]`."""
        return f"{self.name}: one of [{', '.join(self.require_one_of)}]{_details(self)}"


class Platform(Strict):
    """One platform. `storage` says how its paths look, `installable` that the bank can set it up."""

    name: str
    display_name: str
    description: str
    aliases: list[str] = Field(default_factory=list)
    required_credentials: list[Credential] = Field(default_factory=list)
    credential_groups: list[CredentialGroup] = Field(default_factory=list)
    optional_credentials: list[Credential] = Field(default_factory=list)
    storage: dict[str, str] = Field(default_factory=dict)
    preflight_checks: list[str] = Field(default_factory=list)
    installable: bool = False

    def credential_lines(self) -> list[str]:
        """Its keys by name alone: needed, or optional and when."""
        needed = [f"needs {c.name}" for c in self.required_credentials]
        return [*needed, *(f"optional {c.line().partition(' - ')[0]}" for c in self.optional_credentials)]

    def lines(self) -> list[str]:
        """Everything about it, as text."""
        out = [f"Platform: {self.name} ({self.display_name})", "Required credentials:"]
        out += [f"- {c.line()}" for c in self.required_credentials] or ["- None"]
        if self.credential_groups:
            out += ["Required credential groups:", *(f"- {g.line()}" for g in self.credential_groups)]
        out += ["Optional credentials:", *([f"- {c.line()}" for c in self.optional_credentials] or ["- None"])]
        out += ["Storage:", *(f"- {_STORAGE[key]}: {value}" for key, value in self.storage.items())]
        out += ["Preflight checks:", *(f"- {check}" for check in self.preflight_checks)]
        return out


class Catalog(Strict):
    """All platforms, and what a conversation about them starts from."""

    prompt_defaults: dict[str, bool | int]
    platforms: list[Platform]

    def named(self, name: str) -> Platform:
        """The platform of a name or alias.

        Raises:
            InputError: It is not known; the nearest names are shown.
        """
        known = {alias: p for p in self.platforms for alias in (p.name, *p.aliases)}
        if name not in known:
            raise InputError(f"unknown platform {name!r}", where="--platform", fix=did_you_mean(name, known))
        return known[name]

    def lines(self) -> list[str]:
        """The list, as text."""
        out = ["Supported TAO execution platforms:"]
        for platform in self.platforms:
            aliases = f" aliases: {', '.join(platform.aliases)}" if platform.aliases else ""
            out.append(f"- {platform.name} ({platform.display_name}): {platform.description}{aliases}")
        out += ["", "Prompt defaults:"]
        out += [f"- {key}: {str(value).lower()}" for key, value in self.prompt_defaults.items()]
        return out

    def as_json(self) -> dict[str, Any]:
        """The list, for programs."""
        return {"schema_version": SCHEMA_VERSION, **self.model_dump(mode="json", exclude_none=True)}


def load_catalog() -> Catalog:
    """The catalog that ships with the package."""
    import yaml

    raw = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    known = raw.pop("credentials")
    for platform in raw["platforms"]:
        for key in ("required_credentials", "optional_credentials"):
            platform[key] = [{**known[c["name"]], **c} for c in platform.get(key, [])]
    return Catalog.model_validate(raw)


def _details(item: Credential | CredentialGroup) -> str:
    parts = [item.description, f"How to get it: {item.how_to_get}" if item.how_to_get else ""]
    text = " ".join(p for p in parts if p)
    return f" - {text}" if text else ""
