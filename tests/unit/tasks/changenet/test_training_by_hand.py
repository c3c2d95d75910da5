"""Training as one stage: what came before it is written by hand, and its jobs end at once."""

from __future__ import annotations

import pytest
import tiny
import yaml
from by_hand import Trainings, new_rows, work, write
from flat import put

from tao_skill_bank.core.errors import GateError, InputError, StageFailedError
from tao_skill_bank.platforms.base import new_record, write_record
from tao_skill_bank.tasks.changenet.stages.train import last_promised_epoch


def test_a_training_says_its_rows_its_checkpoints_and_who_trained(run: Trainings) -> None:
    run.epochs = (0, 0, 1)
    for n in range(3):
        made = new_record(
            key="baseline.train.train", platform="docker", command=[], outputs=[], cwd=run.root, results_dir=run.root
        )
        write_record(made.model_copy(update={"image": f"trainer:{n}", "submitted_at": f"2026-01-0{n + 1}T00:00:00Z"}))
    done = work(run, "baseline", "train")
    folder = run.root / "baseline"
    assert done.summary == "3 checkpoints from 16 rows"
    assert done.promised == [folder / "train" / "model_epoch_001_step_00003.pth", folder / "train_spec.yaml"]
    assert run.key == "baseline.train.train"
    assert (done.result.trained.by, done.result.trained.image) == ("stand-in", "trainer:2")
    spec = yaml.safe_load((folder / "train_spec.yaml").read_text())["dataset"]["classify"]
    assert {spec[f"{name}_dataset"]["images_dir"] for name in ("train", "validation")} == {
        str(run.workspace / "images")
    }
    assert (done.result.training_rows, done.result.training_spec) == (16, str(folder / "train_spec.yaml"))
    assert done.result.training_csv.endswith("train/base/training_set.csv")
    assert list(run.command[:4]) == ["visual_changenet", "train", "-e", str(folder / "train_spec.yaml")]
    assert not any("pretrained" in word for word in run.command)


def test_a_later_training_starts_from_the_best_checkpoint_on_the_combined_rows(run: Trainings) -> None:
    new_rows(run, "iter1")
    with pytest.raises(StageFailedError, match="no combined training CSV"):
        work(run, "iter1", "train")
    merged = work(run, "iter1", "data_merge").result
    put(run.state.iteration("iter1"), **{n: getattr(merged, n) for n in ("combined_training_csv", "provenance_csv")})
    with pytest.raises(StageFailedError, match="no checkpoint to train on from"):
        work(run, "iter1", "train")
    put(run.state.iteration("baseline"), best_ckpt_path="b.pth", far_pct=3.0)
    done = work(run, "iter1", "train")
    assert done.summary == "1 checkpoints from 20 rows" and done.result.training_csv == merged.combined_training_csv
    assert run.command[-1] == "train.pretrained_model_path=b.pth"
    spec = yaml.safe_load(done.promised[1].read_text())["dataset"]["classify"]
    roots = {name: spec[f"{name}_dataset"]["images_dir"] for name in ("train", "validation")}
    assert roots == {"train": str(run.workspace), "validation": str(run.workspace / "images")}


def test_a_picture_that_was_cut_short_since_the_merge_stops_the_training_before_a_job_is_sent(run: Trainings) -> None:
    images = run.workspace / "images"
    for folder in ("po", "golden/po"):
        (images / folder / "C83_SolderLight.png").write_bytes((images / "po/C3_SolderLight.png").read_bytes()[:60])
    grown = write(run.root / "grown.csv", [["images/po/", "images/golden/po/", "PASS", f"C{n}"] for n in (3, 83)])
    put(run.state.iteration("iter1"), combined_training_csv=str(grown))
    put(run.state.iteration("baseline"), best_ckpt_path="b.pth", far_pct=3.0)
    with pytest.raises(StageFailedError, match="C83_SolderLight"):
        work(run, "iter1", "train")
    assert run.key == ""


def test_a_spec_that_cannot_be_read_is_called_the_training_one() -> None:
    with pytest.raises(InputError) as caught:
        last_promised_epoch({**tiny.SPEC, "train": {"num_epochs": "many"}})
    assert str(caught.value.where).startswith("train spec")


@pytest.mark.parametrize("epochs", [(), (0,)])
def test_a_training_that_leaves_less_than_its_spec_promises_is_none(run: Trainings, epochs: tuple[int, ...]) -> None:
    run.epochs = epochs
    error, said = (GateError, "without a new checkpoint") if not epochs else (StageFailedError, "ended after epoch 0")
    with pytest.raises(error, match=said):
        work(run, "baseline", "train")


@pytest.mark.parametrize(
    ("epochs", "every", "unit", "promised"),
    [
        (2, 1, "epoch", 1),
        (7, 3, "epoch", 5),
        (6, 3, "epoch", 5),
        (5, 5, "epoch", 4),
        (7, 3, "step", None),
        (7, 0, "epoch", None),
    ],
)
def test_the_last_checkpoint_a_spec_promises_is_that_of_the_last_whole_interval(
    epochs: int, every: int, unit: str, promised: int | None
) -> None:
    intervals = {"checkpoint_interval": every, "checkpoint_interval_unit": unit}
    spec = {**tiny.SPEC, "train": {**tiny.SPEC["train"], "num_epochs": epochs, **intervals}}
    assert last_promised_epoch(spec) == promised
