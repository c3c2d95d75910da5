"""`versions.yaml`: the one place where a container image is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import Field, ValidationError

from tao_skill_bank.bank.home import bank_root
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.models import Strict, first_fault
from tao_skill_bank.core.overrides import leaves
from tao_skill_bank.core.roots import own_files
from tao_skill_bank.data.releases.facts import newest, release_in

VERSIONS_FILE = "versions.yaml"


class Versions(Strict):
    """The file: images by nested name, those of other releases, and what a reference is pinned to.

    Attributes:
        images: Group → name → image reference.
        releases: TAO release → name as in `images.tao_toolkit` → reference, for releases other than that group's.
        digests: Image reference → `sha256:…`; a pinned reference runs by its digest.
    """

    images: dict[str, dict[str, str]]
    releases: dict[str, dict[str, str]] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)

    def resolved(self) -> dict[str, str]:
        """Dotted key (`images.tao_toolkit.pyt`, `releases.7.2.0.data_services`) → the reference that runs."""
        named = leaves({"images": self.images, "releases": self.releases})
        return {key: self._pinned(reference) for key, reference in named if isinstance(reference, str)}

    @property
    def release(self) -> str | None:
        """The TAO release that `images.tao_toolkit` names; None where its tag names none that is known."""
        return release_in(self.images.get("tao_toolkit", {}).get("pyt", ""))

    def by_release(self) -> dict[str, dict[str, str]]:
        """TAO release → name → the key of its image."""
        found: dict[str, dict[str, str]] = {}
        for name, reference in self.images.get("tao_toolkit", {}).items():
            if (version := release_in(reference)) is not None:
                found.setdefault(version, {})[name] = f"images.tao_toolkit.{name}"
        for version, images in self.releases.items():
            found.setdefault(version, {}).update({name: f"releases.{version}.{name}" for name in images})
        return found

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
        # The bank's own file is no caller's, whatever folders the caller is held to.
        with own_files() if root is None else contextlib.nullcontext():
            return Versions.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(first_fault(error), where=path, fix="write images: {group: {name: REFERENCE}}") from None


def resolve_image(key: str, root: Path | None = None) -> str:
    """The image a key names: `images.tao_toolkit.data_services` → its reference, pinned where a digest is given.

    Raises:
        InputError: An unknown key; the near ones are named.
    """
    known = load_versions(root).resolved()
    if key not in known:
        raise InputError(f"no image is named {key!r}", where=VERSIONS_FILE, fix=did_you_mean(key, known))
    return known[key]


def default_release() -> str:
    """The TAO release that runs where nothing else is said: that of `images.tao_toolkit`."""
    return load_versions().release or newest()


def image_of_release(release: str, name: str) -> str:
    """The key of a release's image (`pyt`, `data_services`, `deploy`).

    Raises:
        InputError: No such image was seen; the ones that were are named.
    """
    seen = load_versions().by_release()
    if name not in seen.get(release, {}):
        there = ", ".join(v for v, images in seen.items() if name in images) or "no release"
        what = f"no {name} image of TAO {release} was seen"
        fix = f"it is there for {there}; name one yourself, or run --platform virtualenv"
        raise InputError(what, where=VERSIONS_FILE, fix=fix)
    return seen[release][name]
