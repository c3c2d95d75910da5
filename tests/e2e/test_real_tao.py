"""NVIDIA's own Visual ChangeNet on this CPU: the loop on it, and what it refuses beside what pre-flight refuses.

Minutes, so in `make proof` only.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tiny
import yaml
from inference_specs import inference_mismatch
from PIL import Image
from ran import ran
from real_tao import real_tao_bin

from tao_skill_bank import runs
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.data.changenet.spec import spec_faults
from tao_skill_bank.data.releases.facts import known, release_named
from tao_skill_bank.demo import make_demo_workspace
from tao_skill_bank.platforms.releases import installed_release
from tao_skill_bank.tasks.changenet.scores import validation_losses
from tao_skill_bank.tasks.registry import load_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6000)]
SIZE = 64


@pytest.fixture(scope="module")
def tao() -> Path:
    return real_tao_bin()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """40 training rows and the rest as small, at 64 pixels: of drawn boards, or of `TAO_PROOF_WORKSPACE`."""
    given = os.environ.get("TAO_PROOF_WORKSPACE")
    whole = Path(given) if given else make_demo_workspace(tmp_path / "whole")
    root = tmp_path / "w"
    root.mkdir()
    (root / "images").symlink_to(whole / "images")
    for name, passes, defects in (
        ("train/base/training_set.csv", 28, 12),
        ("train/base/validation_set.csv", 12, 6),
        ("kpi/testing_set.csv", 24, 12),
        ("augmentation/mining_pool/mining_pool.csv", 30, 30),
    ):
        cut(whole / name, root / name, passes, defects)
    write_spec(root, yaml.safe_load((whole / "specs" / "baseline_spec.yaml").read_text()))
    return root


def cut(source: Path, target: Path, passes: int, defects: int) -> None:
    with source.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    kept = [r for r in rows if r["label"] == "PASS"][:passes] + [r for r in rows if r["label"] != "PASS"][:defects]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def write_spec(root: Path, drawn: dict[str, Any]) -> None:
    classify = drawn["dataset"]["classify"]
    spec = {
        "task": "classify",
        "train": {"num_epochs": 1, "classify": {"loss": "ce"}},
        "model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}, "classify": {"difference_module": "learnable"}},
        "dataset": {
            "classify": {
                **{key: classify[key] for key in ("image_ext", "input_map", "num_input", "concat_type")},
                "image_width": SIZE,
                "image_height": SIZE,
                "batch_size": 8,
                "workers": 0,
            }
        },
    }
    (root / "specs").mkdir()
    (root / "specs" / "baseline_spec.yaml").write_text(yaml.safe_dump(spec))


@pytest.mark.parametrize("release", known())
def test_a_whole_loop_runs_on_the_real_tao_of_each_release_and_both_gap_analyses_agree(
    workspace: Path, release: str
) -> None:
    tao = real_tao_bin(release)
    assert installed_release(tao) == release
    request = tiny.request(
        workspace,
        target="FAR < 0.01% at recall=100%",
        iterations=1,
        platform="virtualenv",
        settings=(f"virtualenv.bin={tao}", "anomalygen.mode=local_standin", "anomalygen.num_SDG=4"),
    )
    folder = tiny.approved(request)
    runs.run_loop(folder)
    state = load_state(folder)
    assert (state.status, state.iterations["iter1"].status) == ("complete", "complete")
    for label in ("baseline", "iter1"):
        iteration = state.iterations[label]
        assert iteration.far_pct is not None
        assert Path(str(iteration.best_ckpt_path)).suffix == ".pth"
        told = validation_losses(folder / label / "train" / "status.json")
        writes_far = "val_far" in release_named(release).classifier["status"]["classify"]
        assert told
        assert all((v.far is not None) == writes_far for v in told)
        print(f"{label}: FAR {iteration.far_pct:.2f} % at threshold {iteration.threshold}")
        with Path(str(iteration.inference_csv)).open(newline="") as handle:
            assert len(list(csv.DictReader(handle))) == 36
    jobs = [json.loads(p.read_text()) for p in (folder / "jobs").glob("*.json") if p.name.count(".") == 1]
    theirs = {j["command"][0] for j in jobs if j["argv"][0].startswith(str(tao))}
    assert theirs == {"visual_changenet", "gap_analysis"}
    # The same analysis by the bank's own code, on what NVIDIA's inference wrote.
    baseline = state.iterations["baseline"]
    used = Path(str(baseline.rca_gaps_parquet)).parent
    spec = used / "vcn_aoi_spec.yaml" if (used / "vcn_aoi_spec.yaml").is_file() else next(used.glob("*.yaml"))
    ours = workspace / "ours"
    job = next(j for j in jobs if j["key"].startswith("baseline.rca"))
    overrides = [a for a in job["command"][4:] if not a.startswith("results_dir=")]
    done = ran(
        [
            sys.executable,
            "-m",
            "tao_skill_bank.actions",
            "gap_analysis",
            "vcn_aoi",
            "-e",
            str(spec),
            *overrides,
            f"results_dir={ours}",
        ],
        cwd=workspace,
    )
    assert done.returncode == 0, done.stderr
    mine = pq.read_table(next(ours.rglob("kpi_gaps.parquet"))).to_pylist()
    they = pq.read_table(str(baseline.rca_gaps_parquet)).to_pylist()
    assert mine == they
    assert len(mine) > 0


# -- what it refuses ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A fault, how to make it, and what the real TAO does with it: `fails`, or takes it `silently`."""

    name: str
    break_it: Callable[[dict[str, Any], Path], None]
    words: str
    tao: str = "fails"


