"""The JSON Schemas of the run's files, generated from the models; a test holds the shipped ones to them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def schemas() -> dict[str, dict[str, Any]]:
    """File name → schema."""
    from tao_skill_bank.loop.log import LogLine
    from tao_skill_bank.loop.state import DeftState
    from tao_skill_bank.platforms.base import JobRecord

    models: dict[str, type[BaseModel]] = {"deft_state": DeftState, "loop_log_line": LogLine, "job_record": JobRecord}
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {
        f"{name}.schema.json": {"$schema": draft, "title": name, **model.model_json_schema()}
        for name, model in models.items()
    }
