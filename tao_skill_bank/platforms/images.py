"""Container images on an engine: which are there, of which architecture and digest, and, on request only, a pull."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pydantic import BaseModel

from tao_skill_bank.bank.versions import load_versions, resolve_image
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.platforms.docker.checks import image_fault, not_made_for
from tao_skill_bank.platforms.docker.engine import Engine, EngineError, refusal

_NVIDIA = "nvcr.io/"
_NVIDIA_USER = "$oauthtoken"


class ImageView(BaseModel):
    """An image as an engine has it.

    Attributes:
        key: Its name in `versions.yaml`.
        reference: What runs, with its digest where one is pinned.
        present: Whether the engine has it.
        architecture: Of the image.
        fault: Why it cannot run here; None if it can.
    """

    key: str
    reference: str
    present: bool
    architecture: str | None
    digest: str | None
    size_mb: int | None
    fault: str | None


def check_images(engine: Engine, keys: Sequence[str] = ()) -> list[ImageView]:
    """The images of `keys` (default: all of `versions.yaml`) as the engine has them.

    Raises:
        InputError: An unknown key.
        EngineUnreachableError: The engine does not answer.
    """
    return [_view(engine, key) for key in keys or load_versions().resolved()]


def pull_image(
    engine: Engine, key: str, *, credential: str | None = None, said: Callable[[str], None] = lambda _: None
) -> ImageView:
    """Pull an image; nothing else in the bank ever does.

    Args:
        engine: Where to.
        key: Its name in `versions.yaml`.
        credential: The name of the variable that holds the registry's key; default for NVIDIA's registry: NGC_KEY,
            where it is set.
        said: Told what the engine says, a line each.

    Raises:
        InputError: An unknown key, an architecture the image does not exist for, a variable that is not set.
        EngineError: The engine or the registry refuses.
    """
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    reference = resolve_image(key)
    if (wrong := not_made_for(engine, reference)) is not None:
        raise wrong
    if credential is not None and not os.environ.get(credential):
        raise InputError("the variable is not set", where=f"${credential}", fix="export the registry's key in it")
    name = credential or ("NGC_KEY" if reference.startswith(_NVIDIA) and os.environ.get("NGC_KEY") else None)
    login = None if name is None else {"username": _NVIDIA_USER, "password": os.environ[name]}
    try:
        with engine.errors(reference):
            repository, _, digest = reference.partition("@")
            repository, tag = parse_repository_tag(repository)
            for line in engine.api.pull(repository, tag=digest or tag, auth_config=login, stream=True, decode=True):
                if "error" in line:
                    raise EngineError(str(line["error"]).splitlines()[0], where=reference, fix="check the credential")
                if "progress" not in line and line.get("status"):
                    said(str(line["status"]))
    except APIError as error:
        raise EngineError(refusal(error), where=reference, fix="check the reference and the credential") from None
    return _view(engine, key)


def _view(engine: Engine, key: str) -> ImageView:
    reference = resolve_image(key)
    found = engine.image(reference)
    return ImageView(
        key=key,
        reference=reference,
        present=found is not None,
        architecture=None if found is None else found.architecture,
        digest=None if found is None or not found.digests else found.digests[0],
        size_mb=None if found is None else found.size // 1_000_000,
        fault=image_fault(engine, reference),
    )
