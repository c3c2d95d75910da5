"""`visual_changenet train|inference|evaluate`: TAO's command lines, the files they leave, what they refuse."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import boards
import pytest
import yaml
from ran import ran

from tao_skill_bank.actions.console import run_category
from tao_skill_bank.actions.visual_changenet.cli import ACTIONS

COMMAND = Path(sys.executable).parent / "visual_changenet"


def main(*line: object) -> int:
    return run_category("visual_changenet", ACTIONS, [str(part) for part in line])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Drawn boards, and a training on them made by the installed command."""
    root = tmp_path_factory.mktemp("boards")
    spec = boards.make(root)
    done = ran([COMMAND, "train", "-e", spec], timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def work(trained, tmp_path):
    """The same boards in a folder of the test's own."""
    shutil.copytree(trained, tmp_path / "w", symlinks=True)
    spec = tmp_path / "w" / "spec.yaml"
    spec.write_text(spec.read_text().replace(str(trained), str(tmp_path / "w")))
    for name in ("train", "val", "test"):
        assert (tmp_path / "w" / f"{name}.csv").exists()
    return tmp_path / "w"


def latest(root):
    return root / "out" / "train" / "changenet_model_classify_latest.pth"


def rows(path):
    with path.open(newline="") as handle:
        return list(csv.reader(handle))


def edit(work, csv_name, change):
    path = work / f"{csv_name}.csv"
    table = rows(path)
    change(table)
    with path.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(table)


def refused(capsys, *line):
    """The one line on stderr of a command that must exit 2."""
    status = main(*line)
    said = capsys.readouterr().err
    assert status == 2, said
    assert "Traceback" not in said
    return said


def test_training_leaves_what_tao_leaves(trained):
    train = trained / "out" / "train"
    names = sorted(p.name for p in train.iterdir())
    assert names == [
        "changenet_model_classify_latest.pth",
        "experiment.yaml",
        "model_epoch_000_step_00025.pth",
        "model_epoch_001_step_00050.pth",
        "status.json",
        "train.log",
    ]
    assert latest(trained).is_symlink() and latest(trained).resolve().name == "model_epoch_001_step_00050.pth"
    experiment = yaml.safe_load((train / "experiment.yaml").read_text())
    assert experiment["train"]["num_epochs"] == 2 and experiment["train"]["seed"] == 1234


def test_every_validation_is_a_line_of_the_status_file_and_the_last_line_says_finished(trained):
    lines = [json.loads(text) for text in (trained / "out/train/status.json").read_text().splitlines()]
    metrics = [line["kpi"] for line in lines if line["message"] == "Eval metrics generated."]
    assert [set(kpi) for kpi in metrics] == [{"val_loss", "val_acc", "val_fpr", "val_far"}] * 2
    assert all(0 <= kpi[name] <= 100 for kpi in metrics for name in ("val_acc", "val_fpr", "val_far"))
    assert lines[-1]["status"] == "RUNNING" and lines[-1]["message"] == "Train finished successfully."


def test_the_log_says_what_the_network_is_and_which_keys_it_leaves_aside(trained):
    log = (trained / "out/train/train.log").read_text()
    assert "stand-in for TAO's" in log
    aside = next(line for line in log.splitlines() if line.startswith("keys that belong to TAO's network"))
    assert "model.backbone.type" in aside and "dataset.classify.image_width" in aside
    assert "num_epochs" not in aside and "batch_size" not in aside


def test_inference_appends_the_score_to_the_columns_of_the_csv(work):
    out = work / "inf"
    spec = work / "spec.yaml"
    assert main("inference", "-e", spec, f"inference.checkpoint={latest(work)}", f"inference.results_dir={out}") == 0
    given, made = rows(work / "test.csv"), rows(out / "inference.csv")
    assert made[0] == [*given[0], "siamese_score"]
    assert [row[:-1] for row in made[1:]] == given[1:]
    scores = [float(row[-1]) for row in made[1:]]
    assert all(0.0 < s < 1.0 and repr(s) == row[-1] for s, row in zip(scores, made[1:], strict=True))
    defects = [s for s, row in zip(scores, made[1:], strict=True) if row[2] != "PASS"]
    assert sum(defects) / len(defects) > sum(scores) / len(scores)


def test_training_and_inference_repeat_themselves_to_the_byte(trained, work):
    spec = work / "spec.yaml"
    assert main("train", "-e", spec, f"results_dir={work / 'again'}") == 0
    for name in ("model_epoch_000_step_00025.pth", "model_epoch_001_step_00050.pth"):
        assert (work / "again/train" / name).read_bytes() == (trained / "out/train" / name).read_bytes()
    for number in (1, 2):
        line = ["inference", "-e", spec, f"inference.checkpoint={latest(work)}"]
        assert main(*line, f"inference.results_dir={work / str(number)}") == 0
    assert (work / "1/inference.csv").read_bytes() == (work / "2/inference.csv").read_bytes()


def test_another_seed_trains_another_network(work):
    assert main("train", "-e", work / "spec.yaml", f"results_dir={work / 'other'}", "train.seed=7") == 0
    name = "model_epoch_000_step_00025.pth"
    assert (work / "other/train" / name).read_bytes() != (work / "out/train" / name).read_bytes()


def test_training_goes_on_from_a_checkpoint(work, capsys):
    more = work / "more"
    line = ["train", "-e", work / "spec.yaml", f"results_dir={more}", "train.num_epochs=1"]
    assert main(*line, f"train.pretrained_model_path={latest(work)}") == 0
    assert "goes on from" in (more / "train/train.log").read_text()

    def first_loss(folder):
        lines = [json.loads(text) for text in (folder / "train/status.json").read_text().splitlines()]
        return next(line["kpi"]["train_loss"] for line in lines if "train_loss" in line.get("kpi", {}))

    assert first_loss(more) < first_loss(work / "out")


def test_checkpoints_and_validations_keep_their_intervals_and_the_last_epoch_is_kept(work):
    line = ["train", "-e", work / "spec.yaml", f"results_dir={work / 'r'}", "train.num_epochs=3"]
    assert main(*line, "train.checkpoint_interval=2", "train.validation_interval=3") == 0
    found = sorted(p.name for p in (work / "r/train").glob("model_*.pth"))
    assert found == ["model_epoch_001_step_00050.pth", "model_epoch_002_step_00075.pth"]
    assert (work / "r/train/status.json").read_text().count("Eval metrics generated.") == 1


def test_evaluation_measures_at_the_margin_and_at_the_recalls(work, capsys):
    out = work / "ev"
    line = ["evaluate", "-e", work / "spec.yaml", f"evaluate.checkpoint={latest(work)}"]
    assert main(*line, f"evaluate.results_dir={out}") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "evaluate.json").read_text())
    assert (printed["rows"], printed["no_pass_rows"]) == (18, 6)
    assert printed["csv"].endswith("test.csv")
    assert printed["recall_100"]["far_pct"] >= printed["recall_99"]["far_pct"] >= 0
    test = f"dataset.classify.test_dataset={{csv_path: '{work / 'val.csv'}', images_dir: '{work / 'images'}'}}"
    assert main(*line, f"evaluate.results_dir={out}", test) == 0
    assert json.loads(capsys.readouterr().out)["csv"].endswith("val.csv")


