"""What the released TAO Visual ChangeNet refuses minutes into a run, or takes without a word and should not.

Each rule is one function of the spec with its defaults filled in. Where a rule comes from TAO's own code, its
docstring says what TAO does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tao_skill_bank.core.errors import did_you_mean
from tao_skill_bank.core.text import plural
from tao_skill_bank.data.releases.facts import in_force, newest, release_named
from tao_skill_bank.data.releases.facts import known as releases
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


VIT_STRIDES = [4, 8, 16, 32]
# Several goldens are compared in 7 x 7 windows of every feature map, the coarsest of which has a 32nd of the pixels.
WINDOWS = 7 * VIT_STRIDES[-1]
LOSS_OF = {"learnable": "ce", "euclidean": "contrastive"}
POLICIES = ("linear", "step")
OPTIMIZERS = ("adamw", "adam", "sgd")

_FROZEN = (
    "model.backbone.freeze_backbone: is true without pretrained_backbone_path, and TAO stops "
    "(give the weight file, or do not freeze)"
)

Faults = Iterator[str]


@dataclass(frozen=True)
class Rule:
    """A check of the spec, and where it holds.

    Attributes:
        check: Yields a line a fault; gets the user's keys, the same over TAO's defaults, and the release.
        since: The first release that behaves so; None: every known one before `until`.
        until: The first release that no longer does.
        training: For training only.
    """

    check: Callable[[Mapping[str, Any], Mapping[str, Any], str], Faults]
    since: str | None = None
    until: str | None = None
    training: bool = False


def rule_faults(given: Mapping[str, Any], full: Mapping[str, Any], purpose: Purpose, release: str) -> list[str]:
    """Run every rule that holds in a release.

    `given` are the user's own keys, `full` the same over TAO's defaults.
    """
    return [
        fault
        for rule in RULES
        if in_force(release, rule.since, rule.until) and (purpose == "train" or not rule.training)
        for fault in rule.check(given, full, release)
    ]


def _task(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Without a task TAO runs segmentation."""
    task = given.get("task")
    if task is None:
        yield "task: not set, and TAO then runs segmentation (set task: classify)"
    elif task != "classify":
        yield f"task: is {task!r} (set task: classify)"