def _set(dotted: str, value: Any) -> Callable[[dict[str, Any], Path], None]:
    def change(spec: dict[str, Any], _root: Path) -> None:
        *parents, last = dotted.split(".")
        for part in parents:
            spec = spec.setdefault(part, {})
        if value is None:
            spec.pop(last)
        else:
            spec[last] = value

    return change


def _labels(change: Callable[[str], str]) -> Callable[[dict[str, Any], Path], None]:
    def edit(_spec: dict[str, Any], root: Path) -> None:
        path = root / "train/base/training_set.csv"
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        for row in rows:
            row["label"] = change(row["label"])
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    return edit


def _some_lower_case(_spec: dict[str, Any], root: Path) -> None:
    path = root / "train/base/training_set.csv"
    path.write_text(path.read_text().replace(",PASS,", ",pass,", 6))


def _missing_validation_image(_spec: dict[str, Any], root: Path) -> None:
    path = root / "train/base/validation_set.csv"
    lines = path.read_text().splitlines()
    first = lines[1].split(",")
    path.write_text("\n".join([lines[0], ",".join([*first[:3], "NOT_THERE", *first[4:]]), *lines[2:]]) + "\n")


def _few_rows(_spec: dict[str, Any], root: Path) -> None:
    path = root / "train/base/training_set.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], *lines[-3:]]) + "\n")


