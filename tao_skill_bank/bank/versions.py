"""`versions.yaml`: the one place where a container image is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.core.errors import InputError, did_you_mean

VERSIONS_FILE = "versions.yaml"


class Versions(BaseModel):
    """The file: images by nested name, and what a reference is pinned to.

    Attributes:
        images: Group → name → image reference.
        digests: Image reference → `sha256:…`; a pinned reference runs by its digest.
    """

    model_config = ConfigDict(extra="forbid")

    images: dict[str, dict[str, str]]
    digests: dict[str, str] = Field(default_factory=dict)

    def resolved(self) -> dict[str, str]:
        """Dotted key (`images.tao_toolkit.pyt`) → the reference that runs."""
        return {key: self._pinned(reference) for key, reference in _walk("images", self.images)}

    def _pinned(self, reference: str) -> str:
        digest = self.digests.get(reference)
        return reference if digest is None else f"{reference}@{digest}"


def load_versions(root: Path | None = None) -> Versions:
    """Read `versions.yaml`.

    Args:
        root: The folder it lies in; default: the bank's own.

    Raises:
        InputError: It is missing, not YAML, or has another shape.
    """
    from tao_skill_bank.core.yamlio import read_yaml

    path = (root or bank_root()) / VERSIONS_FILE
    try:
        return Versions.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{key}: {first['msg']}", where=path, fix="write images: {group: {name: REFERENCE}}") from None


def resolve_image(key: str, root: Path | None = None) -> str:
    """The image a key names: `images.tao_toolkit.data_services` → its reference, pinned where a digest is given.

    Raises:
        InputError: An unknown key; the near ones are named.
    """
    known = load_versions(root).resolved()
    if key not in known:
        raise InputError(f"no image is named {key!r}", where=VERSIONS_FILE, fix=did_you_mean(key, known))
    return known[key]


def _walk(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, str):
            yield f"{prefix}.{name}", inner
        else:
            yield from _walk(f"{prefix}.{name}", inner)
