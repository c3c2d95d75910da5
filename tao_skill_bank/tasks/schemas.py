"""The JSON Schemas of the run's files, generated from the models; a test holds the shipped ones to them."""

from __future__ import annotations

from typing import Any

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name → schema."""
    from tao_skill_bank.loop.log import LogLine
    from tao_skill_bank.platforms.base import JobRecord

    found = {
        "deft_state": _state(),
        "loop_log_line": LogLine.model_json_schema(),
        "job_record": JobRecord.model_json_schema(),
    }
    return {f"{name}.schema.json": {"$schema": _DRAFT, "title": name, **schema} for name, schema in found.items()}


def _state() -> dict[str, Any]:
    """The state of a DEFT run: each stage has its own result, and the results' fields also stand flat."""
    from tao_skill_bank.tasks.changenet.state import RESULTS, State
    from tao_skill_bank.tasks.changenet.task import TASK

    schema = State.model_json_schema()
    shared = schema["$defs"]
    iteration = shared["Iteration"]["properties"]
    results = {}
    for stage, model in TASK.results.items():
        own = model.model_json_schema()
        shared.update(own.pop("$defs", {}))
        shared[model.__name__] = own
        results[stage] = {"$ref": f"#/$defs/{model.__name__}"}
        if model in RESULTS.values():
            for name, value in own["properties"].items():
                plain = {key: part for key, part in value.items() if key != "default"}
                iteration.setdefault(name, {"anyOf": [plain, {"type": "null"}]})
    iteration["results"]["properties"] = results
    return schema