REFUSALS = [
    Refusal("an unknown key", _set("train.automl_policy", "off"), "automl_policy"),
    Refusal("no task", _set("task", None), "task"),
    Refusal("no loss", _set("train.classify.loss", "contrastive"), "loss"),
    Refusal("no image_ext", _set("dataset.classify.image_ext", None), "image_ext"),
    Refusal("no input_map", _set("dataset.classify.input_map", None), "input_map"),
    Refusal("num_input", _set("dataset.classify.num_input", 8), "num_input"),
    Refusal("four goldens with FAN", _set("dataset.classify.num_golden", 4), "num_golden"),
    Refusal("batches of one", _set("dataset.classify.batch_size", 1), "batch_size"),
    Refusal("a checkpoint interval beyond the epochs", _set("train.checkpoint_interval", 3), "checkpoint_interval"),
    Refusal("a validation interval beyond the epochs", _set("train.validation_interval", 3), "validation_interval"),
    Refusal("three classes", _set("dataset.classify.num_classes", 3), "num_classes"),
    Refusal("a FAN height of 72", _set("dataset.classify.image_height", 72), "image_height"),
    Refusal("a policy of cosine", _set("train.optim.policy", "cosine"), "policy"),
    Refusal("fewer rows than a batch", _few_rows, "batch"),
    Refusal("a label `pass`", _some_lower_case, "write PASS", tao="silently"),
    Refusal("a missing validation image", _missing_validation_image, "NOT_THERE"),
    Refusal("all PASS", _labels(lambda _x: "PASS"), "PASS"),
    Refusal("all defects", _labels(lambda _x: "bridge"), "PASS"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: r.name)
def test_what_tao_refuses_is_refused_before_a_run(workspace: Path, tao: Path, refusal: Refusal) -> None:
    path = workspace / "specs" / "baseline_spec.yaml"
    spec = yaml.safe_load(path.read_text())
    refusal.break_it(spec, workspace)
    path.write_text(yaml.safe_dump(spec))
    request = tiny.request(workspace, iterations=1, platform="virtualenv", settings=(f"virtualenv.bin={tao}",))
    with pytest.raises(BankError) as caught:
        runs.plan_run(request)
    said = " ".join([caught.value.line(), *getattr(caught.value, "faults", [])])
    assert refusal.words in said
    assert not (workspace / "results").exists()
    code, output, made = train(tao, workspace, spec)
    if refusal.tao == "silently":
        assert code == 0, output
    else:
        assert code != 0 or not made, output
        said_there = [x for x in output.splitlines() if "Error" in x and "telemetry" not in x]
        print(f"{refusal.name}: {said_there[-1:]}")


def test_radio_without_its_strides_crashes_there_and_is_refused_here(workspace: Path, tao: Path) -> None:
    path = workspace / "specs" / "baseline_spec.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["model"]["backbone"]["type"] = "c_radio_v2_vit_base_patch16_224"
    spec["dataset"]["classify"].update(image_width=224, image_height=224)
    path.write_text(yaml.safe_dump(spec))
    request = tiny.request(workspace, iterations=1, platform="virtualenv", settings=(f"virtualenv.bin={tao}",))
    with pytest.raises(BankError, match="feature_strides"):
        runs.plan_run(request)
    code, output, _ = train(tao, workspace, spec)
    assert code != 0, output


# Run by the environment's own Python: NVIDIA's model, built of a spec and called with black pictures.
_BUILDS = """
import contextlib, json, sys
import torch
from omegaconf import OmegaConf
from nvidia_tao_pytorch.config.visual_changenet.default_config import ExperimentConfig
from nvidia_tao_pytorch.cv.visual_changenet.classification.models.changenet import build_model
said = []
with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
    for case in json.loads(sys.argv[1]):
        spec = OmegaConf.merge(OmegaConf.structured(ExperimentConfig), OmegaConf.create(case))
        classify = spec.dataset.classify
        picture = (3, classify.image_height, classify.image_width)
        try:
            model = build_model(spec).eval()
            goldens = torch.zeros(2, classify.num_golden, *picture)
            model(torch.zeros(2, *picture), goldens if classify.num_golden > 1 else goldens[:, 0])
            said.append("")
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""
VIT, FAN = "vit_small_dinov3", "fan_tiny_8_p4_hybrid"
# Backbone, module, goldens, pixels a side; what is said of it here and there, nothing where it is taken.
GOLDENS = [
    (VIT, "learnable", 2, 224, "", ""),
    (VIT, "learnable", 3, 224, "", ""),
    (VIT, "learnable", 1, 256, "", ""),
    (VIT, "learnable", 2, 256, "multiples of 224", "size of tensor"),
    (VIT, "learnable", 4, 64, "multiples of 224", "size of tensor"),
    (VIT, "euclidean", 1, 64, "", ""),
    (VIT, "euclidean", 2, 224, "one golden with the euclidean module", "Difference module [euclidean]"),
    (FAN, "learnable", 4, 224, f"one golden with {FAN}", f"backbone [{FAN}]"),
    (FAN, "euclidean", 2, 224, f"one golden with {FAN}", f"backbone [{FAN}]"),
    (VIT, "learnable", 0, 224, "at least 1", "greater than 0"),
]


def test_what_is_said_of_several_goldens_is_what_taos_own_model_does_with_them(tao: Path) -> None:
    cases = [_with_goldens(*case[:4]) for case in GOLDENS]
    home = tao.parent
    done = ran(
        [home / "env" / "bin" / "python", "-c", _BUILDS, json.dumps(cases)],
        env={**os.environ, "PYTHONPATH": str(home / "stand_ins"), "TAO_STAND_INS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    for (*case, ours, theirs), spec, said in zip(GOLDENS, cases, json.loads(done.stdout), strict=True):
        print(f"{case}: {said or 'takes it'}")
        faults = spec_faults(spec, "train", installed_release(tao))
        assert (theirs in said) if theirs else not said, (case, said)
        assert any(ours in fault for fault in faults) if ours else not faults, (case, faults)


def _with_goldens(backbone: str, module: str, count: int, side: int) -> dict[str, Any]:
    strides = [4, 8, 16, 32] if backbone == VIT else [4, 8, 16, 16]
    return {
        "task": "classify",
        "train": {"num_epochs": 1, "classify": {"loss": "ce" if module == "learnable" else "contrastive"}},
        "model": {
            "backbone": {"type": backbone},
            "classify": {"difference_module": module},
            "decode_head": {"feature_strides": strides},
        },
        "dataset": {
            "classify": {
                "image_ext": ".png",
                "input_map": {"A": 0},
                "num_input": 1,
                "concat_type": "linear",
                "num_golden": count,
                "image_width": side,
                "image_height": side,
                "batch_size": 8,
            }
        },
    }


@pytest.mark.parametrize("lighting", [None, {}], ids=["null", "empty"])
def test_without_a_lighting_tao_trains_and_its_own_gap_analysis_finds_nothing(
    workspace: Path, tao: Path, lighting: dict[str, int] | None
) -> None:
    """So it is taken where the bank looks for weak samples, and refused where NVIDIA's program does."""
    path = workspace / "specs" / "baseline_spec.yaml"
    spec = yaml.safe_load(path.read_text())
    classify = spec["dataset"]["classify"]
    (light, *_), ending = classify["input_map"], classify["image_ext"]
    images = workspace / "images"
    real = images.resolve()
    images.unlink()
    for picture in real.rglob(f"*_{light}{ending}"):
        named = images / picture.relative_to(real).with_name(picture.name.replace(f"_{light}{ending}", ending))
        named.parent.mkdir(parents=True, exist_ok=True)
        named.symlink_to(picture)
    classify.update(input_map=lighting, num_input=1, batch_size=4)
    for name in ("training_set", "validation_set"):
        table = workspace / "train/base" / f"{name}.csv"
        cut(table, table, 6, 2)
    path.write_text(yaml.safe_dump(spec))
    assert spec_faults(spec, "train", installed_release(tao)) == []
    request = tiny.request(workspace, iterations=1, platform="virtualenv", settings=(f"virtualenv.bin={tao}",))
    with pytest.raises(BankError) as caught:
        runs.plan_run(request)
    assert "input_map: names no lighting" in " ".join([caught.value.line(), *getattr(caught.value, "faults", [])])
    code, output, made = train(tao, workspace, spec)
    assert code == 0 and made, output
    done = _gaps(workspace, [str(tao / "gap_analysis")])
    if lighting is None:
        assert done.returncode != 0
        assert "'NoneType' object is not iterable" in done.stdout + done.stderr
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        assert pq.read_table(next((workspace / "gaps").rglob("kpi_gaps.parquet"))).num_rows == 0


def _gaps(workspace: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """A gap analysis of made-up scores, by the spec of the training before it."""
    with (workspace / "kpi/testing_set.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    with (workspace / "inference.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], "siamese_score"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "siamese_score": f"{number / 100:.2f}"} for number, row in enumerate(rows))
    asked = {
        "results_dir": "gaps",
        "inference_results_dir": ".",
        "kpi_media_path": "images",
        "train_config": "train.yaml",
    }
    given = {key: str(workspace / name) for key, name in asked.items()}
    (workspace / "gaps.yaml").write_text(yaml.safe_dump({**given, "min_recall": 1.0}))
    return ran([*command, "vcn_aoi", "-e", str(workspace / "gaps.yaml")], cwd=workspace)


