"""Mining in shards: the same bytes as mining the whole pool, whatever broke on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tao_skill_bank.actions.mining import shards
from tao_skill_bank.actions.mining.embedding import embed_parquet
from tao_skill_bank.actions.mining.encoders import get_encoder
from tao_skill_bank.actions.mining.neighbors import nearest_neighbors
from tao_skill_bank.actions.mining.shards import (
    ERRORS_FILE,
    MINED_FILE,
    PLAN_FILE,
    SHARDS_FOLDER,
    SOURCES_FILE,
    TARGETS_FILE,
    MiningPlan,
    make_plan,
    merge_shards,
    missing_shards,
    read_plan,
    run_shard,
    write_plan,
)
from tao_skill_bank.core.errors import BankError, InputError

FILES = (MINED_FILE, SOURCES_FILE, TARGETS_FILE, "mining_summary.txt")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twelve pictures of which only four differ: most similarities are ties."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(7)
    kinds = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(4)]
    names = []
    for number in range(12):
        path = folder / f"{number:02d}.png"
        Image.fromarray(kinds[number % 4]).save(path)
        names.append(str(path))
    return names


def table(path: Path, names: list[str | None], labels: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[str | None]] = {"filepath": names, "label": list(labels or ["A"] * len(names))}
    pq.write_table(pa.table(columns), path, row_group_size=5)
    return path


def whole(folder: Path, gaps: Path, pool: Path, same_label: str, least: float = 0.0) -> dict[str, bytes]:
    """The files of mining on one machine."""
    made = get_encoder("local")
    target = embed_parquet(gaps, folder / TARGETS_FILE, made)
    source = embed_parquet(pool, folder / SOURCES_FILE, made)
    nearest_neighbors(
        source.output,
        target.output,
        folder / MINED_FILE,
        topn=3,
        knn_metric="cosine",
        filter_by_label=same_label,
        distance_threshold=1.0 - least,
    )
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes().replace(str(folder).encode(), b"OUTPUT") for name in FILES}


def planned(
    folder: Path, gaps: Path, pool: Path, count: int, same_label: str = "false", least: float = 0.0
) -> MiningPlan:
    plan = make_plan(gaps, pool, shards=count, encoder="local", top_k=3, same_label=same_label, min_similarity=least)
    write_plan(folder, plan)
    return plan


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shards_give_the_bytes_of_the_whole_pool_ties_included(
    data: st.DataObject, pictures: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("case")
    rows = data.draw(st.lists(st.sampled_from(pictures), min_size=1, max_size=23))
    labels = data.draw(st.lists(st.sampled_from("AB"), min_size=len(rows), max_size=len(rows)))
    weak = data.draw(st.lists(st.sampled_from(pictures), min_size=1, max_size=4))
    how = data.draw(st.sampled_from(["false", "within", "after"]))
    gaps = table(folder / "gaps.parquet", list(weak), ["A"] * len(weak))
    pool = table(folder / "pool.parquet", list(rows), labels)
    expected = whole(folder / "whole", gaps, pool, how)
    plan = planned(folder / "cut", gaps, pool, data.draw(st.integers(1, 9)), how)
    order = data.draw(st.permutations([s.index for s in plan.shards]))
    for index in order:
        run_shard(folder / "cut", index)
    mined, errors = merge_shards(folder / "cut")
    assert errors == [] and len(mined.filepaths) <= len(set(rows))
    assert contents(folder / "cut") == expected


def test_the_plan_is_a_function_of_its_inputs_and_covers_every_row_once(pictures: list[str], tmp_path: Path) -> None:
    gaps, pool = table(tmp_path / "g.parquet", [pictures[0]]), table(tmp_path / "p.parquet", [*pictures])
    one = planned(tmp_path / "a", gaps, pool, 5)
    two = planned(tmp_path / "b", gaps, pool, 5)
    assert one.digest == two.digest
    assert (tmp_path / "a" / PLAN_FILE).read_bytes() == (tmp_path / "b" / PLAN_FILE).read_bytes()
    rows = [row for s in one.shards for row in range(s.start, s.start + s.rows)]
    assert rows == list(range(12)) and all(s.rows for s in one.shards)
    assert len(planned(tmp_path / "c", gaps, pool, 99).shards) == 12


def test_a_bad_row_is_an_error_row_and_the_rest_is_mined_as_if_it_were_not_there(
    pictures: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    rows: list[str | None] = [*pictures[:3], str(broken), *pictures[3:7], None, str(broken), *pictures[7:], "gone.png"]
    gaps, pool = table(tmp_path / "g.parquet", [*pictures[:2]]), table(tmp_path / "p.parquet", rows)
    plan = planned(tmp_path / "cut", gaps, pool, 4)
    for shard in plan.shards:
        run_shard(tmp_path / "cut", shard.index)
    _, errors = merge_shards(tmp_path / "cut")
    assert [e.row for e in errors] == [4, 9, 10, 16]
    assert [line.split(",")[0] for line in (tmp_path / "cut" / ERRORS_FILE).read_text().splitlines()] == [
        "row",
        "4",
        "9",
        "10",
        "16",
    ]
    good = table(tmp_path / "good.parquet", [*pictures])
    expected = whole(tmp_path / "whole", gaps, good, "false")
    assert contents(tmp_path / "cut")[MINED_FILE] == expected[MINED_FILE]
    left = pq.read_table(tmp_path / "cut" / SOURCES_FILE)
    assert left.equals(pq.read_table(tmp_path / "whole" / SOURCES_FILE))


def test_only_shards_without_valid_output_are_done_again(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps, pool = table(tmp_path / "g.parquet", [pictures[0]]), table(tmp_path / "p.parquet", [*pictures])
    out = tmp_path / "out"
    plan = planned(out, gaps, pool, 4)
    assert missing_shards(out, plan) == [0, 1, 2, 3]
    with pytest.raises(BankError, match="4 of 4 shards have no valid output"):
        merge_shards(out)
    for index in range(4):
        run_shard(out, index)
    before = contents_after_merge(out)
    one, two, three = (shards.ShardFiles(out, plan, n) for n in (1, 2, 3))
    data = bytearray(one.vectors.read_bytes())
    data[-1] ^= 1
    one.vectors.write_bytes(bytes(data))
    two.receipt.write_text("{")
    stolen = json.loads(three.receipt.read_text())
    three.receipt.write_text(json.dumps({**stolen, "plan": "0" * 64}))
    assert missing_shards(out, plan) == [1, 2, 3]
    calls: list[int] = []
    real = shards._run_shard

    def counted(output: Path, plan: MiningPlan, shard: shards.ShardPlan, files: shards.ShardFiles) -> shards.Receipt:
        calls.append(shard.index)
        return real(output, plan, shard, files)

    monkeypatch.setattr(shards, "_run_shard", counted)
    for index in range(4):
        run_shard(out, index)
    assert calls == [1, 2, 3]
    assert contents_after_merge(out) == before
    assert not list((out / SHARDS_FOLDER).glob("*.tmp*"))


def test_what_was_made_for_another_plan_does_not_count(pictures: list[str], tmp_path: Path) -> None:
    gaps, pool = table(tmp_path / "g.parquet", [pictures[0]]), table(tmp_path / "p.parquet", [*pictures])
    out = tmp_path / "out"
    plan = planned(out, gaps, pool, 2)
    for index in range(2):
        run_shard(out, index)
    assert missing_shards(out, plan) == []
    table(tmp_path / "p.parquet", [*reversed(pictures)])
    with pytest.raises(InputError, match="the pool changed since the plan was made"):
        run_shard(out, shards_again(out))
    other = planned(out, gaps, pool, 2)
    assert other.digest != plan.digest and missing_shards(out, other) == [0, 1]


def shards_again(out: Path) -> int:
    """Make shard 0 missing, and name it."""
    shards.ShardFiles(out, read_plan(out), 0).receipt.unlink()
    return 0


def contents_after_merge(out: Path) -> dict[str, bytes]:
    merge_shards(out)
    return contents(out)


def test_a_pool_without_a_readable_image_is_refused(pictures: list[str], tmp_path: Path) -> None:
    gaps, pool = table(tmp_path / "g.parquet", [pictures[0]]), table(tmp_path / "p.parquet", ["gone.png", None])
    planned(tmp_path / "out", gaps, pool, 2)
    for index in range(2):
        assert len(run_shard(tmp_path / "out", index).errors) == 1
    with pytest.raises(InputError, match="no image of the pool can be read"):
        merge_shards(tmp_path / "out")
    with pytest.raises(InputError, match="no shard 7"):
        run_shard(tmp_path / "out", 7)


def test_a_node_with_another_encoder_is_refused(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    gaps, pool = table(tmp_path / "g.parquet", [pictures[0]]), table(tmp_path / "p.parquet", [*pictures])
    planned(tmp_path / "out", gaps, pool, 2)
    monkeypatch.setattr(shards, "get_encoder", lambda name: replace(get_encoder(name), version="2"))
    with pytest.raises(InputError, match="this machine has local-descriptor"):
        run_shard(tmp_path / "out", 0)
