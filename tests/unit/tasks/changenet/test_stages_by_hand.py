"""Routing, merge and the leakage gate, one stage at a time: what came before them is written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from by_hand import Trainings, new_rows, work, write
from flat import put

from tao_skill_bank import labels, runs
from tao_skill_bank.core.errors import GateError, StageFailedError
from tao_skill_bank.data.changenet.tables import REQUIRED_COLUMNS, PairTable, read_pairs
from tao_skill_bank.data.corrections import Word
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.changenet import leaks, specs
from tao_skill_bank.tasks.changenet.stages import merge
from tao_skill_bank.tasks.changenet.stages.merge import concatenate, normal_label, relative_to_workspace
from tao_skill_bank.tasks.changenet.task import TASK
from tao_skill_bank.tasks.registry import load_state

# -- merge --


def test_the_first_merge_puts_new_rows_behind_the_base_and_says_where_each_is_from(run: Trainings) -> None:
    new_rows(run, "iter1")
    done = work(run, "iter1", "data_merge")
    folder = run.root / "iter1" / "dataset"
    assert done.summary == "16 rows + 3 mined + 1 synthetic = 20"
    assert done.promised == [
        folder / "train_combined_iter1.csv",
        folder / "train_combined_iter1_provenance.csv",
        folder / "merge_validation.json",
    ]
    provenance = read_pairs(done.promised[1], required=("row", "source", "kind"))
    assert provenance.column("row") == [str(n) for n in range(1, 21)]
    assert provenance.column("source") == ["base_train"] * 16 + ["mining_pool"] * 4
    assert provenance.column("kind") == ["real"] * 19 + ["synthetic"]
    counts = {"earlier": 16, "mined": 3, "synthetic": 1, "total": 20, "synthetic_total": 1}
    assert done.result.provenance_counts == counts
    combined = read_pairs(done.promised[0])
    assert all(path.startswith("images/") for path in (*combined.input_path, *combined.golden_path))
    spread = {label: combined.label.count(label) for label in sorted(set(combined.label))}
    assert json.loads(done.promised[2].read_text()) == {"rows": counts, "labels": spread, "missing": 0, "leaked": 0}


def test_a_later_merge_grows_the_set_before_it_and_keeps_what_was_synthetic(run: Trainings) -> None:
    new_rows(run, "iter1")
    first = work(run, "iter1", "data_merge").result
    put(run.state.iteration("iter1"), **{n: getattr(first, n) for n in ("combined_training_csv", "provenance_csv")})
    new_rows(run, "iter2", mined=(4,), synthetic=(5,))
    done = work(run, "iter2", "data_merge")
    provenance = read_pairs(done.promised[1], required=("row", "source", "kind"))
    assert provenance.column("source") == ["previous_iter_train"] * 20 + ["mining_pool"] * 2
    assert [n for n, kind in enumerate(provenance.column("kind")) if kind == "synthetic"] == [19, 21]
    assert done.result.provenance_counts["synthetic_total"] == 2
    # A provenance that does not fit its rows, or a set that is not there, stops it.
    lines = Path(first.provenance_csv).read_text().splitlines()
    Path(first.provenance_csv).write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(GateError, match="differ in number") as caught:
        work(run, "iter2", "data_merge")
    assert caught.value.gate == "lost-row"
    del run.state.iteration("iter1").results["data_merge"]
    with pytest.raises(StageFailedError, match="left no combined CSV"):
        work(run, "iter2", "data_merge")


def test_files_that_are_gone_at_the_merge_are_counted_and_the_first_is_named(run: Trainings) -> None:
    new_rows(run, "iter1")
    gone = [["images/po/", "images/golden/po/", "PASS", f"C{n}"] for n in (91, 92)]
    write(run.root / "iter1/mining_filter/mining_pool.csv", gone)
    with pytest.raises(StageFailedError, match=r"4 files of the combined set are missing, first: .*C91_SolderLight"):
        work(run, "iter1", "data_merge")


def test_a_new_row_that_is_an_evaluation_picture_stops_the_merge_before_a_set_is_written(run: Trainings) -> None:
    new_rows(run, "iter1")
    write(
        run.root / "iter1/mining_filter/mining_pool.csv",
        [["images/ac/", "images/golden/ac/", "bridge", "C5"], ["images/kp/", "images/golden/kp/", "PASS", "C2"]],
    )
    with pytest.raises(GateError, match=": 2 test images of training stand in an evaluation set") as caught:
        work(run, "iter1", "data_merge")
    assert caught.value.gate == "leakage" and "images/kp/C2_" in str(caught.value)
    assert not (run.root / "iter1" / "dataset").exists()


@pytest.mark.parametrize(("mined", "made"), [((), (3,)), ((0,), ()), ((), ())])
def test_a_merge_to_which_nothing_was_mined_or_made_takes_what_there_is(run: Trainings, mined: Any, made: Any) -> None:
    new_rows(run, "iter1", mined, made)
    counts = work(run, "iter1", "data_merge").result.provenance_counts
    assert (counts["mined"], counts["synthetic"], counts["total"]) == (
        len(mined),
        len(made),
        16 + len(mined) + len(made),
    )


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("train_combined_iter1.csv", lambda columns: {n: v[:-1] for n, v in columns.items()}, "19 rows of 20"),
        ("train_combined_iter1.csv", lambda columns: columns | {"label": columns["label"][::-1]}, "is not the row"),
        ("_provenance.csv", lambda columns: {n: v[:-1] for n, v in columns.items()}, "19 provenances of 20"),
        ("_provenance.csv", lambda columns: columns | {"source": columns["source"][::-1]}, "is not from base_train"),
        ("_provenance.csv", lambda columns: columns | {"row": columns["row"][::-1]}, "is not from base_train"),
    ],
)
def test_a_row_that_was_lost_or_mixed_up_in_writing_stops_the_merge(
    run: Trainings, monkeypatch: pytest.MonkeyPatch, name: str, change: Any, said: str
) -> None:
    new_rows(run, "iter1")
    write_as_asked = merge.write_pairs

    def spoilt(path: Path, columns: Any) -> None:
        write_as_asked(path, change(columns) if path.name.endswith(name) else columns)

    monkeypatch.setattr(merge, "write_pairs", spoilt)
    with pytest.raises(GateError, match=said) as caught:
        work(run, "iter1", "data_merge")
    assert caught.value.gate == "lost-row"


def table(path: Path, *rows: str, names: Sequence[str] = REQUIRED_COLUMNS) -> PairTable:
    cells = [row.split(",") for row in rows]
    return PairTable(path, {name: [row[i] for row in cells] for i, name in enumerate(names)})


def test_folders_are_told_from_the_workspace_once_with_their_trailing_slash_as_it_was(tmp_path: Path) -> None:
    rows = table(tmp_path / "t.csv", "a/,../g/a, Pass ,C1", "b,g/b/, Pin Hole ,C2")
    moved = relative_to_workspace(rows, tmp_path / "w" / "images" / "x", tmp_path / "w")
    assert list(moved.input_path) == ["images/x/a/", "images/x/b"]
    assert list(moved.golden_path) == ["images/g/a", "images/x/g/b/"]
    assert list(moved.label) == ["PASS", "pin hole"] == [normal_label(label) for label in rows.label]
    same = relative_to_workspace(rows, tmp_path / "w", tmp_path / "w")
    assert list(same.input_path) == ["a/", "b"]
    with pytest.raises(GateError, match="outside the workspace") as caught:
        relative_to_workspace(rows, tmp_path / "elsewhere", tmp_path / "w")
    assert caught.value.gate == "outside-workspace"


def test_columns_that_only_some_tables_have_are_empty_elsewhere(tmp_path: Path) -> None:
    one = table(tmp_path / "1.csv", "a,g,PASS,C1,7", names=(*REQUIRED_COLUMNS, "board"))
    two = table(tmp_path / "2.csv", "b,g,bridge,C2,x", names=(*REQUIRED_COLUMNS, "line"))
    both = concatenate(tmp_path / "3.csv", [one, two])
    assert list(both.columns) == [*REQUIRED_COLUMNS, "board", "line"]
    assert (both.columns["board"], both.columns["line"]) == (["7", ""], ["", "x"])
    assert list(both.object_name) == ["C1", "C2"]


# -- leaks --


def test_leaks_are_looked_for_in_every_evaluation_set_there_is(run: Trainings) -> None:
    config = run.state.config
    naming = specs.naming_of(config)
    assert [t.path.name for t in leaks.evaluation_tables(config)] == [
        "validation_set.csv",
        "testing_set.csv",
        "acceptance_set.csv",
    ]
    without = config.model_copy(update={"acceptance_csv": None})
    assert [t.path.name for t in leaks.evaluation_tables(without)] == ["validation_set.csv", "testing_set.csv"]
    rows = table(run.workspace / "t.csv", "images/ac/,images/golden/ac/,PASS,C4")
    with pytest.raises(GateError, match=": 1 test images"):
        leaks.refuse_leaks(rows, run.workspace, config, naming)
    leaks.refuse_leaks(rows, run.workspace, without, naming)
    leaks.refuse_leaks(table(run.workspace / "t.csv"), run.workspace, config, naming)


def test_rows_with_the_bytes_of_an_evaluation_picture_are_named_by_their_position(run: Trainings) -> None:
    config, images = run.state.config, run.workspace / "images"
    naming = specs.naming_of(config)
    (images / "golden/po/C82_SolderLight.png").write_bytes(b"")
    (images / "po/C82_SolderLight.png").write_bytes((images / "ac/C9_SolderLight.png").read_bytes())
    rows = [f"images/po/,images/golden/po/,PASS,C{n}" for n in (0, 1, 82, 3)]
    assert leaks.equal_rows(table(run.workspace / "t.csv", *rows), run.workspace, config, naming) == {2}
    assert leaks.equal_rows(table(run.workspace / "t.csv", rows[2]), run.workspace, config, naming) == {0}
    assert leaks.equal_rows(table(run.workspace / "t.csv"), run.workspace, config, naming) == set()


# -- routing --


def weak(run: Trainings, *found: str, first: int = 0) -> None:
    path = run.root / "baseline" / "kpi_gaps.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [str(run.workspace / "images" / "kp" / f"C{first + n}_SolderLight.png") for n in range(len(found))]
    numbers = [0.5] * len(found)
    columns = {"filepath": files, "label": list(found), "siamese_score": numbers, "weakness": numbers}
    pq.write_table(pa.table(columns), path)
    put(run.state.iteration("baseline"), rca_gaps_parquet=str(path))


def test_a_stage_that_begins_anew_clears_the_folders_that_it_writes(run: Trainings) -> None:
    folder = run.root / "iter1"
    names = {"routing": ["routing_results"], "data_merge": ["dataset"], "train": ["train", "train_spec.yaml"]}
    for stage, wanted in names.items():
        assert TASK.stages[stage].folders(run, "iter1") == [folder / name for name in wanted]


def test_weak_samples_whose_labels_people_doubt_are_not_routed_and_are_counted(tmp_path: Path) -> None:
    workspace = tiny.make_workspace(tmp_path / "w")
    labels.say(workspace, [Word(name, "mislabeled", "Ana") for name in ("kp/C0", "kp/C2", "kp/C5")])
    wanted = tiny.request(workspace, settings=("anomalygen.mode=local_standin",))
    plan = runs.plan_run(wanted)
    folder = runs.open_run(wanted, approve=plan.digest, how="flag", words=[word.name for word in plan.words])
    run: Any = Trainings.of(load_state(folder), LocalPlatform())
    weak(run, "PASS", "PASS", "PASS", "PASS")
    done = work(run, "iter1", "routing")
    assert done.summary == "2 rows to mining, 0 to anomalygen; 2 left out: label doubted or picture damaged"
    weak(run, "PASS", "PASS", first=3)
    assert work(run, "iter1", "routing").summary == "2 rows to mining, 0 to anomalygen"
    weak(run, "PASS")
    with pytest.raises(GateError, match="no weak sample could be routed"):
        work(run, "iter1", "routing")


def test_weak_labels_go_where_rows_of_them_are_and_the_counts_say_so(run: Trainings) -> None:
    weak(run, "PASS", "PASS", tiny.DEFECTS[0])
    done = work(run, "iter1", "routing")
    folder = run.root / "iter1" / "routing_results" / "2026-01-01_000000"
    assert done.result.routing_results_dir == str(folder)
    mining, made = (pq.read_table(path).num_rows for path in done.promised[:2])
    assert done.summary == f"{mining} rows to mining, {made} to anomalygen"
    assert (mining, made) == (3, 1)
    assert [path.name for path in done.promised] == [
        *("mining_gaps.parquet", "anomalygen_gaps.parquet", "routing_summary.txt")
    ]
    assert done.result.routing_mining_parquet == str(done.promised[0])
    assert done.result.routing_anomalygen_parquet == str(done.promised[1])
    assert set(done.result.routing_verdicts) == {"PASS", tiny.DEFECTS[0].upper()}


@pytest.mark.parametrize(("names", "said"), [(("rust",), "label RUST"), (("rust", "dent"), "labels DENT, RUST")])
def test_labels_that_nobody_takes_stop_the_routing_by_name(run: Trainings, names: Any, said: str) -> None:
    weak(run, "PASS", *names)
    with pytest.raises(GateError, match=f"no module accepts the weak {said}$|no module accepts the weak {said} ") as e:
        work(run, "iter1", "routing")
    lost = said.split(" ", 1)[1].lower()
    assert e.value.gate == "silent-drop" and f"routing.accept_dropped=[{lost}]" in e.value.fix
    assert (run.root / "iter1/routing_results/2026-01-01_000000/routing_summary.txt").is_file()


def test_a_routing_of_accepted_losses_alone_stops_as_empty(run: Trainings) -> None:
    run.state.config.routing.accept_dropped = ["rust"]
    weak(run, "rust")
    with pytest.raises(GateError, match="no weak sample could be routed") as caught:
        work(run, "iter1", "routing")
    assert caught.value.gate == "routing-empty"


def test_routing_without_a_pool_leaves_defects_to_the_generator(run: Trainings) -> None:
    run.state.config.mining_pool_csv = None
    weak(run, tiny.DEFECTS[0])
    done = work(run, "iter1", "routing")
    assert done.summary == "0 rows to mining, 1 to anomalygen"


def test_routing_without_root_causes_says_what_to_run_first(run: Trainings) -> None:
    with pytest.raises(StageFailedError, match="the previous iteration has no RCA"):
        work(run, "iter1", "routing")
