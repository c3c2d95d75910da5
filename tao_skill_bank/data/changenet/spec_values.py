"""The values of a TAO experiment spec: the published keys and defaults, a spec over them, one value of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tao_skill_bank.data.releases.facts import newest, release_named
from tao_skill_bank.data.releases.keys import Keys, over_defaults

Purpose = Literal["train", "inference", "evaluate"]
COMMAND = "visual_changenet"


def tao_keys(release: str | None = None) -> Keys:
    """The keys of `visual_changenet` in a release; default: the newest known one."""
    keys = release_named(release or newest()).keys(COMMAND)
    assert keys is not None, "the facts of every release hold the classifier's keys"
    return keys


def with_defaults(config: Mapping[str, Any], release: str | None = None) -> dict[str, Any]:
    """`config` over TAO's defaults: what the trainer sees. Lists are replaced, mappings merged."""
    return over_defaults(config, tao_keys(release))
