"""The TAO experiment spec of Visual ChangeNet: its keys, its defaults, what a spec says about classification.

The keys are those of a TAO release (`data/releases`), the newest known one where none is named; TAO merges a spec over
them and refuses any other key before it starts, so this module refuses it too, and names the nearest known one. What
TAO refuses later, or swallows, is in `spec_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.overrides import Schema, apply_overrides, load_yaml_mapping
from tao_skill_bank.data.changenet.spec_rules import Purpose, rule_faults, tao_keys, with_defaults
from tao_skill_bank.data.releases.facts import newest
from tao_skill_bank.data.releases.keys import Keys, merge_faults, null_faults, over_defaults, type_faults, unknown_keys

if TYPE_CHECKING:
    from tao_skill_bank.data.changenet.images import ImageNaming

    TAO_SCHEMA: Schema


@dataclass(frozen=True)
class ClassifySpec:
    """What a spec says about the classification task, defaults filled in.

    Attributes:
        lights: Keys of `dataset.classify.input_map`, in order; empty for images without a lighting in their name.
        image_ext: Image extension with its dot.
        batch_size: Rows a step.
        num_epochs: Passes over the training rows.
        checkpoint_interval: Epochs (or steps) between checkpoints.
        validation_interval: Epochs between validations.
        num_classes: Number of classes; 2 is PASS and NO_PASS.
        cls_weight: Loss weight a class.
        pretrained_backbone_path: Weight file of the backbone, or None.
        pretrained_model_path: Checkpoint that the training goes on from, or None.
        eval_margin: The score above which TAO itself calls a row NO_PASS.
        raw: The whole configuration, defaults filled in.
    """

    lights: tuple[str, ...]
    image_ext: str
    batch_size: int
    num_epochs: int
    checkpoint_interval: int
    validation_interval: int
    num_classes: int
    cls_weight: tuple[float, ...]
    backbone: str
    pretrained_backbone_path: str | None
    pretrained_model_path: str | None
    eval_margin: float
    seed: int
    raw: dict[str, Any] = field(repr=False)

    @property
    def naming(self) -> ImageNaming:
        """How this spec's image files are called."""
        from tao_skill_bank.data.changenet.images import ImageNaming

        return ImageNaming(self.lights, self.image_ext)


def __getattr__(name: str) -> Any:
    """`TAO_SCHEMA` is read when it is first asked for."""
    if name == "TAO_SCHEMA":
        return tao_keys().schema
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_spec(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A spec file with `key=value` overrides on top: the user's own keys only, no defaults.

    `${a.b}` references are resolved against the spec and its defaults; references to environment variables are
    refused, because what a run was given is written to disk.

    Raises:
        InputErrors: Keys that TAO does not know, all of them, each with the nearest one.
        InputError: An unreadable file or override, a reference that leads nowhere.
    """
    config = load_yaml_mapping(path)
    apply_overrides(config, overrides)
    refused = [*unknown_keys(config, tao_keys()), *null_faults(config, tao_keys())]
    if refused:
        raise InputErrors(
            refused[0] if len(refused) == 1 else f"{len(refused)} keys TAO refuses, first: {refused[0]}",
            refused,
            where=path,
            fix="fix them: TAO does not start with a key that it does not take",
        )
    return resolve_references(config, path, tao_keys())


def classify_spec(config: Mapping[str, Any], where: str | Path) -> ClassifySpec:
    """What `config` says about the classification task.

    Args:
        config: A spec, whole or only the user's keys; defaults are filled in. `input_map` may also be a list of
            lightings, as some readers of the spec take it (TAO's trainer does not: see `spec_faults`).
        where: The file, for messages.

    Raises:
        InputError: `image_ext` is missing, or a value has the wrong type.
    """
    keys = tao_keys()
    types = [f for f in type_faults(config, keys) if not f.startswith("dataset.classify.input_map")]
    wrong = [*unknown_keys(config, keys), *types]
    if wrong:
        raise InputErrors(wrong[0], wrong, where=where, fix="fix the spec")
    full = with_defaults(config)
    data, train, model = full["dataset"]["classify"], full["train"], full["model"]
    if not data["image_ext"]:
        raise InputError(
            "dataset.classify.image_ext is not set", where=where, fix="set it to the images' extension: .png"
        )
    lights = data["input_map"] or ()  # null is TAO's default, and means what an empty mapping means
    return ClassifySpec(
        lights=tuple(str(light) for light in lights),
        image_ext=str(data["image_ext"]),
        batch_size=int(data["batch_size"]),
        num_epochs=int(train["num_epochs"]),
        checkpoint_interval=int(train["checkpoint_interval"]),
        validation_interval=int(train["validation_interval"]),
        num_classes=int(data["num_classes"]),
        cls_weight=tuple(float(w) for w in train["classify"]["cls_weight"]),
        backbone=str(model["backbone"]["type"]),
        pretrained_backbone_path=model["backbone"]["pretrained_backbone_path"] or None,
        pretrained_model_path=train["pretrained_model_path"] or None,
        eval_margin=float(model["classify"]["eval_margin"]),
        seed=int(train["seed"]),
        raw=full,
    )


def spec_faults(config: Mapping[str, Any], purpose: Purpose = "train", release: str | None = None) -> list[str]:
    """Everything in a spec that TAO refuses, late or early, or swallows without a word: a line each.

    Args:
        config: A spec, whole or only the user's keys.
        purpose: What the spec is for; inference needs no epochs, training no checkpoint.
        release: The TAO release that runs it; None: the newest known one.

    Returns:
        `key: what is wrong (what to do)`, in spec order; empty if TAO will take the spec.
    """
    release = release or newest()
    faults = merge_faults(config, tao_keys(release))
    if any(": must be " in fault for fault in faults):
        return faults  # the rules reckon with values of the right type
    return faults + rule_faults(config, with_defaults(config, release), purpose, release)


def resolve_references(config: dict[str, Any], path: Path, keys: Keys) -> dict[str, Any]:
    """`config` with its `${a.b}` resolved against itself and the defaults.

    Raises:
        InputError: A reference leads nowhere, or to the environment.
    """
    from tao_skill_bank.core import fsio

    text = fsio.canonical_json(_plain(config))
    if "${" not in text:
        return config
    if "${oc." in text or "${env:" in text:
        raise InputError(
            "refers to an environment variable", where=path, fix="write the value, or give it as key=value"
        )
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    merged = OmegaConf.create(over_defaults(config, keys))
    try:
        resolved = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot resolve a reference: {reason}", where=path, fix="fix the ${...} reference") from None

    def pick(values: Mapping[str, Any], source: Any) -> dict[str, Any]:
        return {k: pick(v, source[k]) if isinstance(v, Mapping) else source[k] for k, v in values.items()}

    return pick(config, resolved)


def _plain(value: Any) -> Any:
    """Anything YAML can hold as something JSON can: dates and non-finite numbers as text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)