def test_inference_at_another_size_than_training_fails_there_and_is_a_mismatch_here(workspace: Path, tao: Path) -> None:
    spec = yaml.safe_load((workspace / "specs" / "baseline_spec.yaml").read_text())
    code, output, made = train(tao, workspace, spec)
    assert (code, bool(made)) == (0, True), output
    other = yaml.safe_load(yaml.safe_dump(spec))
    other["dataset"]["classify"].update(image_width=96, image_height=96)
    assert inference_mismatch(spec, other)
    other.pop("train")
    csv_path = workspace / "kpi/testing_set.csv"
    other["dataset"]["classify"]["infer_dataset"] = {"csv_path": str(csv_path), "images_dir": str(workspace / "images")}
    path = workspace / "infer.yaml"
    path.write_text(yaml.safe_dump(other))
    out = workspace / "out-infer"
    checkpoint = workspace / "out" / "train" / "changenet_model_classify_latest.pth"
    overrides = [f"results_dir={out}", f"inference.results_dir={out}", f"inference.checkpoint={checkpoint}"]
    done = run(tao, workspace, "inference", path, overrides)
    assert done.returncode != 0 or not list(out.rglob("inference.csv")), done.stdout


def test_a_finished_results_dir_is_not_trained_again_by_tao_itself(workspace: Path, tao: Path) -> None:
    """Why every attempt of the loop gets a folder of its own, and why no new checkpoint is a failure."""
    spec = yaml.safe_load((workspace / "specs" / "baseline_spec.yaml").read_text())
    code, output, made = train(tao, workspace, spec)
    assert (code, bool(made)) == (0, True), output
    before = {p: p.stat().st_mtime_ns for p in made}
    code, output, again = train(tao, workspace, spec)
    assert code == 0, output
    assert {p: p.stat().st_mtime_ns for p in again} == before


