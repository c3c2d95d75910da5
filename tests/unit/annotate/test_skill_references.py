"""The prompt modules that the skill carries are those of the package."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tao_skill_bank.annotate.config import SECTION, schema
from tao_skill_bank.annotate.prompts import KEYS, load_prompts

ROOT = Path(__file__).resolve().parents[3]
SKILL = ROOT / "skills" / "tao-generate-video-reasoning-annotations"


@pytest.mark.parametrize("domain", ["traffic", "warehouse"])
def test_a_reference_module_is_the_packages_own(domain: str) -> None:
    example = runpy.run_path(str(SKILL / "references" / f"prompts_{domain}.py"))
    own = load_prompts(domain)
    assert own.structured == load_prompts(f"tao_skill_bank.annotate.prompts.{domain}").structured
    assert {key: own.text(key) for key in KEYS} == {key: example["get_prompt"](key) for key in KEYS}


def test_every_setting_is_in_the_skills_reference() -> None:
    text = (SKILL / "references" / "configuration.md").read_text(encoding="utf-8")
    section = schema().defaults[SECTION]
    names = [*section["workflow"], *section["data"], *section["vlm"]["gemini"], *section["vlm"]["openai"]]
    names += [name for name, value in section.items() if not isinstance(value, dict)]
    assert [name for name in names if name != "api_key" and name not in text] == []
