"""Who trained a model, and on what: what the checkpoint, the job's record and the platform say of it.

The checkpoint speaks first: the bank's own says in its first line that it is a stand-in's. What is not the bank's is
TAO's where the platform runs TAO's own `visual_changenet`, and otherwise nobody's that is known here.
"""

from __future__ import annotations

import json
import platform as machine
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.overrides import get
from tao_skill_bank.core.version import __version__
from tao_skill_bank.loop.evidence import Trained
from tao_skill_bank.platforms import tao_runs
from tao_skill_bank.platforms.base import JobRecord, Platform
from tao_skill_bank.platforms.worker import beside
from tao_skill_bank.tasks.changenet.state import Iteration
from tao_skill_bank.tasks.changenet.state import State as DeftState

COMMAND = "visual_changenet"


def trained_by(checkpoint: Path, spec: Mapping[str, Any], platform: Platform, record: JobRecord | None) -> Trained:
    """Who trained `checkpoint`."""
    made = _own(checkpoint) or _by_platform(spec, platform)
    return made.model_copy(
        update={
            **({} if record is None else _of_job(record, made.by)),
            "submitted_from": machine.node() or None,
            "software": __version__,
        }
    )


def found_trained(checkpoint: Path) -> Trained:
    """What a checkpoint that an earlier tool left says of itself; a file that is not the bank's own says nothing."""
    return (_own(checkpoint) or Trained()).model_copy(update={"software": __version__})


def known(state: DeftState, iteration: Iteration) -> Trained:
    """Who trained an iteration's model: as it was recorded; of an earlier record, what can still be told.

    A record without it is never read as TAO's: its checkpoint may say that it is the bank's own, and a platform that
    cannot have run TAO's own network ran the stand-in.
    """
    if iteration.trained.by != "unknown" or iteration.trained.software is not None:
        return iteration.trained
    own = None if iteration.best_ckpt_path is None else _own(Path(iteration.best_ckpt_path))
    if own is not None:
        return own
    return Trained(by="stand-in" if tao_runs(state.config, COMMAND) is False else "unknown")


def with_checkpoint(trained: Trained, checkpoint: Path) -> Trained:
    """The same with the content digest of the checkpoint that was chosen."""
    return trained.model_copy(update={"checkpoint_sha256": fsio.sha256_file(checkpoint)})


def _of_job(record: JobRecord, by: str) -> dict[str, str | None]:
    """What the record of a training's job says: image, its digest, TAO's release, the machine."""
    name, _, digest = (record.image or "").partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    release = (tag or None) if record.image else _installed(record.argv)
    return {
        "image": record.image,
        "image_digest": record.image_digest or digest or None,
        "release": release if by == "tao" else None,
        "host": _host(record),
    }


def _installed(argv: Sequence[str]) -> str | None:
    """The version of a pip-installed TAO, beside the command that ran; None where there is none."""
    if not argv:
        return None
    found = sorted((Path(argv[0]).parent.parent / "lib").glob("python*/site-packages/nvidia_tao_pytorch-*.dist-info"))
    return found[-1].name.removesuffix(".dist-info").rpartition("-")[2] if found else None


def _host(record: JobRecord) -> str | None:
    """The machine that ran a job: as its engine says, or its claim; the claim of a container names the container."""
    if record.host is not None:
        return record.host
    try:
        claimed = json.loads(guard.read_bytes(beside(record.path, "claim.json")))
    except (OSError, ValueError, RecursionError):
        return None
    host = claimed.get("host") if isinstance(claimed, dict) else None
    return str(host) if host else None


def _own(checkpoint: Path) -> Trained | None:
    from tao_skill_bank.actions.visual_changenet.checkpoint import described

    try:
        found = described(checkpoint)
    except BankError:
        return Trained(by="stand-in")
    if found is None:
        return None
    widths = ", ".join(str(width) for width in found.widths)
    colour = "grey" if found.channels == 1 else "colour"
    return Trained(
        by="stand-in",
        network=f"the bank's own small network ({len(found.widths)} convolutions of {widths} channels, {colour})",
        image_size=(found.image_size, found.image_size),
    )


def _by_platform(spec: Mapping[str, Any], platform: Platform) -> Trained:
    if not platform.tao_own(COMMAND):
        return Trained()
    parts = [get(spec, "model.backbone.type"), get(spec, "model.classify.difference_module")]
    size = [get(spec, f"dataset.classify.image_{side}") for side in ("width", "height")]
    return Trained(
        by="tao",
        network=" · ".join(str(part) for part in parts if part) or None,
        image_size=(size[0], size[1]) if all(isinstance(x, int) for x in size) else None,
    )
