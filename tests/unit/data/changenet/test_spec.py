from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from inference_specs import inference_mismatch

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.data.changenet import spec as module
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.spec import TAO_SCHEMA, classify_spec, load_spec, spec_faults
from tao_skill_bank.data.changenet.spec_rules import with_defaults
from tao_skill_bank.data.releases.facts import known

GOOD: dict[str, Any] = {
    "task": "classify",
    "train": {"num_epochs": 10, "classify": {"loss": "ce", "cls_weight": [1.0, 10.0]}},
    "model": {
        "backbone": {"type": "c_radio_v2_vit_base_patch16_224"},
        "classify": {"difference_module": "learnable", "eval_margin": 0.3},
        "decode_head": {"feature_strides": [4, 8, 16, 32], "use_summary_token": True},
    },
    "dataset": {
        "classify": {
            "image_ext": ".png",
            "batch_size": 16,
            "num_input": 1,
            "input_map": {"SolderLight": 0},
            "concat_type": "linear",
            "image_width": 224,
            "image_height": 224,
            "num_classes": 2,
        }
    },
}
GONE = object()


def changed(**changes: Any) -> dict[str, Any]:
    """GOOD with dotted keys (`__` for a dot) set, or removed with GONE."""
    config = copy.deepcopy(GOOD)
    for name, value in changes.items():
        *parts, last = name.split("__")
        into = config
        for part in parts:
            into = into.setdefault(part, {})
        if value is GONE:
            del into[last]
        else:
            into[last] = value
    return config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return path


def only(config: dict[str, Any], purpose: Any = "train", release: str | None = None) -> str:
    faults = spec_faults(config, purpose, release)
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize("purpose", ["train", "inference", "evaluate"])
def test_a_good_spec_has_no_faults(purpose: Any) -> None:
    assert spec_faults(GOOD, purpose) == []


def test_the_schema_holds_tao_s_keys_and_defaults() -> None:
    assert TAO_SCHEMA.defaults["train"]["num_epochs"] == 10
    assert TAO_SCHEMA.defaults["dataset"]["classify"]["num_input"] == 8
    assert TAO_SCHEMA.defaults["task"] == "segment"
    assert "dataset.classify.input_map" in TAO_SCHEMA.open_keys
    with pytest.raises(AttributeError):
        _ = module.NO_SUCH_NAME


def test_a_command_line_is_read_with_the_schema() -> None:
    line = parse_command_line(["train.num_epochs=3", "dataset.classify.input_map={A: 0, B: 1}"], TAO_SCHEMA)
    assert line.config["train"]["num_epochs"] == 3
    assert line.config["dataset"]["classify"]["input_map"] == {"A": 0, "B": 1}


def test_loading_keeps_only_the_user_s_keys_with_overrides_on_top(tmp_path: Path) -> None:
    path = write(tmp_path, "task: classify\ntrain: {num_epochs: 3, optim: {lr: 1e-5}}\n")
    assert load_spec(path, ["train.num_epochs=5", "results_dir='a b'"]) == {
        "task": "classify",
        "train": {"num_epochs": 5, "optim": {"lr": 1e-5}},
        "results_dir": "a b",
    }


def test_loading_names_every_unknown_key_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "train: {num_epoch: 3}\nbatch_size: 4\nxyz123: 1\n")
    with pytest.raises(InputErrors) as error:
        load_spec(path)
    assert error.value.faults[0] == "train.num_epoch: unknown key (did you mean train.num_epochs?)"
    assert "dataset.classify.batch_size" in error.value.faults[1]
    assert "known: " in error.value.faults[2]


def test_a_null_checkpoint_in_a_spec_file_is_refused_as_tao_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match=r"inference\.checkpoint: is null"):
        load_spec(write(tmp_path, "inference: {checkpoint: null}\n"))


