"""The backbone's weight file: reuse the one that is staged, or fetch it from the Hugging Face hub.

TAO opens `model.backbone.pretrained_backbone_path` itself and takes no URL, so the file must be on disk before a run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tao_skill_bank.core import fsio, guard, roots
from tao_skill_bank.core.errors import InputError, StageFailedError

REPOSITORY = "nvidia/C-RADIOv2-B"
FILE_NAME = "model.safetensors"
EXTENSIONS = (".safetensors", ".pth", ".ckpt")
TOKEN_VARIABLE = "HF_TOKEN"

Fetch = Callable[[str, str, str | None], Path]


def weights_fault(path: Path) -> str | None:
    """Why a file that is named as a backbone's weights holds none; None where its beginning does not say so."""
    with guard.open_read(path, "weight file") as handle:
        head = handle.read(64).lstrip()
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, and no weights"
    return "is a page of text, and no weights" if head.startswith(b"<") else None


def stage_backbone(
    folder: Path,
    *,
    repository: str = REPOSITORY,
    file_name: str = FILE_NAME,
    revision: str | None = None,
    fetch: Fetch | None = None,
) -> Path:
    """The weight file in `folder`; fetched into it if it is not there.

    Args:
        folder: `augmentation/backbone/` of the workspace; made if missing.
        repository: Hub repository.
        file_name: File in it.
        revision: Branch, tag or commit; None: the default branch.
        fetch: Gets a file of a repository and returns its path; default: `huggingface_hub`, which reads the token
            from the environment variable HF_TOKEN itself.

    Returns:
        The absolute path of the file.

    Raises:
        InputError: Several weight files are staged, or the staged one is empty, or `huggingface_hub` is missing.
        StageFailedError: The download failed. Nothing was left in the folder.
    """
    staged = staged_backbone(folder)
    if staged is not None:
        return staged
    if Path(file_name).suffix not in EXTENSIONS:
        raise InputError(f"{file_name!r} is no weight file", where="file", fix=f"one of {', '.join(EXTENSIONS)}")
    guard.make_folder(folder)
    target = Path(guard.real_path(folder)) / Path(file_name).name
    with fsio.atomic_file(target) as handle:
        source = (fetch or _fetch_from_hub)(repository, file_name, revision)
        with roots.own_files(), guard.open_read(source) as fetched:
            shutil.copyfileobj(fetched, handle)
        if handle.tell() == 0:
            raise StageFailedError("the downloaded file is empty", where=f"{repository}/{file_name}", fix="try again")
    return target


def staged_backbone(folder: Path) -> Path | None:
    """The weight file that is staged, or None.

    Raises:
        InputError: There are several, or it is empty.
    """
    if not guard.is_folder(folder):
        return None
    found = sorted(
        p for p in guard.children(folder) if p.suffix in EXTENSIONS and not p.name.startswith(".") and guard.is_file(p)
    )
    if len(found) > 1:
        raise InputError(
            f"holds {len(found)} weight files: {', '.join(p.name for p in found)}", where=folder, fix="keep one"
        )
    if found and (facts := guard.status(found[0])) is not None and facts.st_size == 0:
        raise InputError("is empty", where=found[0], fix="remove it and stage the backbone again")
    return Path(guard.real_path(found[0])) if found else None


def _fetch_from_hub(repository: str, file_name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError(
            "huggingface_hub is not installed",
            where="stage_backbone",
            fix="install the skill bank's [hub] extra, or put the weight file into the folder by hand",
        ) from None
    try:
        return Path(hf_hub_download(repository, file_name, revision=revision))
    except Exception as error:  # the hub's client raises its own, requests' and OS errors
        token = f"{TOKEN_VARIABLE} is set" if os.environ.get(TOKEN_VARIABLE) else f"{TOKEN_VARIABLE} is not set"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StageFailedError(
            f"download failed: {type(error).__name__}: {reason}",
            where=f"{repository}/{file_name}",
            fix=f"check the network and the access to the repository ({token}), or put the file there by hand",
        ) from None
