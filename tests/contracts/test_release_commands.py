from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tao_skill_bank.cli import cli

SPEC = """
task: classify
train: {num_epochs: 3, classify: {loss: ce}}
model:
  backbone: {type: vit_large_dinov3, freeze_backbone: true, pretrained_backbone_path: ''}
  classify: {difference_module: learnable}
  decode_head: {feature_strides: [4, 8, 16, 32]}
dataset:
  classify: {image_ext: .png, input_map: {SolderLight: 0}, num_input: 1, concat_type: linear}
"""


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_the_known_releases_are_listed_with_the_images_that_were_seen() -> None:
    lines = run("releases").output.splitlines()
    assert [line.split()[0] for line in lines] == ["7.1.0", "7.2.0", "7.3.0"]
    assert lines[0].endswith("images: pyt, data_services, deploy, cosmos_embed")
    assert lines[1].endswith("images: data_services")
    rows = json.loads(run("releases", "list", "--json").output)
    assert rows[1]["images"] == {"data_services": "releases.7.2.0.data_services"}


def test_a_release_is_shown_down_to_a_key() -> None:
    whole = run("releases", "show", "7.2.0").output
    assert "  tmm: nearest_neighbors, unique_neighbor_matching" in whole
    assert (
        "  visual_changenet: evaluate, export, inference, quantize, train; in other containers: gen_trt_engine" in whole
    )
    keys = run("releases", "show", "7.2.0", "visual_changenet").output
    assert '  train.optim.policy: str; default "linear"; one of linear, step' in keys
    assert "dataset.segment.img_size" in keys
    value = json.loads(run("releases", "show", "7.2.0", "tmm", "nearest_neighbors", "--json").output)
    assert value["keys"]["distance_threshold"] == {"type": "float", "default": -1.0}


def test_two_releases_are_compared() -> None:
    text = run("releases", "diff", "7.1.0", "7.3.0").output
    assert "- added: visual_changenet classify status.json field val_far" in text
    assert "more of other commands (--all)" in text
    assert "byte for byte: gap_analysis vcn_aoi, gap_analysis vlm_bcq" in text
    value = json.loads(run("releases", "diff", "7.1.0", "7.3.0", "--json").output)
    assert {"kind": "status", "what": "val_far"}.items() <= next(
        c for c in value["changes"] if c["what"] == "val_far"
    ).items()
    assert "- nothing" in run("releases", "diff", "7.1.0", "7.1").output


def test_a_spec_is_checked_against_the_release_that_is_named(spec: Path) -> None:
    refused = run("spec", "check", spec, "--release", "7.1.0")
    assert refused.exit_code == 2
    first = refused.output.splitlines()[0]
    assert first.startswith("model.backbone.pretrained_backbone_path: is empty with vit_large_dinov3 frozen")
    assert first.endswith("(stage its weight file and name it here)")
    taken = run("spec", "check", spec, "--release", "7.2.0")
    assert taken.exit_code == 0, taken.output
    assert "note: TAO 7.1.0: refuses it: model.backbone.pretrained_backbone_path" in taken.output


def test_without_a_release_that_of_the_images_in_use_is_taken(spec: Path) -> None:
    value = json.loads(run("spec", "check", spec, "--json").output)
    assert value["release"] == "7.1.0"


def test_faults_of_the_merge_are_a_line_each_and_overrides_count(spec: Path) -> None:
    done = run("spec", "check", spec, "train.num_epoch=3", "train.num_epochs=ten", "--release", "7.3")
    assert done.exit_code == 2
    assert "train.num_epoch: unknown key (did you mean train.num_epochs?)" in done.output
    assert "train.num_epochs: must be int, not 'ten'" in done.output


def test_another_command_s_spec_is_checked_by_its_keys_and_the_rest_is_said(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text("train: {num_epochs: 2}\nmodel: {num_queries: 900}\n")
    done = run("spec", "check", path, "--command", "grounding_dino", "--release", "7.2.0")
    assert done.exit_code == 0, done.output
    assert "only keys and types were checked" in done.output
    path.write_text("train: {num_epoch: 2}\n")
    assert run("spec", "check", path, "--command", "grounding_dino").exit_code == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--release", "9.0"], "is not known"),
        (["--command", "grounding_dyno"], "grounding_dino"),
        (["--command", "visual_changenet", "--action", "gen_trt_engine"], "another container"),
        (["--command", "gap_analysis"], "has several actions"),
    ],
)
def test_what_cannot_be_checked_is_refused_with_what_there_is(spec: Path, args: list[str], words: str) -> None:
    done = run("spec", "check", spec, *args)
    assert done.exit_code != 0
    assert words in str(done.exception)


def test_references_in_a_spec_are_resolved_before_it_is_checked(spec: Path) -> None:
    spec.write_text(SPEC.replace("num_epochs: 3", "num_epochs: 3, checkpoint_interval: '${train.num_epochs}'"))
    assert run("spec", "check", spec, "--release", "7.2.0").exit_code == 0
    spec.write_text(
        SPEC.replace("num_epochs: 3", "num_epochs: 3, checkpoint_interval: '${dataset.segment.batch_size}'")
    )
    assert "more than num_epochs 3" in run("spec", "check", spec, "--release", "7.2.0").output