@pytest.mark.parametrize("key", ["automl_policy", "workflow"])
def test_workflow_arguments_are_not_keys_of_the_spec(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputErrors, match=f"{key}: is a workflow argument"):
        load_spec(write(tmp_path, f"{key}: off\n"))
    assert "workflow argument" in only(changed(**{f"train__{key}": "off"}))


def test_references_are_resolved_and_the_environment_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, "results_dir: /r\ntrain: {results_dir: '${results_dir}/t', seed: '${train.num_epochs}'}\n")
    assert load_spec(path)["train"] == {"results_dir": "/r/t", "seed": 10}
    with pytest.raises(InputError, match="environment variable"):
        load_spec(write(tmp_path, "results_dir: '${oc.env:HOME}'\n"))
    with pytest.raises(InputError, match="cannot resolve"):
        load_spec(write(tmp_path, "results_dir: '${no.such}'\n"))


def test_an_override_below_a_single_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="goes below a single value"):
        load_spec(write(tmp_path, "task: classify\n"), ["task.a=1"])


def test_classify_spec_fills_in_defaults() -> None:
    spec = classify_spec(GOOD, "spec.yaml")
    assert (spec.lights, spec.image_ext, spec.batch_size) == (("SolderLight",), ".png", 16)
    assert spec.raw["dataset"]["classify"]["image_width"] == 224
    assert spec.seed == 1234
    assert spec.cls_weight == (1.0, 10.0)
    assert spec.pretrained_backbone_path is None
    assert spec.naming == ImageNaming(("SolderLight",), ".png")
    assert spec.raw["train"]["optim"]["policy"] == "linear"


def test_classify_spec_takes_a_list_of_lightings_and_an_empty_map() -> None:
    assert classify_spec(changed(dataset__classify__input_map=["B", "A"]), "s").lights == ("B", "A")
    assert classify_spec(changed(dataset__classify__input_map={}), "s").lights == ()


def test_classify_spec_refuses_a_spec_that_does_not_say_how_images_are_called() -> None:
    with pytest.raises(InputError, match=r"s\.yaml: dataset\.classify\.image_ext is not set"):
        classify_spec(changed(dataset__classify__image_ext=GONE), "s.yaml")


@pytest.mark.parametrize("value", [None, GONE, {}])
def test_an_input_map_of_null_means_names_without_a_lighting_as_in_tao(value: Any) -> None:
    spec = changed(dataset__classify__input_map=value)
    assert classify_spec(spec, "s.yaml").lights == ()
    assert classify_spec(spec, "s.yaml").naming == ImageNaming((), ".png")
    assert spec_faults(spec) == []


def test_classify_spec_refuses_values_of_the_wrong_type() -> None:
    with pytest.raises(InputErrors, match=r"train\.num_epochs: must be int, not 'ten'"):
        classify_spec(changed(train__num_epochs="ten"), "s.yaml")


@pytest.mark.parametrize(
    ("key", "value", "ok"),
    [
        ("train__num_epochs", "5", True),
        ("train__num_epochs", 5.0, False),
        ("train__num_epochs", True, False),
        ("train__num_epochs", None, False),
        ("train__optim__lr", 1, True),
        ("train__optim__lr", "1e-5", True),
        ("train__optim__lr", [1], False),
        ("train__gpu_ids", [0, 1], True),
        ("train__gpu_ids", 0, False),
        ("train__cudnn__benchmark", "yes", True),
        ("train__cudnn__benchmark", "maybe", False),
        ("train__pretrained_model_path", None, True),
        ("train__pretrained_model_path", 7, True),
        ("inference__checkpoint", None, True),
        ("dataset__classify__input_map", ["A"], False),
        ("dataset__classify__input_map", {"A": "x"}, False),
        ("quantize__backend_kwargs", {"a": [1]}, True),
        ("quantize__layers", [{"module_name": "x"}], True),
        ("quantize__layers", ["x"], False),
        ("train__cudnn__benchmark", "1", True),
        ("train", 3, False),
        ("train__num_epochs", {}, False),
        ("train__gpu_ids", {"a": 1}, False),
        ("results_dir", {"a": 1}, False),
    ],
)
def test_values_fit_their_types_as_tao_s_configuration_takes_them(key: str, value: Any, ok: bool) -> None:
    faults = [f for f in spec_faults(changed(**{key: value})) if "must be" in f]
    assert (faults == []) is ok, faults