@pytest.mark.parametrize("lights", [(), ("Low", "High", "Side")])
def test_no_lighting_and_several_are_trained_and_scored_alike(tmp_path, lights):
    spec = boards.make(tmp_path, lights=lights, epochs=1)
    assert main("train", "-e", spec) == 0
    assert main("inference", "-e", spec, f"inference.checkpoint={latest(tmp_path)}") == 0
    assert len(rows(tmp_path / "out/inference/inference.csv")) == 19


def test_a_checkpoint_of_other_lightings_is_refused(work, capsys):
    spec = work / "spec.yaml"
    spec.write_text(spec.read_text().replace("SolderLight", "WhiteLight"))
    said = refused(capsys, "inference", "-e", spec, f"inference.checkpoint={latest(work)}")
    assert "the spec has ['WhiteLight']" in said
    assert "was trained with the lightings ['SolderLight']" in said


def test_a_results_folder_with_a_training_in_it_is_refused(work, capsys):
    before = sorted(p.name for p in (work / "out/train").iterdir())
    said = refused(capsys, "train", "-e", work / "spec.yaml")
    assert "holds an earlier training" in said and "results_dir of its own" in said
    assert sorted(p.name for p in (work / "out/train").iterdir()) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.classify.batch_size=1", "batch_size: is 1"),
        ("dataset.classify.batch_size=25", "24 rows are fewer than batch_size 25"),
        ("dataset.classify.batch_size=16", "val.csv: 12 rows are fewer than batch_size 16"),
        ("train.checkpoint_interval=3", "checkpoint_interval: is 3"),
        ("train.resume_training_checkpoint_path=x.pth", "resume_training_checkpoint_path"),
        ("train.automl_policy=on", "automl_policy"),
        ("+workflow=x", "workflow"),
        ("train.num_epoch=3", "num_epochs"),
        ("train.pretrained_model_path=/no/such.pth", "no such checkpoint"),
        ("train.pretrained_model_path=spec.yaml", "not a checkpoint"),
        ("dataset.classify.num_classes=3", "cls_weight"),
        ("train.classify.loss=contrastive", "train.classify.loss"),
        ("task=segment", "task"),
        ("dataset.classify.validation_dataset.csv_path=''", "validation_dataset.csv_path is not set"),
        ("dataset.classify.train_dataset.csv_path=none.csv", "no such file"),
    ],
)
def test_what_tao_refuses_late_is_refused_before_anything_is_written(work, capsys, monkeypatch, override, message):
    monkeypatch.chdir(work)
    said = refused(capsys, "train", "-e", "spec.yaml", f"results_dir={work / 'new'}", override)
    assert message in said
    assert not (work / "new").exists()


