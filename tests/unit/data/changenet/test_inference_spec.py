from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from inference_specs import inference_mismatch

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.inference_spec import inference_spec, write_inference_spec
from tao_skill_bank.data.changenet.spec import spec_faults

from .test_spec import GOOD


def training() -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    data = config["dataset"]["classify"]
    for name in ("train_dataset", "validation_dataset", "test_dataset"):
        data[name] = {"csv_path": f"/w/{name}.csv", "images_dir": "/w/images"}
    data["augmentation_config"] = {"augment": True, "rgb_input_mean": [0.5, 0.5, 0.5]}
    data["workers"] = 8
    config["results_dir"] = "/w/results"
    config["train"]["pretrained_model_path"] = "/w/model.pth"
    return config


def test_what_decides_the_numbers_is_kept_word_for_word() -> None:
    spec = inference_spec(training(), 0.123456789012345678)
    for key in ("backbone", "decode_head"):
        assert spec["model"][key] == GOOD["model"][key]
    for key in ("image_ext", "input_map", "num_input", "concat_type", "image_width", "image_height", "num_classes"):
        assert spec["dataset"]["classify"][key] == GOOD["dataset"]["classify"][key]
    assert spec["dataset"]["classify"]["augmentation_config"]["rgb_input_mean"] == [0.5, 0.5, 0.5]
    assert spec["train"] == {"classify": {"loss": "ce"}}
    assert inference_mismatch(training(), spec) == []


def test_the_threshold_becomes_the_margin_and_the_rest_is_the_consumer_s() -> None:
    spec = inference_spec(training(), 0.25)
    data = spec["dataset"]["classify"]
    assert spec["model"]["classify"]["eval_margin"] == 0.25
    assert spec["inference"] == {"checkpoint": "/model/best.pth"}
    assert spec["results_dir"] == ""
    assert data["infer_dataset"] == {"csv_path": "", "images_dir": ""}
    assert (data["batch_size"], data["workers"]) == (1, 1)
    assert data["augmentation_config"]["augment"] is False
    assert not {"train_dataset", "validation_dataset", "test_dataset"} & set(data)


def test_tao_takes_it_for_inference_and_the_training_spec_is_untouched() -> None:
    source = training()
    before = copy.deepcopy(source)
    assert spec_faults(inference_spec(source, 0.5), "inference") == []
    assert source == before


@pytest.mark.parametrize("spec", [{}, {"model": {}}, {"model": {}, "dataset": {"classify": None}}])
def test_a_spec_without_model_or_data_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no model or no dataset\.classify"):
        inference_spec(spec, 0.5)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="not a finite number"):
        inference_spec(training(), float("nan"))


def test_it_is_written_for_a_best_model_with_the_threshold_at_full_precision(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(training()))
    best = tmp_path / "best_model.json"
    best.write_text(json.dumps({"threshold": 0.1 + 0.2, "training_spec": "train.yaml"}))
    write_inference_spec(best, tmp_path / "out.yaml")
    written = yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert written["model"]["classify"]["eval_margin"] == 0.1 + 0.2
    assert list(written) == ["task", "results_dir", "model", "dataset", "train", "inference"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"threshold": "0.5", "training_spec": "t"}', '{"threshold": true}'])
def test_a_best_model_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    best = tmp_path / "best_model.json"
    with pytest.raises(InputError, match="no such file"):
        write_inference_spec(best, tmp_path / "out.yaml")
    best.write_text(text)
    with pytest.raises(InputError, match=r"best_model\.json"):
        write_inference_spec(best, tmp_path / "out.yaml")
    assert not (tmp_path / "out.yaml").exists()