def test_a_missing_training_image_is_refused_whether_tao_would_draw_it_or_not(workspace: Path, tao: Path) -> None:
    image = next((workspace / "images").resolve().rglob("*.png"))
    path = workspace / "train/base/training_set.csv"
    lines = path.read_text().splitlines()
    first = lines[1].split(",")
    path.write_text("\n".join([*lines, ",".join([*first[:3], "NOT_THERE", *first[4:]])]) + "\n")
    with Image.open(image) as picture:
        assert picture.size[0] > 0
    request = tiny.request(workspace, iterations=1, platform="virtualenv", settings=(f"virtualenv.bin={tao}",))
    with pytest.raises(BankError, match="NOT_THERE"):
        runs.plan_run(request)


def train(tao: Path, workspace: Path, spec: dict[str, Any]) -> tuple[int, str, list[Path]]:
    """Exit status, output and checkpoints of the real train line on the workspace's sets."""
    spec = yaml.safe_load(yaml.safe_dump(spec))
    classify = spec["dataset"]["classify"]
    for key, name in (("train_dataset", "training_set"), ("validation_dataset", "validation_set")):
        csv_path = workspace / "train/base" / f"{name}.csv"
        classify[key] = {"csv_path": str(csv_path), "images_dir": str(workspace / "images")}
    path = workspace / "train.yaml"
    path.write_text(yaml.safe_dump(spec))
    out = workspace / "out"
    done = run(tao, workspace, "train", path, [f"results_dir={out}"])
    found = [p for p in sorted((out / "train").glob("model_epoch_*.pth")) if "step_00000" not in p.name]
    return done.returncode, done.stdout, found


def run(tao: Path, folder: Path, action: str, spec: Path, overrides: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tao / "visual_changenet"), action, "-e", str(spec), *overrides],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=3000,
    )