def test_without_a_task_tao_would_segment() -> None:
    assert "set task: classify" in only(changed(task=GONE))
    assert "'segment'" in only(changed(task="segment"))


@pytest.mark.parametrize("strides", [GONE, [4, 8, 16, 16]])
def test_c_radio_with_learnable_needs_its_feature_strides(strides: Any) -> None:
    assert "set feature_strides: [4, 8, 16, 32]" in only(changed(model__decode_head__feature_strides=strides))


def test_an_unknown_backbone_names_the_nearest() -> None:
    assert "c_radio_v2_vit_base_patch16_224" in only(changed(model__backbone__type="c_radio_v2_vit_base"))


def test_a_frozen_backbone_needs_weights() -> None:
    assert "freeze_backbone" in only(changed(model__backbone__freeze_backbone=True))
    with_weights = changed(model__backbone__freeze_backbone=True, model__backbone__pretrained_backbone_path="b.pth")
    assert spec_faults(with_weights) == []


@pytest.mark.parametrize("name", ["vit_large_dinov3", "vit_small_plus_dinov3"])
def test_a_frozen_dinov3_without_weights_is_random_or_refused_in_7_1_and_fetched_from_7_2_on(name: str) -> None:
    frozen = {"model__backbone__type": name, "model__backbone__freeze_backbone": True}
    path = "model__backbone__pretrained_backbone_path"
    empty, null = changed(**frozen, **{path: ""}), changed(**frozen, **{path: None})
    assert f"is empty with {name} frozen" in only(empty, release="7.1.0")
    assert spec_faults(empty, "inference", "7.1.0") == []
    assert "TAO stops" in only(null, release="7.1.0")
    assert "TAO stops" in only(null, "inference", release="7.1.0")
    going_on = {"train__pretrained_model_path": "/w/model.pth"}
    assert spec_faults(changed(**frozen, **going_on, **{path: ""}), "train", "7.1.0") == []
    # A path of spaces brings no weights.
    blank = spec_faults(changed(**frozen, train__pretrained_model_path="  ", **{path: ""}), "train", "7.1.0")
    assert any("trains on a random backbone" in fault for fault in blank)
    assert any("train.pretrained_model_path: is blank" in fault for fault in blank)
    for release in ("7.2.0", "7.3.0"):
        assert spec_faults(empty, "train", release) == []
        assert spec_faults(null, "train", release) == []
    for release in known():
        assert spec_faults(changed(**frozen, **{path: "/w/dinov3.safetensors"}), "train", release) == []
        assert spec_faults(changed(model__backbone__type=name, **{path: ""}), "train", release) == []
        assert "is blank" in only(changed(**frozen, **{path: "  "}), release=release)


def test_a_frozen_c_radio_with_an_empty_path_is_random_in_7_1_and_refused_from_7_2_on() -> None:
    spec = changed(model__backbone__freeze_backbone=True, model__backbone__pretrained_backbone_path="")
    assert "trains on a random backbone" in only(spec, release="7.1.0")
    assert "TAO stops" in only(spec, release="7.2.0")


def test_a_backbone_that_came_later_is_refused_with_the_releases_that_have_it() -> None:
    spec = changed(model__backbone__type="vit_7b_dinov3")
    assert only(spec, release="7.1.0") == "model.backbone.type: TAO 7.1.0 has no vit_7b_dinov3, TAO 7.2.0, 7.3.0 has"
    assert spec_faults(spec, "train", "7.2.0") == []


