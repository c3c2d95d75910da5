"""Any action of a release goes to a platform that has it, after the release's own check of its spec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tao_skill_bank.core.errors import InputError, InputErrors
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.container import in_an_image, is_data_service, settings_of
from tao_skill_bank.tasks.action import (
    ActionPlan,
    ActionRequest,
    _files_named,
    command_line,
    plan_action,
    release_checks,
    start_action,
)
from tao_skill_bank.tasks.changenet.config import ActionConfig

NETWORKS = ("visual_changenet", "grounding_dino", "gap_analysis")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    folder = tmp_path / "tao" / "bin"
    folder.mkdir(parents=True)
    for name in NETWORKS:
        (folder / name).write_text('#!/bin/sh\necho "$0 $@"\n')
        (folder / name).chmod(0o755)
    (tmp_path / "tao/lib/python3.12/site-packages/nvidia_tao_pytorch-7.2.0.dist-info").mkdir(parents=True)
    return folder


def request(tmp_path: Path, commands: Path, category: str, action: str, text: str | None) -> ActionRequest:
    spec = None
    if text is not None:
        spec = tmp_path / "spec.yaml"
        spec.write_text(text)
    folder = tmp_path / "out"
    line = command_line(category, action, spec, {}, folder)
    return ActionRequest(line, folder, tmp_path, "virtualenv", (f"virtualenv.bin={commands}",), spec)


def said(plan: ActionPlan, name: str) -> tuple[str, str]:
    return next((c.status, c.text) for c in plan.checks if c.name == name)


def test_a_network_that_is_no_part_of_a_loop_is_checked_by_its_keys_and_started(tmp_path: Path, commands: Path) -> None:
    wanted = request(tmp_path, commands, "grounding_dino", "train", "train: {num_epochs: 2}\n")
    plan = plan_action(wanted)
    assert said(plan, "release")[1].startswith("TAO 7.2.0: nvidia-tao-pytorch in ")
    status, text = said(plan, "spec")
    assert status == "warn"
    assert "TAO 7.2.0 takes it for grounding_dino train; only keys and types were checked" in text
    assert start_action(wanted, plan.digest).argv[0] == str(commands / "grounding_dino")


@pytest.mark.parametrize(
    ("category", "action", "text", "words"),
    [
        ("grounding_dino", "train", "train: {num_epoch: 2}\n", r"train\.num_epoch: unknown key"),
        ("visual_changenet", "train", "task: classify\n", r"dataset\.classify\.image_ext: not set"),
        ("visual_changenet", "export", "export: {opset_version: many}\n", r"export\.opset_version: must be int"),
        ("gap_analysis", "vcn_aoi", "min_recal: 1\n", r"min_recal: unknown key \(did you mean min_recall"),
    ],
)
def test_what_the_release_refuses_is_refused_before_it_is_sent(
    tmp_path: Path, commands: Path, category: str, action: str, text: str, words: str
) -> None:
    with pytest.raises(InputErrors, match=rf"TAO 7\.2\.0 refuses the spec: {words}"):
        plan_action(request(tmp_path, commands, category, action, text))
    assert not (tmp_path / "out").exists()


def test_a_segmentation_is_sent_and_what_was_not_checked_is_said(tmp_path: Path, commands: Path) -> None:
    plan = plan_action(request(tmp_path, commands, "visual_changenet", "train", "task: segment\n"))
    assert "only keys and types were checked" in said(plan, "spec")[1]


def test_an_action_that_only_the_deploy_image_has_goes_unchecked_and_is_said_so(tmp_path: Path, commands: Path) -> None:
    plan = plan_action(request(tmp_path, commands, "visual_changenet", "gen_trt_engine", "a: 1\n"))
    assert said(plan, "spec") == (
        "warn",
        "not checked: visual_changenet gen_trt_engine is in no package on the Python index, so its keys are not known",
    )


def test_an_action_that_the_release_does_not_have_names_the_near_ones(tmp_path: Path, commands: Path) -> None:
    with pytest.raises(InputError, match="inference"):
        plan_action(request(tmp_path, commands, "grounding_dino", "inferense", "train: {}\n"))
    with pytest.raises(InputError, match="grounding_dino"):
        plan_action(request(tmp_path, commands, "grounding_dyno", "train", None))


def test_the_image_of_a_command_follows_from_the_package_that_has_it(tmp_path: Path) -> None:
    config = ActionConfig(workspace=str(tmp_path), platform="docker", specs_file="")
    settings = settings_of(config)
    assert settings.image_for("grounding_dino", "train").endswith("7.1.0-pyt")
    assert settings.image_for("visual_changenet", "export").endswith("7.1.0-pyt")
    assert settings.image_for("visual_changenet", "gen_trt_engine").endswith("7.1.0-deploy")
    assert settings.image_for("annotations", "convert").endswith("7.1.0-data-services")
    assert is_data_service("tmm")
    assert in_an_image("grounding_dino")
    assert not in_an_image("grounding_dyno")
    with pytest.raises(InputError, match="grounding_dino"):
        settings.image_for("grounding_dyno")


@pytest.mark.parametrize(
    ("action", "text", "words"),
    [
        ("trian", "task: classify\n", "did you mean 'train'"),
        (
            "export",
            "task: classify\n",
            r"CPU has no visual_changenet export, only train, .*docker runs it in its image",
        ),
        ("gen_trt_engine", "a: 1\n", "for this CPU has no visual_changenet gen_trt_engine"),
        ("train", "train: {num_epoch: 2}\n", r"train\.num_epoch: unknown key"),
    ],
)
def test_what_this_cpu_would_fail_at_is_refused_before_its_plan_is_shown(
    tmp_path: Path, action: str, text: str, words: str
) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    folder, spec = tmp_path / "out", tmp_path / "spec.yaml"
    line = command_line("visual_changenet", action, spec, {}, folder)
    with pytest.raises(InputError) as caught:
        plan_action(ActionRequest(line, folder, tmp_path, "local", (), spec))
    assert re.search(words, caught.value.line())
    assert not folder.exists()


@pytest.mark.parametrize(
    ("command", "action"), [("visual_changenet", "trian"), ("grounding_dino", "train"), ("gap_analysis", "vcn_aoi")]
)
def test_what_an_image_of_ones_own_runs_is_not_checked_and_is_said_so(
    tmp_path: Path, command: str, action: str
) -> None:
    line = command_line(command, action, None, {}, tmp_path / "out")
    config = ActionConfig(workspace=str(tmp_path), platform="docker", specs_file="", docker={"image": "mine:1"})
    wanted = ActionRequest(line, tmp_path / "out", tmp_path, "docker")
    [check] = release_checks(wanted, config, platform_named(config))
    assert (check.name, check.status) == ("release", "warn")
    assert check.text.startswith(f"not checked: of what runs {command} {action} there no release is known")


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("../data/set 1.csv", ""),
        ("{out}/../data/set 1.csv", ""),
        ("${{root}}/data/set 1.csv", ""),
        ("${{sets.one}}", ""),
        ("", "model.name='{root}/data/set 1.csv'"),
        ("", "model.name=['{root}/data/set 1.csv']"),
    ],
)
def test_a_file_is_part_of_what_is_approved_however_a_spec_or_an_override_writes_its_path(
    tmp_path: Path, text: str, override: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/set 1.csv").write_text("a\n")
    folder, spec = tmp_path / "out", tmp_path / "spec.yaml"
    given = text.format(out=folder)
    sets = "sets: {one: '${root}/data/set 1.csv'}\n" if "sets" in given else ""
    spec.write_text(f"model: {{name: '{given}'}}\nroot: {tmp_path}\n{sets}")
    line = (*command_line("grounding_dino", "train", spec, {}, folder), *filter(None, [override.format(root=tmp_path)]))
    asked = ActionRequest(line, folder, tmp_path, "virtualenv", (), spec)
    before = _files_named(asked, spec.read_bytes())
    (tmp_path / "data/set 1.csv").write_text("a\nb\n")
    assert before and _files_named(asked, spec.read_bytes()) != before


def test_an_actions_own_outputs_are_no_part_of_what_is_approved(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "made.csv").write_text("a\n")
    line = command_line("embedding", "image_embeddings", None, {"input": f"{tmp_path}/x/../out/made.csv"}, folder)
    assert _files_named(ActionRequest(line, folder, tmp_path, "virtualenv"), None) == {}
