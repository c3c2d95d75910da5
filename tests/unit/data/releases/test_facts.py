from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from release_specs import disagreement, our_verdict

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.changenet.releases import meant_elsewhere
from tao_skill_bank.data.releases.difference import difference, unchanged
from tao_skill_bank.data.releases.facts import in_force, known, release_in, release_named
from tao_skill_bank.data.releases.keys import Keys, merge_faults, over_defaults

KEPT = json.loads(Path(__file__).with_name("merges.json").read_text())


@pytest.mark.parametrize("release", ["7.1.0", "7.2.0", "7.3.0"])
def test_the_kept_specs_get_the_verdict_that_the_real_merge_gave(release: str) -> None:
    rows = KEPT[release]
    refused = [row for row in rows if row["real"] is not None]
    assert len(refused) > 15
    assert len(refused) < len(rows) - 15
    wrong = [(d, row["text"]) for row in rows if (d := disagreement(our_verdict(release, row), row["real"]))]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "added: visual_changenet model.backbone.type may be vit_7b_dinov3",
        "changed: visual_changenet: a frozen backbone with a DINOv3 and an empty path: as others → fetched",
        "changed: visual_changenet: a frozen backbone with an empty path: random → refused",
        "changed: visual_changenet: train.classify.loss is checked at load → fit",
        "changed: visual_changenet: the margin of validation figures during training is fixed → eval_margin",
        "added: visual_changenet classify status.json field val_far",
        "added: tmm key distance_threshold (float, default -1.0)",
        "added: action gap_analysis object_detection",
        "added: action tmm unique_neighbor_matching",
    ],
)
def test_what_7_2_brought_comes_out_of_the_facts(line: str) -> None:
    for newer in ("7.2.0", "7.3.0"):
        said = [c.text.replace("tmm nearest_neighbors key", "tmm key") for c in _difference("7.1.0", newer)]
        assert line in said
    assert line not in [c.text for c in _difference("7.2.0", "7.3.0")]


def test_what_did_not_change_since_7_1_is_said_to_be_unchanged() -> None:
    same = unchanged(release_named("7.1.0"), release_named("7.3.0"))
    assert {"gap_analysis vcn_aoi", "gap_analysis vlm_bcq", "auto_label: video_reasoning_annotation"} <= set(same)
    assert "visual_changenet train" not in same


def test_a_difference_read_backwards_takes_back_what_it_brought() -> None:
    assert [c.text for c in _difference("7.1.0", "7.1.0")] == []
    back = [c.text for c in _difference("7.3.0", "7.1.0")]
    assert "gone: visual_changenet classify status.json field val_far" in back
    assert "gone: action tmm unique_neighbor_matching" in back


def test_a_release_is_named_in_full_or_by_its_first_two_numbers() -> None:
    assert release_named("7.1").version == release_named("v7.1.0").version == "7.1.0"
    for text in ("7", "8.0.0", "", "7.1.9", "7.1.0-pyt"):
        with pytest.raises(InputError, match=r"7\.1\.0, 7\.2\.0, 7\.3\.0"):
            release_named(text)


@pytest.mark.parametrize(
    ("reference", "release"),
    [
        ("nvcr.io/nvidia/tao/tao-toolkit:7.1.0-pyt", "7.1.0"),
        ("nvcr.io/nvidia/tao/tao-toolkit:7.2.0-data-services@sha256:" + "a" * 64, "7.2.0"),
        ("my.host:5000/tao/7.1.0/own:latest", None),
        ("tao-toolkit:6.26.3-pyt", None),
        ("tao-toolkit", None),
        ("7.3.0", "7.3.0"),
        ("7.1", "7.1.0"),
    ],
)
def test_the_release_of_an_image_is_read_from_its_tag(reference: str, release: str | None) -> None:
    assert release_in(reference) == release


def test_a_rule_holds_from_its_first_release_on_and_before_the_one_that_ended_it() -> None:
    assert in_force("7.1.0", None, "7.2")
    assert not in_force("7.2.0", None, "7.2")
    assert in_force("7.10.0", "7.2", None)
    assert not in_force("7.1.3", "7.2", None)


def test_every_release_knows_the_actions_of_every_network_and_those_that_other_containers_have() -> None:
    for version in known():
        release = release_named(version)
        assert {"train", "evaluate", "inference", "export"} <= set(release.actions("grounding_dino"))
        assert release.elsewhere("visual_changenet") == ["gen_trt_engine"]
        assert len(release.commands) > 30
    with pytest.raises(InputError, match="another container"):
        release_named("7.1.0").keys("visual_changenet", "gen_trt_engine")
    with pytest.raises(InputError, match="object_detection"):
        release_named("7.1.0").keys("gap_analysis", "object_detection")


def test_a_section_that_is_null_by_default_takes_its_keys_and_null() -> None:
    keys = Keys.of(
        {
            "a": {"type": "section", "nullable": True, "default": None},
            "a.n": {"type": "int", "default": 1},
            "b": {"type": "section"},
            "b.n": {"type": "int", "default": 2},
        }
    )
    assert over_defaults({}, keys) == {"a": None, "b": {"n": 2}}
    assert merge_faults({"a": None, "b": {"n": 3}}, keys) == []
    assert merge_faults({"a": {"n": 4}}, keys) == []
    assert "a.m: unknown key" in merge_faults({"a": {"m": 4}}, keys)[0]
    assert merge_faults({"b": None}, keys) == ["b: must be a mapping of keys (known: n)"]


def test_a_spec_that_means_something_else_elsewhere_is_told_so() -> None:
    spec: dict[str, Any] = {
        "task": "classify",
        "train": {"classify": {"loss": "ce"}},
        "model": {"classify": {"difference_module": "learnable", "eval_margin": 2.0}},
        "dataset": {"classify": {"image_ext": ".png", "num_input": 1, "concat_type": "linear"}},
    }
    lines = meant_elsewhere(spec, "train", "7.1.0")
    assert "taken at 0.5, for eval_margin 2 is no probability" in lines[0]
    assert lines[0].startswith("TAO 7.2.0, 7.3.0: ")
    assert any("val_far" in line for line in lines)
    assert not any("7.3.0" in line for line in meant_elsewhere(spec, "train", "7.2.0"))
    assert meant_elsewhere(spec, "inference", "7.2.0") == []


def _difference(first: str, second: str) -> Any:
    return difference(release_named(first), release_named(second))
