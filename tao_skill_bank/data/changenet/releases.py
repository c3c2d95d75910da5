"""What one spec means in the releases that do not run it: refused there, or taken and done differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tao_skill_bank.core.overrides import get
from tao_skill_bank.data.changenet.spec import spec_faults
from tao_skill_bank.data.changenet.spec_rules import Purpose, with_defaults
from tao_skill_bank.data.releases.facts import Release, known, release_named


def meant_elsewhere(config: Mapping[str, Any], purpose: Purpose, release: str) -> list[str]:
    """A line for each thing that another known release does with this spec and `release` does not, or the reverse."""
    here = spec_faults(config, purpose, release)
    mine = list(_does(config, purpose, release_named(release)))
    lines: dict[str, list[str]] = {}
    for other in known():
        if other == release:
            continue
        there = spec_faults(config, purpose, other)
        theirs = list(_does(config, purpose, release_named(other)))
        said = [f"refuses it: {fault}" for fault in there if fault not in here]
        said += [f"takes what {release} refuses: {fault.split(':')[0]}" for fault in here if fault not in there]
        said += [line for line in theirs if line not in mine]
        for line in said:
            lines.setdefault(line, []).append(other)
    return [f"TAO {', '.join(where)}: {line}" for line, where in lines.items()]


def _does(config: Mapping[str, Any], purpose: Purpose, release: Release) -> Iterator[str]:
    """What a release does with values that it takes, where releases do different things with them."""
    facts, full = release.classifier, with_defaults(config, release.version)
    backbone = full["model"]["backbone"]
    if purpose == "train":
        module, margin = get(full, "model.classify.difference_module"), float(get(full, "model.classify.eval_margin"))
        if facts["margin_in_training"] != "eval_margin":
            yield "val_acc and val_fpr during training are taken at a fixed margin of 2.0, whatever eval_margin says"
        elif module == "learnable" and margin > 1:
            yield f"val_acc and val_fpr during training are taken at 0.5, for eval_margin {margin:g} is no probability"
        else:
            yield f"val_acc and val_fpr during training are taken at eval_margin {margin:g}"
        if "val_far" in facts["status"]["classify"]:
            yield "status.json has val_far, the validation set's FAR at 100 % recall"
    frozen_dino = backbone["freeze_backbone"] and "dinov3" in str(backbone["type"])
    fetched = facts["frozen_without_weights"]["dinov3"] == "fetched"
    if frozen_dino and fetched and not backbone["pretrained_backbone_path"]:
        yield f"the weights of {backbone['type']} are fetched from the Hugging Face hub when the model is built"