def test_learnable_needs_cross_entropy_and_euclidean_contrastive() -> None:
    wrong = [
        (changed(train__classify__loss=GONE), "needs ce"),
        (changed(model__classify__difference_module="euclidean"), "needs contrastive"),
    ]
    for spec, words in wrong:
        for release in known():
            assert words in only(spec, "train", release)
        assert words in only(spec, "inference", "7.1.0")
        assert spec_faults(spec, "inference", "7.2.0") == []
    assert "learnable or euclidean" in only(changed(model__classify__difference_module="l2"))


def test_learnable_modules_are_one_to_four() -> None:
    assert "1 to 4" in only(changed(model__classify__learnable_difference_modules=5))


def test_image_ext_must_be_there_with_its_dot() -> None:
    assert "image_ext: not set" in only(changed(dataset__classify__image_ext=GONE))
    assert "set image_ext: .png" in only(changed(dataset__classify__image_ext="png"))


def test_linear_needs_as_many_inputs_as_lightings() -> None:
    assert "set num_input: 1" in only(changed(dataset__classify__num_input=GONE))
    fan = changed(model__backbone__type="fan_tiny_8_p4_hybrid", dataset__classify__input_map={"A": 0, "B": 1})
    fan["model"]["decode_head"]["feature_strides"] = [4, 8, 16, 16]
    assert "set num_input: 2" in only(fan)


def test_a_grid_must_hold_every_lighting() -> None:
    four = {"A": 0, "B": 1, "C": 2, "D": 3}
    keys = {"dataset__classify__input_map": four, "dataset__classify__concat_type": "grid"}
    assert (
        spec_faults(changed(**keys, dataset__classify__num_input=4, dataset__classify__grid_map={"x": 2, "y": 2})) == []
    )
    wrong = changed(**keys, dataset__classify__num_input=3, dataset__classify__grid_map={"x": 3, "y": 2})
    faults = spec_faults(wrong)
    assert any("3 x 2 does not hold 4 lightings" in f for f in faults)
    assert any("even" in f for f in faults)
    assert any("does not hold" in f for f in spec_faults(changed(**keys, dataset__classify__num_input=4)))


def test_several_lightings_need_a_concat_type() -> None:
    faults = spec_faults(changed(dataset__classify__input_map={"A": 0, "B": 1}, dataset__classify__concat_type=GONE))
    assert any("concat_type: not set with 2 lightings" in f for f in faults)
    assert any("linear or grid" in f for f in spec_faults(changed(dataset__classify__concat_type="stack")))


def test_vit_takes_squares_in_multiples_of_32() -> None:
    assert "squares only" in only(changed(dataset__classify__image_width=256))
    keys = {"dataset__classify__image_width": 240, "dataset__classify__image_height": 240}
    assert "multiple of 32" in only(changed(**keys))
    assert "at least 1 x 1" in only(changed(dataset__classify__image_width=0))


def test_fan_takes_multiples_of_16() -> None:
    fan = {"model__backbone__type": "fan_tiny_8_p4_hybrid", "model__decode_head__feature_strides": [4, 8, 16, 16]}
    assert spec_faults(changed(**fan, dataset__classify__image_width=64, dataset__classify__image_height=48)) == []
    assert "multiples of 16" in only(changed(**fan, dataset__classify__image_width=100))


def test_several_goldens_are_for_the_learnable_module_on_a_vit() -> None:
    assert spec_faults(changed(dataset__classify__num_golden=4)) == []
    assert "at least 1" in only(changed(dataset__classify__num_golden=0))
    fan = {"model__backbone__type": "fan_tiny_8_p4_hybrid", "model__decode_head__feature_strides": GONE}
    assert "one golden with fan_tiny" in only(changed(**fan, dataset__classify__num_golden=4))
    euclidean = {"model__classify__difference_module": "euclidean", "train__classify__loss": "contrastive"}
    assert "euclidean module" in only(changed(**euclidean, dataset__classify__num_golden=4))


