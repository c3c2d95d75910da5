"""Flags of NVIDIA's scripts of the same names: taken where they mean the same, else told by one line what ours is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill_bank.core.errors import InputError

# C-RADIO by the name that a spec gives it. A DINOv3 is fetched by TAO itself where its path is empty (7.2 and newer).
REPOSITORIES = {
    "c_radio_v2_vit_base_patch16_224": "nvidia/C-RADIOv2-B",
    "c_radio_v2_vit_large_patch16_224": "nvidia/C-RADIOv2-L",
    "c_radio_v2_vit_huge_patch16_224": "nvidia/C-RADIOv2-H",
}


class NotOurs(argparse.Action):
    """A flag that means something else here, or nothing: refused with what to write instead (`const`)."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Refuse it."""
        raise InputError(f"{option_string} is not taken", where=parser.prog, fix=str(self.const))


def refuse_flags(parser: argparse.ArgumentParser, flags: Mapping[str, str]) -> None:
    """Add flags that are refused, each with what to write instead; `--help` does not show them."""
    for names, instead in flags.items():
        parser.add_argument(*names.split(), action=NotOurs, nargs="?", const=instead, help=argparse.SUPPRESS)


def repository_of(backbone: str) -> str:
    """The hub repository of a backbone's weights.

    Raises:
        InputError: It is none of those that are staged as one file.
    """
    found = REPOSITORIES.get(backbone)
    if found is None:
        fix = "name its file: --repo-id REPO --filename FILE"
        if "dinov3" in backbone:
            fix = f"TAO 7.2 and newer fetch it where pretrained_backbone_path is empty; else {fix}"
        raise InputError(f"no repository is known for {backbone!r}", where="--backbone-type", fix=fix)
    return found
