"""Tools of the bank itself: skills, platforms, images."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import READ, add, clip
from mcp_server.words import program


class SkillLine(BaseModel):
    """A skill and what it is for."""

    name: str
    use: str


class SkillList(BaseModel):
    """The bank's skills; the text of each is `folder`/`name`/SKILL.md. `command`: how `tao-skills` is called here."""

    folder: str
    command: str
    scope: str
    skills: list[SkillLine]


class PlatformInfo(BaseModel):
    """The platforms, or what one of them needs, as text."""

    lines: list[str]


class ImageList(BaseModel):
    """Key → container image, as `versions.yaml` resolves it."""

    images: dict[str, str]


def list_skills(
    wish: Annotated[str | None, Field(description="What the person wants; says if it is not done here.")] = None,
) -> SkillList:
    """The skills: what each is for, what is not done here and what is near, and their folder."""
    from tao_skill_bank.bank.home import bank_root
    from tao_skill_bank.bank.scope import named_in, not_done, refusal
    from tao_skill_bank.bank.skills import load_skill, skill_folders

    skills = [load_skill(folder) for folder in skill_folders()]
    other = None if wish is None else named_in(wish)
    return SkillList(
        folder=str(bank_root() / "skills"),
        command=shlex.join(program()),
        scope=not_done() if other is None else refusal(other),
        skills=[SkillLine(name=s.name, use=clip(s.description.split(". ")[0], 110)) for s in skills],
    )


def list_platforms(
    platform: Annotated[str | None, Field(description="One platform (or alias): what it needs.")] = None,
) -> PlatformInfo:
    """The platforms a run can be sent to; with a name, its credentials (by name only) and checks."""
    from tao_skill_bank.bank.platforms_catalog import load_catalog

    catalog = load_catalog()
    return PlatformInfo(lines=(catalog.named(platform) if platform else catalog).lines())


def list_images(
    key: Annotated[str | None, Field(description="Only this key: images.tao_toolkit.data_services")] = None,
) -> ImageList:
    """The container images of versions.yaml, by key."""
    from tao_skill_bank.bank.versions import load_versions, resolve_image

    return ImageList(images={key: resolve_image(key)} if key else load_versions().resolved())


def register(server: MCPServer[Any]) -> None:
    """Add the tools of the bank."""
    for function in (list_skills, list_platforms, list_images):
        add(server, function, READ)
