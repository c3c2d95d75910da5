"""Which checkpoint the validations of a training prefer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tao_skill_bank.loop.evidence import Interval
from tao_skill_bank.loop.metric import Target
from tao_skill_bank.tasks.changenet.metric import GRAMMAR
from tao_skill_bank.tasks.changenet.results import Evaluation
from tao_skill_bank.tasks.changenet.scores import Validation, best_by_far, best_by_validation, validation_losses
from tao_skill_bank.tasks.changenet.stages.evaluate import apart, best_of

LOSSES = st.one_of(st.sampled_from([0.1, 0.2, 0.3, float("nan")]), st.floats(0, 1))


def named(epoch: int, step: int | None = None) -> Path:
    return Path(f"model_epoch_{epoch:03d}_step_{5 * (epoch + 1) if step is None else step:05d}.pth")


def tao_line(message: str, **more: object) -> str:
    return json.dumps({"status": "RUNNING", "message": message, **more})


def as_tao_writes(epochs: int, losses: dict[int, float]) -> list[str]:
    """The end of an epoch comes behind its validation, has its number, and repeats the figures said last."""
    lines = [tao_line("Starting Training Loop.")]
    kpi: dict[str, float] = {}
    for epoch in range(epochs):
        if epoch in losses:
            kpi = {"val_loss": losses[epoch]}
            lines.append(tao_line("Eval metrics generated.", kpi=kpi))
        lines.append(tao_line("Training loop in progress", epoch=epoch, step=5, kpi=kpi))
        kpi = {"train_loss": 0.0}
        lines.append(tao_line("Train metrics generated.", kpi=kpi))
    return lines


def as_the_local_trainer_writes(epochs: int, losses: dict[int, float]) -> list[str]:
    lines = []
    for epoch in range(epochs):
        lines.append(tao_line(f"Training loop in progress, epoch {epoch}.", kpi={"train_loss": 0.0}))
        if epoch in losses:
            lines.append(tao_line("Eval metrics generated.", kpi={"val_loss": losses[epoch]}))
    return lines


def as_one_writes_that_names_no_epoch(epochs: int, losses: dict[int, float]) -> list[str]:
    return [tao_line("Eval metrics generated.", kpi={"val_loss": losses[epoch]}) for epoch in sorted(losses)]


@pytest.mark.parametrize("dialect", [as_tao_writes, as_the_local_trainer_writes, as_one_writes_that_names_no_epoch])
@given(
    epochs=st.integers(1, 12),
    save_every=st.integers(1, 5),
    validate_every=st.integers(1, 5),
    drawn=st.lists(LOSSES, min_size=12, max_size=12),
)
def test_the_best_checkpoint_is_the_one_a_watcher_of_the_training_would_have_kept(
    tmp_path_factory: pytest.TempPathFactory,
    dialect: object,
    epochs: int,
    save_every: int,
    validate_every: int,
    drawn: list[float],
) -> None:
    losses: dict[int, float] = {}
    saved: list[Path] = []
    expected: tuple[Path, float] | None = None
    for epoch in range(epochs):
        if (epoch + 1) % save_every == 0:
            saved.append(named(epoch))
        if (epoch + 1) % validate_every == 0:
            loss = losses[epoch] = drawn[epoch]
            if saved and loss == loss and (expected is None or loss < expected[1]):
                expected = saved[-1], loss
    folder = tmp_path_factory.mktemp("train")
    (folder / "status.json").write_text("\n".join(dialect(epochs, losses)) + "\n")  # type: ignore[operator]
    (folder / "experiment.yaml").write_text(f"train: {{validation_interval: {validate_every}}}\n")
    assert best_by_validation(saved, validation_losses(folder / "status.json")) == expected


def test_the_figures_that_tao_repeats_at_the_end_of_an_epoch_are_no_second_validation(tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    status.write_text("\n".join(as_tao_writes(4, {1: 0.5, 3: 0.4})))
    assert validation_losses(status) == [Validation(0.5, 1), Validation(0.4, 3)]


def test_losses_without_epochs_belong_to_the_checkpoint_of_their_place_where_there_are_as_many() -> None:
    saved = [named(1), named(3), named(5)]
    assert best_by_validation(saved, [*map(Validation, (0.3, 0.1, 0.2))]) == (named(3), 0.1)
    told = [Validation(0.3, 0), Validation(0.1, 1), Validation(0.2, 2)]
    assert best_by_validation(saved, told) == (named(1), 0.1), "one has none before it"
    assert best_by_validation(saved, [*map(Validation, (0.9, 0.8, 0.7, 0.1, 0.2))]) == (named(3), 0.1), "one an epoch"


def test_a_validation_before_the_first_checkpoint_speaks_for_none() -> None:
    assert best_by_validation([named(4)], [Validation(0.1, 2), Validation(0.3, 5)]) == (named(4), 0.3)
    assert best_by_validation([named(4)], [Validation(0.1, 2)]) is None


def test_without_validation_or_checkpoint_there_is_no_best(tmp_path: Path) -> None:
    assert validation_losses(tmp_path / "status.json") == []
    assert best_by_validation([named(0)], []) is None
    assert best_by_validation([], [Validation(0.1)]) is None


def test_a_checkpoint_within_an_epoch_counts_with_that_epoch_and_its_step() -> None:
    saved = [named(0, 5), named(1, 10), named(1, 15)]
    assert best_by_validation(saved, [Validation(0.2, 0), Validation(0.1, 1)]) == (named(1, 15), 0.1)


def test_the_validation_far_of_7_2_is_read_and_chooses_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    figures = {0: (0.1, 40.0), 1: (0.3, 5.0), 2: (0.2, 5.0)}
    lines = []
    for epoch, (loss, far) in figures.items():
        lines.append(tao_line("Eval metrics generated.", kpi={"val_loss": loss, "val_far": far}))
        lines.append(tao_line("Training loop in progress", epoch=epoch, step=5))
    (tmp_path / "status.json").write_text("\n".join(lines))
    found = validation_losses(tmp_path / "status.json")
    assert found == [Validation(0.1, 0, 40.0), Validation(0.3, 1, 5.0), Validation(0.2, 2, 5.0)]
    saved = [named(0), named(1), named(2)]
    assert best_by_validation(saved, found) == (named(0), 0.1)
    assert best_by_far(saved, found) == (named(1), 5.0), "of equals the earlier"


@pytest.mark.parametrize("fars", [(None, None), (100.0, 100.0), (5.0, None), (0.0, 0.0)])
def test_a_validation_far_that_is_missing_or_always_the_same_chooses_nothing(fars: tuple[float | None, ...]) -> None:
    validations = [Validation(0.1, epoch, far) for epoch, far in enumerate(fars)]
    assert best_by_far([named(0), named(1)], validations) is None


@pytest.mark.parametrize("value", ["NaN", '"5"', "true", "null", "Infinity"])
def test_a_validation_far_that_is_no_number_is_as_if_it_were_not_there(tmp_path: Path, value: str) -> None:
    line = '{"message": "Eval metrics generated.", "kpi": {"val_loss": 0.1, "val_far": @}, "epoch": 0}'.replace(
        "@", value
    )
    (tmp_path / "status.json").write_text(line)
    assert validation_losses(tmp_path / "status.json") == [Validation(0.1, 0, None)]


def evaluated(kind: str, epoch: int, far: float) -> Evaluation:
    interval = Interval.of(0, 10)
    return Evaluation(
        kind=kind,  # type: ignore[arg-type]
        checkpoint=str(named(epoch)),
        inference_csv="i.csv",
        threshold=0.5,
        far_pct=far,
        far_pct_recall_100=far,
        recall_pct=100.0,
        precision_pct=100.0,
        tp=1,
        fp=0,
        tn=1,
        fn=0,
        far=interval,
        recall=interval,
    )


def test_the_kpi_decides_between_three_candidates_and_ties_go_to_the_earlier() -> None:
    target: Target = GRAMMAR.parse("FAR < 1% at recall=100%")
    candidates = [evaluated("best_val", 2, 3.0), evaluated("best_far", 1, 1.5), evaluated("latest", 9, 1.5)]
    best = best_of(candidates, target)
    assert best.kind == "best_far"
    assert apart(candidates, best, target) == "; best_val +1.5, latest +0 points of FAR"
    assert best_of([evaluated("best_val", 5, 2.0), evaluated("best_far", 3, 2.0)], target).kind == "best_far"
    assert apart(candidates[:1], candidates[0], target) == ""
