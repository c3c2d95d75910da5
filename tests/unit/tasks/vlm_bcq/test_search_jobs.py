"""The search as a job of `tmm nearest_neighbors`: it leaves what a search of all chooses, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from tao_skill_bank.actions.console import run_category
from tao_skill_bank.actions.mining import tmm_cli
from tao_skill_bank.core.arrow import read_parquet, write_parquet
from tao_skill_bank.core.errors import GateError
from tao_skill_bank.core.yamlio import read_yaml
from tao_skill_bank.data.bcq.vectors import Vectors, unit
from tao_skill_bank.platforms.local import LocalPlatform
from tao_skill_bank.tasks.vlm_bcq import selecting
from tao_skill_bank.tasks.vlm_bcq.search_jobs import SearchJob, search_of
from tao_skill_bank.tasks.vlm_bcq.selecting import Block
from tao_skill_bank.tasks.vlm_bcq.state import Run

TOP_K = 5


class Jobs:
    """As much of a run as the search takes: the bank's own `tmm` runs at once.

    Args:
        spoil: What becomes of the table that it wrote.
    """

    def __init__(self, spoil: Callable[[Path], None] = lambda path: None) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self._spoil = spoil

    def job(self, label: str, stage: str, name: str, command: Sequence[str], outputs: Sequence[Path]) -> None:
        self.asked.append((f"{label} {stage} {name}", list(command)))
        for folder in outputs:
            folder.mkdir(parents=True, exist_ok=True)
        assert run_category(command[0], tmm_cli.ACTIONS, list(command[1:])) == 0
        self._spoil(Path(read_yaml(Path(command[-1]))["output_parquet"]))


def drawn(seed: int) -> tuple[Vectors, Vectors, list[str], list[Block]]:
    """Targets, a pool, and blocks: of 40 rows, of 3, of none, of 17, without a target, and one that shares its rows."""
    rng = np.random.default_rng(seed)
    targets, pool = unit(rng.normal(size=(12, 8))), unit(rng.normal(size=(60, 8)))
    # Whoever has a look-alike in another block must not take it.
    pool[45:50] = targets[:5]
    places = np.arange(60)
    first, last = np.arange(6), np.arange(6, 12)
    nobody = places[:0]
    blocks = [
        Block(first, places[:40]),
        Block(first, places[40:43]),
        Block(last, nobody),
        Block(last, places[43:]),
        Block(nobody, places[:10]),
        Block(last, places[30:50]),
    ]
    return targets, pool, [f"p{n:02d}" for n in range(60)], blocks


@pytest.mark.parametrize("seed", range(3))
def test_one_job_for_all_questions_leaves_what_a_search_of_every_row_chooses(tmp_path: Path, seed: int) -> None:
    jobs, (targets, pool, ids, blocks) = Jobs(), drawn(seed)
    narrowed = SearchJob(cast(Run, jobs), "iter1", "data_mining", tmp_path)(targets, pool, ids, blocks, TOP_K)
    assert [name for name, _ in jobs.asked] == ["iter1 data_mining neighbours"]
    assert len(narrowed) == len(blocks) and any(
        len(some.rows) < len(all_.rows) for some, all_ in zip(narrowed, blocks, strict=True)
    )
    for few, block in zip(narrowed, blocks, strict=True):
        found, expected = (selecting.nearest(targets[one.targets], pool, ids, one.rows, TOP_K) for one in (few, block))
        assert [(f.place, f.target) for f in found] == [(f.place, f.target) for f in expected]
        assert [f.similarity for f in found] == pytest.approx([f.similarity for f in expected], abs=1e-6)


def test_rows_that_the_job_cannot_tell_apart_at_the_last_place_are_told_by_the_search_over_what_it_leaves(
    tmp_path: Path,
) -> None:
    # Farther ones first, each by less than a step of float32 near (c + 3) / 4.
    cosines = 0.25 + 3e-8 * np.arange(8)
    pool = np.zeros((108, 8), dtype=np.float32)
    pool[:8, 0], pool[:8, 1] = cosines, np.sqrt(1 - cosines**2)
    pool[8:, 2] = 1.0
    target, ids, block = np.eye(1, 8, dtype=np.float32), [f"p{n:03d}" for n in range(108)], np.arange(108)
    assert len(set(pool[:8, 0].tolist())) == 8
    search = SearchJob(cast(Run, Jobs()), "iter1", "data_mining", tmp_path)
    (few,) = search(target, pool, ids, [Block(np.arange(1), block)], TOP_K)
    found = [f.place for f in selecting.nearest(target, pool, ids, few.rows, TOP_K)]
    assert found == [7, 6, 5, 4, 3] and len(few.rows) < 20


def test_the_job_is_asked_by_the_keys_and_names_of_the_contract(tmp_path: Path) -> None:
    jobs, (targets, pool, ids, blocks) = Jobs(), drawn(0)
    SearchJob(cast(Run, jobs), "iter1", "data_mining", tmp_path)(targets, pool, ids, blocks, TOP_K)
    ((_, command),) = jobs.asked
    assert command[:3] == ["tmm", "nearest_neighbors", "-e"]
    spec = read_yaml(Path(command[3]))
    paths = {key: spec.pop(key) for key in ("source_parquet", "target_parquet", "output_parquet")}
    assert spec == {"topn": 13, "knn_metric": "cosine", "filter_by_label": "false", "distance_threshold": -1.0}
    names = read_parquet(Path(paths["source_parquet"])).column("filepath").to_pylist()
    assert len(set(names)) == len(names) and {name.partition("#")[0] for name in names} == {f"pair:{i}" for i in ids}
    few = selecting.Block(np.arange(2), np.arange(3))
    SearchJob(cast(Run, jobs), "iter2", "data_mining", tmp_path / "few")(targets, pool, ids, [few], TOP_K)
    assert read_yaml(Path(jobs.asked[-1][1][3]))["topn"] == 3, "no more neighbours are asked for than there are rows"


def test_nothing_is_asked_where_no_question_has_a_row(tmp_path: Path) -> None:
    jobs, (targets, pool, ids, blocks) = Jobs(), drawn(0)
    empty = [blocks[2], blocks[4]]
    assert SearchJob(cast(Run, jobs), "iter1", "data_mining", tmp_path)(targets, pool, ids, empty, TOP_K) == empty
    assert jobs.asked == []


def left(path: Path, keep: Callable[[list[str]], list[str]], column: str = "filepath") -> None:
    names = keep(read_parquet(path).column("filepath").to_pylist())
    write_parquet(path, pa.table({column: pa.array(names, pa.string())}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "was not written"),
        (lambda path: path.write_bytes(b"no table"), "is no table with a filepath"),
        (lambda path: left(path, list, "image"), "is no table with a filepath"),
        (lambda path: left(path, lambda names: [*names, "pair:nobody"]), "names 'pair:nobody', which is no row"),
        (
            lambda path: left(path, lambda names: [n for n in names if n != "pair:p41"]),
            "2 rows of a question's 3 were found",
        ),
        (lambda path: left(path, lambda names: []), "0 rows of a question's 40 were found, and 5 are the least"),
    ],
    ids=["no table", "no parquet", "another column", "a strange name", "a row left out", "an empty table"],
)
def test_what_the_job_leaves_wrong_stops_by_the_gate(tmp_path: Path, spoil: Any, said: str) -> None:
    targets, pool, ids, blocks = drawn(0)
    with pytest.raises(GateError, match=said) as stopped:
        SearchJob(cast(Run, Jobs(spoil)), "iter1", "data_mining", tmp_path)(targets, pool, ids, blocks, TOP_K)
    assert stopped.value.gate == "neighbours"


def test_this_machine_searches_in_its_own_process(tmp_path: Path) -> None:
    run = cast(Run, SimpleNamespace(platform=LocalPlatform()))
    assert search_of(run, "iter1", "data_mining", tmp_path) is None
