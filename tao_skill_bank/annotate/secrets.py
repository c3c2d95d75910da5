"""Keys of model endpoints: handed from process to process in the environment, and struck out of every message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from tao_skill_bank.core import roots

PRIVATE_VARIABLES = {"vlm": "TAO_ANNOTATE_VLM_KEY", "llm": "TAO_ANNOTATE_LLM_KEY"}
_KEY_SHAPES = re.compile(r"\b(?:sk|nvapi|AIza)[-_A-Za-z0-9]{12,}|(?i:bearer)\s+[-._~+/A-Za-z0-9]{8,}=*")
_ARGUMENT = re.compile(r"^\+?video_reasoning_annotation\.(vlm|llm)\.(gemini|openai)\.api_key=(.+)$", re.DOTALL)
STRUCK = "***"
_SHORTEST = 6


class Redactor:
    """Strikes known keys, and whatever has the shape of one, out of text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without keys."""
        for secret in self._secrets:
            text = text.replace(secret, STRUCK)
        return _KEY_SHAPES.sub(STRUCK, text)


def keys_out_of_arguments(args: list[str]) -> tuple[list[str], dict[str, str]]:
    """Arguments without `…api_key=VALUE`, and the keys as environment variables.

    The arguments of a process can be read by everybody on the machine, its environment only by its owner.
    """
    kept: list[str] = []
    found: dict[str, str] = {}
    for arg in args:
        match = _ARGUMENT.match(arg)
        if match is None:
            kept.append(arg)
        elif value := match[3].strip("'\""):
            # By vendor: a key must not go to the other one.
            found[f"{PRIVATE_VARIABLES[match[1]]}_{match[2].upper()}"] = value
    return kept, found


def environment_with(keys: dict[str, str]) -> dict[str, str]:
    """This process's environment, with keys; whoever gets it is held to the same roots."""
    return {**os.environ, **roots.environment(), **keys}