@pytest.mark.parametrize("release", known())
@pytest.mark.parametrize("side", [64, 256, 320])
def test_several_goldens_are_for_images_whose_feature_maps_fall_into_windows_of_seven(side: int, release: str) -> None:
    size = {"dataset__classify__image_width": side, "dataset__classify__image_height": side}
    assert spec_faults(changed(**size), "train", release) == []
    line = only(changed(**size, dataset__classify__num_golden=2), "train", release)
    assert line.startswith(f"dataset.classify.num_golden: is 2 with images of {side}") and "multiples of 224" in line
    twice = {"dataset__classify__image_width": 448, "dataset__classify__image_height": 448}
    assert spec_faults(changed(**twice, dataset__classify__num_golden=2), "train", release) == []
    two = {"dataset__classify__input_map": {"A": 0, "B": 1}, "dataset__classify__num_input": 2}
    halves = {"dataset__classify__image_width": 112, "dataset__classify__image_height": 224}
    assert spec_faults(changed(**two, **halves, dataset__classify__num_golden=2), "train", release) == []


def test_training_on_batches_of_one_is_refused_and_inference_is_not() -> None:
    one = changed(dataset__classify__batch_size=1)
    assert "batch_size: is 1" in only(one)
    assert spec_faults(one, "inference") == []


@pytest.mark.parametrize("key", ["checkpoint_interval", "validation_interval"])
def test_intervals_longer_than_the_run_are_refused(key: str) -> None:
    assert f"{key}: is 11, more than num_epochs 10" in only(changed(**{f"train__{key}": 11}))
    assert spec_faults(changed(**{f"train__{key}": 10})) == []
    assert "at least 1" in only(changed(**{f"train__{key}": 0}))


def test_a_checkpoint_interval_in_steps_may_exceed_the_epochs() -> None:
    steps = {"train__checkpoint_interval_unit": "step", "train__checkpoint_interval": 500}
    assert spec_faults(changed(**steps)) == []
    assert "epoch or step" in only(changed(train__checkpoint_interval_unit="minute"))


def test_epochs_and_the_tensorboard_frequency_must_fit() -> None:
    assert "num_epochs: is 0" in spec_faults(changed(train__num_epochs=0))[0]
    board = {"enabled": True, "infrequent_logging_frequency": 11}
    assert "infrequent_logging_frequency" in only(changed(train__tensorboard=board))


def test_there_is_a_weight_for_each_class() -> None:
    assert "2 weights for num_classes 3" in only(changed(dataset__classify__num_classes=3))
    assert "num_classes: is 1" in only(changed(dataset__classify__num_classes=1, train__classify__cls_weight=[1.0]))


def test_an_unknown_key_does_not_hide_the_other_faults() -> None:
    faults = spec_faults(changed(task=GONE, automl_policy="off"))
    assert [fault.split(":")[0] for fault in faults] == ["automl_policy", "task"]


def test_only_the_policies_and_optimizers_that_tao_has() -> None:
    assert "'cosine' (linear or step)" in only(changed(train__optim__policy="cosine"))
    assert "divides num_epochs by 3" in only(changed(train__optim__policy="step", train__num_epochs=2))
    assert "'lamb'" in only(changed(train__optim__optim="lamb"))


def test_resuming_is_refused_for_training() -> None:
    resuming = changed(train__resume_training_checkpoint_path="/r/model.pth")
    assert "use train.pretrained_model_path" in only(resuming)
    assert spec_faults(resuming, "inference") == []


def test_inference_at_another_size_or_order_of_lightings_is_a_mismatch() -> None:
    assert inference_mismatch(GOOD, GOOD) == []
    other = changed(dataset__classify__image_width=256, dataset__classify__input_map={"Other": 0})
    assert [line.split(":")[0] for line in inference_mismatch(GOOD, other)] == [
        "dataset.classify.image_width",
        "dataset.classify.input_map",
    ]


def test_defaults_are_never_shared_between_specs() -> None:
    first = with_defaults({})
    first["train"]["optim"]["lr"] = 99
    assert with_defaults({})["train"]["optim"]["lr"] == 0.0001