def _backbone(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Unknown backbones, and ViT adapters whose four feature maps do not match the strides of the head."""
    name = str(full["model"]["backbone"]["type"])
    known = release_named(release).backbones
    if name not in known:
        elsewhere = [v for v in releases() if name in release_named(v).backbones]
        if elsewhere:
            yield f"model.backbone.type: TAO {release} has no {name}, TAO {', '.join(elsewhere)} has"
        else:
            yield f"model.backbone.type: TAO has no {name!r} ({did_you_mean(name, known)})"
    strides = full["model"]["decode_head"]["feature_strides"]
    learnable = full["model"]["classify"]["difference_module"] == "learnable"
    if "vit" in name and learnable and strides != VIT_STRIDES:
        yield (
            f"model.decode_head.feature_strides: is {strides}, and {name} with the learnable difference module "
            f"crashes (set feature_strides: {VIT_STRIDES})"
        )


def _frozen(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """A frozen backbone without a weight file: TAO stops; from 7.2 on it fetches the weights of a DINOv3."""
    backbone = full["model"]["backbone"]
    if backbone["freeze_backbone"] and not backbone["pretrained_backbone_path"] and not _dinov3(backbone):
        yield _FROZEN


def _frozen_null(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Until 7.1 TAO stops on a path of null, whatever the backbone and whatever the spec is for."""
    backbone = full["model"]["backbone"]
    if backbone["freeze_backbone"] and backbone["pretrained_backbone_path"] is None:
        yield f"{_FROZEN}; TAO 7.2 and newer fetch it" if _dinov3(backbone) else _FROZEN


def _frozen_random(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Until 7.1 an empty path is no null: TAO builds the backbone at random, and a frozen one stays so.

    A model to go on from brings the backbone's weights with it.
    """
    backbone = full["model"]["backbone"]
    empty = backbone["pretrained_backbone_path"] == ""
    if backbone["freeze_backbone"] and empty and not str(full["train"]["pretrained_model_path"] or "").strip():
        yield (
            f"model.backbone.pretrained_backbone_path: is empty with {backbone['type']} frozen, and TAO {release} then "
            "trains on a random backbone that never learns (stage its weight file and name it here)"
        )


def _blank_path(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """TAO opens whatever stands there."""
    paths = {
        "model.backbone.pretrained_backbone_path": full["model"]["backbone"]["pretrained_backbone_path"],
        "train.pretrained_model_path": full["train"]["pretrained_model_path"],
    }
    for key, path in paths.items():
        if path and not str(path).strip():
            yield f"{key}: is blank, and TAO looks for such a file (write '' or a path)"


def _dinov3(backbone: Mapping[str, Any]) -> bool:
    return "dinov3" in str(backbone["type"])


def _difference_module(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """The two difference modules there are, and how many learnable ones."""
    module = full["model"]["classify"]["difference_module"]
    if str(module) not in LOSS_OF:
        yield f"model.classify.difference_module: is {module!r} (learnable or euclidean)"
    modules = _whole(full["model"]["classify"]["learnable_difference_modules"])
    if not 1 <= modules <= 4:
        yield f"model.classify.learnable_difference_modules: is {modules} (1 to 4)"


def _loss(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """The loss belongs to the difference module; until 7.1 TAO checks it when it loads a checkpoint, too."""
    module, loss = full["model"]["classify"]["difference_module"], full["train"]["classify"]["loss"]
    expected = LOSS_OF.get(str(module))
    if expected is not None and loss != expected:
        yield f"train.classify.loss: is {loss!r}, and difference_module {module} needs {expected} (set it)"


def _image_names(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Without an extension TAO ends in a TypeError."""
    data = full["dataset"]["classify"]
    ext = data["image_ext"]
    if not ext:
        yield "dataset.classify.image_ext: not set (set it to the images' extension: .png)"
    elif not str(ext).startswith("."):
        yield f"dataset.classify.image_ext: is {ext!r} without its dot (set image_ext: .{ext})"


def _shape(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """The model is built for `num_input` images side by side or a grid; the loader puts the lightings together."""
    data = full["dataset"]["classify"]
    lights = max(1, len(data["input_map"] or ()))
    concat, inputs = data["concat_type"], _whole(data["num_input"])
    width, height = _whole(data["image_width"]), _whole(data["image_height"])
    if width < 1 or height < 1:
        yield f"dataset.classify.image_width, image_height: are {width} x {height} (at least 1 x 1)"
        return
    size = (width, height)
    if concat == "linear":
        if inputs != lights:
            yield (
                f"dataset.classify.num_input: is {inputs} with {plural(lights, 'lighting')} (set num_input: {lights})"
            )
        size = (width * lights, height)
    elif concat == "grid":
        grid = data["grid_map"] or {}
        columns, rows = _whole(grid.get("x", 0)), _whole(grid.get("y", 0))
        if columns * rows != lights:
            yield f"dataset.classify.grid_map: {columns} x {rows} does not hold {lights} lightings (set x and y)"
        if inputs % 2:
            yield f"dataset.classify.num_input: is {inputs}, and TAO builds a grid only for an even one"
        size = (width * columns, height * rows)
    elif concat is not None:
        yield f"dataset.classify.concat_type: is {concat!r} (linear or grid)"
    elif lights > 1:
        yield f"dataset.classify.concat_type: not set with {lights} lightings (set linear or grid)"
    yield from _size(full, size)


def _size(full: Mapping[str, Any], size: tuple[int, int]) -> Faults:
    name = str(full["model"]["backbone"]["type"])
    width, height = size
    if name.startswith("fan"):
        step = _whole((full["model"]["decode_head"]["feature_strides"] or [16])[-1]) or 16
        if width % step or height % step:
            yield (
                f"dataset.classify.image_width, image_height: give {width} x {height}, and {name} needs "
                f"multiples of {step}"
            )
    elif "vit" in name:
        if width != height:
            yield (
                f"dataset.classify.image_width, image_height: give {width} x {height} for all lightings, and {name} "
                "takes squares only (concat_type: grid with as many columns as rows)"
            )
        elif full["model"]["classify"]["difference_module"] == "learnable":
            goldens = _whole(full["dataset"]["classify"]["num_golden"])
            if width % 32:
                yield f"dataset.classify.image_width, image_height: give {width}, and {name} needs a multiple of 32"
            elif goldens > 1 and width % WINDOWS:
                yield (
                    f"dataset.classify.num_golden: is {goldens} with images of {width}, and TAO takes several goldens "
                    f"in multiples of {WINDOWS} only (set num_golden: 1, or such an image_width and image_height)"
                )


def _goldens(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """TAO compares with several goldens by its learnable module on a ViT only; elsewhere it stops."""
    count = _whole(full["dataset"]["classify"]["num_golden"])
    name, module = str(full["model"]["backbone"]["type"]), full["model"]["classify"]["difference_module"]
    if count < 1:
        yield f"dataset.classify.num_golden: is {count} (at least 1)"
    elif count > 1 and name.startswith("fan"):
        yield f"dataset.classify.num_golden: is {count}, and TAO takes one golden with {name} (set 1)"
    elif count > 1 and module == "euclidean":
        yield f"dataset.classify.num_golden: is {count}, and TAO takes one golden with the euclidean module (set 1)"


def _training_batch(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Batch norm cannot train on one row."""
    size = _whole(full["dataset"]["classify"]["batch_size"])
    if size < 2:
        yield f"dataset.classify.batch_size: is {size}, and training needs more than 1"


def _intervals(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """A checkpoint or validation that never comes up."""
    train = full["train"]
    epochs = _whole(train["num_epochs"])
    if epochs < 1:
        yield f"train.num_epochs: is {epochs} (at least 1)"
        return
    unit = train["checkpoint_interval_unit"]
    if unit not in ("epoch", "step"):
        yield f"train.checkpoint_interval_unit: is {unit!r} (epoch or step)"
    for key in ("checkpoint_interval", "validation_interval"):
        interval = _whole(train[key])
        in_epochs = key == "validation_interval" or unit == "epoch"
        if interval < 1:
            yield f"train.{key}: is {interval} (at least 1)"
        elif in_epochs and interval > epochs:
            yield f"train.{key}: is {interval}, more than num_epochs {epochs} (set {key}: {epochs} or less)"
    board = train["tensorboard"] or {}
    often = _whole(board.get("infrequent_logging_frequency", 0))
    if board.get("enabled") and often > epochs:
        yield f"train.tensorboard.infrequent_logging_frequency: is {often}, more than num_epochs {epochs}"


def _classes(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """The loss has a weight for each class."""
    if full["model"]["classify"]["difference_module"] != "learnable":
        return
    classes, weights = _whole(full["dataset"]["classify"]["num_classes"]), full["train"]["classify"]["cls_weight"] or []
    if classes != len(weights):
        yield f"train.classify.cls_weight: has {len(weights)} weights for num_classes {classes} (one weight a class)"
    if classes < 2:
        yield f"dataset.classify.num_classes: is {classes} (2: PASS and NO_PASS)"


def _optimizer(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Any other policy is given back as an error object that nobody raises."""
    optim = full["train"]["optim"]
    if optim["policy"] not in POLICIES:
        yield f"train.optim.policy: is {optim['policy']!r} ({' or '.join(POLICIES)})"
    elif optim["policy"] == "step" and _whole(full["train"]["num_epochs"]) < 3:
        yield "train.optim.policy: step divides num_epochs by 3, and it is less (set policy: linear)"
    if optim["optim"] not in OPTIMIZERS:
        yield f"train.optim.optim: is {optim['optim']!r} ({', '.join(OPTIMIZERS)})"


def _resuming(given: Mapping[str, Any], full: Mapping[str, Any], release: str) -> Faults:
    """Resuming a finished run trains zero steps and reports success."""
    if full["train"]["resume_training_checkpoint_path"]:
        yield (
            "train.resume_training_checkpoint_path: is set, and TAO then may train zero steps and report success "
            "(use train.pretrained_model_path)"
        )


def _whole(value: Any) -> int:
    """A whole number that may be written in quotes; anything else was refused by its type."""
    return int(value)


RULES = (
    Rule(_task),
    Rule(_backbone),
    Rule(_frozen, since="7.2"),
    Rule(_frozen_null, until="7.2"),
    Rule(_blank_path),
    Rule(_difference_module),
    Rule(_loss, until="7.2"),
    Rule(_loss, since="7.2", training=True),
    Rule(_image_names),
    Rule(_shape),
    Rule(_goldens),
    Rule(_frozen_random, until="7.2", training=True),
    Rule(_training_batch, training=True),
    Rule(_intervals, training=True),
    Rule(_classes, training=True),
    Rule(_optimizer, training=True),
    Rule(_resuming, training=True),
)