@pytest.mark.parametrize(("label", "message"), [("PASS", "every row is PASS"), ("blot", "every row is a defect")])
def test_training_rows_of_one_class_are_refused(work, capsys, label, message):
    def one_class(table):
        for row in table[1:]:
            row[2] = label

    edit(work, "train", one_class)
    assert message in refused(capsys, "train", "-e", work / "spec.yaml", f"results_dir={work / 'new'}")
    assert not (work / "new").exists()


def test_a_label_in_another_spelling_is_refused_with_its_row(work, capsys):
    edit(work, "train", lambda table: table[5].__setitem__(2, "pass"))
    said = refused(capsys, "train", "-e", work / "spec.yaml", f"results_dir={work / 'new'}")
    assert "first: row 5: label is 'pass', which TAO trains as a defect (write PASS)" in said


@pytest.mark.parametrize("folder", ["train", "golden/train", "val", "golden/val"])
def test_a_missing_image_at_any_row_is_refused_with_its_row(work, capsys, folder):
    (work / "images" / folder / "C11_SolderLight.png").unlink()
    said = refused(capsys, "train", "-e", work / "spec.yaml", f"results_dir={work / 'new'}")
    assert "row 12" in said and "C11_SolderLight.png" in said


def test_a_missing_or_damaged_image_stops_inference_before_a_csv_is_written(work, capsys):
    line = ["inference", "-e", work / "spec.yaml", f"inference.checkpoint={latest(work)}"]
    image = work / "images/test/C17_SolderLight.png"
    image.write_bytes(image.read_bytes()[:50])
    said = refused(capsys, *line, f"inference.results_dir={work / 'inf'}")
    assert "test.csv row 18" in said and "C17_SolderLight.png" in said
    image.unlink()
    assert "row 18" in refused(capsys, *line, f"inference.results_dir={work / 'inf'}")
    assert not (work / "inf").exists()


def test_inference_refuses_fewer_rows_than_a_batch_and_a_csv_with_scores(work, capsys):
    line = ["inference", "-e", work / "spec.yaml", f"inference.checkpoint={latest(work)}"]
    assert "18 rows are fewer than batch_size 32" in refused(capsys, *line, "dataset.classify.batch_size=32")
    edit(work, "test", lambda table: [row.append("siamese_score" if n == 0 else "0.5") for n, row in enumerate(table)])
    assert "has a column siamese_score already" in refused(capsys, *line)


def test_a_hostile_checkpoint_is_one_line(work, capsys):
    bad = work / "bad.pth"
    bad.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    said = refused(capsys, "inference", "-e", work / "spec.yaml", f"inference.checkpoint={bad}")
    assert said.count("\n") == 1 and "not a checkpoint of the local ChangeNet" in said


def test_a_missing_checkpoint_key_and_a_missing_spec_are_named(work, capsys):
    assert "inference.checkpoint is not set" in refused(capsys, "inference", "-e", work / "spec.yaml")
    assert "-e SPEC.yaml" in refused(capsys, "train", "results_dir=x")


def test_the_configuration_is_printed_and_nothing_runs(work, capsys):
    assert main("train", "-e", work / "spec.yaml", f"results_dir={work / 'new'}", "--cfg=job", "train.seed=9") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["train"]["seed"] == 9 and shown["dataset"]["classify"]["workers"] == 8
    assert not (work / "new").exists()


@pytest.mark.parametrize("action", list(ACTIONS))
def test_help_names_the_keys_and_the_stand_in_and_loads_nothing_heavy(action):
    code = (
        "import sys; from tao_skill_bank.actions.visual_changenet import cli\n"
        f"sys.argv[1:] = [{action!r}, '--help']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'PIL', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "stand-in" in done.stdout
    assert "dataset.classify.image_ext, input_map" in done.stdout
