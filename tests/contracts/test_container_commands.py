"""The containers' command lines of every stage, as golden text; write them anew with TAO_UPDATE_SNAPSHOTS=1."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import tiny
import yaml

from tao_skill_bank import runs
from tao_skill_bank.core.settings import apply_settings, checked_settings
from tao_skill_bank.platforms.base import JobRecord, new_record, read_records
from tao_skill_bank.platforms.container import plan_container, settings_of
from tao_skill_bank.tasks.changenet import specs
from tao_skill_bank.tasks.changenet.config import RunConfig
from tao_skill_bank.tasks.changenet.generator import AMP, SDG
from tao_skill_bank.tasks.registry import load_state

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run here; its command lines are those of any platform."""
    with tiny.fake_model():
        workspace = tiny.make_workspace(tmp_path_factory.mktemp("golden") / "workspace")
        found = tiny.approved(tiny.request(workspace, iterations=1, settings=["automl_policy=off"]))
        runs.run_loop(found)
    return found


def plain(text: str, run: Path, weights: Path | None = None) -> str:
    text = text.replace(str(run), "RUN").replace(str(run.parents[1]), "WORKSPACE")
    text = text.replace(str(weights), "WEIGHTS") if weights else text
    text = re.sub(r"\d{4}-\d\d-\d\d_\d{6}", "STAMP", text)
    text = re.sub(r"-[0-9a-f]{12}\b", "-UID", text).replace(f"{os.getuid()}:{os.getgid()}", "UID:GID")
    return re.sub(r"USER=\S+", "USER=NAME", text)


def lines_of(run: Path, records: list[JobRecord], *settings: str, weights: Path | None = None) -> str:
    state = load_state(run)
    values = apply_settings(RunConfig, state.config.model_dump(mode="json"), settings)
    config = checked_settings(RunConfig, {**values, "platform": "docker"}, "test")
    out = []
    for record in records:
        plan = plan_container(settings_of(config), record, environment={"HF_TOKEN": "never shown"})
        out.append(f"# {record.key}\n{plain(shlex.join(plan.argv()), run, weights)}\n")
    return "\n".join(out)


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("TAO_UPDATE_SNAPSHOTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train", r"\.train\.train"),
        ("inference", r"\.evaluate\."),
        ("gap_analysis", r"\.rca\."),
        ("embedding", r"\.embed_"),
        ("mining", r"\.neighbors_"),
    ],
)
def test_the_containers_line_of_a_stage_is_the_golden_one(run: Path, name: str, key: str) -> None:
    records = sorted((r for r in read_records(run) if re.search(key, r.key)), key=lambda r: r.key)
    assert records
    check(name, lines_of(run, records))


def test_backbone_weights_outside_the_workspace_are_mounted_read_only(run: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (record,) = read_records(run, "baseline.train.train")
    check("backbone_mounts", lines_of(run, [record], f"docker.mounts=['{weights}']", weights=weights))


def test_the_generators_lines_are_the_golden_ones(run: Path) -> None:
    from tao_skill_bank.tasks.changenet.generator import Assets, amp_command, sdg_command

    home = run.parents[1] / "augmentation" / "anomalygen"
    spec = home / "datasets" / "PCB" / "defect_spec.jsonl"
    assets = Assets(spec.parent, [], spec, home / "checkpoints" / "PCB", 14000, home / "base_checkpoints")
    out = run / "iter1" / "anomalygen"
    records = [
        new_record(
            key=f"iter1.anomalygen.{name}",
            platform="docker",
            command=command,
            outputs=[out],
            cwd=run.parents[1],
            results_dir=run,
        )
        for name, command in (
            (AMP.removesuffix(".sh"), amp_command("iter1", 20, assets, spec, out)),
            (SDG.removesuffix(".sh"), sdg_command(assets, 1, out)),
        )
    ]
    check("anomalygen", lines_of(run, records))


def test_the_own_image_runs_every_line_on_the_cpu_without_a_network(run: Path) -> None:
    (record,) = read_records(run, "baseline.train.train")
    check("own_image", lines_of(run, [record], "docker.image='tao-skill-bank:0.1.0'", "offline=true"))


def test_the_automl_policy_of_a_plan_never_reaches_a_spec_or_a_command_line(run: Path) -> None:
    config = load_state(run).config
    assert config.automl_policy == "off"
    written = [*run.rglob("*spec*.yaml"), *run.rglob("emb.yaml"), *run.rglob("mine.yaml")]
    assert len(written) >= 5
    for path in written:
        assert "automl" not in path.read_text() and "workflow" not in yaml.safe_load(path.read_text())
    assert not any("automl" in word for r in read_records(run) for word in r.command)
    assert "automl" not in str(specs.user_spec(config))
